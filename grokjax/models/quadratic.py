"""Gromov's two-layer network, whose solution of modular addition is known in closed form."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from grokjax.checks import check_callable, check_choice, check_flag, check_key, shown
from grokjax.models import arguments, fields
from grokjax.models.lookup import look_up_sum
from grokjax.models.noise import dropout as drop
from grokjax.models.protocol import ModelBase
from grokjax.tasks import Task

Params = dict[str, jax.Array]


def square(x: jax.Array) -> jax.Array:
    """x^2, the activation that the closed-form weights for two operands use."""
    return x * x


@dataclasses.dataclass(frozen=True)
class power:
    """x^degree; the closed-form weights for S operands use degree S.

    Raises:
      ValueError: for a degree that is not a positive integer.
    """

    degree: int

    def __post_init__(self):
        fields.check_counts(self, degree=1)

    def __call__(self, x: jax.Array) -> jax.Array:
        """The power, elementwise."""
        return x**self.degree


@dataclasses.dataclass(frozen=True)
class QuadraticMLP(ModelBase):
    """Two layers without biases on concatenated one-hot operands, and a quadratic activation.

    With D = operands * p input units and preactivations `h_k = sum_s w1[s, n_s, k]`:

        mean_field:  logits_q = 1/width * sum_k activation(h_k / sqrt(D)) w2[k, q]
        standard:    logits_q =           sum_k activation(h_k)           w2[k, q]

    Mean-field weights start from N(0, 1); standard ones from N(0, std^2) with
    `std = 0.5 / (2 width)^(1/3)`. With the square, `w_standard = (D width)^(-1/3) w_mean_field`
    is the same function, and learning rates and weight decays convert by powers of `D width`:
    a number that suits one parameterization does not suit the other.

    Parameters: `{"w1": float[S, p, K], "w2": float[K, p]}`.

    Attributes:
      p: the modulus, tokens and classes.
      width: K, hidden units.
      operands: S, one-hot operands that enter side by side; shorter equations leave theirs `PAD`.
      activation: of each hidden unit, a module-level function or frozen dataclass; `square` by
        default.
      parameterization: "mean_field" (Gromov's equations 1, 2 and 4) or "standard".
      dropout: probability that a hidden unit is dropped in training.
      normalize: gives every preactivation mean 0 and variance 1 over the whole table.

    Differs: `normalize` stands for batch normalization, with the statistics of the whole table,
    which for one-hot operands are those of the weights themselves: nothing is carried from step to
    step, and an equation's logits do not depend on the company it is in.

    Raises:
      ValueError: for p below 2, width or operands below 1, an activation that is no function,
        another parameterization, or dropout outside [0, 1); in `init`, `preactivations` and
        `apply` for anything but a key, equations of S operands below p, and the model's parameters.

    Reference: Gromov 2023, equations 1, 2, 4; "standard" as in Doshi et al. 2023 (their code).
    """

    p: int
    width: int
    operands: int = 2
    activation: Callable[[jax.Array], jax.Array] = square
    parameterization: Literal["mean_field", "standard"] = "mean_field"
    dropout: float = 0.0
    normalize: bool = False

    def __post_init__(self):
        fields.check_counts(self, p=2, width=1, operands=1)
        check_callable("activation", self.activation, "a function such as models.square")
        check_choice("parameterization", self.parameterization, ("mean_field", "standard"))
        fields.check_dropout(self)
        fields.set_fields(self, normalize=check_flag("normalize", self.normalize))

    def check_task(self, task: Task) -> None:
        """Refuses a task of another modulus or number of operands."""
        arguments.check_fit(task, self.p, self.operands)

    def check_columns(self, columns: Mapping[str, np.ndarray]) -> None:
        """Refuses a lane column `dropout` outside [0, 1)."""
        arguments.check_column(columns, "dropout", at_least=0, below=1)

    @property
    def input_scale(self) -> float:
        """Factor on the preactivations: 1/sqrt(operands * p), or 1 in the standard one."""
        mean_field = self.parameterization == "mean_field"
        return (self.operands * self.p) ** -0.5 if mean_field else 1.0

    @property
    def output_scale(self) -> float:
        """Factor on the logits: 1/width, or 1 in the standard parameterization."""
        return 1.0 / self.width if self.parameterization == "mean_field" else 1.0

    @property
    def init_std(self) -> float:
        """Standard deviation of the initial weights."""
        return 1.0 if self.parameterization == "mean_field" else 0.5 / (2 * self.width) ** (1 / 3)

    def init(self, key: jax.Array, tokens: jax.Array | None = None) -> Params:
        """Gaussian weights of standard deviation `init_std`; `tokens` is not used."""
        key1, key2 = jax.random.split(check_key("key", key))
        w1 = jax.random.normal(key1, (self.operands, self.p, self.width))
        w2 = jax.random.normal(key2, (self.width, self.p))
        # The barrier keeps a compiler from merging the factor into the sampling, which would make
        # the last bit depend on what else is compiled along.
        return jax.tree.map(
            lambda w: self.init_std * jax.lax.optimization_barrier(w), {"w1": w1, "w2": w2}
        )

    def preactivations(self, params: Params, tokens: jax.Array) -> jax.Array:
        """The hidden layer before its activation: int32[..., S] -> float[..., K]."""
        tokens = arguments.check_tokens(tokens, p=self.p, operands=self.operands)
        shapes = {"w1": (self.operands, self.p, self.width), "w2": (self.width, self.p)}
        params = arguments.check_params(self, params, shapes)
        w1 = jnp.asarray(params["w1"])  # saved parameters are NumPy's
        if self.normalize:
            w1 = w1 - jnp.mean(w1, axis=1, keepdims=True)
            variance = jnp.sum(jnp.mean(w1**2, axis=1, keepdims=True), axis=0, keepdims=True)
            w1 = w1 / (self.input_scale * jnp.sqrt(variance + 1e-12))
        return self.input_scale * look_up_sum(w1, tokens)  # PAD adds nothing

    def apply(
        self,
        params: Params,
        tokens: jax.Array,
        *,
        key: jax.Array | None = None,
        dropout: Any = None,
    ) -> jax.Array:
        """Logits: int32[..., S] -> float[..., p]; `key` is that of the dropout, None without it.

        `dropout` takes the place of the field's value, and can be a lane column.
        """
        arguments.check_noise_key(key)
        rate = self.dropout if dropout is None else dropout
        arguments.check_rate("dropout", rate, at_least=0, below=1)
        hidden = self._activated(self.preactivations(params, tokens))
        return self.output_scale * (drop(key, hidden, rate) @ jnp.asarray(params["w2"]))

    def _activated(self, before: jax.Array) -> jax.Array:
        """The hidden layer; an activation that cannot be one is refused, traced or not."""
        remedy = "take a function of one array of JAX, such as models.square or jax.nn.relu"
        try:
            hidden = self.activation(before)
        except TypeError as error:  # of another number of arguments, or of NumPy's arrays
            raise ValueError(f"activation could not be evaluated: {error}; {remedy}.") from error
        if getattr(hidden, "shape", None) != before.shape:
            raise ValueError(
                f"activation must return an array of the shape it is given, {list(before.shape)}, "
                f"got {shown(hidden)}; {remedy}."
            )
        return hidden
