"""Any flax.linen module as a model."""

import dataclasses
import inspect
from typing import Any

import jax

from grokjax.checks import shown
from grokjax.models import arguments
from grokjax.models.protocol import ModelBase


@dataclasses.dataclass(frozen=True)
class LinenModel(ModelBase):
    """A flax.linen module, with the two methods that a `Recipe` needs.

    The module's `__call__` takes tokens, int32[..., S], and returns logits, float[..., C]. If it
    has a parameter `train`, that is True in training steps and False in evaluation. A training step
    has a random key for the stream "dropout", which `nn.Dropout` uses; evaluation has none.
    Parameters are the module's collection "params".

    Attributes:
      module: hashable, so of hashable fields; equal modules then compile once.

    Raises:
      ValueError: for what is no module, or an unhashable one; in `init` for a module that keeps
        anything besides its parameters, such as the running statistics of batch normalization; in
        `init` and `apply` for anything but a key, equations, and the module's parameters.
    """

    module: Any

    def __post_init__(self):
        import flax.linen as nn  # not with grokjax: it takes as long as jax itself

        if not isinstance(self.module, nn.Module):
            raise ValueError(
                "module must be a flax.linen module, such as MyNetwork(p=97) of a class "
                f"MyNetwork(nn.Module), got {shown(self.module)}."
            )
        try:
            hash(self.module)
        except TypeError:
            raise ValueError(
                f"the module is not hashable: {shown(self.module)}; give it tuples in place of "
                "lists, and functions of a module in place of lambdas."
            ) from None

    def init(self, key: jax.Array, tokens: jax.Array) -> Any:
        """The module's initial parameters."""
        tokens = arguments.check_init(key, tokens)
        variables = dict(self.module.init(key, tokens, **self._train_flag(False)))
        params = variables.pop("params", {})
        if variables:
            raise ValueError(
                f"the module keeps {sorted(variables)} besides its parameters, which a lane has no "
                'place for; use layers that have "params" only.'
            )
        return params

    def apply(self, params: Any, tokens: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
        """The module's logits; `key` is the stream "dropout", None in evaluation."""
        tokens = arguments.check_tokens(tokens)
        arguments.check_noise_key(key)
        rngs = None if key is None else {"dropout": key}
        flag = self._train_flag(key is not None)
        try:
            return self.module.apply({"params": params}, tokens, rngs=rngs, **flag)
        except Exception:
            arguments.explain(self, params, tokens.shape[-1])
            raise

    def _train_flag(self, train: bool) -> dict[str, bool]:
        takes = "train" in inspect.signature(type(self.module).__call__).parameters
        return {"train": train} if takes else {}
