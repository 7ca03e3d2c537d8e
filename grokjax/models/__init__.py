"""Models: frozen dataclasses with `init` and `apply`, and nothing else.

A model is structure only: its parameters are plain pytrees that `init` returns and `apply` takes.
To add one, write a frozen dataclass with the two methods, in any file. Equal models hash equal,
so a fresh but equal model never recompiles anything.
"""

import importlib
import inspect
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import jax

from grokjax.models.linen import LinenModel as LinenModel
from grokjax.models.mixture import LogitTable as LogitTable
from grokjax.models.mixture import Mixture as Mixture
from grokjax.models.noise import with_weight_noise as with_weight_noise
from grokjax.models.quadratic import QuadraticMLP as QuadraticMLP
from grokjax.models.quadratic import power as power
from grokjax.models.quadratic import square as square

if TYPE_CHECKING:
    from grokjax.models.lstm import LSTM as LSTM
    from grokjax.models.mlp import MLP as MLP
    from grokjax.models.transformer import Transformer as Transformer

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


def sweepable(model: Any) -> dict[str, inspect.Parameter]:
    """The numbers of a model that lanes may set: keywords of its `apply` beside the random key.

    A model that wraps another one as its field `model`, and passes `**numbers` on, has those of the
    inner model too.
    """
    parameters = inspect.signature(model.apply).parameters
    own = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "key"
    }
    passed_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return sweepable(model.model) | own if passed_on else own


def __getattr__(name: str) -> Any:
    if name in {"LSTM", "MLP", "Transformer"}:  # on demand: they import flax.linen
        return getattr(importlib.import_module(f"grokjax.models.{name.lower()}"), name)
    raise AttributeError(f"module 'grokjax.models' has no attribute {name!r}")
