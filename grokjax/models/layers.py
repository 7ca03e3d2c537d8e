"""What the networks of flax.linen share: torch's layers, and one evaluation for each token."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from grokjax.models.lookup import look_up


def uniform(fan_in: int) -> Callable[..., jax.Array]:
    """Initializer: uniform in +-1/sqrt(fan_in), torch's default for linear and recurrent layers."""

    def draw(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        # The barrier keeps a compiler from merging the factor into the sampling, which would make
        # the last bit depend on what else is compiled along.
        unit = jax.random.uniform(key, shape, dtype, minval=-1.0, maxval=1.0)
        return fan_in**-0.5 * jax.lax.optimization_barrier(unit)

    return draw


def linear(inputs: int, features: int, *, bias: bool = True, name: str | None = None) -> nn.Dense:
    """A linear layer with the initial weights and biases of torch's, uniform(+-1/sqrt(inputs))."""
    initial = uniform(inputs)
    return nn.Dense(features, use_bias=bias, kernel_init=initial, bias_init=initial, name=name)


class Embed(nn.Module):
    """An embedding with the initial weights of torch's, N(0, 1); as `nn.Embed`, without scatter."""

    tokens: int
    width: int

    @nn.compact
    def __call__(self, pick: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """Those vectors of float[tokens, width] that a function such as `by_token`'s picks."""
        shape = (self.tokens, self.width)
        return pick(self.param("embedding", nn.initializers.normal(1.0), shape, jnp.float32))


def embedding(tokens: int, width: int) -> Embed:
    """The embedding of a network."""
    return Embed(tokens, width, name="embed")


def by_token(
    vocabulary: int, tokens: jax.Array
) -> tuple[Callable[[jax.Array], jax.Array], Callable[[Any], Any]]:
    """Where to evaluate a function of single tokens, and how to get its values for all rows.

    A network's first layers depend on one token. With more rows than tokens they are evaluated once
    for each token, and the rows look the results up.

    Args:
      vocabulary: how many different tokens there are.
      tokens: int32[B]; those below 0 get the value of some token, to be masked.

    Returns:
      A function that picks the rows of the tokens to evaluate from a table, float[V', ...] ->
      float[V or B, ...], and one that maps arrays [V or B, ...] to [B, ...].
    """
    if tokens.size <= vocabulary:
        return lambda table: look_up(table, tokens), lambda tree: tree
    at_rows = lambda table: look_up(jnp.asarray(table), tokens)
    return lambda table: table[:vocabulary], lambda tree: jax.tree.map(at_rows, tree)
