"""Rows of a table by their numbers, with a gradient that is no scatter on an accelerator."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


@jax.custom_jvp
def look_up(table: jax.Array, rows: jax.Array) -> jax.Array:
    """`table[rows]`: float[N, ...], int[...] -> float[..., ...]; other rows are the nearest one.

    The gradient adds up what rows have in common. On a CPU that is a scatter. On an accelerator,
    where adding floats into places is slow and in no fixed order, it is a product with one-hot
    rows, as exact as the sum.
    """
    return _get(table, jnp.clip(rows, 0, len(table) - 1))


@look_up.defjvp
def _look_up_jvp(primals, tangents):
    table, rows = primals
    inside = jnp.clip(rows, 0, len(table) - 1)
    # Linear in the tangent: what is transposed for the gradient is the branch of the platform.
    moved = jax.lax.platform_dependent(tangents[0], inside, cpu=_get, default=_product)
    return look_up(table, rows), moved


def _get(table: jax.Array, rows: jax.Array) -> jax.Array:
    return jnp.asarray(table).at[rows].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _product(tangent: jax.Array, rows: jax.Array) -> jax.Array:
    one_hot = jax.nn.one_hot(rows, len(tangent), dtype=tangent.dtype)
    return jnp.tensordot(one_hot, tangent, 1, precision="highest")


@jax.custom_jvp
def look_up_sum(tables: jax.Array, rows: jax.Array) -> jax.Array:
    """`sum_s tables[s, rows[s]]`: float[S, size, K], int[..., S] -> float[..., K].

    Rows below 0 are none, and those beyond the last are the last. The gradient is `add_up`'s.
    """
    return jax.lax.platform_dependent(tables, rows, cpu=_masked_sum, default=_padded_sum)


@look_up_sum.defjvp
def _look_up_sum_jvp(primals, tangents):
    tables, rows = primals
    moved = jax.lax.platform_dependent(
        tangents[0], rows, cpu=_masked_sum, default=_product_with_columns
    )
    return look_up_sum(tables, rows), moved


def _masked_sum(tables: jax.Array, rows: jax.Array) -> jax.Array:
    places = jnp.clip(rows, 0, tables.shape[1] - 1)
    found = [
        jnp.where(rows[..., s, None] < 0, 0.0, _get(table, places[..., s]))
        for s, table in enumerate(tables)
    ]
    return sum(found[1:], found[0])


def _padded_sum(tables: jax.Array, rows: jax.Array) -> jax.Array:
    """With a row of zeros for those that are none, an accelerator needs no masks in memory."""
    last = tables.shape[1] - 1
    places = jnp.where(rows < 0, last + 1, jnp.minimum(rows, last))
    padded = jnp.pad(tables, ((0, 0), (0, 1), (0, 0)))
    found = [_get(table, places[..., s]) for s, table in enumerate(padded)]
    return sum(found[1:], found[0])


def _product_with_columns(tangent: jax.Array, rows: jax.Array) -> jax.Array:
    places = jnp.minimum(rows, tangent.shape[1] - 1)
    one_hot = jax.nn.one_hot(places, tangent.shape[1], dtype=tangent.dtype)
    return jnp.tensordot(one_hot, tangent, 2, precision="highest")


def add_up(rows: jax.Array, size: int) -> Callable[[jax.Array], jax.Array]:
    """Sums of values that go to the same row: int32[B, S] -> a function of values.

    It maps values, float[B, K], to float[S, size, K], the transpose of looking up S tables; rows
    below 0 are none. It is computed as the gradient of `look_up` is. What depends on the rows alone
    is computed here: once, if this is called outside of a loop.
    """
    one_hot = jax.nn.one_hot(rows, size, dtype=bool)

    def sums(values: jax.Array) -> jax.Array:
        # It tells both branches the size, which are then the same functions every time: compiled
        # once.
        zeros = jnp.zeros((rows.shape[1], size, values.shape[1]), values.dtype)
        return jax.lax.platform_dependent(
            zeros, values, rows, one_hot, cpu=_scattered, default=_product_of_columns
        )

    return sums


def _scattered(
    zeros: jax.Array, values: jax.Array, rows: jax.Array, one_hot: jax.Array
) -> jax.Array:
    beyond = jnp.where(rows < 0, zeros.shape[1], rows)
    tables = [z.at[beyond[:, s]].add(values, mode="drop") for s, z in enumerate(zeros)]
    return jnp.stack(tables)


def _product_of_columns(
    zeros: jax.Array, values: jax.Array, rows: jax.Array, one_hot: jax.Array
) -> jax.Array:
    places = one_hot.reshape(len(rows), -1).astype(values.dtype)
    sums = jnp.tensordot(places, values, ((0,), (0,)), precision="highest")
    return sums.reshape(zeros.shape)
