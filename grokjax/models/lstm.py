"""The long short-term memory that reads one operand after another."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from grokjax.models import fields
from grokjax.models.layers import by_token, embedding, linear, uniform
from grokjax.models.network import TokenNetwork
from grokjax.models.noise import dropout as drop


@dataclasses.dataclass(frozen=True)
class LSTM(TokenNetwork):
    """Layers of LSTM cells over the operands; the last hidden state is read out linearly.

        i, f, g, o = split(W_x x + b_x + W_h h + b_h)
        c = sigmoid(f) c + sigmoid(i) tanh(g),  h = sigmoid(o) tanh(c),  logits = b + W h

    where x is the one-hot operand or its embedding, and in later layers the hidden state below,
    with dropout. The equations, the order of the gates, the two biases and the initial weights,
    uniform in +-1/sqrt(width), are torch's; both biases are kept, since two get twice the update of
    one. The defaults are the network of the report "Grokking Phenomenon Reproduction".
    `LSTM(97, width=144, embedding=128, vocabulary=97)` has the size of the one in "Model and
    Training Efficiency": 324,864 parameters besides embedding and readout.

    Attributes:
      p: the modulus.
      layers: cells stacked on each other.
      width: hidden units of each.
      embedding: width of the embedding; None for one-hot operands.
      vocabulary: inputs, and classes; p where that is more.
      dropout: probability that a unit between two layers is dropped in training; also a lane
        column.

    Any number of operands. `PAD` leaves the states as they are, so a padded equation is the same
    equation alone.

    Raises:
      ValueError: for sizes below 1, p below 2, or dropout outside [0, 1); in `init` and `apply` for
        anything but a key, equations of operands below p, and the model's parameters.

    Reference: Hochreiter and Schmidhuber 1997; "Grokking Phenomenon Reproduction", section 3.2 and
    figure 3; "Model and Training Efficiency", section 3.1.
    """

    p: int
    layers: int = 2
    width: int = 128
    embedding: int | None = None
    vocabulary: int = 239
    dropout: float = 0.1

    def __post_init__(self):
        fields.check_counts(self, p=2, layers=1, width=1, vocabulary=1)
        if self.embedding is not None:
            fields.check_counts(self, embedding=1)
        fields.check_dropout(self)

    def module(self) -> nn.Module:
        """The network."""
        return _Network(self)


class _Network(nn.Module):
    model: LSTM

    @nn.compact
    def __call__(self, tokens: jax.Array, key: jax.Array | None, rate: Any) -> jax.Array:
        model = self.model
        columns = list(tokens.reshape(-1, tokens.shape[-1]).T)
        real = [column[:, None] >= 0 for column in columns]
        hidden = self._first_layer(columns, real)
        for layer in range(1, model.layers):
            if key is not None:
                keys = jax.random.split(jax.random.fold_in(key, layer), len(columns))
                hidden = [drop(k, h, rate) for k, h in zip(keys, hidden, strict=True)]
            cell = _Cell(model.width, model.width, name=f"cell_{layer}")
            hidden = _unroll(cell, [cell.from_input(h) for h in hidden], real)
        logits = linear(model.width, model.num_classes, name="readout")(hidden[-1])
        return logits.reshape(*tokens.shape[:-1], model.num_classes)

    def _first_layer(self, columns: list[jax.Array], real: list[jax.Array]) -> list[jax.Array]:
        """Hidden states after each operand; what depends on one operand is looked up."""
        model = self.model
        inputs = model.embedding or model.num_classes
        cell = _Cell(inputs, model.width, name="cell_0")
        if model.embedding is None:
            from_token = cell.from_token
        else:
            embed = embedding(model.num_classes, model.embedding)
            from_token = lambda pick: cell.from_input(embed(pick))
        picks, at_rows = zip(*(by_token(model.p, column) for column in columns), strict=True)
        gates = [from_token(pick) for pick in picks]
        later = [at(table) for at, table in zip(at_rows[1:], gates[1:], strict=True)]
        return _unroll(cell, [gates[0], *later], real, at_rows[0])


class _Cell(nn.Module):
    """The weights of one layer; gates are float[B, 4K] in torch's order i, f, g, o."""

    inputs: int
    width: int

    def setup(self):
        initial = uniform(self.width)
        self.weight_x = self.param("weight_x", initial, (self.inputs, 4 * self.width))
        self.weight_h = self.param("weight_h", initial, (self.width, 4 * self.width))
        self.bias_x = self.param("bias_x", initial, (4 * self.width,))
        self.bias_h = self.param("bias_h", initial, (4 * self.width,))

    def from_token(self, pick: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """What one-hot inputs add to the gates, and the biases: `pick` as of `by_token`."""
        return pick(self.weight_x) + (self.bias_x + self.bias_h)[None]

    def from_input(self, x: jax.Array) -> jax.Array:
        """What an input adds to the gates, and the biases."""
        return x @ self.weight_x + (self.bias_x + self.bias_h)[None]

    def from_state(self, h: jax.Array) -> jax.Array:
        """What the hidden state adds to the gates."""
        return h @ self.weight_h

    def step(self, gates: jax.Array, c: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """The next state; without one before, there is nothing to forget."""
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        new = nn.sigmoid(i) * jnp.tanh(g)
        c = new if c is None else nn.sigmoid(f) * c + new
        return c, nn.sigmoid(o) * jnp.tanh(c)


def _unroll(
    cell: _Cell,
    gates: list[jax.Array],
    real: list[jax.Array],
    at_rows: Callable[[Any], Any] = lambda tree: tree,
) -> list[jax.Array]:
    """Hidden states after each input, float[B, K], from what the inputs add to the gates.

    The first step may be evaluated once for each token: `at_rows` then gets the rows of the batch.
    """
    c, h = cell.step(gates[0])
    c, h, back = (jnp.where(real[0], x, 0.0) for x in at_rows((c, h, cell.from_state(h))))
    states = [h]
    for added, is_real in zip(gates[1:], real[1:], strict=True):
        new_c, new_h = cell.step(added + back, c)
        c, h = jnp.where(is_real, new_c, c), jnp.where(is_real, new_h, h)
        back = cell.from_state(h)
        states.append(h)
    return states
