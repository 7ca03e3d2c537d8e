"""Models: frozen dataclasses with `init` and `apply`, and nothing else.

A model is structure only: its parameters are plain pytrees that `init` returns and `apply` takes.
To add one, write a frozen dataclass with the two methods, in any file. Equal models hash equal,
so a fresh but equal model never recompiles anything.
"""

from typing import Any, Protocol, runtime_checkable

import jax

from grokjax.models.quadratic import QuadraticMLP as QuadraticMLP
from grokjax.models.quadratic import power as power
from grokjax.models.quadratic import square as square

Params = Any


@runtime_checkable
class Model(Protocol):
    """What `Recipe.model` has to be: two pure functions and a hash."""

    def init(self, key: jax.Array, tokens: jax.Array) -> Params:
        """Random parameters for operands shaped as `tokens`: int32[..., S]."""
        ...

    def apply(
        self, params: Params, tokens: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        """Logits: int32[..., S] -> float[..., C]; `key=None` is evaluation, without any noise."""
        ...
