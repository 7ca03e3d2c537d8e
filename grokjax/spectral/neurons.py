"""Frequency and phases of neurons, and statistics of angles."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from grokjax.checks import check_integers, check_jax_array, is_concrete
from grokjax.spectral.transforms import check_axis, neuron_vectors, share


class Phases(NamedTuple):
    """Frequency, phases and amplitudes of every hidden neuron.

    Attributes:
      frequency: int[K], the dominant frequency, between 1 and (p-1)//2.
      phi: float[S + 1, K], phases of the S inputs and then of the output: phi1, phi2, phi3.
      amplitude: float[S + 1, K], of the cosine at that frequency.
      delta: float[K], `phi1 + phi2 - phi3` in (-pi, pi]; 0 in the closed-form solution.
    """

    frequency: jax.Array
    phi: jax.Array
    amplitude: jax.Array
    delta: jax.Array


def phases(params: dict[str, jax.Array], coefficients: Sequence[int] | None = None) -> Phases:
    """Phases of every neuron, read off at the frequency that holds most of its power.

    A neuron `w1[s, n] = A cos(2 pi c_s f n / p + phi_s)`, `w2[q] = A cos(2 pi f q / p + phi_3)`
    gives f, phi and A back. Frequency 0 and, for even p, the Nyquist frequency p/2 are no
    candidates: their transform is real and has no phase. Neither are frequencies f at which an
    operand has one of these as its `c_s f`. A zero neuron gets 0 everywhere except the first
    candidate, 1 for a prime p; leave it out by its amplitude.

    Args:
      params: `{"w1": float[S, p, K], "w2": float[K, p]}`.
      coefficients: c, for a task `c_1 n + c_2 m`; all ones when not given.

    Raises:
      ValueError: for p below 3, for parameters of another network than `QuadraticMLP`, and for
        coefficients that are not S integers or leave no frequency with a phase, as a 0 does.

    Reference: Gromov 2023, equations 6, 7 and 12. The minus sign of his equation 7 is absorbed in
    phi_3, so that the condition is `phi1 + phi2 = phi3`.

    Example:
      >>> from grokjax import analytic, spectral
      >>> params = analytic.analytic_weights(23, 12, frequencies=(2, 9))
      >>> sorted(set(spectral.phases(params).frequency.tolist()))
      [2, 9]
    """
    vectors = neuron_vectors(params)
    operands, p = vectors.shape[0] - 1, vectors.shape[1]
    if p < 3:
        raise ValueError(f"phases need a modulus of at least 3, got p={p}: no frequency has one.")
    if coefficients is None:
        coefficients = (1,) * operands
    coefficients = check_integers("coefficients", coefficients, length=operands)
    candidates = np.arange(1, (p + 1) // 2)
    bins = np.outer([c % p for c in (*coefficients, 1)], candidates) % p
    has_phase = (2 * bins % p != 0).all(axis=0)
    if not has_phase.any():
        raise ValueError(
            f"coefficients={coefficients} give every neuron for p={p} an operand of frequency 0 or "
            "p/2, which has no phase; leave out operands whose coefficient is a multiple of p."
        )
    candidates, bins = candidates[has_phase], bins[:, has_phase]
    peaks = jnp.take_along_axis(jnp.fft.fft(vectors, axis=1), bins[:, :, None], axis=1)
    shares = share(jnp.abs(peaks) ** 2, (vectors**2).sum(axis=1, keepdims=True)).sum(axis=0)
    best = jnp.argmax(shares, axis=0)
    peaks = jnp.take_along_axis(peaks, best[None, None, :], axis=1)[:, 0]
    phi = jnp.angle(peaks)
    return Phases(
        frequency=jnp.asarray(candidates)[best],
        phi=phi,
        amplitude=2 / p * jnp.abs(peaks),
        delta=wrap(phi[:-1].sum(axis=0) - phi[-1]),
    )


def wrap(angles: Any) -> jax.Array:
    """Angles brought into (-pi, pi].

    Raises:
      ValueError: for angles that are no real numbers.
    """
    angles = jnp.asarray(check_jax_array("angles", angles, kinds="iuf"))
    return jnp.pi - jnp.mod(jnp.pi - angles, 2 * jnp.pi)


class CircularSummary(NamedTuple):
    """How concentrated angles are.

    Attributes:
      mean: the circular mean, in (-pi, pi].
      resultant_length: `R = |mean(exp(i angle))|`, 0 for uniform angles and 1 for equal ones.
      fraction_aligned: the share of angles within pi/6 of 0; 1/6 for uniform angles.
    """

    mean: jax.Array
    resultant_length: jax.Array
    fraction_aligned: jax.Array


def circular_summary(angles: Any, weights: Any = None, axis: int = -1) -> CircularSummary:
    """Mean direction, resultant length and share near zero of angles.

    Args:
      angles: float[..., K, ...].
      weights: float of the same shape, not negative; equal ones when not given. Amplitudes, for
        example, so that silent neurons do not count.
      axis: the axis to summarise.

    Raises:
      ValueError: for angles that are no real numbers or none at all, and for weights that are
        negative or of another shape.
    """
    angles = jnp.asarray(check_jax_array("angles", angles, kinds="iuf"))
    axis = check_axis("axis", axis, angles)
    if weights is None:
        weights = jnp.ones_like(angles)
    weights = jnp.asarray(check_jax_array("weights", weights, shape=angles.shape))
    if is_concrete(weights) and (negative := weights < 0).any():
        raise ValueError(
            f"weights must not be negative, got {weights[negative][0]}; use amplitudes, for "
            "example."
        )
    weights = share(weights, weights.sum(axis=axis, keepdims=True))
    resultant = (weights * jnp.exp(1j * angles)).sum(axis=axis)
    near = jnp.abs(wrap(angles)) < jnp.pi / 6
    return CircularSummary(
        mean=jnp.angle(resultant),
        resultant_length=jnp.abs(resultant),
        fraction_aligned=(weights * near).sum(axis=axis),
    )
