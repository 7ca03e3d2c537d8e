"""Fields, rows, parameters, keys and rates that no model can have are refused by name."""

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
    KEY,
    SMALL,
    SumNetwork,
    equations,
    initialized,
)

from grokjax import kernels, models
from grokjax.models import LSTM, MLP, LinenModel, QuadraticMLP, Transformer


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
    return jax.jit(model.init)(KEY, jnp.zeros((1, 2), jnp.int32))


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


def test_docstrings_name_every_field():
    for model in (Transformer, LSTM, MLP):
        text = inspect.getdoc(model)
        for field in dataclasses.fields(model):
            assert f"\n  {field.name}: " in text
