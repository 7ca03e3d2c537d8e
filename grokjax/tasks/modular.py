"""Tables of modular arithmetic: whole, or a sample of one too large to hold."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from grokjax.checks import (
    check_callable,
    check_integer,
    check_integers,
    check_key,
    shown,
)
from grokjax.tasks.residues import check_modulus, is_prime, next_prime
from grokjax.tasks.task import Task

MAX_ROWS = 2**25  # 33 million rows: 0.4 GB of int32 for two operands and a label
MAX_EXACT = 2**17  # rows on which a function is compared with exact arithmetic: a tenth of a second


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
        tables too large to enumerate or to test on. Needs `key`. Alpha stays the fraction of the
        whole table: what is not trained on of the sample is tested on.
      key: the random key of the sample.

    Raises:
      ValueError: for a bad modulus, number of operands or coefficients, and for a table that is
        too large to hold, in which case `num_rows` is the remedy.

    Example: 0.1 % of the 31**5 = 28,629,151 sums of five operands to train on, and nine times as
    many rows to test on:
      >>> import jax
      >>> from grokjax import tasks
      >>> task = tasks.modular_addition(31, 5, num_rows=286_290, key=jax.random.key(0))
      >>> tasks.num_train_rows(task, alpha=0.001)
      28629
    """
    p = check_modulus(p)
    operands = check_integer("operands", operands, at_least=1)
    if coefficients is not None:
        coefficients = check_integers("coefficients", coefficients, length=operands)
    tokens, table_rows = operand_rows(p, operands, num_rows, key)
    coefficients = [c % p for c in coefficients or (1,) * operands]
    labels = np.zeros(len(tokens), np.int64)
    for c, column in zip(coefficients, tokens.T, strict=True):
        labels = (labels + c * column.astype(np.int64)) % p
    terms = "+".join(
        f"{c if c != 1 else ''}n{s}" for s, c in enumerate(coefficients, 1) if c
    )  # what the figure says
    name = f"{terms or '0'} mod {p}"
    return Task(tokens, labels.astype(np.int32), p, name, table_rows=table_rows)


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
    tokens, _ = operand_rows(p, 2)
    if not is_prime(p):
        raise ValueError(
            f"modular division needs a prime modulus, got p={p}: not every nonzero residue has "
            f"an inverse. Use a prime such as {next_prime(p)}, or modular_multiplication."
        )
    inverse = np.array([0] + [pow(m, -1, p) for m in range(1, p)], dtype=np.int64)
    tokens = tokens[tokens[:, 1] > 0]
    labels = tokens[:, 0].astype(np.int64) * inverse[tokens[:, 1]] % p
    return Task(tokens, labels.astype(np.int32), p, f"n/m mod {p}")


def modular_polynomial(
    p: int,
    terms: Sequence[tuple[int, Sequence[int]]],
    *,
    num_rows: int | None = None,
    key: jax.Array | None = None,
) -> Task:
    """A polynomial of any number of residues: `labels = sum_t c_t n_1^a_t1 ... n_S^a_tS mod p`.

    Args:
      p: the modulus, at least 2; prime or not.
      terms: pairs (c, (a_1, ..., a_S)), as `analytic.analytic_polynomial` takes them; exponents
        are not negative, and n^0 is 1 for every n.
      num_rows: a random sample of the table, as in `modular_addition`.
      key: the random key of the sample.

    Raises:
      ValueError: for a bad modulus, coefficient or exponent, terms that are missing or of different
        lengths, and for a table too large to hold.

    Example:
      >>> from grokjax import tasks
      >>> tasks.modular_polynomial(7, [(1, (3, 0)), (1, (1, 2)), (2, (0, 1))])
      Task('n1^3+n1n2^2+2n2 mod 7', num_rows=49, num_classes=7)
    """
    p = check_modulus(p)
    terms = check_terms(terms, least_exponent=0)
    tokens, table_rows = operand_rows(p, len(terms[0][1]), num_rows, key)
    labels = np.zeros(len(tokens), np.int64)
    names = []
    for c, exponents in terms:
        c %= p
        product = np.full(len(tokens), c, np.int64)
        for a, column in zip(exponents, tokens.T, strict=True):
            powers = np.array([pow(n, a, p) for n in range(p)], np.int64)
            product = product * powers[column] % p
        labels = (labels + product) % p
        factors = "".join(
            f"n{s}" if a == 1 else f"n{s}^{a}" for s, a in enumerate(exponents, 1) if a
        )
        names.append(factors if c == 1 and factors else f"{c}{factors}")
    name = f"{'+'.join(names)} mod {p}"
    return Task(tokens, labels.astype(np.int32), p, name, table_rows=table_rows)


def check_terms(terms: Any, least_exponent: float = -math.inf) -> list[tuple[int, tuple[int, ...]]]:
    """The terms of a polynomial: pairs (coefficient, exponents), as many exponents in all of them.

    Raises:
      ValueError: for anything else.
    """
    try:
        pairs = [(c, exponents) for c, exponents in terms]
    except (TypeError, ValueError):
        pairs = []
    checked = [
        (
            check_integer(f"the coefficient of terms[{t}]", c),
            check_integers(f"the exponents of terms[{t}]", exponents, at_least=least_exponent),
        )
        for t, (c, exponents) in enumerate(pairs)
    ]
    if len({len(exponents) for _, exponents in checked}) != 1 or not checked[0][1]:
        raise ValueError(
            "terms must be pairs (coefficient, exponents), with one exponent for each operand in "
            f"all of them, such as [(1, (2, 0)), (3, (1, 1))], got {shown(terms)}."
        )
    return checked


