"""Power over frequencies, and the vectors and tables it is taken of."""

from typing import Any

import jax
import jax.numpy as jnp


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


def neuron_vectors(params: dict[str, jax.Array]) -> jax.Array:
    """Input vectors, then the output vector, of every neuron: float[S + 1, p, K]."""
    return jnp.concatenate([params["w1"], jnp.asarray(params["w2"]).T[None]])


def share(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """The quotient, with 0/0 = 0."""
    return numerator / jnp.where(denominator > 0, denominator, 1)
