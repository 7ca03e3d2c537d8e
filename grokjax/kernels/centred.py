"""A network minus what it was at the start: the laziness knob."""

import dataclasses
from typing import Any

import jax

from grokjax.checks import check_jax_array, shown
from grokjax.models import Model, Params, Wrapper, arguments
from grokjax.models.protocol import check_model, frozen_params


@dataclasses.dataclass(frozen=True)
class Centred(Wrapper):
    """A model without its initial function: `f(trained) - f(initial)`, zero at the start.

    With the lane columns `logit_scale = a` and `learning_rate = rate / a^2` a sweep trains
    `a (f(theta) - f(theta_0))`, at the same speed in function space for every a: kernel
    regression for large a, feature learning for small a. Without the subtraction, `logit_scale`
    would scale the noise of the initial function too.

    Parameters: `{"trained": theta, "initial": theta_0}`, equal at the start. Only `trained` is
    trained: no optimizer, weight decay or noise reaches `initial`.

    Attributes:
      model: the network; numbers of its own that lanes may set stay so, and noise that needs a
        key enters `f(trained)` only.

    Raises:
      ValueError: for what is no model, or a model that keeps some of its own parameters from
        training: only whole entries of the parameters can be kept. In `apply` for parameters
        without the two entries, and as the model inside.

    Reference: Chizat, Oyallon and Bach 2019; Kumar et al. 2024, equation 7.
    """

    model: Model

    def __post_init__(self):
        check_model(self.model)
        if frozen := frozen_params(self.model):
            raise ValueError(
                f"model must be one that trains all of its parameters, got {shown(self.model)}, "
                f"which keeps {list(frozen)}."
            )

    def frozen_params(self) -> tuple[str, ...]:
        """The initial network: `("initial",)`."""
        return ("initial",)

    def init(self, key: jax.Array, tokens: jax.Array) -> Params:
        """The network's parameters, twice."""
        params = self.model.init(key, tokens)
        return {"trained": params, "initial": params}

    def apply(
        self, params: Params, tokens: jax.Array, *, key: jax.Array | None = None, **numbers: Any
    ) -> jax.Array:
        """Logits minus initial logits: int32[..., S] -> float[..., C]."""
        arguments.check_entries(params, "trained", "initial")
        for leaf in jax.tree.leaves(params):
            check_jax_array("each array of params", leaf)
        initial = self.model.apply(jax.lax.stop_gradient(params["initial"]), tokens, **numbers)
        return self.model.apply(params["trained"], tokens, key=key, **numbers) - initial
