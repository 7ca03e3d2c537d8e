"""Tasks: finite labelled tables, and the splits that train on a fraction of one.

A task is a function that returns a `Task`. To add one, write such a function, here or anywhere:

    def modular_square_sum(p):
        return modular_function(p, lambda n, m: n * n + m * m, f"n^2+m^2 mod {p}")
"""

import dataclasses
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

PAD = -1  # operand of an unused place in a shorter equation
MAX_ROWS = 2**25  # 33 million rows: 0.4 GB of int32 for two operands and a label


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A finite labelled table: every row is an equation, its operands and its answer.

    Attributes:
      tokens: int32[P, S], the operands; `PAD` in unused places of shorter equations.
      labels: int32[P], the answers.
      num_classes: C, how many different answers there are.
      name: what figures and results call it.
      train_only: bool[P] or None, rows that are always trained on and never tested.
    """

    tokens: Any
    labels: Any
    num_classes: int = dataclasses.field(metadata={"static": True})
    name: str = dataclasses.field(metadata={"static": True})
    train_only: Any = None

    @property
    def num_rows(self) -> int:
        """P, the number of equations in the table."""
        return self.labels.shape[0]

    @property
    def operands(self) -> int:
        """S, the number of operands of an equation."""
        return self.tokens.shape[1]

    @property
    def chance(self) -> float:
        """Accuracy of always giving the most frequent answer: the share of the majority class."""
        return float(np.bincount(np.asarray(self.labels)).max() / self.num_rows)

    def __repr__(self) -> str:
        return f"Task({self.name!r}, rows={self.num_rows}, classes={self.num_classes})"


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


# --------------------------------------------------------------------------------------------
# Constructors
# --------------------------------------------------------------------------------------------


def modular_addition(
    p: int,
    operands: int = 2,
    *,
    coefficients: Sequence[int] | None = None,
    num_rows: int | None = None,
    key: jax.Array | None = None,
) -> Task:
    """Sum of the operands modulo p: `labels = (c_1 n_1 + ... + c_S n_S) mod p`.

    Args:
      p: the modulus, at least 2; prime or not.
      operands: S, at least 1. The whole table has `p**operands` rows.
      coefficients: c, S integers; all ones when not given.
      num_rows: a uniformly random sample (without repetition) of that many rows of the table, for
        tables too large to enumerate. Needs `key`.
      key: the random key of the sample.

    Raises:
      ValueError: for a bad modulus, number of operands or coefficients, and for a table that is
        too large to hold, in which case `num_rows` is the remedy.
    """
    p = check_modulus(p)
    operands = _check_count("operands", operands)
    if coefficients is None:
        coefficients = (1,) * operands
    if len(coefficients) != operands:
        raise ValueError(
            f"coefficients has {len(coefficients)} entries for operands={operands}; give one "
            "integer for each operand."
        )
    coefficients = [_check_integer("coefficients", c) % p for c in coefficients]
    tokens = _table_rows(p, operands, num_rows, key)
    labels = tokens.astype(np.int64) @ np.asarray(coefficients, dtype=np.int64) % p
    terms = "+".join(
        f"{c if c != 1 else ''}n{s}" for s, c in enumerate(coefficients, 1) if c
    )  # what the figure says
    return _task(tokens, labels, p, f"{terms or '0'} mod {p}")


def modular_subtraction(p: int) -> Task:
    """Difference modulo p: `labels = (n - m) mod p`."""
    return dataclasses.replace(modular_addition(p, coefficients=(1, -1)), name=f"n-m mod {p}")


def modular_multiplication(p: int) -> Task:
    """Product modulo p: `labels = n m mod p`."""
    return modular_function(p, lambda n, m: n * m, f"n*m mod {check_modulus(p)}")


def modular_division(p: int) -> Task:
    """Quotient modulo a prime p: `labels = n m^(-1) mod p`, for all n and all nonzero m.

    Raises:
      ValueError: if p is composite: some m then have no inverse, and Fermat's formula would be
        silently wrong.
    """
    p = check_modulus(p)
    if not is_prime(p):
        raise ValueError(
            f"modular division needs a prime modulus, got p={p}: not every nonzero residue has "
            f"an inverse. Use a prime such as {next_prime(p)}, or modular_multiplication."
        )
    inverse = np.array([0] + [pow(m, -1, p) for m in range(1, p)], dtype=np.int64)
    tokens = _table_rows(p, 2, None, None)
    tokens = tokens[tokens[:, 1] > 0]
    labels = tokens[:, 0].astype(np.int64) * inverse[tokens[:, 1]] % p
    return _task(tokens, labels, p, f"n/m mod {p}")


def modular_function(p: int, fn: Callable[[Any, Any], Any], name: str) -> Task:
    """Any function of two residues: `labels = fn(n, m) mod p`, with n and m int64 arrays.

    `fn` is computed in 64-bit integers, which a high power of a large p can exceed; reduce inside
    `fn` when |fn(n, m)| may reach 2**63.

    Raises:
      ValueError: if p is not an integer of at least 2, or fn does not return one integer a row.
    """
    p = check_modulus(p)
    tokens = _table_rows(p, 2, None, None)
    values = np.asarray(fn(*tokens.astype(np.int64).T))
    if values.dtype.kind not in "iu" or values.shape not in ((), (p * p,)):
        raise ValueError(
            f"fn must map two integer arrays of shape ({p * p},) to integers of that shape, got "
            f"dtype {values.dtype} and shape {values.shape}; use integer arithmetic, such as //."
        )
    labels = np.broadcast_to(values % p, (p * p,))
    return _task(tokens, labels, p, name)


def from_table(table: Any, name: str = "table") -> Task:
    """The task of any Cayley table: `labels[n, m] = table[n][m]`, a square array of integers.

    Raises:
      ValueError: if the table is not square or has entries outside 0 ... len(table) - 1.
    """
    table = np.asarray(table)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or table.dtype.kind not in "iu":
        raise ValueError(
            f"a table must be a square array of integers, got shape {table.shape} and dtype "
            f"{table.dtype}."
        )
    size = check_modulus(table.shape[0])
    if table.min() < 0 or table.max() >= size:
        raise ValueError(
            f"table entries must lie in 0..{size - 1}, got {table.min()}..{table.max()}; "
            "relabel the elements."
        )
    return _task(_table_rows(size, 2, None, None), table.reshape(-1), size, name)


# --------------------------------------------------------------------------------------------
# A task in, a task out
# --------------------------------------------------------------------------------------------


def restrict_operand(task: Task, fraction: float, key: jax.Array) -> Task:
    """The rows whose first operand lies in a random set A of `int(fraction * num_classes)` values.

    Reference: S2 section 4, the data A x Z_p with lambda = |A| / p.

    Raises:
      ValueError: if fraction is outside (0, 1] or leaves A empty.
    """
    size = int(fraction * task.num_classes) if 0 < fraction <= 1 else 0
    if size < 1:
        raise ValueError(
            f"fraction must lie in (0, 1] and leave at least one first operand, got {fraction} "
            f"of {task.num_classes}; use at least {1 / task.num_classes:.3g}."
        )
    kept = np.asarray(jax.random.permutation(key, task.num_classes)[:size])
    rows = np.isin(np.asarray(task.tokens)[:, 0], kept)
    return dataclasses.replace(
        task,
        tokens=np.asarray(task.tokens)[rows],
        labels=np.asarray(task.labels)[rows],
        train_only=None if task.train_only is None else np.asarray(task.train_only)[rows],
        name=f"{task.name}, n in {size} values",
    )


# --------------------------------------------------------------------------------------------
# Splits
# --------------------------------------------------------------------------------------------


def num_train_rows(task: Task, alpha: float) -> int:
    """Number of training rows at a data fraction: `round(alpha * rows)`, `train_only` rows apart.

    Raises:
      ValueError: if alpha is not in (0, 1), or leaves no row to train or to test on.
    """
    extra = 0 if task.train_only is None else int(np.sum(np.asarray(task.train_only)))
    rows = task.num_rows - extra
    alpha = float(alpha)
    if not 0 < alpha < 1:  # NaN fails too
        raise ValueError(
            f"alpha={alpha} is not a fraction of the table; use a number between 0 and 1, "
            "both excluded."
        )
    count = round(alpha * rows)
    if count < 1 or count >= rows:
        kind = "training" if count < 1 else "test"
        raise ValueError(
            f"alpha={alpha} leaves no {kind} row among the {rows} of {task.name!r}; use an alpha "
            f"between {1 / rows:.3g} and {1 - 1 / rows:.6g}."
        )
    return count + extra


def split_order(task: Task, key: jax.Array) -> jax.Array:
    """The random order of the rows whose first `num_train_rows` are trained on: int32[P].

    The training sets of one key are therefore nested in alpha; `train_only` rows come first.
    """
    order = jax.random.permutation(key, task.num_rows)
    if task.train_only is not None:
        order = order[jnp.argsort(~jnp.asarray(task.train_only)[order], stable=True)]
    return order


def split(task: Task, order: jax.Array, num_train: jax.Array | int) -> Split:
    """The training and test rows given by an order of the rows and a number of training rows."""
    train = _rank(order) < num_train
    return Split(train, ~train, jnp.asarray(task.labels))


def corrupt_labels(
    task: Task, order: jax.Array, num_train: jax.Array | int, fraction: Any, key: jax.Array
) -> jax.Array:
    """Labels, `round(fraction * num_train)` random training rows of them random: int32[P].

    The random answer is uniform over all classes, so it is right once in `num_classes` times.
    Test labels stay true. The corrupted rows of one key are nested in `fraction`.

    Reference: Doshi et al. 2023, section 2.
    """
    key_rows, key_labels = jax.random.split(key)
    labels = jnp.asarray(task.labels)
    train = _rank(order) < num_train
    draw = jnp.where(train, jax.random.uniform(key_rows, labels.shape), jnp.inf)
    corrupted = _rank(jnp.argsort(draw)) < jnp.round(fraction * num_train)
    noise = jax.random.randint(key_labels, labels.shape, 0, task.num_classes, labels.dtype)
    return jnp.where(corrupted, noise, labels)


def _rank(order: jax.Array) -> jax.Array:
    """The place of every row in an order of the rows: the inverse permutation."""
    return jnp.zeros(order.shape, jnp.int32).at[order].set(jnp.arange(order.size, dtype=jnp.int32))


# --------------------------------------------------------------------------------------------
# Checks that other modules share
# --------------------------------------------------------------------------------------------


def check_modulus(p: Any, at_least: int = 2) -> int:
    """`p` as a Python int.

    Raises:
      ValueError: if it is not an integer of at least `at_least`.
    """
    try:
        value = operator.index(p)
    except TypeError:
        raise ValueError(f"p must be an integer, got {p!r}.") from None
    if isinstance(p, bool) or value < at_least:
        raise ValueError(f"p must be an integer of at least {at_least}, got {p!r}.")
    return value


def is_prime(p: int) -> bool:
    """Whether p is a prime number."""
    return p >= 2 and all(p % d for d in range(2, int(p**0.5) + 1))


def next_prime(p: int) -> int:
    """The smallest prime above p."""
    p += 1
    while not is_prime(p):
        p += 1
    return p


def _check_integer(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be integers, got {value!r}.") from None


def _check_count(name: str, value: Any) -> int:
    value = _check_integer(name, value)
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")
    return value


def _task(tokens: np.ndarray, labels: np.ndarray, num_classes: int, name: str) -> Task:
    return Task(tokens.astype(np.int32), labels.astype(np.int32), num_classes, name)


def _table_rows(p: int, operands: int, num_rows: int | None, key: jax.Array | None) -> np.ndarray:
    """int32[P, S]: all p**S tuples of operands in lexicographic order, or a sample of them."""
    total = p**operands
    if num_rows is None:
        if total > MAX_ROWS:
            raise ValueError(
                f"the table of p={p} and operands={operands} has {total:,} rows, more than the "
                f"{MAX_ROWS:,} this library holds in memory; give num_rows=... and key=... to "
                "sample some of them."
            )
        codes = np.arange(total)
    else:
        num_rows = _check_count("num_rows", num_rows)
        if num_rows > min(total, MAX_ROWS):
            raise ValueError(
                f"num_rows={num_rows:,} is more than the table's {total:,} rows or the "
                f"{MAX_ROWS:,} held in memory; use a smaller num_rows."
            )
        if key is None:
            raise ValueError(
                "num_rows samples the table and needs a key, such as jax.random.key(0)."
            )
        if total > 2**62:
            raise ValueError(
                f"p**operands = {total:.2e} exceeds 64-bit integers; use fewer operands."
            )
        seed = np.asarray(jax.random.key_data(key)).ravel()
        codes = _sample_without_replacement(np.random.default_rng(seed), total, num_rows)
    return np.stack([codes // p ** (operands - 1 - s) % p for s in range(operands)], axis=1).astype(
        np.int32
    )


def _sample_without_replacement(
    generator: np.random.Generator, total: int, count: int
) -> np.ndarray:
    """`count` different integers below `total`, sorted, without a table of size `total`."""
    return np.sort(generator.choice(total, size=count, replace=False, shuffle=False))
