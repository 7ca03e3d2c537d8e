"""Rows of a table by their numbers, with a gradient that is no scatter on an accelerator."""

import jax
import jax.numpy as jnp


@jax.custom_jvp
def look_up(table: jax.Array, rows: jax.Array) -> jax.Array:
    """`table[rows]`: float[N, ...], int[...] -> float[..., ...]; other rows are the nearest one.

    The gradient adds up what rows have in common. On a CPU that is a scatter. On an accelerator,
    where adding floats into places is slow and in no fixed order, it is a product with one-hot
    rows, as exact as the sum.
    """
    return table[jnp.clip(rows, 0, len(table) - 1)]


@look_up.defjvp
def _look_up_jvp(primals, tangents):
    table, rows = primals
    inside = jnp.clip(rows, 0, len(table) - 1)
    # Linear in the tangent: what is transposed for the gradient is the branch of the platform.
    moved = jax.lax.platform_dependent(tangents[0], inside, cpu=_gathered, default=_product)
    return look_up(table, rows), moved


def _gathered(tangent: jax.Array, rows: jax.Array) -> jax.Array:
    return tangent[rows]


def _product(tangent: jax.Array, rows: jax.Array) -> jax.Array:
    one_hot = jax.nn.one_hot(rows, len(tangent), dtype=tangent.dtype)
    return jnp.tensordot(one_hot, tangent, 1, precision="highest")


def add_up(values: jax.Array, rows: jax.Array, size: int) -> jax.Array:
    """Sums of the values that go to the same row: float[B, K], int[B, S] -> float[S, size, K].

    The transpose of looking up S tables; rows below 0 are none. Computed as the gradient of
    `look_up` is.
    """
    # It tells both branches the size, which are then the same functions every time: compiled once.
    zeros = jnp.zeros((rows.shape[1], size, values.shape[1]), values.dtype)
    return jax.lax.platform_dependent(
        zeros, values, rows, cpu=_scattered, default=_product_of_columns
    )


def _scattered(zeros: jax.Array, values: jax.Array, rows: jax.Array) -> jax.Array:
    beyond = jnp.where(rows < 0, zeros.shape[1], rows)
    tables = [z.at[beyond[:, s]].add(values, mode="drop") for s, z in enumerate(zeros)]
    return jnp.stack(tables)


def _product_of_columns(zeros: jax.Array, values: jax.Array, rows: jax.Array) -> jax.Array:
    one_hot = jax.nn.one_hot(rows, zeros.shape[1], dtype=values.dtype).reshape(len(rows), -1)
    sums = jnp.tensordot(one_hot, values, ((0,), (0,)), precision="highest")
    return sums.reshape(zeros.shape)
