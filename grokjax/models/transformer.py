"""The decoder-only Transformer of the grokking literature."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from grokjax.checks import check_choice, check_flag
from grokjax.models import fields
from grokjax.models.layers import by_token, embedding, linear
from grokjax.models.network import TokenNetwork
from grokjax.models.noise import dropout as drop


@dataclasses.dataclass(frozen=True)
class Transformer(TokenNetwork):
    """A causal Transformer over the operands, and a linear readout without bias.

    With x the embeddings plus positions, each layer is

        post: h = LN(x + attention(x)),  x = LN(h + dropout(ffn(h)))
        pre:  h = x + attention(LN(x)),  x = h + dropout(ffn(LN(h))), and a last LN

    with `ffn(h) = W' relu(W h)`, no biases in linear layers, LayerNorm with both parameters. The
    logits are the untied readout of the mean over positions, or of the last one. The defaults are
    the network of the report "Grokking Phenomenon Reproduction": 394,240 parameters besides
    embedding and readout.

    Linear weights start uniform in +-1/sqrt(inputs) and embeddings from N(0, 1), torch's defaults
    and therefore the reference's. The embedding is so 11 times as large as a weight; initial scales
    decide how lazily a network trains, and with it how long grokking is delayed.

    Attributes:
      p: the modulus.
      layers: blocks of attention and feed-forward.
      width: d_model.
      heads: of attention; they divide the width.
      hidden: units of the feed-forward; 4 width by default.
      norm: "post" as in that report, or "pre".
      readout: "mean" over positions, or "last"; with `equation`, "last" by default.
      positions: "sinusoidal", or "learned", which start from N(0, 1/width) and limit the
        number of operands to that of `init`.
      equation: the variant of Power et al.: an operator token between the operands and an equals
        token at the end, where the answer is read: `a o b =`, and with c it is five tokens.
      vocabulary: tokens and classes; p, plus the two further tokens of `equation`, where that is
        more.
      dropout: probability that an element of a feed-forward output is dropped in training; also a
        lane column.

    Any number of operands. Padding gets no attention, is not pooled and has no gradient, so a
    padded equation is the same equation alone.

    Differs: weights of query, key and value of all heads are one matrix each; 1e-5 in LayerNorm is
    torch's; the reference draws its masks from another generator.

    Raises:
      ValueError: for sizes below 1, p below 2, heads that do not divide an even width, dropout
        outside [0, 1), another word; in `init` and `apply` for anything but a key, equations of
        operands below p, no more of them than there are learned positions, and the model's
        parameters.

    Reference: "Grokking Phenomenon Reproduction", section 3.1; Vaswani et al. 2017; Power et al.
    2022, appendix A.1.2.
    """

    p: int
    layers: int = 2
    width: int = 128
    heads: int = 4
    hidden: int | None = None
    norm: Literal["post", "pre"] = "post"
    readout: Literal["mean", "last"] | None = None
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    equation: bool = False
    vocabulary: int = 239
    dropout: float = 0.1

    def __post_init__(self):
        fields.check_counts(self, p=2, layers=1, width=1, heads=1, vocabulary=1)
        if self.width % self.heads or self.width % 2:
            raise ValueError(
                f"width must be even and a multiple of heads, got width={self.width} and "
                f"heads={self.heads}."
            )
        fields.set_fields(self, equation=check_flag("equation", self.equation))
        # Defaults become values, so that equal networks are equal models.
        if self.hidden is None:
            fields.set_fields(self, hidden=4 * self.width)
        if self.readout is None:
            fields.set_fields(self, readout="last" if self.equation else "mean")
        fields.check_counts(self, hidden=1)
        check_choice("norm", self.norm, ("post", "pre"))
        check_choice("readout", self.readout, ("mean", "last"))
        check_choice("positions", self.positions, ("sinusoidal", "learned"))
        fields.check_dropout(self)

    @property
    def num_tokens(self) -> int:
        """Tokens that occur in the input: p, and operator and equals sign with `equation`."""
        return self.p + 2 * self.equation

    @property
    def num_classes(self) -> int:
        """Classes of the logits: `max(vocabulary, num_tokens)`."""
        return max(self.vocabulary, self.num_tokens)

    def shapes(self, params: Any) -> Any:
        """The shapes that these parameters must have: learned positions may be of any number."""
        shapes = super().shapes(params)
        if self.positions == "learned" and isinstance(params, Mapping):
            # One for each token of the longest equation: as many as there are.
            length = np.shape(params.get("positions", ()))[:1]
            shapes = {**shapes, "positions": (*length, self.width)}
        return shapes

    def module(self) -> nn.Module:
        """The network."""
        return _Network(self)


class _Network(nn.Module):
    """The stream is a list of positions, float[B, D] each.

    What a layer does to each position alone is evaluated once, with their rows in one array; only
    attention takes them apart. Kept in one array throughout, they would cost a CPU a tenth more.

    Where there are more rows than tokens, what depends on one token and its position only is
    evaluated once for each token. That is the input of attention in the first layer and, since
    nothing comes before it, all of the first layer at the first position up to the dropout.
    """

    model: Transformer

    @nn.compact
    def __call__(self, tokens: jax.Array, key: jax.Array | None, rate: Any) -> jax.Array:
        model = self.model
        columns = _sequence(model, tokens.reshape(-1, tokens.shape[-1]))
        real = [column >= 0 for column in columns]
        lookups = [by_token(model.num_tokens, column) for column in columns]
        embed = embedding(model.num_classes, model.width)
        positions = self._positions(len(columns))
        x = [embed(pick) + positions[i][None] for i, (pick, _) in enumerate(lookups)]
        keys = [[None] * len(columns)] * model.layers
        if key is not None:
            keys = jax.random.split(key, (model.layers, len(columns)))
        for layer in range(model.layers):
            block = _Block(model, name=f"block_{layer}")
            pooled = model.readout == "last" and layer == model.layers - 1
            seen = _together(block.see, x)
            k, v = _together(block.key_value_of, seen)
            # The first position attends to itself alone: of its rows none is given for a query.
            query = [None, *_together(block.query, [seen[0][:0], *seen[1:]])[1:]]
            stream, attention = [x[0]], [v[0]]
            if layer == 0:
                tables = zip(x, seen, query, k, v, strict=True)
                rows = [look_up(at) for (_, look_up), at in zip(lookups, tables, strict=True)]
                x, seen, query, k, v = map(list, zip(*rows, strict=True))
            if pooled:
                followed = [*real[1:], jnp.zeros_like(real[0])]
                last = [here & ~after for here, after in zip(real, followed, strict=True)]
                stream = [_masked_sum(last, x)]
                attention = [block.attend(block.query(_masked_sum(last, seen)), k, v, real)]
            else:
                for i in range(1, len(columns)):
                    visible = [*real[:i], jnp.ones_like(real[i])]
                    stream.append(x[i])
                    attention.append(block.attend(query[i], k[: i + 1], v[: i + 1], visible))
            h, updates = _together(block.mix, stream, attention)
            if layer == 0 and not pooled:
                h[0], updates[0] = lookups[0][1]((h[0], updates[0]))
            masks = keys[layer][: len(h)]
            updates = [drop(mask, u, rate) for mask, u in zip(masks, updates, strict=True)]
            x = _together(block.close, h, updates)
        if model.norm == "pre":
            x = _together(_LayerNorm(name="final_norm"), x)
        if model.readout == "mean":
            count = jnp.sum(jnp.stack(real), axis=0).astype(jnp.float32)
            x = [_masked_sum(real, x) / jnp.maximum(count, 1.0)[:, None]]
        logits = linear(model.width, model.num_classes, bias=False, name="readout")(x[0])
        return logits.reshape(*tokens.shape[:-1], model.num_classes)

    def _positions(self, length: int) -> jax.Array | np.ndarray:
        width = self.model.width
        if self.model.positions == "sinusoidal":
            angle = np.arange(length)[:, None] / 10000 ** (np.arange(0, width, 2) / width)
            encoding = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
            return encoding.reshape(length, width).astype(np.float32)
        if not self.has_variable("params", "positions"):
            return self.param("positions", nn.initializers.normal(width**-0.5), (length, width))
        positions = self.get_variable("params", "positions")
        if length > len(positions):
            raise ValueError(
                f"the equations have {length} tokens, and there are {len(positions)} learned "
                'positions; call init with longer equations, or take positions="sinusoidal".'
            )
        return positions


class _Block(nn.Module):
    """The parts of a layer, each a function of rows, or of a query's rows and what they see."""

    model: Transformer

    def setup(self):
        width = self.model.width
        hidden = self.model.hidden or 4 * width
        # Not one matrix for all three: many queries are not needed, and are then not computed.
        self.query = linear(width, width, bias=False)
        self.key_value = linear(width, 2 * width, bias=False)
        self.out = linear(width, width, bias=False)
        self.expand = linear(width, hidden, bias=False)
        self.contract = linear(hidden, width, bias=False)
        self.norm_attention = _LayerNorm()
        self.norm_feed_forward = _LayerNorm()

    def see(self, x: jax.Array) -> jax.Array:
        """What attention sees of the stream."""
        return self.norm_attention(x) if self.model.norm == "pre" else x

    def key_value_of(self, seen: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Keys and values."""
        key, value = jnp.split(self.key_value(seen), 2, axis=-1)
        return key, value

    def attend(self, query: jax.Array, keys: Any, values: Any, visible: Any) -> jax.Array:
        """The values, weighed by softmax over the visible keys, in each head: float[B, D]."""
        heads = self.model.heads
        split = lambda x: x.reshape(-1, heads, x.shape[-1] // heads)
        scale = math.sqrt(self.model.width // heads)
        # Finite, or rows of nothing but padding would be NaN.
        scores = [
            jnp.where(see[:, None], jnp.sum(split(query) * split(key), axis=-1) / scale, -1e30)
            for key, see in zip(keys, visible, strict=True)
        ]
        highest = jax.lax.stop_gradient(functools.reduce(jnp.maximum, scores))
        weights = [jnp.exp(score - highest) for score in scores]
        total = sum(weights[1:], weights[0])
        mixed = [(w / total)[..., None] * split(v) for w, v in zip(weights, values, strict=True)]
        return sum(mixed[1:], mixed[0]).reshape(query.shape)

    def mix(self, x: jax.Array, attention: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The stream after attention, and what the feed-forward adds to it."""
        h = x + self.out(attention)
        if self.model.norm == "post":
            h = self.norm_attention(h)
        normalized = self.norm_feed_forward(h) if self.model.norm == "pre" else h
        return h, self.contract(nn.relu(self.expand(normalized)))

    def close(self, h: jax.Array, update: jax.Array) -> jax.Array:
        """The stream after the layer."""
        return h + update if self.model.norm == "pre" else self.norm_feed_forward(h + update)


class _LayerNorm(nn.Module):
    """LayerNorm of rows, as `nn.LayerNorm`, in an order that a GPU's compiler makes one kernel of.

    In two passes: the mean of squares less the squared mean loses digits.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + 1e-5) * scale[None] + bias[None]


def _together(f: Callable[..., Any], *positions: list[jax.Array]) -> Any:
    """The values of a function of rows at each position, from one evaluation for all of them."""
    ends = np.cumsum([len(rows) for rows in positions[0]])[:-1]
    values = f(*map(jnp.concatenate, positions))
    return jax.tree.map(lambda value: jnp.split(value, ends), values)


def _masked_sum(masks: list[jax.Array], values: list[jax.Array]) -> jax.Array:
    """The sum over positions of those values, float[B, D], whose masks, bool[B], are true."""
    kept = [jnp.where(mask[:, None], x, 0.0) for mask, x in zip(masks, values, strict=True)]
    return sum(kept[1:], kept[0])


def _sequence(model: Transformer, tokens: jax.Array) -> list[jax.Array]:
    """Token of each position, int32[B]: the operands, with `equation` each followed by a sign."""
    columns = list(tokens.T)
    if not model.equation:
        return columns
    operator, equals = model.p, model.p + 1
    signs = [
        jnp.where(after >= 0, operator, jnp.where(column >= 0, equals, column))
        for column, after in zip(
            columns, [*columns[1:], jnp.full_like(columns[0], -1)], strict=True
        )
    ]
    return [token for pair in zip(columns, signs, strict=True) for token in pair]
