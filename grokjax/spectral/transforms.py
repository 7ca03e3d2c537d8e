"""Power over frequencies, and the vectors and tables it is taken of."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from grokjax.checks import (
    check_integer,
    check_jax_array,
    check_mapping,
    check_size,
    is_concrete,
)


def power(weights: Any, axis: int = -1) -> jax.Array:
    """Fourier power along an axis: `|rfft(weights)|^2`, frequencies 0 ... p//2.

    Parseval: `p * sum(weights^2)` is the sum of the powers with every frequency counted twice,
    except 0 and, for even p, the Nyquist frequency p/2, which appear once in the transform.

    Args:
      weights: float[..., p, ...].
      axis: the axis of the residues.

    Returns:
      float[..., p//2 + 1, ...].

    Raises:
      ValueError: for weights that are not real, or do not have the axis.
    """
    weights = check_jax_array("weights", weights)
    return jnp.abs(jnp.fft.rfft(floats(weights), axis=check_axis("axis", axis, weights))) ** 2


def power_2d(table: Any) -> jax.Array:
    """Fourier power of a function of two residues: `|fft2(table)|^2`, float[..., p, p] to the same.

    Entry (mu, nu) belongs to `exp(2 pi i (mu n + nu m) / p)`.

    Raises:
      ValueError: for anything but square tables.
    """
    table = check_jax_array("table", table, shape=(..., "p", "p"), kinds="biufc")
    check_axis("axis", -1, table)
    return jnp.abs(jnp.fft.fft2(floats(table))) ** 2


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

    Raises:
      ValueError: for labels that are not one integer below `size` for each residue.
    """
    weights = check_jax_array("weights", weights, kinds="biufc")
    axis = check_axis("axis", axis, weights)
    residues = weights.shape[axis]
    labels = check_jax_array("labels", labels, shape=(residues,), kinds="iu")
    size = check_integer("size", size, at_least=1)
    check_size(f"relabel to size={size:,}", size * residues, "use a smaller size")
    if is_concrete(labels) and (largest := int(np.asarray(labels).max())) >= size:
        raise ValueError(
            f"labels must be below size={size}, got {largest}; use size={largest + 1} or more, or "
            "negative labels for residues to leave out."
        )
    rows = jnp.moveaxis(jnp.asarray(weights), axis, 0)
    membership = jnp.asarray(labels)[None, :] == jnp.arange(size)[:, None]
    counts = jnp.maximum(membership.sum(axis=1, keepdims=True), 1)
    average = membership.astype(rows.dtype) / counts
    means = jnp.tensordot(average, rows, axes=1, precision=jax.lax.Precision.HIGHEST)
    return jnp.moveaxis(means, 0, axis)


def neuron_vectors(params: dict[str, jax.Array]) -> jax.Array:
    """Input vectors, then the output vector, of every neuron: float[S + 1, p, K].

    Raises:
      ValueError: for parameters of another network than `QuadraticMLP`.
    """
    form = '{"w1": float[S, p, K], "w2": float[K, p]} as of QuadraticMLP'
    check_mapping("params", params, form)
    if missing := [name for name in ("w1", "w2") if name not in params]:
        raise ValueError(
            f"params must be {form}, and have no {missing[0]!r} among {sorted(params)}; the "
            "spectrum of other weights is ipr or power of an array."
        )
    w1 = check_jax_array('params["w1"]', params["w1"], shape=("S", "p", "K"))
    _, p, width = w1.shape
    if 0 in w1.shape:
        raise ValueError(f'params["w1"] must not be empty, got shape {list(w1.shape)}.')
    w2 = check_jax_array('params["w2"]', params["w2"], shape=(width, p))
    return jnp.concatenate([floats(w1), floats(w2).T[None]])


def floats(array: Any) -> jax.Array:
    """An array in a precision that Fourier transforms take, float32 at least."""
    array = jnp.asarray(array)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def share(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """The quotient, with 0/0 = 0."""
    return numerator / jnp.where(denominator > 0, denominator, 1)


def check_axis(name: str, axis: Any, array: Any) -> int:
    """An axis of an array, counted from its beginning.

    Raises:
      ValueError: for one that the array does not have, or that has no entries.
    """
    if not array.shape:
        raise ValueError(f"an array with axes is needed for {name}={axis!r}, got a single number.")
    axis = check_integer(name, axis, at_least=-array.ndim, below=array.ndim) % array.ndim
    if not array.shape[axis]:
        raise ValueError(f"{name}={axis} has no entries in an array of shape {list(array.shape)}.")
    return axis
