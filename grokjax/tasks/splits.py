"""Splits: which rows of a table a lane trains on, and the answers it is given."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from grokjax.checks import (
    check_integer,
    check_jax_array,
    check_key,
    check_number,
    is_concrete,
    shown,
)
from grokjax.tasks.task import Task, check_is_task


class Split(NamedTuple):
    """Which rows a lane trains on and which it is tested on, and the answers it is trained with.

    Attributes:
      train: bool[P].
      test: bool[P].
      labels: int32[P], equal to `task.labels` unless some training labels were corrupted.
    """

    train: jax.Array
    test: jax.Array
    labels: jax.Array


def check_alpha(alpha: Any) -> float:
    """A fraction of the table as a Python float.

    Raises:
      ValueError: if it is not in (0, 1).
    """
    try:
        return check_number("alpha", alpha, above=0, below=1)
    except ValueError:
        raise ValueError(
            f"alpha={shown(alpha)} is not a fraction of the table; use a number between 0 and 1, "
            "both excluded."
        ) from None


def num_train_rows(task: Task, alpha: float) -> int:
    """Number of training rows at a data fraction: `round(alpha * rows)`, `train_only` rows apart.

    `rows` are those of the table, also when the task holds a sample of it.

    Raises:
      ValueError: if alpha is not in (0, 1), or leaves no row to train or to test on.
    """
    check_is_task(task)
    extra = 0 if task.train_only is None else int(np.sum(np.asarray(task.train_only)))
    rows = task.num_rows - extra
    if rows < 1:
        raise ValueError(
            f"all {task.num_rows:,} rows of {task.name!r} are train_only, so none is left to test "
            "on; leave some out of train_only."
        )
    whole = rows if task.table_rows is None else task.table_rows
    alpha = check_alpha(alpha)
    count = round(alpha * whole)
    if count < 1 or count >= rows:
        kind = "training" if count < 1 else "test"
        sample = "" if task.table_rows is None else f", a sample of {whole:,}"
        raise ValueError(
            f"alpha={alpha} leaves no {kind} row among the {rows:,} of {task.name!r}{sample}; use "
            f"an alpha between {1 / whole:.3g} and {(rows - 1) / whole:.6g}"
            f"{', or sample more rows' if sample else ''}."
        )
    return count + extra


def split_order(task: Task, key: jax.Array) -> jax.Array:
    """The random order of the rows whose first `num_train_rows` are trained on: int32[P].

    The training sets of one key are therefore nested in alpha; `train_only` rows come first.

    Raises:
      ValueError: for anything but a task and a random key.
    """
    check_is_task(task)
    check_key("key", key)
    order = jax.random.permutation(key, task.num_rows)
    if task.train_only is not None:
        order = order[jnp.argsort(~jnp.asarray(task.train_only)[order], stable=True)]
    return order


def split(task: Task, order: jax.Array, num_train: jax.Array | int) -> Split:
    """The training and test rows given by an order of the rows and a number of training rows.

    Args:
      task: the table.
      order: int[P], every row once, as from `split_order`.
      num_train: how many of them are trained on, as from `num_train_rows`.

    Raises:
      ValueError: for an order of other rows, or more training rows than there are.
    """
    train = _rank(_check_order(task, order, num_train)) < num_train
    return Split(train, ~train, jnp.asarray(task.labels))


def corrupt_labels(
    task: Task, order: jax.Array, num_train: jax.Array | int, fraction: Any, key: jax.Array
) -> jax.Array:
    """Labels, `round(fraction * num_train)` random training rows of them random: int32[P].

    The random answer is uniform over all classes, so it is right once in `num_classes` times.
    Test labels stay true. The corrupted rows of one key are nested in `fraction`.

    Args:
      task: the table.
      order: int[P], every row once, as from `split_order`.
      num_train: how many of them are trained on, as from `num_train_rows`.
      fraction: of the training rows, between 0 and 1.
      key: the random key of the rows and of their answers.

    Raises:
      ValueError: for an order of other rows, more training rows than there are, a fraction outside
        [0, 1], or anything but a random key.

    Reference: Doshi et al. 2023, section 2.
    """
    order = _check_order(task, order, num_train)
    if is_concrete(fraction):
        check_number("fraction", fraction, at_least=0, at_most=1)
    check_key("key", key)
    key_rows, key_labels = jax.random.split(key)
    labels = jnp.asarray(task.labels)
    train = _rank(order) < num_train
    draw = jnp.where(train, jax.random.uniform(key_rows, labels.shape), jnp.inf)
    corrupted = _rank(jnp.argsort(draw)) < jnp.round(fraction * num_train)
    noise = jax.random.randint(key_labels, labels.shape, 0, task.num_classes, labels.dtype)
    return jnp.where(corrupted, noise, labels)


def _check_order(task: Task, order: Any, num_train: Any) -> jax.Array:
    """An order of the rows of a task, as an array; traced numbers are taken as they are."""
    check_is_task(task)
    order = check_jax_array("order", order, shape=(task.num_rows,), kinds="iu")
    if is_concrete(order) and not np.array_equal(np.sort(order), np.arange(task.num_rows)):
        raise ValueError(
            f"order must hold each of the rows 0 to {task.num_rows - 1} once, as from "
            f"tasks.split_order(task, key), got {shown(order)}."
        )
    if is_concrete(num_train):
        check_integer("num_train", num_train, at_least=0, below=task.num_rows + 1)
    else:
        check_jax_array("num_train", num_train, shape=(), kinds="iu")
    return jnp.asarray(order)


def _rank(order: jax.Array) -> jax.Array:
    """The place of every row in an order of the rows: the inverse permutation."""
    return jnp.zeros(order.shape, jnp.int32).at[order].set(jnp.arange(order.size, dtype=jnp.int32))
