"""How alike two kernels are, and how well one is aligned with the answers."""

from typing import Any

import jax
import jax.numpy as jnp

from grokjax.checks import check_flag, check_jax_array


def label_kernel(labels: Any) -> jax.Array:
    """The kernel of the answers, `y y^T` of one-hot rows: `[labels_i = labels_j]`, float[P, P].

    Raises:
      ValueError: if labels are not int[P].
    """
    labels = jnp.asarray(check_jax_array("labels", labels, shape=["P"], kinds="iu"))
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

    Returns:
      float[], NaN if one of the kernels is zero: that of a network whose outputs cannot move.

    Raises:
      ValueError: if the kernels are not square or differ in shape, or if kernels of several classes
        are to be centred.

    Reference: Cristianini et al. 2001; Cortes, Mohri and Rostamizadeh 2012 with `centred`; Kumar et
    al. 2024 call the uncentred one CKA.
    """
    kernel, other = _same_shape(kernel, other, "other")
    if check_flag("centred", centred):
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
      ValueError: if the kernels are not square, [P, P] or [P, P, C, C], or differ in shape.
    """
    kernel, initial = _same_shape(kernel, initial, "initial")
    return _norm(kernel) / _norm(initial)


def _same_shape(kernel: Any, other: Any, name: str) -> tuple[jax.Array, jax.Array]:
    kernel, other = check_jax_array("kernel", kernel), check_jax_array(name, other)
    for x, called in ((kernel, "kernel"), (other, name)):
        sizes = x.shape
        if x.ndim not in (2, 4) or sizes[0] != sizes[1] or sizes[2:3] != sizes[3:] or 0 in sizes:
            raise ValueError(f"{called} must be [P, P] or [P, P, C, C], got {list(sizes)}.")
    if kernel.shape != other.shape:
        raise ValueError(
            f"kernel and {name} must have the same shape, got {list(kernel.shape)} and "
            f"{list(other.shape)}."
        )
    return jnp.asarray(kernel), jnp.asarray(other)


def _norm(kernel: jax.Array) -> jax.Array:
    # Scaled by the largest entry: squares of mean-field kernels leave float32.
    largest = jnp.max(jnp.abs(kernel))
    safe = jnp.where(largest > 0, largest, 1.0)
    return safe * jnp.sqrt(jnp.sum((kernel / safe) ** 2))


def _centred(kernel: jax.Array) -> jax.Array:
    rows = jnp.mean(kernel, axis=0, keepdims=True)
    columns = jnp.mean(kernel, axis=1, keepdims=True)
    return kernel - rows - columns + jnp.mean(kernel)
