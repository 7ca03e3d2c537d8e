"""What the networks of flax.linen share as models: checks, initial parameters and logits."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from grokjax.models import arguments
from grokjax.models.protocol import ModelBase
from grokjax.tasks import Task


class TokenNetwork(ModelBase):
    """A model that is a flax module, called with tokens, a key for its dropout, and its rate.

    A class of it is a frozen dataclass with the fields `p`, `vocabulary` and `dropout`, and says
    what `module` is.
    """

    p: int
    vocabulary: int
    dropout: float

    def module(self) -> nn.Module:
        """The flax module, whose `__call__` takes tokens, a key or None, and the dropout rate."""
        raise NotImplementedError

    @property
    def fixed_operands(self) -> int | None:
        """How many operands equations must have; None for any number."""
        return None

    @property
    def num_classes(self) -> int:
        """Classes of the logits: `max(vocabulary, p)`."""
        return max(self.vocabulary, self.p)

    def shapes(self, params: Any) -> Any:
        """The shapes that these parameters must have."""
        return arguments.shapes_of(self, self.fixed_operands or 1)

    def check_task(self, task: Task) -> None:
        """Refuses a task of another modulus, or number of operands if that is fixed."""
        arguments.check_fit(task, self.p, self.fixed_operands)

    def check_columns(self, columns: Mapping[str, np.ndarray]) -> None:
        """Refuses a lane column `dropout` outside [0, 1)."""
        arguments.check_column(columns, "dropout", at_least=0, below=1)

    def init(self, key: jax.Array, tokens: jax.Array) -> Any:
        """Random parameters for equations like these."""
        tokens = arguments.check_init(key, tokens, operands=self.fixed_operands)
        return self.module().init(key, tokens, None, 0.0)["params"]

    def apply(
        self,
        params: Any,
        tokens: jax.Array,
        *,
        key: jax.Array | None = None,
        dropout: Any = None,
    ) -> jax.Array:
        """Logits: int32[..., S] -> float[..., C]; `dropout` in place of the field's value."""
        arguments.check_noise_key(key)
        rate = self.dropout if dropout is None else dropout
        arguments.check_rate("dropout", rate, at_least=0, below=1)
        tokens = arguments.check_tokens(tokens, p=self.p, operands=self.fixed_operands)
        params = arguments.check_params(self, params, self.shapes(params))
        logits = self.module().apply({"params": params}, tokens, key, rate)
        return logits  # pyright: ignore[reportReturnType]
