"""Closed-form networks for sums of residues modulo p.

A hidden neuron sees one cosine per operand, `w1[s, n] = cos(2 pi f n / p + phi_s)`, and speaks
one, `w2[q] = cos(2 pi f q / p + phi_1 + ... + phi_S)`. Its activation, the power S of the sum,
holds the wanted `cos(2 pi f (n_1 + ... + n_S - q) / p)` and terms of other combinations. Phases
decide what happens to those:

    "clock"         2^(S-1) (S+1) neurons per frequency, phases that cancel every other term: exact
    "one_hot"       the clock for every frequency, and a constant: logits 1 and 0, no error at all
    "pizza"         3 neurons, S = 2: the other terms only scale the answer by a positive factor
    "random_phase"  any width: the other terms average out like noise, see `random_phase_theory`
"""

from collections.abc import Sequence

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
from grokjax.analytic.frequencies import best_frequencies, check_frequencies
from grokjax.checks import check_integer, check_integers
from grokjax.models import QuadraticMLP


def analytic_weights(
    p: int,
    width: int,
    *,
    key: jax.Array | None = None,
    frequencies: Sequence[int] | None = None,
    parameterization: Parameterization = "mean_field",
) -> Params:
    """Parameters of `QuadraticMLP(p, width)` that add two residues modulo p.

    Without a key they are exact, 100 % of the table for every p >= 3 and width >= 3: as many
    frequencies as fit, 6 neurons each, those with the best margin; 3 neurons of the "pizza" below
    6; from width 3p-2 (odd p) or 3p-3 (even p) on the exact one-hot, zero mean squared error.
    Spare neurons are zero. With a key they are Gromov's: random phases, frequencies that cycle
    over all there are, and an accuracy that grows with the width (`random_phase_theory`).

    The right logit is 1, on average for random phases and at n = m for the pizza.

    Args:
      p: the modulus, at least 3; prime or not.
      width: K, at least 3, or 1 with a key.
      key: the random key of the phases.
      frequencies: which to use instead; `check_frequencies` says which sets are allowed.
      parameterization: that of the model.

    Returns:
      `{"w1": float32[2, p, K], "w2": float32[K, p]}`.

    Raises:
      ValueError: for a p or width too small, for frequencies that are not allowed or do not fit
        into the width, and for more than 2^27 weights.

    Reference: Gromov 2023, equations 6, 7 and 12, for random phases. Differs: for even p the
    frequency p/2 is used once where the others are used twice, as in the Fourier transform.

    Example:
      >>> from grokjax import analytic, models, tasks
      >>> params = analytic.analytic_weights(97, 6)
      >>> analytic.evaluate(models.QuadraticMLP(97, 6), params, tasks.modular_addition(97)).accuracy
      1.0
    """
    p = tasks.check_modulus(p, at_least=3)
    width = check_integer("width", width, at_least=1)
    if frequencies is not None:
        frequencies = check_frequencies(p, frequencies)
    exact_one_hot = 3 * p - 2 if p % 2 else 3 * p - 3
    construction = "clock"
    if key is not None:
        construction = "random_phase"
    elif width < 3:
        raise ValueError(
            f"an exact network needs a width of at least 3, got width={width}; use 3 or more, or "
            "give a key for random phases, which are not exact."
        )
    elif width < 6 and (frequencies is None or len(frequencies) == 1):
        construction = "pizza"
    elif frequencies is None and width >= exact_one_hot:
        construction = "one_hot"
    elif frequencies is None:
        frequencies = best_frequencies(p, min(width // 6, (p - 1) // 2))
    _, params = analytic_addition(
        p,
        construction=construction,
        frequencies=frequencies,
        width=width,
        key=key,
        parameterization=parameterization,
    )
    return params


def analytic_addition(
    p: int,
    operands: int = 2,
    *,
    construction: Construction = "clock",
    frequencies: Sequence[int] | None = None,
    width: int | None = None,
    coefficients: Sequence[int] | None = None,
    key: jax.Array | None = None,
    parameterization: Parameterization = "mean_field",
) -> tuple[QuadraticMLP, Params]:
    """A network for `(c_1 n_1 + ... + c_S n_S) mod p`, and its parameters.

    Args:
      p: the modulus; prime or not.
      operands: S; the activation is `x^S`.
      construction: "clock", "one_hot", "pizza" (S = 2 and p >= 3) or "random_phase".
      frequencies: of the "clock" (1 when not given), of the "pizza" (a single one) or those that
        "random_phase" cycles over (all when not given); `best_frequencies` finds good ones.
      width: K; only "random_phase" has to be told. Neurons that are not needed are zero.
      coefficients: c, S integers; all ones when not given.
      key: the random key of the phases, for "random_phase".
      parameterization: that of the model.

    Raises:
      ValueError: for arguments that do not suit each other, for a width that is too small, and for
        more than 2^27 weights: the clock has `2^(S-1) (S+1)` neurons for each frequency.

    Reference: Doshi et al. 2024 (polynomials), equation 2, for "random_phase" and any S. The exact
    constructions are this library's.

    Example:
      >>> from grokjax import analytic, tasks
      >>> model, params = analytic.analytic_addition(11, 3, coefficients=(1, 4, -2))
      >>> task = tasks.modular_addition(11, 3, coefficients=(1, 4, -2))
      >>> model.width, analytic.evaluate(model, params, task).accuracy
      (16, 1.0)
    """
    p = tasks.check_modulus(p)
    operands = check_integer("operands", operands, at_least=1)
    if coefficients is not None:
        coefficients = check_integers("coefficients", coefficients, length=operands)
    w1, w2 = addition_weights(p, operands, construction, frequencies, width, key)
    maps = [np.array([c * n % p for n in range(p)]) for c in coefficients or (1,) * operands]
    return build(relabel_inputs(w1, maps), w2, parameterization)
