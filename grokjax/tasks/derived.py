"""A task in, a task out: fewer rows, or more to train on."""

import dataclasses

import jax
import numpy as np

from grokjax.checks import check_key, check_number
from grokjax.tasks.task import PAD, Task, check_is_task


def restrict_operand(task: Task, fraction: float, key: jax.Array) -> Task:
    """The rows whose first operand lies in a random set A of `int(fraction * vocabulary)` values.

    Reference: "Grokking Phenomenon Reproduction", section 4, the data A x Z_p with
    lambda = |A| / p.

    Raises:
      ValueError: if fraction is outside (0, 1] or leaves A, or the table, empty.
    """
    check_is_task(task)
    check_key("key", key)
    fraction = check_number("fraction", fraction, above=0, at_most=1)
    size = int(fraction * task.vocabulary)
    if size < 1:
        raise ValueError(
            f"fraction must leave at least one first operand, got {fraction} of "
            f"{task.vocabulary}; use at least {1 / task.vocabulary:.3g}."
        )
    kept = np.asarray(jax.random.permutation(key, task.vocabulary)[:size])
    rows = np.isin(np.asarray(task.tokens)[:, 0], kept)
    if not rows.any():
        raise ValueError(
            f"no row of {task!r} begins with one of the {size} operands drawn; use a larger "
            "fraction or another key."
        )
    table_rows = task.table_rows
    return dataclasses.replace(
        task,
        tokens=np.asarray(task.tokens)[rows],
        labels=np.asarray(task.labels)[rows],
        train_only=None if task.train_only is None else np.asarray(task.train_only)[rows],
        table_rows=None if table_rows is None else table_rows * size // task.vocabulary,
        name=f"{task.name}, n in {size} values",
    )


def with_extra_training(task: Task, *others: Task) -> Task:
    """A task whose training sets also hold all equations of other tasks, which are never tested.

    Equations of fewer operands are filled up with `PAD`, after their operands. Alpha stays the
    fraction of the table of `task`: the extra equations are trained on at every alpha.

    Args:
      task: what is split into training and test rows.
      *others: tasks of as many classes and at most as many operands, all of whose rows are added.

    Raises:
      ValueError: if there is no other task, if one has other classes or more operands, or if one
        has an equation that `task` tests.

    Reference: "Grokking Phenomenon Reproduction", section 3.4 and figure 8: all equations
    of two and three operands help to learn sums of five.

    Example:
      >>> import jax
      >>> from grokjax import tasks
      >>> five = tasks.modular_addition(31, 5, num_rows=286_290, key=jax.random.key(0))
      >>> pairs, triples = tasks.modular_addition(31, 2), tasks.modular_addition(31, 3)
      >>> tasks.num_train_rows(tasks.with_extra_training(five, pairs, triples), alpha=0.001)
      59381
    """
    if not others:
        raise ValueError("with_extra_training needs tasks to add; give at least one.")
    for one in (task, *others):
        check_is_task(one)
    tokens = np.asarray(task.tokens)
    extra = np.zeros(task.num_rows, bool) if task.train_only is None else task.train_only
    tested = {row.tobytes() for row in tokens[~np.asarray(extra)]}
    added = []
    for other in others:
        if other.num_classes != task.num_classes or other.operands > task.operands:
            raise ValueError(
                f"{other!r} has {other.num_classes} classes and {other.operands} operands, and "
                f"cannot be added to {task!r}, which has {task.num_classes} and {task.operands}; "
                "use as many classes, and at most as many operands."
            )
        places = ((0, 0), (0, task.operands - other.operands))
        rows = np.pad(np.asarray(other.tokens), places, constant_values=PAD).astype(tokens.dtype)
        if any(row.tobytes() in tested for row in rows):
            raise ValueError(
                f"{other!r} has equations that {task!r} tests; use tasks without common rows."
            )
        added.append(rows)
    count = sum(other.num_rows for other in others)
    vocabulary = max(one.vocabulary for one in (task, *others))
    return Task(
        tokens=np.concatenate([tokens, *added]),
        labels=np.concatenate([task.labels, *(other.labels for other in others)]),
        num_classes=task.num_classes,
        name=f"{task.name}, training with all of {' and '.join(other.name for other in others)}",
        train_only=np.concatenate([extra, np.ones(count, bool)]),
        table_rows=task.table_rows,
        num_tokens=None if vocabulary == task.num_classes else vocabulary,
    )
