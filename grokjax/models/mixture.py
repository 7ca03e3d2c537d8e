"""A mixture of two trained networks, and the table of logits that stands for one of them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from grokjax.checks import check_integer

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Two networks that stay as they are, and the weights of their logits, which train.

        logits = w_m1 * w_m2 * memorizing + w_g1 * w_g2 * generalizing

    From `w_m1 = w_g1 = 0`, the weight `w_m1 w_m2` of one network in the mixture learns
    `w_m1^2 + w_m2^2` times as fast as its gradient is large: `w_m2` and `w_g2` set the speeds, and
    nothing else does. Gradient descent without decay conserves `w_m2^2 - w_m1^2` for small steps.

    Parameters: the floats `w_m1`, `w_m2`, `w_g1`, `w_g2`, and `memorizing` and `generalizing`,
    those of the two networks, which no optimizer changes, decay and noise included. `start` puts
    them together from trained networks. Networks that are slow to evaluate can be replaced by their
    logits, see `LogitTable`.

    Attributes:
      memorizing: a model.
      generalizing: a model with as many classes.

    Reference: S1 section 5.1 and figure 5; the scalars are a two-layer parameterization of the
    weights `w_mem` and `w_gen` there.
    """

    memorizing: Any
    generalizing: Any

    @property
    def frozen(self) -> tuple[str, str]:
        """The entries of the parameters that do not train."""
        return ("memorizing", "generalizing")

    def start(self, memorizing: Any, generalizing: Any, w_m2: Any = 1.0, w_g2: Any = 1.0) -> Params:
        """Parameters at the start, for `run_sweep(initial=...)`: `w_m1 = w_g1 = 0`.

        Args:
          memorizing: parameters of the first network, or of one for each lane, lanes first.
          generalizing: parameters of the second one, likewise.
          w_m2: a number, or one for each lane, [L].
          w_g2: likewise; either may be a number where the other is not.
        """
        w_m2, w_g2 = np.broadcast_arrays(np.float32(w_m2), np.float32(w_g2))
        return {
            "memorizing": memorizing,
            "generalizing": generalizing,
            "w_m1": np.zeros_like(w_m2),
            "w_m2": w_m2,
            "w_g1": np.zeros_like(w_g2),
            "w_g2": w_g2,
        }

    def init(self, key: jax.Array, tokens: jax.Array) -> Params:
        """Both networks at their own random start, equal speeds."""
        key_m, key_g = jax.random.split(key)
        start = self.start(
            self.memorizing.init(key_m, tokens), self.generalizing.init(key_g, tokens)
        )
        return jax.tree.map(jnp.asarray, start)

    def apply(
        self, params: Params, tokens: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        """Logits: int32[..., S] -> float[..., C]; the networks are always in evaluation mode."""
        # Without the barriers a step would differentiate through both networks, for nothing.
        memorizing, generalizing = (
            jax.lax.stop_gradient(model.apply(params[name], tokens))
            for name, model in zip(self.frozen, (self.memorizing, self.generalizing), strict=True)
        )
        w_mem, w_gen = params["w_m1"] * params["w_m2"], params["w_g1"] * params["w_g2"]
        return w_mem * memorizing + w_gen * generalizing


@dataclasses.dataclass(frozen=True)
class LogitTable:
    """A parameter for every logit of every equation: memorization, and nothing else.

    Parameters: `{"logits": float[p, ..., p, C]}`, an axis of p for each operand, zero at the start.
    No two equations share a parameter, so what is learned of one says nothing about another: logits
    of untrained equations never change. `tabulate` makes it a stand-in for a trained network.

    Attributes:
      p: the modulus, tokens and classes.
      operands: S; the table has `p^S C` entries.

    Raises:
      ValueError: for p below 2 or operands below 1.
    """

    p: int
    operands: int = 2

    def __post_init__(self):
        for name, least in (("p", 2), ("operands", 1)):
            value = check_integer(name, getattr(self, name), at_least=least)
            object.__setattr__(self, name, value)

    def init(self, key: jax.Array, tokens: jax.Array | None = None) -> Params:
        """All logits zero; neither argument is used."""
        return {"logits": jnp.zeros((self.p,) * (self.operands + 1))}

    def tabulate(self, model: Any, params: Any) -> Params:
        """The logits of a trained network for every equation, as parameters of this model.

        Classes of the network beyond p are left out.
        """
        axes = jnp.meshgrid(*(jnp.arange(self.p),) * self.operands, indexing="ij")
        logits = model.apply(params, jnp.stack(axes, axis=-1))
        return {"logits": logits[..., : self.p]}

    def apply(
        self, params: Params, tokens: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        """The entries of these equations: int32[..., S] -> float[..., p]."""
        return jnp.asarray(params["logits"])[tuple(jnp.moveaxis(tokens, -1, 0))]
