"""The networks: shapes of the sources, causality, padding, noise, and NumPy written beside them."""

import dataclasses
import functools
import inspect
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import grokjax
from grokjax import losses, models, optimizers, tasks
from grokjax.models import LSTM, MLP, LinenModel, QuadraticMLP, Transformer, noise, transformer
from grokjax.tasks import PAD

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
TYPICAL = [TRANSFORMERS[1], TRANSFORMERS[3], LSTMS[0], MLPS[0]]
named = lambda model: repr(model).replace("vocabulary=1, ", "")
# Everything here is small: compiling takes longer than running.
compiled = functools.partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False},
)


@functools.partial(compiled, static_argnums=0)
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


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


# -- sizes and starting points of the sources --------------------------------------------------


def test_parameter_counts_are_those_of_the_sources():
    tokens = jnp.zeros((1, 2), jnp.int32)
    shapes = lambda model: jax.eval_shape(model.init, KEY, tokens)
    transformer = shapes(Transformer(97))
    assert count(transformer["embed"]) == count(transformer["readout"]) == 239 * 128
    assert count(transformer) - 2 * 239 * 128 == 394_240
    assert shapes(LSTM(97))["cell_0"]["weight_x"].shape == (239, 512)
    assert count(shapes(LSTM(97))) == count_torch_lstm(239, 128) + 128 * 239 + 239
    assert count(shapes(MLP(97))) == 478 * 256 + 256 + 256 * 256 + 256 + 256 * 239 + 239
    lstm = shapes(LSTM(97, width=144, embedding=128, vocabulary=97))
    assert count(lstm) - count(lstm["embed"]) - count(lstm["readout"]) == 324_864
    mlp = shapes(MLP(97, hidden=(448, 448), embedding=128, vocabulary=97))
    assert count(mlp) - count(mlp["embed"]) == 359_841
    for tree in (transformer, lstm, mlp):
        assert 3e5 <= count(tree) - count(tree["embed"]) - count(tree.get("readout")) <= 4e5


def count_torch_lstm(inputs, width):
    return 4 * width * (inputs + width + 2) + 4 * width * (2 * width + 2)


def test_the_vocabulary_grows_with_p():
    tokens = jnp.zeros((1, 2), jnp.int32)
    for model, classes in [
        (Transformer(97), 239),
        (Transformer(251), 251),
        (Transformer(251, equation=True), 253),
        (Transformer(97, vocabulary=1, equation=True), 99),
        (LSTM(241), 241),
        (MLP(97), 239),
    ]:
        assert model.num_classes == classes
        params = jax.eval_shape(model.init, KEY, tokens)
        assert jax.eval_shape(model.apply, params, tokens).shape == (1, classes)


def test_initial_weights_are_those_of_torch():
    def is_uniform(leaf, fan_in):
        bound, size = fan_in**-0.5, leaf.size
        assert abs(leaf).max() <= bound
        assert abs(leaf).max() > bound * (1 - 20 / size)
        assert abs(leaf.mean()) < 4 * bound / np.sqrt(3 * size)
        assert leaf.std() == pytest.approx(bound / np.sqrt(3), rel=4 / np.sqrt(size))

    def is_normal(leaf, std):
        assert leaf.std() == pytest.approx(std, rel=4 / np.sqrt(2 * leaf.size))
        assert abs(leaf).max() > 2 * std

    tokens = jnp.zeros((1, 50), jnp.int32)
    model = Transformer(97, layers=1, width=32, vocabulary=1, positions="learned")
    params = compiled(model.init)(KEY, tokens)
    is_normal(params["embed"]["embedding"], 1)
    is_normal(params["positions"], 32**-0.5)
    is_uniform(params["readout"]["kernel"], 32)
    block = params["block_0"]
    for name, fan_in in [("query", 32), ("key_value", 32), ("out", 32), ("contract", 128)]:
        is_uniform(block[name]["kernel"], fan_in)
    assert block["norm_attention"]["scale"].tolist() == [1.0] * 32
    assert block["norm_attention"]["bias"].tolist() == [0.0] * 32
    for leaf in jax.tree.leaves(compiled(LSTM(97, width=40).init)(KEY, tokens)):
        is_uniform(leaf, 40)
    params = compiled(MLP(97, hidden=(64, 64)).init)(KEY, tokens[:, :2])
    is_uniform(params["kernel_0"], 478)
    is_uniform(params["bias_0"], 478)
    is_uniform(params["layer_2"]["kernel"], 64)
    is_uniform(params["layer_2"]["bias"], 64)


