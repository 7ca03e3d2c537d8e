"""Models: frozen dataclasses with `init` and `apply`, and nothing else.

A model is structure only: its parameters are plain pytrees that `init` returns and `apply` takes.
To add one, write a frozen dataclass with the two methods, in any file. Equal models hash equal,
so a fresh but equal model never recompiles anything. What a model may have beyond the two methods
is in `ModelBase`, and what one that changes another has in `Wrapper`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from grokjax.models.linen import LinenModel as LinenModel
from grokjax.models.mixture import LogitTable as LogitTable
from grokjax.models.mixture import Mixture as Mixture
from grokjax.models.noise import with_weight_noise as with_weight_noise
from grokjax.models.protocol import Model as Model
from grokjax.models.protocol import ModelBase as ModelBase
from grokjax.models.protocol import Params as Params
from grokjax.models.protocol import Wrapper as Wrapper
from grokjax.models.protocol import keywords as keywords
from grokjax.models.quadratic import QuadraticMLP as QuadraticMLP
from grokjax.models.quadratic import power as power
from grokjax.models.quadratic import square as square

if TYPE_CHECKING:
    from grokjax.models.lstm import LSTM as LSTM
    from grokjax.models.mlp import MLP as MLP
    from grokjax.models.transformer import Transformer as Transformer


def __getattr__(name: str) -> Any:
    if name in {"LSTM", "MLP", "Transformer"}:  # on demand: they import flax.linen
        return getattr(importlib.import_module(f"grokjax.models.{name.lower()}"), name)
    raise AttributeError(f"module 'grokjax.models' has no attribute {name!r}")
