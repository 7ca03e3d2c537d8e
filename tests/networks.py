"""Small networks of every kind for tests, with random parameters."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from grokjax.models import LSTM, MLP, Transformer

KEY = jax.random.key(3)
SMALL = {"width": 16, "heads": 2, "vocabulary": 1}
TRANSFORMERS = [
    Transformer(7, **SMALL),
    Transformer(7, **SMALL, norm="pre", positions="learned"),
    Transformer(7, **SMALL, readout="last"),
    Transformer(7, **SMALL, equation=True),
    Transformer(7, **SMALL, equation=True, norm="pre", readout="mean"),
    Transformer(7, **SMALL, layers=1, readout="last"),
    Transformer(7, **SMALL, layers=3),
]
LSTMS = [
    LSTM(7, width=8, vocabulary=1),
    LSTM(7, width=8, embedding=6),
    LSTM(7, layers=3, width=8, vocabulary=1),
]
MLPS = [
    MLP(7, hidden=(12, 10), vocabulary=1),
    MLP(7, hidden=(12,), embedding=6),
    MLP(7, operands=3, hidden=(12, 11, 10), vocabulary=9),
]
ALL = TRANSFORMERS + LSTMS + MLPS
# One layer takes half as long to compile as two.
TYPICAL = [
    Transformer(7, **SMALL, layers=1, norm="pre", positions="learned"),
    Transformer(7, **SMALL, layers=1, equation=True),
    LSTMS[0],
    MLPS[0],
]
named = lambda model: repr(model).replace("vocabulary=1, ", "")


@functools.partial(jax.jit, static_argnums=0)
def apply(model, params, tokens, **keywords):
    return model.apply(params, jnp.asarray(tokens), **keywords)


def equations(model, rows=60, operands=2, seed=0):
    operands = getattr(model, "operands", operands)
    return np.random.default_rng(seed).integers(0, model.p, (rows, operands), np.int32)


@functools.cache
def initialized(model, operands=2):
    """Random parameters of the right size, of LayerNorm too, which starts as 1 and 0."""
    tokens = jnp.asarray(equations(model, 1, operands))
    shapes = jax.eval_shape(model.init, KEY, tokens)
    draw = np.random.default_rng(1).normal
    scale = lambda leaf: 0.1 if leaf.ndim == 1 else leaf.shape[0] ** -0.5
    params = jax.tree.map(lambda leaf: np.float32(scale(leaf) * draw(size=leaf.shape)), shapes)
    is_scale = lambda path: path[-1].key == "scale"
    return jax.tree_util.tree_map_with_path(lambda path, x: x + 1.0 * is_scale(path), params)


class SumNetwork(nn.Module):
    """An embedding summed over the operands, dropout, and a readout."""

    p: int
    width: int = 32

    @nn.compact
    def __call__(self, tokens, train):
        x = nn.Embed(self.p, self.width)(tokens).sum(axis=-2)
        x = nn.Dropout(0.3, deterministic=not train)(nn.relu(nn.Dense(self.width)(x)))
        return nn.Dense(self.p)(x)
