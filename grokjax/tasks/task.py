"""`Task`: a finite labelled table."""

import copy
import dataclasses
from typing import Any

import jax
import numpy as np

from grokjax.checks import check_integer, check_jax_array, check_text, is_concrete, shown

PAD = -1  # operand of an unused place in a shorter equation

_ARRAYS = ("tokens", "labels", "train_only")
_STATIC = ("num_classes", "name", "table_rows", "num_tokens")


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A finite labelled table: every row is an equation, its operands and its answer.

    Attributes:
      tokens: int32[P, S], the operands, 0 ... vocabulary - 1; `PAD` in unused places of shorter
        equations.
      labels: int32[P], the answers, 0 ... num_classes - 1.
      num_classes: C, how many different answers there are.
      name: what figures and results call it.
      train_only: bool[P] or None, rows that are always trained on and never tested.
      table_rows: None, or how many rows the table has of which these are a sample. The fraction
        alpha that a lane trains on is always one of the table; the rest of the sample tests it.
      num_tokens: None, or how many different operands there are, if these are not as many as
        answers: 97 for comparing two residues modulo 97, which has 2 answers.

    There are as many operands as answers unless `num_tokens` says otherwise, because models look
    operands up in tables, and JAX clips what lies outside: a wrong operand would be taken for the
    last one in silence.

    Lists, and integers of other sizes, become int32. Arrays of NumPy are checked here; those of
    JAX, which may be traced, only by `check_task`. A task is a pytree of its arrays, so that it can
    be an argument of `jit` and `vmap`; what JAX puts in their place is not checked.

    Raises:
      ValueError: for operands, answers or sizes that are none, or do not fit each other.
    """

    tokens: Any
    labels: Any
    num_classes: int
    name: str
    train_only: Any = None
    table_rows: int | None = None
    num_tokens: int | None = None

    def __post_init__(self):
        _set(self, _checked_sizes(self))
        arrays = (self.tokens, self.labels)
        if any(map(_on_host, arrays)) and not any(isinstance(x, jax.Array) for x in arrays):
            _set(self, _checked_arrays(self))

    @property
    def num_rows(self) -> int:
        """P, the number of equations at hand."""
        return self.labels.shape[0]

    @property
    def operands(self) -> int:
        """S, the number of operands of an equation."""
        return self.tokens.shape[1]

    @property
    def vocabulary(self) -> int:
        """How many different operands there are: `num_tokens`, or else `num_classes`."""
        return self.num_classes if self.num_tokens is None else self.num_tokens

    @property
    def chance(self) -> float:
        """Accuracy of always giving the most frequent answer: the share of the majority class."""
        return float(np.bincount(np.asarray(self.labels)).max() / self.num_rows)

    def __repr__(self) -> str:
        sizes = f"num_rows={self.num_rows}, num_classes={self.num_classes}"
        return f"Task({self.name!r}, {sizes})"


def check_task(task: Any) -> Task:
    """The task, if it is one, with all of its numbers checked, wherever they are.

    Returns:
      The same task, or an equal one if integers had to become int32.

    Raises:
      ValueError: for anything that is no `Task`, and for operands, answers or sizes that are none,
        or do not fit each other.
    """
    check_is_task(task)
    checked = _checked_sizes(task) | _checked_arrays(task)
    if all(getattr(task, name) is value for name, value in checked.items()):
        return task
    return _set(copy.copy(task), checked)


def check_is_task(task: Any, name: str = "task") -> Task:
    """The task, if it is one; nothing in it is looked at.

    Raises:
      ValueError: for anything else.
    """
    if not isinstance(task, Task):
        raise ValueError(
            f"{name} must be a Task, such as tasks.modular_addition(97), got {shown(task)}."
        )
    return task


def _checked_sizes(task: Task) -> dict[str, Any]:
    """The static fields, integers as Python's."""
    bounds: dict[str, Any] = dict(at_least=1, below=2**31)  # codes are int32
    num_tokens, table_rows = task.num_tokens, task.table_rows
    if num_tokens is not None:
        otherwise = "None for as many as classes"
        num_tokens = check_integer("num_tokens", num_tokens, **bounds, otherwise=otherwise)
    if table_rows is not None:
        otherwise = "None for a whole table"
        table_rows = check_integer("table_rows", table_rows, at_least=1, otherwise=otherwise)
    return {
        "num_classes": check_integer("num_classes", task.num_classes, **bounds),
        "name": check_text("name", task.name, "n+m mod 97"),
        "num_tokens": num_tokens,
        "table_rows": table_rows,
    }


