"""The networks: shapes of the sources, causality, padding, and NumPy written beside them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import (
    ALL,
    KEY,
    SMALL,
    TYPICAL,
    apply,
    equations,
    initialized,
    named,
)

from grokjax.models import LSTM, MLP, Transformer, transformer
from grokjax.tasks import PAD


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


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
    params = jax.jit(model.init)(KEY, tokens)
    is_normal(params["embed"]["embedding"], 1)
    is_normal(params["positions"], 32**-0.5)
    is_uniform(params["readout"]["kernel"], 32)
    block = params["block_0"]
    for name, fan_in in [("query", 32), ("key_value", 32), ("out", 32), ("contract", 128)]:
        is_uniform(block[name]["kernel"], fan_in)
    assert block["norm_attention"]["scale"].tolist() == [1.0] * 32
    assert block["norm_attention"]["bias"].tolist() == [0.0] * 32
    for leaf in jax.tree.leaves(jax.jit(LSTM(97, width=40).init)(KEY, tokens)):
        is_uniform(leaf, 40)
    params = jax.jit(MLP(97, hidden=(64, 64)).init)(KEY, tokens[:, :2])
    is_uniform(params["kernel_0"], 478)
    is_uniform(params["bias_0"], 478)
    is_uniform(params["layer_2"]["kernel"], 64)
    is_uniform(params["layer_2"]["bias"], 64)


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


def table_of(params):
    """Where tokens enter: the embedding, or the input weights of one-hot tokens."""
    return ("embed", "embedding") if "embed" in params else ("cell_0", "weight_x")


def influence(params, output):
    """The gradient of `output(params)` with respect to what stands for each token, in magnitude."""
    name, leaf = table_of(params)
    changed = lambda table: {**params, name: {**params[name], leaf: table}}
    table = params[name][leaf]
    gradient = jax.jit(jax.jacobian(lambda table: output(changed(table))))(table)
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
        (end,) = ends["__call__"]  # the rows of all four positions, one after another
        return jnp.sum(jnp.sin(end).reshape(4, -1), axis=1)

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
    gradients = jax.jit(jax.grad(output))(params)
    name, leaf = table_of(params)
    gradient = np.abs(gradients[name][leaf]).sum(axis=-1)
    real = [3, 5, 7, 8] if getattr(model, "equation", False) else [3, 5]
    assert np.all(gradient[real] > 0)
    gradient[real] = 0
    assert not gradient.any()
    if getattr(model, "positions", None) == "learned":
        used = np.abs(gradients["positions"]).sum(axis=1) > 0
        assert used.tolist() == [True, True, False, False]


@pytest.mark.parametrize("model", TYPICAL[:-1], ids=named)
def test_a_padded_equation_is_the_same_equation_alone(model):
    params = initialized(model, operands=5)
    for operands in (1, 2, 4):
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
