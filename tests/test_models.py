"""The networks: shapes of the sources, causality, padding, and NumPy written beside them."""

import dataclasses
import functools
import inspect
import re

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from networks import (
    ALL,
    KEY,
    SMALL,
    TYPICAL,
    SumNetwork,
    apply,
    compiled,
    equations,
    initialized,
    named,
)

import grokjax
from grokjax import kernels, losses, models, optimizers, tasks
from grokjax.models import LSTM, MLP, LinenModel, QuadraticMLP, Transformer, transformer
from grokjax.tasks import PAD


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
        (lambda: Transformer(7, dropout=1.0), r"dropout must be .* below 1, got 1.0"),
        (lambda: LSTM(7, width=2.5), r"width must be a positive integer, got 2.5"),
        (lambda: LSTM(7, embedding=0), r"embedding must be a positive integer"),
        (lambda: LSTM(7, dropout=-0.1), r"dropout must be a finite number"),
        (lambda: MLP(7, hidden=()), r"hidden must be one layer or more"),
        (lambda: MLP(7, hidden=256), r"such as \(256, 256\), got 256"),
        (lambda: MLP(7, hidden=(3, 0)), r"hidden\[1\] must be a positive integer, got 0"),
        (lambda: MLP(7, operands=0), r"operands must be a positive integer"),
        (lambda: MLP(7, dropout=2), r"dropout must be a finite number"),
        (lambda: models.with_weight_noise(LSTM(7), -1.0), r"std must be .* got -1.0"),
        (lambda: models.with_weight_noise(LSTM(7), np.nan), r"std must be .* got nan"),
    ],
)
def test_bad_fields_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def wrong_fields():
    """Fields of every kind, and a value of each other kind: all of them are refused."""
    makes = {
        "p": lambda x: QuadraticMLP(x, 8),
        "width": lambda x: LSTM(7, width=x),
        "operands": lambda x: models.LogitTable(7, x),
        "degree": models.power,
        "activation": lambda x: QuadraticMLP(7, 8, activation=x),
        "parameterization": lambda x: QuadraticMLP(7, 8, parameterization=x),
        "normalize": lambda x: QuadraticMLP(7, 8, normalize=x),
        "equation": lambda x: Transformer(7, equation=x),
        "norm": lambda x: Transformer(7, norm=x),
        "heads": lambda x: Transformer(7, heads=x),
        "vocabulary": lambda x: MLP(7, vocabulary=x),
        "hidden": lambda x: MLP(7, hidden=x),
        "dropout": lambda x: MLP(7, dropout=x),
        "std": lambda x: models.with_weight_noise(LSTM(7), x),
        "module": LinenModel,
    }
    values = ["relu", 2.5, -1, {"a": 1}, [[8]], 1j, object()]
    for name, make in makes.items():
        for value in values:
            if (name, value) != ("std", 2.5):
                yield pytest.param(name, make, value, id=f"{name}={type(value).__name__}")


@pytest.mark.parametrize(("name", "make", "value"), list(wrong_fields()))
def test_fields_of_another_kind_are_refused_by_name(name, make, value):
    with pytest.raises(ValueError, match=rf"^{name}(\[0\])? must be "):
        make(value)


def test_numbers_of_numpy_and_lists_are_fields():
    model = Transformer(np.int32(7), heads=jnp.int32(2), width=np.array(8), equation=np.True_)
    assert model == Transformer(7, heads=2, width=8, equation=True)
    assert MLP(7, hidden=np.array([3, 4]), dropout=np.float64(0.5)) == MLP(
        7, 2, (3, 4), dropout=0.5
    )


@pytest.mark.parametrize(
    "activation",
    [jnp.sum, lambda x: None, lambda x: x[..., :1], lambda: 1, models.power, np.mean],
)
def test_activations_that_are_none_are_refused(activation):
    model = QuadraticMLP(7, 8, activation=activation)
    params, tokens = initialized(QuadraticMLP(7, 8)), equations(model, 3)
    for call in (model.apply, jax.jit(model.apply)):
        with pytest.raises(ValueError, match=r"activation|degree"):
            call(params, tokens)


# One of each, with the parameters of two operands.
EACH = [
    QuadraticMLP(7, 8),
    MLP(7, hidden=(8,), vocabulary=1),
    LSTM(7, width=8, vocabulary=1),
    Transformer(7, **SMALL, layers=1),
    models.LogitTable(7),
    models.Mixture(QuadraticMLP(7, 8), models.LogitTable(7)),
    models.with_weight_noise(QuadraticMLP(7, 8)),
    kernels.Centred(MLP(7, hidden=(8,), vocabulary=1)),
    LinenModel(SumNetwork(7, 8)),
]
each = pytest.mark.parametrize("model", EACH, ids=lambda model: type(model).__name__)


