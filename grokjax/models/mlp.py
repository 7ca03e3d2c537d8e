"""The multilayer perceptron on one-hot or embedded operands."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from grokjax.checks import check_integers
from grokjax.models import fields
from grokjax.models.layers import embedding, linear, uniform
from grokjax.models.lookup import look_up_sum
from grokjax.models.network import TokenNetwork
from grokjax.models.noise import dropout as drop


@dataclasses.dataclass(frozen=True)
class MLP(TokenNetwork):
    """Fully connected ReLU layers on the operands side by side, one-hot or embedded.

        h_1 = relu(b_1 + sum_s W_1[s] x_s),  h_l = relu(b_l + W_l h_{l-1}),  logits = b + W h_L

    with dropout after each hidden layer, and `x_s` the one-hot operand s or its embedding. The
    defaults are the network of the report "Grokking Phenomenon Reproduction", 478-256-256-239.
    `MLP(97, hidden=(448, 448), embedding=128, vocabulary=97)` has the size of the one in "Model and
    Training Efficiency". Weights and biases start uniform in +-1/sqrt(inputs of the layer),
    embeddings from N(0, 1), as torch's.

    Attributes:
      p: the modulus.
      operands: S; shorter equations leave theirs `PAD`, and then add nothing.
      hidden: units of the hidden layers.
      embedding: width of the embedding that the operands share; None for one-hot operands.
      vocabulary: inputs of an operand, and classes; p where that is more.
      dropout: probability that a hidden unit is dropped in training; also a lane column.

    Differs: a version of its authors' code has three hidden layers; their text, and this, has two.

    Raises:
      ValueError: for sizes below 1, p below 2, or dropout outside [0, 1); in `init` and `apply` for
        anything but a key, equations of S operands below p, and the model's parameters.

    Reference: "Grokking Phenomenon Reproduction", section 3.2 and figure 4; "Model and Training
    Efficiency", section 3.1.
    """

    p: int
    operands: int = 2
    hidden: tuple[int, ...] = (256, 256)
    embedding: int | None = None
    vocabulary: int = 239
    dropout: float = 0.1

    def __post_init__(self):
        fields.check_counts(self, p=2, operands=1, vocabulary=1)
        hidden = check_integers("hidden", self.hidden, at_least=1, such_as="(256, 256)")
        if not hidden:
            raise ValueError("hidden must be one layer or more, such as (256, 256), got ().")
        fields.set_fields(self, hidden=hidden)
        if self.embedding is not None:
            fields.check_counts(self, embedding=1)
        fields.check_dropout(self)

    @property
    def fixed_operands(self) -> int:
        """All equations have `operands` operands; shorter ones are padded."""
        return self.operands

    def module(self) -> nn.Module:
        """The network."""
        return _Network(self)


class _Network(nn.Module):
    model: MLP

    @nn.compact
    def __call__(self, tokens: jax.Array, key: jax.Array | None, rate: Any) -> jax.Array:
        model = self.model
        columns = tokens.reshape(-1, model.operands).T
        depth = len(model.hidden)
        keys = [None] * depth if key is None else jax.random.split(key, depth)
        h = self._first_layer(columns)
        for layer, features in enumerate((*model.hidden[1:], model.num_classes)):
            h = drop(keys[layer], nn.relu(h), rate)
            h = linear(h.shape[-1], features, name=f"layer_{layer + 1}")(h)
        return h.reshape(*tokens.shape[:-1], model.num_classes)

    def _first_layer(self, columns: jax.Array) -> jax.Array:
        """Preactivations: int32[S, B] -> float[B, K], sums of rows of the weights."""
        model = self.model
        inputs = model.embedding or model.num_classes
        initial = uniform(model.operands * inputs)
        weights = self.param("kernel_0", initial, (model.operands, inputs, model.hidden[0]))
        h = self.param("bias_0", initial, (model.hidden[0],))[None]
        if model.embedding is None:
            tables = weights[:, : model.p]
        else:
            embed = embedding(model.num_classes, model.embedding)
            tables = jnp.einsum("ve,sek->svk", embed(lambda table: table[: model.p]), weights)
        return h + look_up_sum(tables, columns.T)
