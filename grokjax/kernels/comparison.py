"""How alike two kernels are, and how well one is aligned with the answers."""

from typing import Any

import jax
import jax.numpy as jnp


def label_kernel(labels: Any) -> jax.Array:
    """The kernel of the answers, `y y^T` of one-hot rows: `[labels_i = labels_j]`, float[P, P]."""
    labels = jnp.asarray(labels)
    return (labels[:, None] == labels[None, :]).astype(jnp.float32)


def alignment(kernel: Any, other: Any, *, centred: bool = False) -> jax.Array:
    """Cosine of two kernels, `<K, L> / (||K|| ||L||)` in Frobenius norm: 1 if proportional.

    With `other = label_kernel(labels)` this is the alignment with the answers,
    `y^T K y / (||K||_F ||y||^2)` for a single output y.

    Args:
      kernel: float[P, P] or float[P, P, C, C].
      other: of the same shape.
      centred: subtract the means over the rows first, `H K H` with `H = 1 - 1/P`, of [P, P]
        kernels: a constant in a kernel then counts for nothing.

    Raises:
      ValueError: if the shapes differ, or a kernel of several classes is to be centred.

    Reference: Cristianini et al. 2001; Cortes, Mohri and Rostamizadeh 2012 with `centred`; Kumar et
    al. 2024 call the uncentred one CKA.
    """
    kernel, other = _same_shape(kernel, other)
    if centred:
        if kernel.ndim != 2:
            raise ValueError(
                f"a kernel of shape {kernel.shape} cannot be centred; sum over its classes first, "
                "as kernels.trace does."
            )
        kernel, other = _centred(kernel), _centred(other)
    return jnp.sum(kernel * other) / (_norm(kernel) * _norm(other))


def distance(kernel: Any, initial: Any, *, centred: bool = False) -> jax.Array:
    """Kernel distance `1 - cos(K_t, K_0)`: 0 while a network is lazy, up to scale.

    Arguments and errors are those of `alignment`.

    Reference: Fort et al. 2020, equation 3.
    """
    return 1.0 - alignment(kernel, initial, centred=centred)


def norm_ratio(kernel: Any, initial: Any) -> jax.Array:
    """`||K_t||_F / ||K_0||_F`: how much faster than at the start the outputs can move.

    Raises:
      ValueError: if the shapes differ.
    """
    kernel, initial = _same_shape(kernel, initial)
    return _norm(kernel) / _norm(initial)


def _same_shape(kernel: Any, other: Any) -> tuple[jax.Array, jax.Array]:
    kernel, other = jnp.asarray(kernel), jnp.asarray(other)
    if kernel.shape != other.shape or kernel.ndim not in (2, 4):
        raise ValueError(
            f"kernels need the same shape, [P, P] or [P, P, C, C], got {kernel.shape} and "
            f"{other.shape}."
        )
    return kernel, other


def _norm(kernel: jax.Array) -> jax.Array:
    # Scaled by the largest entry: squares of mean-field kernels leave float32.
    largest = jnp.max(jnp.abs(kernel))
    safe = jnp.where(largest > 0, largest, 1.0)
    return safe * jnp.sqrt(jnp.sum((kernel / safe) ** 2))


def _centred(kernel: jax.Array) -> jax.Array:
    rows = jnp.mean(kernel, axis=0, keepdims=True)
    columns = jnp.mean(kernel, axis=1, keepdims=True)
    return kernel - rows - columns + jnp.mean(kernel)