@functools.cache
def of_each(model):
    return compiled(model.init)(KEY, jnp.zeros((1, 2), jnp.int32))


@each
@pytest.mark.parametrize(
    "tokens",
    [None, "ab", 3, [[1.0, 2.0]], [[True, False]], [[1], [1, 2]], {"n": 1}, np.zeros((2, 2), "U1")],
    ids=lambda tokens: type(tokens).__name__,
)
def test_tokens_that_are_no_integers_are_refused(model, tokens):
    with pytest.raises(ValueError, match=r"^tokens must be an array of integers of shape \[\.\.\."):
        model.apply(of_each(model), tokens)


@each
def test_traced_tokens_that_are_no_integers_are_refused(model):
    apply = jax.jit(lambda tokens: model.apply(of_each(model), tokens))
    with pytest.raises(ValueError, match=r"got float32 \[3, 2\]"):
        apply(jnp.ones((3, 2)))


@each
@pytest.mark.parametrize("operands", [0, 1, 3])
def test_another_number_of_operands_is_refused_where_the_model_fixes_it(model, operands):
    tokens = jnp.zeros((4, operands), jnp.int32)
    if operands and isinstance(model, LSTM | Transformer | LinenModel):
        assert model.apply(of_each(model), tokens).shape == (4, 7)
        return
    match = rf"the equations have {operands} operands, and the model operands=2; build it with"
    with pytest.raises(ValueError, match=match if operands else "operand"):
        model.apply(of_each(model), tokens)
    if isinstance(model, MLP):
        with pytest.raises(ValueError, match=match):
            model.init(KEY, tokens)


@each
def test_operands_that_a_model_does_not_know_are_refused(model):
    if isinstance(model, models.LogitTable | LinenModel):
        return  # NaN, as another test says, and the module's own affair
    for wrong in (7, -2):
        with pytest.raises(ValueError, match=rf"tokens must be from 0 to 6, or -1.*got {wrong}"):
            model.apply(of_each(model), np.array([[1, 2], [3, wrong]]))


@each
def test_rows_may_be_arrays_of_every_kind(model):
    tokens = np.array([[1, 2], [3, 6], [0, 0]], np.int32)
    expected = model.apply(of_each(model), tokens)
    kinds = [jnp.asarray, np.ndarray.tolist, xarray.DataArray, np.int8, np.uint8, np.uint64]
    for kind in kinds:
        np.testing.assert_array_equal(model.apply(of_each(model), kind(tokens)), expected)


@each
def test_what_is_no_key_is_refused(model):
    tokens = jnp.zeros((1, 2), jnp.int32)
    for key in (0, "a", jax.random.split(KEY), np.zeros(2)):
        if not isinstance(model, models.LogitTable):  # which draws nothing
            with pytest.raises(ValueError, match="key must be a JAX random key, got"):
                model.init(key, tokens)
        with pytest.raises(ValueError, match="key must be a JAX random key, or None for eval"):
            model.apply(of_each(model), tokens, key=key)
    with pytest.raises(ValueError, match="key must be a JAX random key"):
        EACH[0].init(None)


def wrong_params(params):
    """Parameters of nothing, of other types, of other shapes, of several networks."""
    name = next(iter(params))
    yield None
    yield "params"
    yield {}
    yield {"something": np.ones(3)}
    yield {key: value for key, value in params.items() if key != name}
    yield jax.tree.map(lambda leaf: "text", params)
    yield jax.tree.map(lambda leaf: np.ones((*leaf.shape[:-1], 3), np.float32), params)
    yield jax.tree.map(lambda leaf: np.stack([leaf, leaf]), params)


@each
@pytest.mark.parametrize("number", range(8))
def test_parameters_of_another_model_are_refused(model, number):
    wrong = list(wrong_params(of_each(model)))[number]
    with pytest.raises(ValueError, match="must be") as error:
        model.apply(wrong, np.array([[1, 2]]))
    assert re.match(r"params must be the model's|w_m1 must|each array of params", str(error.value))


@each
def test_traced_parameters_of_another_model_are_refused(model):
    wrong = jax.tree.map(lambda leaf: jnp.ones((*leaf.shape, 1)), of_each(model))
    with pytest.raises(ValueError, match=r"params must be the model's|w_m1 must be"):
        jax.jit(model.apply)(wrong, np.array([[1, 2]]))


