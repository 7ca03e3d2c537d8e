"""How far parameters have moved, and how much of it a linearized network could have done."""

from typing import Any

import jax
import jax.numpy as jnp

from grokjax.checks import check_integer, check_jax_array, is_concrete, shown
from grokjax.kernels.tangent import check_network, check_rows, logits_of
from grokjax.models import Model, Params, arguments


def relative_motion(params: Params, initial: Params) -> jax.Array:
    """`||params - initial|| / ||initial||`, over all parameters together.

    Raises:
      ValueError: if the two are not parameters of one network.
    """
    params, initial = _check_same(params, initial)
    moved = jax.tree.map(lambda x, x0: jnp.asarray(x) - x0, params, initial)
    return jnp.sqrt(_squared(moved) / _squared(initial))


def linearized(
    model: Model, params: Params, initial: Params, tokens: Any, *, batch_size: int = 256
) -> jax.Array:
    """Logits of the network linearized at its start: `f_0 + <grad f_0, params - initial>`.

    Args:
      model: any model.
      params: where the linear function is evaluated.
      initial: where the network is linearized.
      tokens: int32[P, S].
      batch_size: rows whose activations are held at once.

    Returns:
      float[P, C]. `loss(linearized(...), labels).mean()` is the loss a lazy network would have.

    Raises:
      ValueError: as `tangent`, for both sets of parameters.
    """
    tokens, _ = check_rows(tokens)
    initial = check_network(model, initial, tokens, name="initial")
    params, initial = _check_same(params, initial)
    with jax.default_matmul_precision("highest"):
        logits, moved = jax.jvp(
            logits_of(model, tokens, batch_size), (initial,), (_difference(params, initial),)
        )
    return logits + moved


def span_fraction(
    model: Model,
    params: Params,
    initial: Params,
    tokens: Any,
    *,
    iterations: int = 200,
    tolerance: float = 1e-6,
    batch_size: int = 256,
) -> jax.Array:
    """Share of the motion within the span of the initial gradients, between 0 and 1.

    `||P (params - initial)||^2 / ||params - initial||^2` with P the projection on the span of
    `{grad f_q(initial, x)}` over all classes q and all `tokens` x. A lazy network trained by
    gradient descent on these rows has 1. A random direction has the dimension of the span divided
    by the number of parameters: compare with that.

    The projection is found by conjugate gradients on the least-squares problem
    `min_v ||params - initial - J^T v||`, whose iterates approach the share from below.

    Args:
      model: any model.
      params: where the network is.
      initial: where it began.
      tokens: int32[P, S], the rows trained on.
      iterations: at most this many, each one forward and one backward pass over the rows.
      tolerance: stops when the gradient of the squared residual has fallen by this factor.
      batch_size: rows whose activations are held at once.

    Returns:
      float[], NaN if nothing has moved.

    Raises:
      ValueError: as `tangent`, for both sets of parameters; for iterations below 1, or a tolerance
        outside [0, 1).

    Reference: "Grokking Phenomenon Reproduction", section 4.1. Differs: it prints the linear span
    where the affine one is meant.
    """
    tokens, _ = check_rows(tokens)
    initial = check_network(model, initial, tokens, name="initial")
    params, initial = _check_same(params, initial)
    if is_concrete(iterations):
        check_integer("iterations", iterations, at_least=1)
    arguments.check_rate("tolerance", tolerance, at_least=0, below=1)
    with jax.default_matmul_precision("highest"):
        _, forward = jax.linearize(logits_of(model, tokens, batch_size), initial)
        backward = jax.linear_transpose(forward, initial)
        moved = _difference(params, initial)
        total = _squared(moved)
        # A unit vector, so that its square stays in range however small the motion.
        start = jax.tree.map(lambda x: x / jnp.sqrt(total), moved)
        gradient = forward(start)
        first = jnp.sum(gradient**2)

        def going(state: Any) -> jax.Array:
            _, _, square, iteration = state
            return (iteration < iterations) & (square > tolerance**2 * first)

        def step(state: Any) -> Any:
            residual, direction, square, iteration = state
            (change,) = backward(direction)
            length = square / _squared(change)
            residual = jax.tree.map(lambda r, d: r - length * d, residual, change)
            gradient = forward(residual)
            new = jnp.sum(gradient**2)
            return residual, gradient + new / square * direction, new, iteration + 1

        residual, *_ = jax.lax.while_loop(going, step, (start, gradient, first, jnp.int32(0)))
    return 1.0 - _squared(residual)


def _check_same(params: Params, initial: Params) -> tuple[Params, Params]:
    """Two sets of parameters of one network.

    Raises:
      ValueError: if they are none, or differ in their entries or shapes.
    """
    if not jax.tree.leaves(initial):
        raise ValueError(f"initial must be parameters, got {shown(initial)}.")
    if wrong := arguments.differences(params, arguments.shapes_in(initial)):
        raise ValueError(f"params and initial must be parameters of one network: {wrong}.")
    as_arrays = lambda tree: jax.tree.map(lambda leaf: check_jax_array("a parameter", leaf), tree)
    return as_arrays(params), as_arrays(initial)


def _difference(params: Params, initial: Params) -> Params:
    return jax.tree.map(lambda x, x0: jnp.asarray(x) - jnp.asarray(x0), params, initial)


def _squared(tree: Params) -> jax.Array:
    return sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)), jnp.float32(0.0))
