"""Closed-form networks for functions of sums, and for products, by relabelling residues.

Input rows moved to f(n) turn n + m into f_1(n) + f_2(m); output columns moved by F turn it into
F(n + m); and discrete logarithms turn addition modulo p - 1 into multiplication modulo p.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import jax
import numpy as np

from grokjax import tasks
from grokjax.analytic.constructions import (
    Construction,
    Parameterization,
    Params,
    addition_weights,
    build,
    relabel_inputs,
)
from grokjax.checks import check_callable, check_choice, check_integers, check_size, shown
from grokjax.models import QuadraticMLP
from grokjax.tasks.modular import residues

ResidueMap = Callable[[np.ndarray], Any]  # a function of integer arrays, such as lambda n: n * n


def analytic_function(
    p: int,
    inner: Sequence[ResidueMap],
    outer: ResidueMap | None = None,
    *,
    readout: Literal["forward", "inverse"] = "forward",
    construction: Construction = "one_hot",
    frequencies: Sequence[int] | None = None,
    width: int | None = None,
    key: jax.Array | None = None,
    parameterization: Parameterization = "mean_field",
) -> tuple[QuadraticMLP, Params]:
    """A network for `outer(inner_1(n_1) + ... + inner_S(n_S)) mod p`, and its parameters.

    The forward readout gives class q the weights of every sum t with `outer(t) = q` added up,
    `w2'[:, q] = sum_{t: outer(t) = q} w2[:, t]`, and is exact for any outer function on the
    one-hot. The inverse readout is the paper's: one t for each q, so that where `outer` takes
    every value b times about 1/b of the answers are right (51 % for `(n + m)^2` at p = 97).

    Args:
      p: the modulus; prime or not.
      inner: one function of an integer array for each operand; reduced modulo p.
      outer: a function of an integer array; reduced modulo p. None is the identity, and the only
        one for which fewer frequencies than the one-hot's are enough in general.
      readout: "forward" or "inverse".
      construction: of the sum; this and the next three as in `analytic_addition`.
      frequencies: of the sum.
      width: K.
      key: the random key, for "random_phase".
      parameterization: that of the model.

    Raises:
      ValueError: for functions that do not return integers, another readout, or arguments that
        `analytic_addition` refuses.

    Reference: Gromov 2023, claim II. Differs: the forward readout, which he does not use.

    Example:
      >>> from grokjax import analytic, tasks
      >>> identity = lambda n: n
      >>> model, params = analytic.analytic_function(11, [identity, identity], lambda t: t * t)
      >>> task = tasks.modular_function(11, lambda n, m: (n + m) ** 2, "(n+m)^2")
      >>> analytic.evaluate(model, params, task).accuracy
      1.0
    """
    p = tasks.check_modulus(p)
    check_choice("readout", readout, ("forward", "inverse"))
    if isinstance(inner, str | bytes) or not isinstance(inner, Iterable) or not (inner := [*inner]):
        raise ValueError(
            "inner must be functions, one for each operand, such as [lambda n: n, lambda n: n], "
            f"got {shown(inner)}."
        )
    such_as = "a function of an integer array, such as lambda n: n * n"
    for s, fn in enumerate(inner):
        check_callable(f"inner[{s}]", fn, such_as)
    if outer is not None:
        check_callable("outer", outer, f"{such_as}, or None")
    w1, w2 = addition_weights(p, len(inner), construction, frequencies, width, key)
    every = np.arange(p)[None]
    w1 = relabel_inputs(w1, [residues(f, every, p, f"inner[{s}]") for s, f in enumerate(inner)])
    if outer is not None:
        answers = residues(outer, every, p, "outer")
        if readout == "forward":
            sums = np.arange(p)
        else:
            answers, sums = np.unique(answers, return_index=True)
        w2 = w2[:, sums] @ np.eye(p)[answers]
    return build(w1, w2, parameterization)


def analytic_multiplication(
    p: int,
    exponents: Sequence[int] = (1, 1),
    *,
    construction: Construction = "clock",
    frequencies: Sequence[int] | None = None,
    width: int | None = None,
    key: jax.Array | None = None,
    parameterization: Parameterization = "mean_field",
) -> tuple[QuadraticMLP, Params]:
    """A network for `n_1^a_1 ... n_S^a_S mod p`, p prime, and its parameters.

    Addition modulo p - 1 of the discrete logarithms of nonzero operands, and one more neuron that
    sees zeros and speaks for the answer 0. Seven neurons are exact for two operands; with
    `construction="one_hot"` the logits are 1 and 0 wherever no operand is zero (3 p - 5 neurons).
    An answer 0 has a logit of at least 1, namely z^S for z zeros.

    Args:
      p: an odd prime.
      exponents: a, S integers. Exponent 0 gives 1 also for a zero operand. A negative one gives
        powers of the inverse, and no meaning to a zero operand.
      construction: of the addition; this and the next three as in `analytic_addition(p - 1)`.
      frequencies: of the addition.
      width: K, the additional neuron included.
      key: the random key, for "random_phase".
      parameterization: that of the model.

    Raises:
      ValueError: if p is not an odd prime, or `analytic_addition` refuses the arguments.

    Reference: Doshi et al. 2024 (polynomials), equation 6.

    Example:
      >>> from grokjax import analytic, tasks
      >>> model, params = analytic.analytic_multiplication(97)
      >>> task = tasks.modular_multiplication(97)
      >>> model.width, analytic.evaluate(model, params, task).accuracy
      (7, 1.0)
    """
    p = _check_odd_prime(p)
    powers = check_integers("exponents", exponents)
    if not powers:
        raise ValueError("exponents must be one or more integers, such as (1, 1), got none.")
    options = (construction, frequencies, width, key)
    base1, base2 = addition_weights(p - 1, len(powers), *options, reserved=1)
    log = discrete_log(p)
    # The logarithm of 1 stands for a zero operand where it has no say.
    turns = [np.where(log < 0, 0, a % (p - 1) * log) % (p - 1) for a in powers]
    w1 = relabel_inputs(base1, turns)
    seen = np.array([a != 0 for a in powers])
    w1[seen, 0] = 0.0
    w2 = np.where(log < 0, 0.0, base2[:, log])
    zero1 = np.zeros((len(powers), p, 1))
    zero1[seen, 0] = 1.0
    zero2 = np.eye(1, p)
    return build(np.concatenate([w1, zero1], axis=2), np.concatenate([w2, zero2]), parameterization)


def primitive_root(p: int) -> int:
    """The smallest g whose powers are all nonzero residues modulo an odd prime p.

    Raises:
      ValueError: if p is not an odd prime.
    """
    p = _check_odd_prime(p)
    small = [d for d in range(1, math.isqrt(p - 1) + 1) if (p - 1) % d == 0]
    factors = [q for d in small for q in {d, (p - 1) // d} if tasks.is_prime(q)]
    return next(g for g in range(1, p) if all(pow(g, (p - 1) // q, p) != 1 for q in factors))


def discrete_log(p: int) -> np.ndarray:
    """The x in 0 ... p-2 with `primitive_root(p)^x = n`, for every n; -1 for n = 0: int64[p].

    Raises:
      ValueError: if p is not an odd prime, or too large for a table.
    """
    p = _check_odd_prime(p)
    check_size(f"discrete_log({p})", p, "use a smaller p", at_most=tasks.MAX_ROWS)
    root = primitive_root(p)
    log = np.full(p, -1)
    log[[pow(root, x, p) for x in range(p - 1)]] = np.arange(p - 1)
    return log


def _check_odd_prime(p: int) -> int:
    """`p` as a Python int."""
    p = tasks.check_modulus(p, at_least=3)
    if not tasks.is_prime(p):
        raise ValueError(
            f"discrete logarithms need a prime modulus, got p={p}: zero is then not the only "
            f"residue without an inverse. Use a prime such as {tasks.next_prime(p)}."
        )
    return p