def test_what_differs_in_parameters_is_named():
    model, tokens = EACH[1], np.array([[1, 2]])
    params = of_each(model)
    wider = of_each(dataclasses.replace(model, hidden=(9,)))
    with pytest.raises(ValueError, match=r"'bias_0' must be \[8\], got \[9\]; 'kernel_0' must be"):
        model.apply(wider, tokens)
    with pytest.raises(ValueError, match="'layer_9/kernel' is none of its parameters; the model"):
        model.apply(params | {"layer_9": {"kernel": np.ones(3)}}, tokens)
    with pytest.raises(ValueError, match=r"'w1' is missing; 'w2' is missing; 'bias_0' is none"):
        EACH[0].apply(params, tokens)
    lanes = jax.tree.map(lambda leaf: np.stack([leaf] * 3), params)
    with pytest.raises(ValueError, match="these are 3 networks, take one, as in jax"):
        model.apply(lanes, tokens)


def test_parameters_may_be_arrays_of_every_kind():
    tokens = equations(EACH[0], 5)
    for model in (EACH[0], EACH[1], EACH[4]):
        params = of_each(model)
        expected = model.apply(params, tokens)
        for kind in (np.asarray, lambda leaf: xarray.DataArray(np.asarray(leaf))):
            found = model.apply(jax.tree.map(kind, params), tokens)
            np.testing.assert_array_equal(found, expected)
        assert model.apply(flax.core.freeze(params), tokens).shape == expected.shape


@each
def test_rates_outside_their_bounds_are_refused(model):
    params, tokens = of_each(model), np.array([[1, 2]])
    for name in models.keywords(model):
        for wrong in (-0.1, np.nan, "a", True, [0.1], np.array([0.1, 0.2])):
            with pytest.raises(ValueError, match=f"{name} must be a finite number"):
                model.apply(params, tokens, **{name: wrong})
        with pytest.raises(ValueError, match=rf"{name} must be .* got float32 \[3\]"):
            jax.jit(lambda rate, name=name: model.apply(params, tokens, **{name: rate}))(
                jnp.zeros(3)
            )
    if "dropout" in models.keywords(model):
        with pytest.raises(ValueError, match="below 1, got 1"):
            model.apply(params, tokens, dropout=1)


def test_rates_may_be_numbers_of_every_kind():
    model, tokens = EACH[0], equations(EACH[0], 20)
    expected = model.apply(of_each(model), tokens, key=KEY, dropout=0.5)
    for rate in (np.float32(0.5), np.float64(0.5), np.array(0.5), jnp.float32(0.5)):
        found = model.apply(of_each(model), tokens, key=KEY, dropout=rate)
        np.testing.assert_array_equal(found, expected)
    clean = model.apply(of_each(model), tokens)
    np.testing.assert_array_equal(model.apply(of_each(model), tokens, key=KEY, dropout=0), clean)


TRAINED = [
    Transformer(6, layers=1, **SMALL, equation=True),
    LSTM(6, layers=1, width=8, vocabulary=1),
    models.with_weight_noise(MLP(5, hidden=(16,), vocabulary=1), 0.01),
    LinenModel(SumNetwork(5, 8)),
]


@pytest.mark.parametrize("model", TRAINED, ids=["transformer", "lstm", "noisy mlp", "linen"])
def test_a_lane_trains_to_the_same_in_any_company(model):
    recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw, batch_size=8)
    numbers = {name: [0.2, 0.1, 0.0] for name in models.keywords(model)}

    def run(seeds, vectorize):
        """The lanes of some of the seeds 0, 1, 2, the third through a slot that was left."""
        columns = {"seed": [0, 1, 2], "alpha": [0.5, 0.8, 0.8], **numbers}
        lanes = grokjax.zip_lanes(
            **{name: np.asarray(column)[seeds] for name, column in columns.items()},
            learning_rate=np.full(len(seeds), 1e-2),
        )
        task = tasks.modular_addition(getattr(model, "p", 5))
        return grokjax.run_sweep(
            recipe, task, lanes, max_steps=6, eval_every=3, stop=None, slots=2,
            vectorize=vectorize, devices=jax.devices()[:1], progress=False,
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
        devices=jax.devices()[:1], progress=False,
    )  # fmt: skip
    loss = np.asarray(result.dataset.train_loss)
    assert np.all(loss[:, 0] == loss[0, 0])  # evaluation of the same start has no noise
    assert len(np.unique(loss[:, -1])) == 4


def test_docstrings_name_every_field():
    for model in (Transformer, LSTM, MLP):
        text = inspect.getdoc(model)
        for field in dataclasses.fields(model):
            assert f"\n  {field.name}: " in text
