"""A mixture of two trained networks, and the table of logits that stands for one of them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from grokjax.checks import check_array, check_jax_array, check_key, check_size, is_concrete, shown
from grokjax.models import arguments, fields
from grokjax.models.protocol import ModelBase, check_model, check_task
from grokjax.tasks import PAD, Task

Params = dict[str, Any]
NETWORKS = ("memorizing", "generalizing")
SCALARS = ("w_m1", "w_m2", "w_g1", "w_g2")


@dataclasses.dataclass(frozen=True)
class Mixture(ModelBase):
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

    Raises:
      ValueError: for what is no model; in `apply` for other parameters, and networks whose numbers
        of classes differ.

    Reference: "Model and Training Efficiency", section 5.1 and figure 5; the scalars are a
    two-layer parameterization of the weights `w_mem` and `w_gen` there.
    """

    memorizing: Any
    generalizing: Any

    def __post_init__(self):
        for name in NETWORKS:
            check_model(getattr(self, name), name)

    def frozen_params(self) -> tuple[str, ...]:
        """Both networks: `("memorizing", "generalizing")`."""
        return NETWORKS

    def check_task(self, task: Task) -> None:
        """Both networks decide."""
        check_task(self.memorizing, task)
        check_task(self.generalizing, task)

    def start(self, memorizing: Any, generalizing: Any, w_m2: Any = 1.0, w_g2: Any = 1.0) -> Params:
        """Parameters at the start, for `run_sweep(initial=...)`: `w_m1 = w_g1 = 0`.

        Args:
          memorizing: parameters of the first network, or of one for each lane, lanes first.
          generalizing: parameters of the second one, likewise.
          w_m2: a number, or one for each lane, [L].
          w_g2: likewise; either may be a number where the other is not.

        Raises:
          ValueError: for speeds that are no finite numbers, differ in how many they are, or are not
            as many as there are networks.
        """
        given = {"w_m2": w_m2, "w_g2": w_g2}
        speeds = {
            name: check_array(name, speed, kinds="iuf", finite=True)
            for name, speed in given.items()
        }
        lanes = {speed.shape for speed in speeds.values() if speed.ndim}
        if len(lanes) > 1 or any(speed.ndim > 1 for speed in speeds.values()):
            shapes = " and ".join(f"{name} of shape {list(x.shape)}" for name, x in speeds.items())
            raise ValueError(f"speeds must be numbers, or one for each lane, [L], got {shapes}.")
        for name, params in zip(NETWORKS, (memorizing, generalizing), strict=True):
            _check_lanes(name, params, *lanes)
        w_m2, w_g2 = np.broadcast_arrays(*map(np.float32, speeds.values()))
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
        key_m, key_g = jax.random.split(check_key("key", key))
        start = self.start(
            self.memorizing.init(key_m, tokens), self.generalizing.init(key_g, tokens)
        )
        return jax.tree.map(jnp.asarray, start)

    def apply(
        self, params: Params, tokens: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        """Logits: int32[..., S] -> float[..., C]; the networks are always in evaluation mode."""
        arguments.check_entries(params, *NETWORKS, *SCALARS)
        for name in SCALARS:
            check_jax_array(name, params[name], shape=[])
        arguments.check_noise_key(key)
        # Without the barriers a step would differentiate through both networks, for nothing.
        memorizing, generalizing = (
            jax.lax.stop_gradient(model.apply(params[name], tokens))
            for name, model in zip(NETWORKS, (self.memorizing, self.generalizing), strict=True)
        )
        if memorizing.shape != generalizing.shape:
            raise ValueError(
                "both networks must have as many classes, got logits of shapes "
                f"{list(memorizing.shape)} and {list(generalizing.shape)}; LogitTable.tabulate "
                "leaves out those beyond p."
            )
        w_mem, w_gen = params["w_m1"] * params["w_m2"], params["w_g1"] * params["w_g2"]
        return w_mem * memorizing + w_gen * generalizing


@dataclasses.dataclass(frozen=True)
class LogitTable(ModelBase):
    """A parameter for every logit of every equation: memorization, and nothing else.

    Parameters: `{"logits": float[p, ..., p, C]}`, an axis of p for each operand, zero at the start.
    No two equations share a parameter, so what is learned of one says nothing about another: logits
    of untrained equations never change. `tabulate` makes it a stand-in for a trained network.
    Equations with a `PAD`, or an operand beyond p, are not in the table: their logits are NaN.

    Attributes:
      p: the modulus, tokens and classes.
      operands: S; the table has `p^(S + 1)` entries.

    Raises:
      ValueError: for p below 2, operands below 1, or more entries than int32 can count; in
        `tabulate` and `apply` for what is no model, equations of another S, or other parameters.
    """

    p: int
    operands: int = 2

    def __post_init__(self):
        fields.check_counts(self, p=2, operands=1)
        check_size(
            f"LogitTable(p={self.p}, operands={self.operands})",
            self.p ** (self.operands + 1),
            "take a smaller p or fewer operands",
            at_most=2**31 - 1,
        )

    def check_task(self, task: Task) -> None:
        """Refuses a task of another modulus or number of operands, or with shorter equations."""
        arguments.check_fit(task, self.p, self.operands)
        if is_concrete(task.tokens) and np.any(np.asarray(task.tokens) == PAD):
            raise ValueError(
                f"the task {task.name!r} has shorter equations, which a LogitTable has no entries "
                "for; take a model such as models.QuadraticMLP, or a task without PAD."
            )

    def init(self, key: jax.Array, tokens: jax.Array | None = None) -> Params:
        """All logits zero; neither argument is used."""
        return {"logits": jnp.zeros((self.p,) * (self.operands + 1))}

    def tabulate(self, model: Any, params: Any) -> Params:
        """The logits of a trained network for every equation, as parameters of this model.

        Classes of the network beyond p are left out.
        """
        check_model(model)
        axes = jnp.meshgrid(*(jnp.arange(self.p),) * self.operands, indexing="ij")
        logits = model.apply(params, jnp.stack(axes, axis=-1))
        if logits.shape[-1] < self.p:
            raise ValueError(
                f"the network has {logits.shape[-1]} classes, and the table p={self.p}; make it "
                f"LogitTable(p={logits.shape[-1]}, operands={self.operands})."
            )
        return {"logits": logits[..., : self.p]}

    def apply(
        self, params: Params, tokens: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        """The entries of these equations: int32[..., S] -> float[..., p]."""
        tokens = jnp.asarray(arguments.check_tokens(tokens, operands=self.operands))
        shapes = {"logits": (self.p,) * (self.operands + 1)}
        params = arguments.check_params(self, params, shapes)
        arguments.check_noise_key(key)
        logits = jnp.asarray(params["logits"])[tuple(jnp.moveaxis(tokens, -1, 0))]
        inside = jnp.all((tokens >= 0) & (tokens < self.p), axis=-1, keepdims=True)
        return jnp.where(inside, logits, jnp.nan)


def _check_lanes(name: str, params: Any, shape: tuple[int, ...] = ()) -> None:
    """Refuses parameters that are none, or do not begin with this many lanes."""
    leaves = jax.tree.leaves(params)
    if not leaves:
        raise ValueError(f"{name} must be the parameters of a network, got {shown(params)}.")
    for leaf in leaves:
        check_jax_array(f"the parameters {name}", leaf)
        if np.shape(leaf)[: len(shape)] != shape:
            raise ValueError(
                f"the parameters {name} must have {shape[0]} lanes first, as many as there are "
                f"speeds, got an array of shape {list(np.shape(leaf))}."
            )
