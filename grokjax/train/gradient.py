"""The gradient of a training step: automatic, or written out where that is faster."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from grokjax import losses
from grokjax.models import Params, QuadraticMLP, square
from grokjax.models.lookup import add_up
from grokjax.train.lane import Lane, lane_logits, row_losses
from grokjax.train.recipe import Recipe

TILE = 600_000  # activations of the rows that are worked on at once: they stay in a core's cache


Gradient = Callable[[Params, jax.Array], Params]  # of parameters, and of a key of the model's noise


def loss_gradient(
    recipe: Recipe, lane: Lane, tokens: jax.Array, labels: jax.Array, weights: jax.Array
) -> Gradient:
    """The gradient of `sum(weights * loss(logits, labels)) + penalty`, as a function of parameters.

    What depends on the rows alone is computed here: once, if it is called outside of a loop.

    Args:
      recipe: what the lanes share.
      lane: the run.
      tokens: int32[B, S].
      labels: int32[B].
      weights: float[B], 0 on padding.

    Returns:
      The gradient in the parameters, of parameters and of a key for the model's noise.
    """
    if not _is_written_out(recipe, lane):
        return jax.grad(_objective(recipe, lane, tokens, labels, weights))
    scale = 1.0 if lane.logit_scale is None else lane.logit_scale
    assert isinstance(recipe.model, QuadraticMLP)
    of_loss = quadratic_gradient(recipe.model, tokens, labels, weights, scale)
    if recipe.penalty is None:
        return lambda params, key: of_loss(params)
    of_penalty = jax.grad(recipe.evaluate_penalty)

    def gradient(params: Params, key: jax.Array) -> Params:
        penalty = of_penalty(params, lane.hyperparameters)
        return jax.tree.map(jnp.add, of_loss(params), penalty)

    return gradient


def _objective(
    recipe: Recipe, lane: Lane, tokens: jax.Array, labels: jax.Array, weights: jax.Array
) -> Callable[[Params, jax.Array], jax.Array]:
    def objective(params: Params, key: jax.Array) -> jax.Array:
        logits = lane_logits(recipe, lane, params, tokens, key)
        each = row_losses(recipe, logits, labels)
        # `where`: the loss of a padded row may be anything, and 0 * inf is NaN.
        data_term = jnp.sum(jnp.where(weights > 0, weights * each, 0.0))
        return data_term + recipe.evaluate_penalty(params, lane.hyperparameters)

    return objective


def _is_written_out(recipe: Recipe, lane: Lane) -> bool:
    """Whether the network is quadratic, its loss the squared error, and nothing else is wanted."""
    model = recipe.model
    return (
        type(model) is QuadraticMLP
        and model.activation is square
        and not model.normalize
        and model.dropout == 0
        and "dropout" not in lane.hyperparameters
        and recipe.loss is losses.mse
    )


class _Rows(NamedTuple):
    """The rows of a step, and what the gradient of the quadratic network needs to know of them."""

    tokens: jax.Array  # int32[B, S]
    labels: jax.Array  # int32[B]
    factors: jax.Array  # float[B], on the residuals


def quadratic_gradient(
    model: QuadraticMLP,
    tokens: jax.Array,
    labels: jax.Array,
    weights: jax.Array,
    logit_scale: Any = 1.0,
) -> Callable[[Params], Params]:
    """The gradient of `sum(weights * mse(logits, labels))` of the quadratic network.

    With `h = input_scale sum_s w1[s, n_s]`, `logits = c h^2 w2` for c = output_scale logit_scale,
    and `r = 2 c / p weights (logits - one_hot(labels))`:

        d/d w2      = (h^2)^T r
        d/d w1[s]   = 2 input_scale sum over the rows with token n_s of  h (r w2^T)

    It never computes the loss, and on a CPU it works on tiles of rows whose activations stay in a
    cache. It is plain JAX: it can be differentiated again, in both directions.

    Args:
      model: with `square` as its activation, neither normalized nor with dropout.
      tokens: int32[B, S].
      labels: int32[B]; one that is no class makes the gradient NaN.
      weights: float[B].
      logit_scale: factor on the logits.

    Returns:
      A function of parameters: the gradient there, like them.

    Reference: the chain rule; the network is that of Gromov 2023, equation 1.
    """
    scale = model.output_scale * logit_scale
    weights = jnp.where((labels >= 0) & (labels < model.p), weights, jnp.nan)
    rows = _Rows(tokens, labels, 2 * scale / model.p * weights)
    add = add_up(tokens, model.p)

    def whole(params: Params, scale: Any, rows: _Rows) -> Params:
        return _rows_gradient(model, params, scale, rows, add)

    def gradient(params: Params) -> Params:
        if len(tokens) * model.width <= TILE:
            return whole(params, scale, rows)
        tiles = _in_tiles(model, TILE)
        return jax.lax.platform_dependent(params, scale, rows, cpu=tiles, default=whole)

    return gradient


@functools.cache  # so that the same function is compiled once, outside of any `jit` too
def _in_tiles(model: QuadraticMLP, activations: int) -> Callable[..., Params]:
    def gradient(params: Params, scale: Any, rows: _Rows) -> Params:
        number = len(rows.tokens)
        tiles = -(-number * model.width // activations)
        size = -(-number // tiles)

        def cut(leaf: jax.Array) -> jax.Array:
            beyond = tiles * size - number  # of rows that weigh nothing
            leaf = jnp.pad(leaf, [(0, beyond), *[(0, 0)] * (leaf.ndim - 1)])
            return leaf.reshape(tiles, size, *leaf.shape[1:])

        def turn(total: Params, tile: _Rows) -> tuple[Params, None]:
            more = _rows_gradient(model, params, scale, tile, add_up(tile.tokens, model.p))
            return jax.tree.map(jnp.add, total, more), None

        zeros = jax.tree.map(jnp.zeros_like, params)
        return jax.lax.scan(turn, zeros, jax.tree.map(cut, rows))[0]

    return gradient


def _rows_gradient(
    model: QuadraticMLP,
    params: Params,
    scale: Any,
    rows: _Rows,
    add: Callable[[jax.Array], jax.Array],
) -> Params:
    w2 = params["w2"]
    hidden = model.preactivations(params, rows.tokens)
    squares = hidden * hidden
    logits = scale * (squares @ w2)
    residual = rows.factors[:, None] * (
        logits - jax.nn.one_hot(rows.labels, model.p, dtype=logits.dtype)
    )
    back = (2 * model.input_scale) * hidden * (residual @ w2.T)
    of_w2 = jax.lax.platform_dependent(residual, squares, cpu=_over_last, default=_over_rows)
    return {"w1": add(back), "w2": of_w2}


def _over_rows(residual: jax.Array, squares: jax.Array) -> jax.Array:
    return (residual.T @ squares).T


def _over_last(residual: jax.Array, squares: jax.Array) -> jax.Array:
    # On a CPU, XLA is up to three times as fast where it sums over the last axis of the first
    # factor. The barriers keep it from merging the transpositions into the product again.
    barrier = jax.lax.optimization_barrier
    return barrier(barrier(residual.T) @ squares).T
