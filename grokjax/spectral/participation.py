"""Inverse participation ratio: over how many frequencies power is spread."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import scipy  # its parts are imported when they are used: together they take as long as jax

from grokjax.checks import check_choice, check_integer, check_integers, check_jax_array
from grokjax.spectral.transforms import check_axis, floats, neuron_vectors, share

Convention = Literal["rfft", "fft", "joint"]
CONVENTIONS = ("rfft", "fft", "joint")


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
      ValueError: for another convention, or an axis or weights that do not suit it.

    Reference: "rfft" as in Doshi et al. 2024 (polynomials), equation 3, and their code; "joint" as
    in Gromov 2023, equations 20 and 21, whose sum runs over the 2 p entries of a row of W1.

    Example:
      >>> import numpy as np
      >>> from grokjax import spectral
      >>> float(spectral.ipr(np.cos(2 * np.pi * 5 * np.arange(97) / 97)).round(3))
      1.0
    """
    check_choice("convention", convention, CONVENTIONS)
    real = convention == "rfft"
    weights = check_jax_array("weights", weights, kinds="biuf" if real else "biufc")
    axes = check_integers("axis", axis) if hasattr(axis, "__iter__") else (axis,)
    axes = tuple(check_axis("axis", one, weights) for one in axes)
    if len(set(axes)) < len(axes) or len(axes) != (2 if convention == "joint" else 1):
        raise ValueError(
            f"axis={axis!r} does not suit convention={convention!r}: give one axis for "
            '"rfft" and "fft", and the pair (operands, residues) for "joint".'
        )
    weights = floats(weights)
    # Fourth powers of small float32 weights underflow, so the scale goes first.
    weights = share(weights, jnp.abs(weights).max(axis=axes, keepdims=True))
    transform = jnp.fft.rfft if real else jnp.fft.fft
    powers = jnp.abs(transform(weights, axis=axes[-1])) ** 2
    shares = share(powers, powers.sum(axis=axes, keepdims=True))
    return (shares**2).sum(axis=axes)


def network_ipr(params: dict[str, jax.Array]) -> jax.Array:
    """Inverse participation ratio of each hidden neuron: the mean over its S inputs and its output.

    Args:
      params: `{"w1": float[S, p, K], "w2": float[K, p]}`.

    Returns:
      float[K], in the "rfft" convention: 1 for closed-form weights.

    Raises:
      ValueError: for parameters of another network than `QuadraticMLP`.

    Reference: Doshi et al. 2024 (polynomials), equation 3.
    """
    return ipr(neuron_vectors(params), axis=1).mean(axis=0)


def cosine_ipr(convention: Convention = "rfft", operands: int = 2) -> float:
    """`ipr` of a cosine of any frequency but 0 and p/2; of one cosine an operand for "joint".

    Raises:
      ValueError: for another convention, or no operands.
    """
    check_choice("convention", convention, CONVENTIONS)
    operands = check_integer("operands", operands, at_least=1)
    return {"rfft": 1.0, "fft": 0.5, "joint": 0.5 / operands}[convention]


def noise_ipr(p: int, convention: Convention = "rfft", operands: int = 2) -> float:
    """Expected `ipr` of Gaussian white noise.

    With r real frequencies (0, and p/2 for even p) and H = (p - r)/2 complex ones: "fft" is
    `(3 r + 4 H) / (p (p + 2))`, "joint" the same with `operands` times the numerator and
    `operands p` for p. "rfft" has no closed form; it is the integral over t > 0 of
    `t E[sum_f P_f^2 exp(-t sum_f P_f)]`, to leading order `(3 r + 2 H) / (r + H)^2`.

    Raises:
      ValueError: for a p below 1, another convention, or no operands.
    """
    p = check_integer("p", p, at_least=1, below=2**31)
    check_choice("convention", convention, CONVENTIONS)
    operands = check_integer("operands", operands, at_least=1)
    real = 1 if p % 2 else 2
    pairs = (p - real) // 2
    if convention == "rfft":
        density = lambda t: (
            t
            * (
                3 * real * (1 + 2 * t) ** (-(real + 4) / 2) * (1 + t) ** -pairs
                + 2 * pairs * (1 + 2 * t) ** (-real / 2) * (1 + t) ** -(pairs + 2)
            )
        )
        scale = pairs + 1  # the density falls as exp(-scale t), a peak that quad would miss
        return float(scipy.integrate.quad(lambda u: density(u / scale), 0, math.inf)[0] / scale)
    copies = operands if convention == "joint" else 1
    return copies * (3 * real + 4 * pairs) / (copies * p * (copies * p + 2))