def modular_function(p: int, fn: Callable[[Any, Any], Any], name: str) -> Task:
    """Any function of two residues: `labels = fn(n, m) mod p`, with n and m int64 arrays.

    `fn` is computed in 64-bit integers, which a high power of a large p exceeds. It is also tried
    with exact integers, and refused where these differ: reduce inside `fn` then, or use
    `modular_polynomial`, which does.

    Raises:
      ValueError: if p is not an integer of at least 2, or fn is not a function that returns one
        integer a row and stays within 64 bits.
    """
    p = check_modulus(p)
    check_callable("fn", fn, "a function of two integer arrays, such as lambda n, m: n * m")
    tokens, _ = operand_rows(p, 2)
    labels = residues(fn, tokens.astype(np.int64).T, p, "fn")
    return Task(tokens, labels.astype(np.int32), p, name)


def residues(fn: Callable[..., Any], columns: np.ndarray, p: int, name: str) -> np.ndarray:
    """Values modulo p of a function of integer arrays, such as all operands: int[P].

    Args:
      fn: the function, of as many arrays as there are columns.
      columns: int64[S, P].
      p: the modulus.
      name: of the function, for messages.

    Raises:
      ValueError: if it cannot take the columns, does not return one integer a row, or returns
        integers that are too large for their type.
    """
    count, rows = len(columns), columns.shape[1]
    wanted = (
        f"{name} must map {count} integer array{'s' if count > 1 else ''} of shape ({rows},) to "
        "integers of that shape"
    )
    try:
        with jax.enable_x64(True):  # JAX's functions would make 32-bit integers of the columns
            values = np.asarray(fn(*columns))
    except TypeError as error:
        raise ValueError(f"{wanted}, got {type(error).__name__}: {error}.") from error
    if values.dtype.kind not in "iu" or values.shape not in ((), (rows,)):
        raise ValueError(
            f"{wanted}, got dtype {values.dtype} and shape {values.shape}; use integer arithmetic, "
            "such as //."
        )
    _check_overflow(fn, columns, p, name, values.dtype)
    return np.broadcast_to(values % p, (rows,))


def _check_overflow(
    fn: Callable[..., Any], columns: np.ndarray, p: int, name: str, dtype: np.dtype
) -> None:
    """Refuses a function whose values, modulo p, are others when integers have no limit."""
    rows = columns.shape[1]
    # Equal steps that end with the largest operands.
    some = columns[:, np.linspace(0, rows - 1, min(rows, MAX_EXACT)).astype(int)]
    tried = lambda: np.asarray(fn(*some)) % p
    with jax.enable_x64(True):
        try:
            exact = np.asarray(fn(*some.astype(object))) % p
            wrong = bool(np.any(exact != tried()))
            wrong = wrong and np.array_equal(tried(), tried())  # a random function never agrees
        except OverflowError:
            wrong = True
        except Exception:  # it takes no Python integers: JAX's functions do not
            try:
                with np.errstate(divide="raise", invalid="raise", over="ignore"):
                    size = np.abs(np.asarray(fn(*some.astype(np.float64)), np.float64))
            except Exception:  # nor floats, as a look-up in a table does not: nothing can be said
                return
            wrong = bool(np.any(size > np.iinfo(dtype).max))
    if wrong:
        raise ValueError(
            f"{name} returns integers too large for {dtype}, whose residues would be wrong; reduce "
            f"modulo p={p} inside it, or use modular_polynomial for powers."
        )


def operand_rows(
    size: int, operands: int, num_rows: int | None = None, key: jax.Array | None = None
) -> tuple[np.ndarray, int | None]:
    """All tuples of operands below `size` in lexicographic order, or a sample: int32[P, S].

    Returns:
      The rows, and the number of all rows if these are a sample, else None.

    Raises:
      ValueError: for a table or a sample that is too large, and for a sample without a key.
    """
    if key is not None:
        check_key("key", key)
    if size >= 2**31 or operands > 62 or size**operands > 2**62:
        raise ValueError(
            f"the table of p={shown(size)} and operands={shown(operands)} has more rows than "
            "64-bit integers can number; use a smaller p, or fewer operands."
        )
    total = size**operands
    if num_rows is None:
        if total > MAX_ROWS:
            raise ValueError(
                f"the table of p={size} and operands={operands} has {total:,} rows, more than the "
                f"{MAX_ROWS:,} this library holds in memory; give num_rows=... and key=... to "
                "sample some of them."
            )
        codes = np.arange(total, dtype=np.int32)
    else:
        num_rows = check_integer("num_rows", num_rows, at_least=1, otherwise="None for all rows")
        if num_rows > min(total, MAX_ROWS):
            raise ValueError(
                f"num_rows={num_rows:,} is more than the table's {total:,} rows or the "
                f"{MAX_ROWS:,} held in memory; use a smaller num_rows."
            )
        if key is None:
            raise ValueError(
                "num_rows samples the table and needs a key, such as jax.random.key(0)."
            )
        seed = np.asarray(jax.random.key_data(key)).ravel()
        generator = np.random.default_rng(seed)
        codes = np.sort(generator.choice(total, size=num_rows, replace=False, shuffle=False))
    rows = np.empty((len(codes), operands), np.int32)
    for s in reversed(range(operands)):  # the last operand varies fastest
        codes, rows[:, s] = np.divmod(codes, size)
    return rows, None if num_rows is None else total
