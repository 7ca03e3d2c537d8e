"""Spectra of weights and of functions on Z_p: power, participation ratios, phases.

Arrays in, arrays out; every function works under `jit` and `vmap`. Spectra are taken over the
residues 0 ... p-1. A network that works on relabelled residues, f(n) or a discrete logarithm, has
its peaks over the labels: pass its weights through `relabel` first.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate

Convention = Literal["rfft", "fft", "joint"]
CONVENTIONS = ("rfft", "fft", "joint")

# --------------------------------------------------------------------------------------------
# Power
# --------------------------------------------------------------------------------------------


def power(weights: Any, axis: int = -1) -> jax.Array:
    """Fourier power along an axis: `|rfft(weights)|^2`, frequencies 0 ... p//2.

    Parseval: `p * sum(weights^2)` is the sum of the powers with every frequency counted twice,
    except 0 and, for even p, the Nyquist frequency p/2, which appear once in the transform.

    Args:
      weights: float[..., p, ...].
      axis: the axis of the residues.

    Returns:
      float[..., p//2 + 1, ...].
    """
    return jnp.abs(jnp.fft.rfft(jnp.asarray(weights), axis=axis)) ** 2


def power_2d(table: Any) -> jax.Array:
    """Fourier power of a function of two residues: `|fft2(table)|^2`, float[..., p, p] to the same.

    Entry (mu, nu) belongs to `exp(2 pi i (mu n + nu m) / p)`.
    """
    return jnp.abs(jnp.fft.fft2(jnp.asarray(table))) ** 2


def relabel(weights: Any, labels: Any, size: int, axis: int = -1) -> jax.Array:
    """Weights as a function of the label of each residue: the mean over residues of equal label.

    A label that no residue has gets 0, and residues with a negative label are left out. With
    `labels = f(n) mod p` and `size = p` this is the axis on which the weights of a network for
    f(n) + g(m) are a cosine; with `labels = analytic.discrete_log(p)` and `size = p - 1` that of a
    multiplication. A one-to-one relabelling makes the cosine pure. A many-to-one one leaves gaps,
    so compare with the closed-form weights of the same task, passed through the same function.

    Args:
      weights: float[..., p, ...].
      labels: int[p], each below `size`.
      size: how many labels there are.
      axis: the axis of the residues.

    Returns:
      float[..., size, ...].
    """
    rows = jnp.moveaxis(jnp.asarray(weights), axis, 0)
    membership = jnp.asarray(labels)[None, :] == jnp.arange(size)[:, None]
    counts = jnp.maximum(membership.sum(axis=1, keepdims=True), 1)
    average = membership.astype(rows.dtype) / counts
    means = jnp.tensordot(average, rows, axes=1, precision=jax.lax.Precision.HIGHEST)
    return jnp.moveaxis(means, 0, axis)


# --------------------------------------------------------------------------------------------
# Inverse participation ratio
# --------------------------------------------------------------------------------------------


def ipr(
    weights: Any, axis: int | tuple[int, int] = -1, convention: Convention = "rfft"
) -> jax.Array:
    """Inverse participation ratio of the spectrum: `sum_f P_f^2 / (sum_f P_f)^2`.

    One over the number of frequencies that share the power: 1 when there is one. The literature
    counts in three ways, which `cosine_ipr` and `noise_ipr` put side by side:

        "rfft"   frequencies 0 ... p//2 of each vector; a cosine has 1
        "fft"    all p frequencies; a cosine, which has two of them, has 1/2
        "joint"  all p frequencies of each of the S operands, normalised together; 1/(2 S)

    A vector of zeros gets 0.

    Args:
      weights: float[..., p, ...].
      axis: the axis of the residues; for "joint" the pair (operands, residues), which is (0, 1)
        for `params["w1"]`.
      convention: "rfft", "fft" or "joint".

    Returns:
      float[...], without that axis or those axes.

    Raises:
      ValueError: for another convention, or an axis that does not suit it.

    Reference: "rfft" as in Doshi et al. 2024 (polynomials), equation 3, and their code; "joint" as
    in Gromov 2023, equations 20 and 21, whose sum runs over the 2 p entries of a row of W1.

    Example:
      >>> import numpy as np
      >>> from grokjax import spectral
      >>> float(spectral.ipr(np.cos(2 * np.pi * 5 * np.arange(97) / 97)).round(3))
      1.0
    """
    _check_convention(convention)
    axes = tuple(np.atleast_1d(axis))
    if len(axes) != (2 if convention == "joint" else 1):
        raise ValueError(
            f"axis={axis!r} does not suit convention={convention!r}: give one axis for "
            '"rfft" and "fft", and the pair (operands, residues) for "joint".'
        )
    weights = jnp.asarray(weights)
    # Fourth powers of small float32 weights underflow, so the scale goes first.
    weights = _divide(weights, jnp.abs(weights).max(axis=axes, keepdims=True))
    transform = jnp.fft.rfft if convention == "rfft" else jnp.fft.fft
    powers = jnp.abs(transform(weights, axis=axes[-1])) ** 2
    shares = _divide(powers, powers.sum(axis=axes, keepdims=True))
    return (shares**2).sum(axis=axes)


def network_ipr(params: dict[str, jax.Array]) -> jax.Array:
    """Inverse participation ratio of each hidden neuron: the mean over its S inputs and its output.

    Args:
      params: `{"w1": float[S, p, K], "w2": float[K, p]}`.

    Returns:
      float[K], in the "rfft" convention: 1 for closed-form weights.

    Reference: Doshi et al. 2024 (polynomials), equation 3.
    """
    return ipr(_vectors(params), axis=1).mean(axis=0)


def cosine_ipr(convention: Convention = "rfft", operands: int = 2) -> float:
    """`ipr` of a cosine of any frequency but 0 and p/2; of one cosine an operand for "joint"."""
    return {"rfft": 1.0, "fft": 0.5, "joint": 0.5 / operands}[_check_convention(convention)]


def noise_ipr(p: int, convention: Convention = "rfft", operands: int = 2) -> float:
    """Expected `ipr` of Gaussian white noise.

    With r real frequencies (0, and p/2 for even p) and H = (p - r)/2 complex ones: "fft" is
    `(3 r + 4 H) / (p (p + 2))`, "joint" the same with `operands` times the numerator and
    `operands p` for p. "rfft" has no closed form; it is the integral over t > 0 of
    `t E[sum_f P_f^2 exp(-t sum_f P_f)]`, to leading order `(3 r + 2 H) / (r + H)^2`.
    """
    real = 1 if p % 2 else 2
    pairs = (p - real) // 2
    if _check_convention(convention) == "rfft":
        density = lambda t: (
            t
            * (
                3 * real * (1 + 2 * t) ** (-(real + 4) / 2) * (1 + t) ** -pairs
                + 2 * pairs * (1 + 2 * t) ** (-real / 2) * (1 + t) ** -(pairs + 2)
            )
        )
        return float(integrate.quad(density, 0, np.inf)[0])
    copies = operands if convention == "joint" else 1
    return copies * (3 * real + 4 * pairs) / (copies * p * (copies * p + 2))


# --------------------------------------------------------------------------------------------
# Phases
# --------------------------------------------------------------------------------------------


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
    candidates: their transform is real and has no phase. A zero neuron gets 0 everywhere except
    frequency 1; leave it out by its amplitude.

    Args:
      params: `{"w1": float[S, p, K], "w2": float[K, p]}`.
      coefficients: c, for a task `c_1 n + c_2 m`; all ones when not given.

    Raises:
      ValueError: for p below 3, or a number of coefficients other than S.

    Reference: Gromov 2023, equations 6, 7 and 12. The minus sign of his equation 7 is absorbed in
    phi_3, so that the condition is `phi1 + phi2 = phi3`.

    Example:
      >>> from grokjax import analytic, spectral
      >>> params = analytic.analytic_weights(23, 12, frequencies=(2, 9))
      >>> sorted(set(spectral.phases(params).frequency.tolist()))
      [2, 9]
    """
    vectors = _vectors(params)
    operands, p = vectors.shape[0] - 1, vectors.shape[1]
    if p < 3:
        raise ValueError(f"phases need a modulus of at least 3, got p={p}: no frequency has one.")
    coefficients = (1,) * operands if coefficients is None else tuple(coefficients)
    if len(coefficients) != operands:
        raise ValueError(
            f"coefficients has {len(coefficients)} entries for {operands} operands; give one each."
        )
    candidates = np.arange(1, (p + 1) // 2)
    bins = np.outer((*coefficients, 1), candidates) % p
    peaks = jnp.take_along_axis(jnp.fft.fft(vectors, axis=1), bins[:, :, None], axis=1)
    shares = _divide(jnp.abs(peaks) ** 2, (vectors**2).sum(axis=1, keepdims=True)).sum(axis=0)
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
    """Angles brought into (-pi, pi]."""
    return jnp.pi - jnp.mod(jnp.pi - jnp.asarray(angles), 2 * jnp.pi)


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
    """
    angles = jnp.asarray(angles)
    weights = jnp.ones_like(angles) if weights is None else jnp.asarray(weights)
    weights = _divide(weights, weights.sum(axis=axis, keepdims=True))
    resultant = (weights * jnp.exp(1j * angles)).sum(axis=axis)
    near = jnp.abs(wrap(angles)) < jnp.pi / 6
    return CircularSummary(
        mean=jnp.angle(resultant),
        resultant_length=jnp.abs(resultant),
        fraction_aligned=(weights * near).sum(axis=axis),
    )


# --------------------------------------------------------------------------------------------
# The series of peaks in the output preactivations
# --------------------------------------------------------------------------------------------


class SeriesPower(NamedTuple):
    """Shares of the Fourier power of a logit as a function of the operands (n, m).

    Attributes:
      wanted: on `c_1 n + c_2 m`, the answer; 1 for exact weights.
      twice_n: on `2 c_1 n`.
      twice_m: on `2 c_2 m`.
      difference: on `c_1 n - c_2 m`.
      constant: the share of the constant in the total; the others are shares of the rest.
    """

    wanted: jax.Array
    twice_n: jax.Array
    twice_m: jax.Array
    difference: jax.Array
    constant: jax.Array


def series_masks(p: int, coefficients: tuple[int, int] = (1, 1)) -> dict[str, np.ndarray]:
    """The Fourier modes (mu, nu) of each series of `SeriesPower` but the constant: bool[p, p].

    For f = 1 ... p-1 a quadratic network for `c_1 n + c_2 m` has modes at `f (c_1, c_2)`, which
    it wants, and at `(2 f c_1, 0)`, `(0, 2 f c_2)` and `f (c_1, -c_2)`. A mode in two series, as
    (p/2, p/2) for even p, belongs to the first of them; (0, 0) belongs to none.

    Reference: Gromov 2023, equation 11.
    """
    c1, c2 = coefficients
    f = np.arange(1, p)
    modes = {
        "wanted": (c1 * f, c2 * f),
        "twice_n": (2 * c1 * f, 0 * f),
        "twice_m": (0 * f, 2 * c2 * f),
        "difference": (c1 * f, -c2 * f),
    }
    free = np.ones((p, p), dtype=bool)
    free[0, 0] = False
    masks = {}
    for name, (mu, nu) in modes.items():
        mask = np.zeros((p, p), dtype=bool)
        mask[mu % p, nu % p] = True
        masks[name] = mask & free
        free &= ~mask
    return masks


def series_power(tables: Any, coefficients: tuple[int, int] = (1, 1)) -> SeriesPower:
    """Shares of the power of each table in the series of a quadratic network.

    Args:
      tables: float[..., p, p], functions of (n, m), such as the logits of each class over the
        whole table, `logits.reshape(p, p, p)` with the class axis moved to the front.
      coefficients: c_1 and c_2 of the task `c_1 n + c_2 m`.

    Returns:
      `SeriesPower` of float[...]. What the four series leave of 1 lies outside all of them.
    """
    powers = power_2d(tables)
    p = powers.shape[-1]
    varying = _divide(powers, powers.sum(axis=(-2, -1), keepdims=True)).at[..., 0, 0].set(0.0)
    shares = _divide(varying, varying.sum(axis=(-2, -1), keepdims=True))
    masks = series_masks(p, coefficients)
    total = powers.sum(axis=(-2, -1))
    return SeriesPower(
        **{name: shares[..., mask].sum(axis=-1) for name, mask in masks.items()},
        constant=_divide(powers[..., 0, 0], total),
    )


# --------------------------------------------------------------------------------------------
# Private
# --------------------------------------------------------------------------------------------


def _vectors(params: dict[str, jax.Array]) -> jax.Array:
    """Input vectors, then the output vector, of every neuron: float[S + 1, p, K]."""
    return jnp.concatenate([params["w1"], jnp.asarray(params["w2"]).T[None]])


def _divide(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """The quotient, with 0/0 = 0."""
    return numerator / jnp.where(denominator > 0, denominator, 1)


def _check_convention(convention: str) -> str:
    if convention not in CONVENTIONS:
        raise ValueError(f"convention must be one of {CONVENTIONS}, got {convention!r}.")
    return convention
