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

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from grokjax import tasks
from grokjax.analytic.frequencies import best_frequencies, check_frequencies
from grokjax.models import QuadraticMLP, power, square

Params = dict[str, jax.Array]
Construction = Literal["clock", "one_hot", "pizza", "random_phase"]
Parameterization = Literal["mean_field", "standard"]
Weights = tuple[np.ndarray, np.ndarray]  # float64[S, p, K] and float64[K, p], without any scale


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
      ValueError: for a p or width too small, and for frequencies that are not allowed or do not
        fit into the width.

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
      ValueError: for arguments that do not suit each other, and for a width that is too small.

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
    if coefficients is None:
        coefficients = (1,) * operands
    coefficients = [check_integer("coefficients", c) for c in coefficients]
    if len(coefficients) != operands:
        raise ValueError(
            f"coefficients has {len(coefficients)} entries for operands={operands}; give one each."
        )
    w1, w2 = addition_weights(p, operands, construction, frequencies, width, key)
    maps = [np.array([c * n % p for n in range(p)]) for c in coefficients]
    return build(relabel_inputs(w1, maps), w2, parameterization)


# --------------------------------------------------------------------------------------------
# For the other closed forms: weights in float64, without any scale
# --------------------------------------------------------------------------------------------


def addition_weights(
    p: int,
    operands: int,
    construction: Construction,
    frequencies: Sequence[int] | None = None,
    width: int | None = None,
    key: jax.Array | None = None,
) -> Weights:
    """Weights of `logits = (sum_s w1[s, n_s])^S @ w2` that add S residues."""
    if construction not in ("clock", "one_hot", "pizza", "random_phase"):
        raise ValueError(
            'construction must be "clock", "one_hot", "pizza" or "random_phase", got '
            f"{construction!r}."
        )
    if (construction == "random_phase") != (key is not None):
        raise ValueError(
            'construction="random_phase" needs a key, such as jax.random.key(0), and the others '
            f"take none; got construction={construction!r} with key={key!r}."
        )
    if frequencies is not None:
        frequencies = check_frequencies(p, frequencies)
    if width is not None:
        width = check_integer("width", width, at_least=1)
    if key is not None:
        if width is None:
            raise ValueError('construction="random_phase" works at any width; give width=...')
        return _random_phase(p, operands, frequencies, width, key)
    if construction == "one_hot":
        if frequencies is not None:
            raise ValueError(
                f'construction="one_hot" uses every frequency; got frequencies={frequencies!r}, '
                'which construction="clock" takes.'
            )
        frequencies = range(1, p // 2 + 1)
        blocks = [_clock(p, f, operands, 1 / p if 2 * f == p else 2 / p) for f in frequencies]
        blocks.append((np.full((operands, p, 1), 1 / operands), np.full((1, p), 1 / p)))
    elif construction == "pizza":
        blocks = [_pizza(p, operands, frequencies or (1,))]
    else:
        frequencies = frequencies or (1,)
        counted = sum(0.5 if 2 * f == p else 1.0 for f in frequencies)
        blocks = [
            _clock(p, f, operands, (0.5 if 2 * f == p else 1.0) / counted) for f in frequencies
        ]
    needed = sum(w2.shape[0] for _, w2 in blocks)
    width = needed if width is None else width
    if width < needed:
        raise ValueError(
            f"width={width} is too small for construction={construction!r} with p={p}, "
            f"operands={operands} and frequencies={tuple(frequencies or (1,))}, which needs "
            f"{needed} neurons; use width={needed} or more, or fewer frequencies."
        )
    blocks.append((np.zeros((operands, p, width - needed)), np.zeros((width - needed, p))))
    return (
        np.concatenate([w1 for w1, _ in blocks], axis=2),
        np.concatenate([w2 for _, w2 in blocks], axis=0),
    )


def relabel_inputs(w1: np.ndarray, maps: Sequence[np.ndarray]) -> np.ndarray:
    """Input weights that see `maps[s][n]` in place of operand s equal to n."""
    return np.stack([w1[s][labels] for s, labels in enumerate(maps)])


def build(
    w1: np.ndarray, w2: np.ndarray, parameterization: Parameterization
) -> tuple[QuadraticMLP, Params]:
    """The model and its float32 parameters, with the same logits in either parameterization.

    Each neuron is balanced, `||w1_k||^2 = S ||w2_k||^2`: the smallest weights for its function,
    and the value that random initial weights have on average of what gradient flow conserves.
    """
    operands, _, width = w1.shape
    model = QuadraticMLP(
        p=w2.shape[1],
        width=width,
        operands=operands,
        activation=square if operands == 2 else power(operands),
        parameterization=parameterization,
    )
    norm1 = np.sqrt((w1**2).sum(axis=(0, 1)))
    norm2 = np.sqrt(operands * (w2**2).sum(axis=1))
    live = (norm1 > 0) & (norm2 > 0)
    gain = np.where(live, norm2 / np.where(live, norm1, 1), 1) ** (1 / (operands + 1))
    # The model's factors on preactivations and logits, undone evenly in both layers.
    scale = (model.input_scale**operands * model.output_scale) ** (-1 / (operands + 1))
    return model, {
        "w1": jnp.asarray(scale * gain * w1, jnp.float32),
        "w2": jnp.asarray((scale * gain**-operands)[:, None] * w2, jnp.float32),
    }


def check_integer(name: str, value: Any, at_least: float = -math.inf) -> int:
    """`value` as a Python int.

    Raises:
      ValueError: if it is not an integer of at least `at_least`; the message says which argument.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer, got {value!r}.") from None
    if number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {number}.")
    return number


# --------------------------------------------------------------------------------------------
# Blocks of neurons
# --------------------------------------------------------------------------------------------


def _cosines(p: int, frequencies: Any, phases: np.ndarray) -> np.ndarray:
    """`cos(2 pi f n / p + phase)` for every residue n and neuron: float64[p, K]."""
    turns = np.outer(np.arange(p), frequencies) % p / p  # reduced first, so exact
    return np.cos(2 * np.pi * turns + phases[None, :])


def _clock(p: int, frequency: int, operands: int, amplitude: float) -> Weights:
    """Neurons whose logits are exactly `amplitude * cos(2 pi f (n_1 + ... + n_S - q) / p)`.

    The signs single out the product of all operands from `(x_1 + ... + x_S)^S`; the S + 1 phases
    single out the sum from the sums and differences in a product of cosines. At the Nyquist
    frequency all cosines are signs, sums and differences are the same, and one phase is enough.
    """
    num_phases = 1 if 2 * frequency == p else operands + 1
    signs = np.array(list(itertools.product((1, -1), repeat=operands - 1)))
    signs = np.concatenate([np.ones((len(signs), 1)), signs], axis=1)  # the first one is free
    signs = np.repeat(signs, num_phases, axis=0)
    theta = np.tile(np.pi * np.arange(num_phases) / num_phases, 2 ** (operands - 1))
    wanted = 2 ** (operands - 1) * math.factorial(operands)  # of the product, over all signs
    if num_phases > 1:
        wanted *= num_phases / 2**operands
    cosines = _cosines(p, frequency, theta)
    w1 = signs.T[:, None, :] * cosines[None, :, :]
    w2 = signs.prod(axis=1) * _cosines(p, frequency, operands * theta)
    return w1, amplitude / wanted * w2.T


def _pizza(p: int, operands: int, frequencies: Sequence[int]) -> Weights:
    """Three neurons with logits `cos(w (n - m) / 2 + psi / 2)^2 cos(w (n + m - q))`.

    The first factor must not vanish: for even p a shift psi keeps it off its zeros.
    """
    if operands != 2 or len(frequencies) != 1 or p < 3:
        raise ValueError(
            'construction="pizza" is for p >= 3, two operands and one frequency, got '
            f'p={p}, operands={operands}, frequencies={tuple(frequencies)}; use "clock".'
        )
    theta = np.pi * np.arange(3) / 3
    half = 0.0 if p % 2 else np.pi / (2 * p)
    (f,) = frequencies
    w1 = np.stack([_cosines(p, f, theta + half), _cosines(p, f, theta - half)])
    return w1, _cosines(p, f, 2 * theta).T / 3


def _random_phase(
    p: int, operands: int, frequencies: Sequence[int] | None, width: int, key: jax.Array
) -> Weights:
    """Neurons of random phases; frequencies take turns."""
    if frequencies is None:
        # Over all p - 1 residues f and p - f come once each, and for even p so does p/2.
        frequencies = range(1, (p - 1) // 2 + 1 if p % 2 else p)
    f = np.resize(np.array(frequencies), width)
    phi = np.asarray(
        jax.random.uniform(key, (operands, width), minval=-jnp.pi, maxval=jnp.pi), np.float64
    )
    amplitude = 2**operands / (width * math.factorial(operands))
    w1 = np.stack([_cosines(p, f, phase) for phase in phi])
    return w1, amplitude * _cosines(p, f, phi.sum(axis=0)).T
