"""Models: frozen dataclasses with `init` and `apply`, and nothing else.

A model is structure only: its parameters are plain pytrees that `init` returns and `apply` takes.
To add one, write a frozen dataclass with the two methods, in any file. Equal models hash equal,
so a fresh but equal model never recompiles anything. What a model may have beyond the two methods
is in `ModelBase`, and what one that changes another has in `Wrapper`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from grokjax.models.linen import LinenModel
from grokjax.models.lookup import look_up
from grokjax.models.mixture import LogitTable, Mixture
from grokjax.models.noise import with_weight_noise
from grokjax.models.protocol import Model, ModelBase, Params, Wrapper, keywords
from grokjax.models.quadratic import QuadraticMLP, power, square

if TYPE_CHECKING:
    from grokjax.models.lstm import LSTM as LSTM
    from grokjax.models.mlp import MLP as MLP
    from grokjax.models.transformer import Transformer as Transformer

__all__ = [
    "LSTM",
    "MLP",
    "LinenModel",
    "LogitTable",
    "Mixture",
    "Model",
    "ModelBase",
    "Params",
    "QuadraticMLP",
    "Transformer",
    "Wrapper",
    "keywords",
    "look_up",
    "power",
    "square",
    "with_weight_noise",
]


def __getattr__(name: str) -> Any:
    if name in {"LSTM", "MLP", "Transformer"}:  # on demand: they import flax.linen
        return getattr(importlib.import_module(f"grokjax.models.{name.lower()}"), name)
    raise AttributeError(f"module 'grokjax.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