# -- independent forward passes ----------------------------------------------------------------


def numpy_transformer(model, params, tokens):
    """One equation at a time, whole attention matrices, PAD left out from the start."""
    norm = lambda x, at: (
        (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * at["scale"]
        + at["bias"]
    )
    width, heads, logits = model.width, model.heads, []
    for row in tokens:
        row = [t for t in row if t != PAD]
        if model.equation:
            row = [*[t for s in row for t in (s, model.p)][:-1], model.p + 1]
        place, i = np.arange(len(row))[:, None], np.arange(width)[None]
        angle = place / 10000.0 ** ((i - i % 2) / width)
        encoding = np.where(i % 2, np.cos(angle), np.sin(angle))
        if model.positions == "learned":
            encoding = params["positions"][: len(row)]
        x = params["embed"]["embedding"][row] + encoding
        for layer in range(model.layers):
            b = params[f"block_{layer}"]
            y = norm(x, b["norm_attention"]) if model.norm == "pre" else x
            q = y @ b["query"]["kernel"]
            k, v = np.split(y @ b["key_value"]["kernel"], 2, axis=1)
            a = []
            for part in np.split(np.arange(width), heads):
                scores = q[:, part] @ k[:, part].T / np.sqrt(width / heads)
                scores[np.triu_indices(len(row), 1)] = -np.inf
                scores = np.exp(scores - scores.max(1, keepdims=True))
                a.append(scores / scores.sum(1, keepdims=True) @ v[:, part])
            x = x + np.concatenate(a, 1) @ b["out"]["kernel"]
            x = x if model.norm == "pre" else norm(x, b["norm_attention"])
            y = norm(x, b["norm_feed_forward"]) if model.norm == "pre" else x
            x = x + np.maximum(y @ b["expand"]["kernel"], 0) @ b["contract"]["kernel"]
            x = x if model.norm == "pre" else norm(x, b["norm_feed_forward"])
        x = norm(x, params["final_norm"]) if model.norm == "pre" else x
        logits.append(
            (x[-1] if model.readout == "last" else x.mean(0)) @ params["readout"]["kernel"]
        )
    return np.array(logits)


def numpy_lstm(model, params, tokens):
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    logits = []
    for row in tokens:
        row = row[row != PAD]
        x = np.eye(model.num_classes)[row]
        if model.embedding is not None:
            x = x @ params["embed"]["embedding"]
        for layer in range(model.layers):
            cell, h, c, out = params[f"cell_{layer}"], np.zeros(model.width), 0.0, []
            for one in x:
                gates = one @ cell["weight_x"] + cell["bias_x"] + h @ cell["weight_h"]
                i, f, g, o = np.split(gates + cell["bias_h"], 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
                out.append(h)
            x = out
        logits.append(x[-1] @ params["readout"]["kernel"] + params["readout"]["bias"])
    return np.array(logits)


def numpy_mlp(model, params, tokens):
    x = np.eye(model.num_classes)[tokens] * (tokens != PAD)[..., None]
    if model.embedding is not None:
        x = x @ params["embed"]["embedding"]
    h = np.einsum("bsi,sik->bk", x, params["kernel_0"]) + params["bias_0"]
    for layer in range(1, len(model.hidden) + 1):
        at = params[f"layer_{layer}"]
        h = np.maximum(h, 0) @ at["kernel"] + at["bias"]
    return h


NUMPY = {Transformer: numpy_transformer, LSTM: numpy_lstm, MLP: numpy_mlp}


@pytest.mark.parametrize("model", ALL, ids=named)
def test_the_forward_pass_equals_independent_numpy(model):
    params = initialized(model, operands=3)
    wide = jax.tree.map(np.float64, params)
    tokens = equations(model, operands=3)
    tokens[::3, -1] = PAD  # shorter equations among the others
    expected = NUMPY[type(model)](model, wide, tokens)
    # 60 rows of 7 tokens are looked up in tables, 5 rows are not.
    for rows in (60, 5):
        logits = apply(model, params, tokens[:rows])
        np.testing.assert_allclose(logits, expected[:rows], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("model", [Transformer(6, **SMALL), LSTM(6, width=8), MLP(6, hidden=(8,))])
def test_leading_axes_of_any_shape(model):
    params, tokens = initialized(model), equations(model, 12)
    logits = apply(model, params, tokens)
    for shape in [(3, 4), (1, 12, 1)]:
        folded = apply(model, params, tokens.reshape(*shape, 2))
        assert folded.shape == (*shape, model.num_classes)
        np.testing.assert_allclose(folded.reshape(12, -1), logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(apply(model, params, tokens[0]), logits[0], rtol=1e-4, atol=1e-5)


# -- causality and padding ---------------------------------------------------------------------


def table_of(params):
    """Where tokens enter: the embedding, or the input weights of one-hot tokens."""
    return ("embed", "embedding") if "embed" in params else ("cell_0", "weight_x")


def influence(params, output):
    """The gradient of `output(params)` with respect to what stands for each token, in magnitude."""
    name, leaf = table_of(params)
    changed = lambda table: {**params, name: {**params[name], leaf: table}}
    table = params[name][leaf]
    gradient = compiled(jax.jacobian(lambda table: output(changed(table))))(table)
    return np.abs(np.asarray(gradient)).sum(axis=-1)


@pytest.mark.parametrize("rows", [1, 40], ids=["rows", "tables"])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_no_position_depends_on_later_tokens(norm, rows):
    model = Transformer(11, **SMALL, norm=norm)
    params = initialized(model, operands=4)
    tokens = np.array([1, 4, 2, 8], np.int32)

    def streams(params):
        _, seen = transformer._Network(model).apply(
            {"params": params},
            jnp.asarray(np.tile(tokens, (rows, 1))),
            None,
            0.0,
            capture_intermediates=True,
        )
        seen = seen["intermediates"]
        ends = seen["final_norm"] if norm == "pre" else seen["block_1"]["norm_feed_forward"]
        assert len(ends["__call__"]) == 4
        return jnp.stack([jnp.sum(jnp.sin(end)) for end in ends["__call__"]])

    for position, gradient in enumerate(influence(params, streams)):
        assert np.all(gradient[tokens[: position + 1]] > 1e-3)
        gradient[tokens[: position + 1]] = 0
        assert not gradient.any()


@pytest.mark.parametrize("model", TYPICAL[:-1], ids=named)
@pytest.mark.parametrize("rows", [1, 40], ids=["rows", "tables"])
def test_padding_has_no_gradient(model, rows):
    params = initialized(model, operands=4)
    tokens = jnp.asarray(np.tile(np.array([3, 5, PAD, PAD], np.int32), (rows, 1)))
    output = lambda params: jnp.sum(jnp.sin(model.apply(params, tokens)))
    gradient = influence(params, output)
    real = [3, 5, 7, 8] if getattr(model, "equation", False) else [3, 5]
    assert np.all(gradient[real] > 0)
    gradient[real] = 0
    assert not gradient.any()
    if getattr(model, "positions", None) == "learned":
        used = np.abs(compiled(jax.grad(output))(params)["positions"]).sum(axis=1) > 0
        assert used.tolist() == [True, True, False, False]


@pytest.mark.parametrize("model", TYPICAL[:-1], ids=named)
def test_a_padded_equation_is_the_same_equation_alone(model):
    params = initialized(model, operands=5)
    for operands in range(1, 6):
        tokens = equations(model, 40, operands)
        padded = np.pad(tokens, ((0, 0), (0, 5 - operands)), constant_values=PAD)
        np.testing.assert_allclose(
            apply(model, params, padded), apply(model, params, tokens), rtol=1e-5, atol=1e-6
        )


def test_learned_positions_end():
    model = Transformer(5, **SMALL, positions="learned")
    params = initialized(model, operands=2)
    with pytest.raises(ValueError, match=r"3 tokens, and there are 2 learned positions"):
        model.apply(params, jnp.zeros((1, 3), jnp.int32))


# -- dropout and noise -------------------------------------------------------------------------


def test_dropout_keeps_the_right_share_and_the_mean():
    x = jnp.linspace(1.0, 2.0, 1 << 16).reshape(256, 256)
    for seed, rate in enumerate([0.1, 0.5, 0.9]):
        out = np.asarray(noise.dropout(jax.random.key(seed), x, rate))
        kept = out != 0
        error = np.sqrt(rate * (1 - rate) / x.size)
        assert abs(kept.mean() - (1 - rate)) < 4 * error
        np.testing.assert_allclose(out[kept], np.asarray(x)[kept] / (1 - rate), rtol=1e-6)
        assert abs((out - x).mean()) < 4 * 2 * error / (1 - rate)


def test_dropout_masks_are_independent():
    keys = jax.random.split(jax.random.key(0), 64)
    masks = np.stack([noise.dropout(key, jnp.ones((64, 128)), 0.5) for key in keys]) - 1.0
    assert set(np.unique(masks)) == {-1.0, 1.0}
    deviations = lambda signs: np.abs(signs.sum()) / np.sqrt(signs.size)
    # Keys, rows and columns, next to each other and further apart.
    for axis, distances in [(0, [1, 2, 7, 32]), (1, [1, 2, 3, 16, 63]), (2, [1, 2, 5, 8, 64])]:
        for d in distances:
            along = np.moveaxis(masks, axis, 0)
            assert deviations(along[d:] * along[:-d]) < 4
    # Every bit of a word, and every pair of bits, over many keys.
    words = np.stack([noise.random_bits(key, 512) for key in keys]).ravel()
    bits = (words[:, None] >> np.arange(32, dtype=np.uint32) & 1) * 2.0 - 1.0
    correlation = bits.T @ bits / np.sqrt(len(bits))
    np.fill_diagonal(correlation, bits.sum(axis=0) / np.sqrt(len(bits)))
    assert np.abs(correlation).max() < 5
    between = masks.reshape(64, -1) @ masks.reshape(64, -1).T / np.sqrt(64 * 128)
    assert np.abs(between[np.triu_indices(64, 1)]).max() < 4.8


def test_keys_that_differ_in_one_bit_give_unrelated_words():
    size, words = 1 << 14, np.array([0x12345678, 0x9ABCDEF0], np.uint32)
    key = lambda words: jax.random.wrap_key_data(jnp.asarray(words))
    first = np.asarray(noise.random_bits(key(words), size))
    for word in range(2):
        for bit in range(0, 32, 3):
            other = words.copy()
            other[word] ^= np.uint32(1 << bit)
            second = np.asarray(noise.random_bits(key(other), size))
            # 2^14 of 2^32 words: hardly any in common, in whatever order.
            assert len(np.intersect1d(first, second)) < 8
            for place in (31, 24, 8, 0):
                same = ((first ^ second) >> np.uint32(place) & 1 == 0).mean()
                assert abs(same - 0.5) < 4.5 * 0.5 / np.sqrt(size)


def test_rate_zero_is_the_identity_and_traced_rates_work():
    x = jax.random.normal(KEY, (64, 64))
    assert noise.dropout(KEY, x, 0.0) is x
    assert noise.dropout(None, x, 0.5) is x
    traced = jax.jit(noise.dropout)
    np.testing.assert_array_equal(traced(KEY, x, 0.0), x)
    np.testing.assert_array_equal(traced(KEY, x, 0.3), noise.dropout(KEY, x, 0.3))
    # In company a lane's mask is the one it has alone.
    keys = jax.random.split(KEY, 3)
    together = jax.vmap(noise.dropout, (0, None, None))(keys, x, 0.3)
    for key, mask in zip(keys, together, strict=True):
        np.testing.assert_array_equal(mask, noise.dropout(key, x, 0.3))


def test_normal_numbers_are_normal():
    x = np.asarray(noise.normal(KEY, (512, 512)), np.float64)
    assert x.shape == (512, 512)
    n = x.size
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((x**power).mean() - moment) < 4 * np.sqrt(variance / n)
    assert 4 < abs(x).max() < 5.5
    assert scipy.stats.kstest(x.ravel(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("model", [*TYPICAL, QuadraticMLP(7, 16, dropout=0.2)])
def test_dropout_acts_in_training_only(model):
    params, tokens = initialized(model), equations(model)
    evaluated = apply(model, params, tokens)
    np.testing.assert_allclose(
        apply(model, params, tokens, dropout=0.9), evaluated, rtol=1e-6, atol=1e-7
    )
    trained = apply(model, params, tokens, key=KEY)
    assert not np.allclose(trained, evaluated, rtol=1e-3)
    rate = lambda key, rate: apply(model, params, tokens, key=key, dropout=rate)
    np.testing.assert_allclose(rate(KEY, 0.0), evaluated, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rate(KEY, model.dropout), trained, rtol=1e-4, atol=1e-5)
    assert not np.allclose(rate(jax.random.key(9), model.dropout), trained, rtol=1e-3)


def test_every_row_has_its_own_mask():
    model = Transformer(7, **SMALL, layers=1, norm="pre", dropout=0.5)
    logits = apply(model, initialized(model), np.full((40, 2), 3, np.int32), key=KEY)
    assert len(np.unique(np.round(logits, 4), axis=0)) == 40


def test_dropout_preserves_the_mean_of_a_linear_readout():
    """The logits of one hidden layer are linear in its mask: their mean is the evaluation."""
    model = MLP(7, hidden=(64,), vocabulary=1, dropout=0.3)
    params = initialized(model)
    tokens = jnp.asarray(equations(model, 4))
    draws = np.stack([apply(model, params, tokens, key=key) for key in jax.random.split(KEY, 400)])
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - model.apply(params, tokens)) < 4.5 * error)


def test_weight_noise_moves_all_parameters_in_training_only():
    inner = MLP(7, hidden=(12,), vocabulary=1, dropout=0.0)
    model = models.with_weight_noise(inner, 0.1)
    tokens = jnp.asarray(equations(inner))
    params = initialized(inner)
    clean = inner.apply(params, tokens)
    np.testing.assert_array_equal(model.apply(params, tokens), clean)
    np.testing.assert_array_equal(model.apply(params, tokens, weight_noise=5.0), clean)
    assert not np.allclose(model.apply(params, tokens, key=KEY), clean)
    none = model.apply(params, tokens, key=KEY, weight_noise=jnp.float32(0))
    np.testing.assert_allclose(none, clean, rtol=1e-5, atol=1e-6)
    half = model.apply(params, tokens, key=KEY, weight_noise=0.05) - clean
    whole = model.apply(params, tokens, key=KEY, weight_noise=0.1) - clean
    assert 1.5 < np.linalg.norm(whole) / np.linalg.norm(half) < 2.5
    assert (model.p, model.operands) == (7, 2)


@dataclasses.dataclass(frozen=True)
class Bare:
    """Returns its parameters, to see what training does to them."""

    def init(self, key, tokens):
        return {"a": jnp.zeros((400, 100)), "b": {"c": jnp.ones(10_000)}}

    def apply(self, params, tokens, *, key=None):
        return jnp.concatenate([params["a"].ravel(), params["b"]["c"]])


def test_weight_noise_is_gaussian_and_new_for_each_key():
    model = models.with_weight_noise(Bare(), 0.02)
    params = model.init(KEY, None)
    draw = lambda seed: np.asarray(model.apply(params, None, key=jax.random.key(seed)))
    first, second = draw(0), draw(1)
    a, b = first[:40_000] / 0.02, (first[40_000:] - 1) / 0.02
    for part in (a, b):
        assert scipy.stats.kstest(part, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(a[:10_000], b)[0, 1]) < 0.04  # leaves do not share their noise
    assert abs(np.corrcoef(first[:40_000], second[:40_000])[0, 1]) < 0.02


# -- linen ---------------------------------------------------------------------------------------


class SumNetwork(nn.Module):
    """An embedding summed over the operands, dropout, and a readout."""

    p: int
    width: int = 32

    @nn.compact
    def __call__(self, tokens, train):
        x = nn.Embed(self.p, self.width)(tokens).sum(axis=-2)
        x = nn.Dropout(0.3, deterministic=not train)(nn.relu(nn.Dense(self.width)(x)))
        return nn.Dense(self.p)(x)


class NoFlag(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        return nn.Embed(5, 5)(tokens).sum(axis=-2)


class Batchy(nn.Module):
    @nn.compact
    def __call__(self, tokens, train):
        x = nn.Embed(5, 5)(tokens).sum(axis=-2)
        return nn.BatchNorm(use_running_average=not train)(x)


def test_any_linen_module_is_a_model():
    model = LinenModel(SumNetwork(5))
    assert model == LinenModel(SumNetwork(5))
    assert hash(model) == hash(LinenModel(SumNetwork(5)))
    tokens = jnp.asarray(tasks.modular_addition(5).tokens)
    params = model.init(KEY, tokens)
    expected = model.module.apply({"params": params}, tokens, train=False)
    np.testing.assert_array_equal(model.apply(params, tokens), expected)
    trained = model.apply(params, tokens, key=KEY)
    assert not np.allclose(trained, expected)
    np.testing.assert_array_equal(trained, model.apply(params, tokens, key=KEY))
    plain = LinenModel(NoFlag())
    params = plain.init(KEY, tokens)
    np.testing.assert_array_equal(plain.apply(params, tokens, key=KEY), plain.apply(params, tokens))


def test_linen_modules_that_cannot_be_models_are_refused():
    with pytest.raises(ValueError, match=r"keeps \['batch_stats'\] besides its parameters"):
        LinenModel(Batchy()).init(KEY, jnp.zeros((1, 2), jnp.int32))
    with pytest.raises(ValueError, match="not hashable"):
        LinenModel(SumNetwork([5]))


def test_linen_is_imported_on_demand():
    code = """
import sys
from grokjax import models
assert "flax.linen" not in sys.modules
assert models.MLP(5).p == 5
assert "flax.linen" in sys.modules
try:
    models.CNN
except AttributeError as error:
    assert "CNN" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# -- models as parts of a recipe ---------------------------------------------------------------


def test_equal_models_hash_equal():
    pairs = [
        (Transformer(97), Transformer(97, hidden=512, readout="mean")),
        (Transformer(7, equation=True), Transformer(np.int64(7), readout="last", equation=True)),
        (MLP(7), MLP(7, hidden=[256, 256])),
        (LSTM(7), LSTM(7, width=np.int32(128))),
        (models.with_weight_noise(LSTM(7), 0.1), models.with_weight_noise(LSTM(7), 0.1)),
    ]
    for one, other in pairs:
        assert one == other
        assert hash(one) == hash(other)
    assert Transformer(7, equation=True) != Transformer(7)
    assert models.with_weight_noise(LSTM(7), 0.1) != models.with_weight_noise(LSTM(7), 0.2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Transformer(1), r"p must be an integer of at least 2, got 1"),
        (lambda: Transformer(7, width=30), r"multiple of heads, got width=30 and heads=4"),
        (lambda: Transformer(7, width=9, heads=3), r"width must be even"),
        (lambda: Transformer(7, layers=0), r"layers must be a positive integer, got 0"),
        (lambda: Transformer(7, norm="both"), r'norm must be "post" or "pre", got \'both\''),
        (lambda: Transformer(7, readout="first"), r'"mean" or "last"'),
        (lambda: Transformer(7, positions="rotary"), r'"sinusoidal" or "learned"'),
        (lambda: Transformer(7, dropout=1.0), r"dropout must be in \[0, 1\), got 1.0"),
        (lambda: LSTM(7, width=2.5), r"width must be a positive integer, got 2.5"),
        (lambda: LSTM(7, embedding=0), r"embedding must be a positive integer"),
        (lambda: LSTM(7, dropout=-0.1), r"dropout must be in"),
        (lambda: MLP(7, hidden=()), r"hidden must be positive integers"),
        (lambda: MLP(7, hidden=256), r"such as \(256, 256\), got 256"),
        (lambda: MLP(7, hidden=(3, 0)), r"hidden\[1\] must be a positive integer, got 0"),
        (lambda: MLP(7, operands=0), r"operands must be a positive integer"),
        (lambda: MLP(7, dropout=2), r"dropout must be in"),
        (lambda: models.with_weight_noise(LSTM(7), -1.0), r"std must be .* got -1.0"),
        (lambda: models.with_weight_noise(LSTM(7), np.nan), r"std must be .* got nan"),
    ],
)
def test_bad_fields_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_equations_of_another_length_are_refused():
    model = MLP(7, hidden=(8,))
    params = initialized(model)
    for call in (model.init, lambda _, tokens: model.apply(params, tokens)):
        with pytest.raises(ValueError, match=r"3 operands.*MLP\(operands=3\)"):
            call(KEY, jnp.zeros((1, 3), jnp.int32))


def test_numbers_that_lanes_may_set():
    assert list(models.sweepable(Transformer(7))) == ["dropout"]
    assert list(models.sweepable(QuadraticMLP(7, 8))) == ["dropout"]
    assert set(models.sweepable(models.with_weight_noise(LSTM(7)))) == {"dropout", "weight_noise"}
    assert models.sweepable(LinenModel(SumNetwork(5))) == {}


TRAINED = [
    Transformer(6, layers=1, **SMALL, equation=True),
    LSTM(6, layers=1, width=8, vocabulary=1),
    models.with_weight_noise(MLP(5, hidden=(16,), vocabulary=1), 0.01),
    LinenModel(SumNetwork(5, 8)),
]


@pytest.mark.parametrize("model", TRAINED, ids=["transformer", "lstm", "noisy mlp", "linen"])
def test_a_lane_trains_to_the_same_in_any_company(model):
    recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw, batch_size=8)
    numbers = {name: [0.2, 0.1, 0.0] for name in models.sweepable(model)}

    def run(seeds, vectorize):
        """The lanes of some of the seeds 0, 1, 2, the third through a slot that was left."""
        columns = {"seed": [0, 1, 2], "alpha": [0.5, 0.8, 0.8], **numbers}
        lanes = grokjax.zip_lanes(
            **{name: np.asarray(column)[seeds] for name, column in columns.items()},
            learning_rate=np.full(len(seeds), 1e-2),
        )
        task = tasks.modular_addition(getattr(model, "p", 5))
        mesh = grokjax.lane_mesh(jax.devices()[:1])
        return grokjax.run_sweep(
            recipe, task, lanes, max_steps=6, eval_every=3, stop=None, mesh=mesh, slots=2,
            vectorize=vectorize, progress=False,
        )  # fmt: skip

    together, other = run([0, 1, 2], True), run([2, 0], True)
    loss = np.asarray(together.dataset.train_loss)
    assert np.all(loss[:, -1] < loss[:, 0])
    for a, b in zip(jax.tree.leaves(together.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_allclose(np.asarray(a)[[2, 0]], np.asarray(b), rtol=1e-4, atol=1e-5)


def test_dropout_and_weight_noise_are_lane_columns():
    model = models.with_weight_noise(MLP(5, hidden=(16,), vocabulary=1, dropout=0.0), 0.0)
    recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw)
    lanes = grokjax.grid(dropout=[0.0, 0.5], weight_noise=[0.0, 0.3], alpha=0.8, learning_rate=1e-2)
    result = grokjax.run_sweep(
        recipe, tasks.modular_addition(5), lanes, max_steps=5, eval_every=5, stop=None,
        mesh=grokjax.lane_mesh(jax.devices()[:1]), progress=False,
    )  # fmt: skip
    loss = np.asarray(result.dataset.train_loss)
    assert np.all(loss[:, 0] == loss[0, 0])  # evaluation of the same start has no noise
    assert len(np.unique(loss[:, -1])) == 4


def test_docstrings_name_every_field():
    for model in (Transformer, LSTM, MLP):
        text = inspect.getdoc(model)
        for field in dataclasses.fields(model):
            assert f"\n  {field.name}: " in text
