"""A trained network that can be called, taken from the result of a sweep."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from grokjax.checks import check_jax_array
from grokjax.models import Model


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """One lane's network: a function of equations that gives their logits.

    `network(tokens)` has the lane's logit scale and its values of the model's keywords, and neither
    dropout nor noise, in the precision that it was trained in.

    Attributes:
      model: its structure.
      params: its parameters, as `model.init` makes them.
      numbers: keywords of the model's `apply`, from the lane's columns.
      logit_scale: factor on the logits.
      precision: of matrix products.
    """

    model: Model
    params: Any
    numbers: Mapping[str, Any]
    logit_scale: float = 1.0
    precision: str = "highest"

    def __call__(self, tokens: Any) -> jax.Array:
        """Logits: int[..., S] -> float[..., C]; the answers are `logits.argmax(axis=-1)`.

        Raises:
          ValueError: for anything but equations, such as `task.tokens` or `[[3, 4]]`.
        """
        tokens = check_jax_array("tokens", tokens, shape=[..., "S"], kinds="iu")
        with jax.default_matmul_precision(self.precision):
            logits = self.model.apply(self.params, jnp.asarray(tokens), **self.numbers)
        return logits if self.logit_scale == 1 else self.logit_scale * logits