def _checked_arrays(task: Task) -> dict[str, Any]:
    """The arrays, integers as int32."""
    tokens = _check_codes(
        *("tokens", task.tokens, ("P", "S"), PAD, task.vocabulary),
        f" and PAD = {PAD} in unused places,",
        "there are as many operands as answers unless num_tokens says otherwise"
        if task.num_tokens is None
        else "num_tokens must be larger",
    )
    labels = _check_codes(
        *("labels", task.labels, tokens.shape[:1], 0, task.num_classes),
        "",
        "num_classes must be larger",
    )
    train_only, tested = task.train_only, len(labels)
    if train_only is not None:
        train_only = check_jax_array("train_only", train_only, shape=labels.shape, kinds="b")
        if is_concrete(train_only):
            tested -= int(np.count_nonzero(np.asarray(train_only)))
    if task.table_rows is not None and task.table_rows < tested:
        raise ValueError(
            f"table_rows={task.table_rows:,} must be at least the {tested:,} rows at hand, which "
            "are a sample of the table; leave it out for a whole table."
        )
    return {"tokens": tokens, "labels": labels, "train_only": train_only}


def _check_codes(
    name: str, value: Any, shape: tuple, least: int, size: int, also: str, too_large: str
) -> Any:
    """Integers from `least` to `size - 1`, as int32 where they are known."""
    codes = check_jax_array(name, value, shape=shape, kinds="iu")
    if 0 in codes.shape:
        raise ValueError(f"{name} must have at least one entry, got shape {list(codes.shape)}.")
    if not is_concrete(codes):
        return codes
    host = np.asarray(codes)
    for code in (host.min(), host.max()):
        if not least <= code < size:
            remedy = f"; {too_large}" if code >= size else ""
            raise ValueError(
                f"{name} must be integers from 0 to {size - 1},{also} got {code}{remedy}."
            )
    return codes if host.dtype == np.int32 else host.astype(np.int32)


def _on_host(array: Any) -> bool:
    """Whether something is meant to be looked at: trees for `vmap(in_axes=...)` have integers."""
    known = isinstance(array, list | tuple | str) or hasattr(array, "__array__")
    return known and not isinstance(array, jax.Array)


def _set(task: Task, values: dict[str, Any]) -> Task:
    for name, value in values.items():
        object.__setattr__(task, name, value)
    return task


def _flatten(task: Task) -> tuple[list[Any], tuple[Any, ...]]:
    return [getattr(task, x) for x in _ARRAYS], tuple(getattr(task, x) for x in _STATIC)


def _flatten_with_keys(task: Task) -> tuple[list[Any], tuple[Any, ...]]:
    arrays, static = _flatten(task)
    return list(zip(map(jax.tree_util.GetAttrKey, _ARRAYS), arrays, strict=True)), static


def _unflatten(static: tuple[Any, ...], arrays: Any) -> Task:
    """A task of anything at all: JAX fills its trees with tracers, axes and None."""
    values = zip((*_ARRAYS, *_STATIC), (*arrays, *static), strict=True)
    return _set(object.__new__(Task), dict(values))


jax.tree_util.register_pytree_with_keys(Task, _flatten_with_keys, _unflatten, _flatten)
