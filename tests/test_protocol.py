"""What a model must have and may have: what is asked of it, what is forwarded, what is not read."""

import dataclasses
import types

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from networks import KEY, SMALL, SumNetwork

import grokjax
from grokjax import kernels, losses, models, optimizers, tasks
from grokjax.models import LSTM, MLP, LinenModel, LogitTable, Mixture, QuadraticMLP, Transformer
from grokjax.models.protocol import check_columns, check_model, check_task, frozen_params, keywords

QUADRATIC = QuadraticMLP(5, 4)


@dataclasses.dataclass(frozen=True)
class Mine:
    """A model from outside, whose fields mean what its author wants them to."""

    p: float = 0.1  # of dropping something
    operands: str = "all of them"
    frozen: bool = True
    dropout: float = 7.0
    model: object = None
    check_task: str = "no method"
    keywords: tuple = ("a", "b")

    def init(self, key, tokens):
        return {"table": jnp.zeros((5, 5)), "frozen": jnp.ones(())}

    def apply(self, params, tokens, *, key=None, shift=0.0):
        return params["table"][tokens[..., 0]] + params["frozen"] + shift


@dataclasses.dataclass(frozen=True)
class Shifted(models.Wrapper):
    """Adds a number to all logits."""

    model: object

    def init(self, key, tokens):
        return self.model.init(key, tokens)

    def apply(self, params, tokens, *, key=None, shift=0.0, **numbers):
        return self.model.apply(params, tokens, key=key, **numbers) + shift


class NoKey:
    def init(self, key, tokens):
        return {}

    def apply(self, params, tokens):
        return tokens


class MoreThanEnough(NoKey):
    def apply(self, params, tokens, temperature, *, key=None):
        return tokens


class NoTokens(NoKey):
    def init(self, key):
        return {}

    def apply(self, params, tokens, *, key=None):
        return tokens


class Required(NoKey):
    """A keyword without default has to be a lane column: right."""

    def apply(self, params, tokens, key=None, *, loudness, **rest):
        return tokens


class KeyNetwork(nn.Module):
    """A flax module that can be called as a model."""

    def __call__(self, tokens, *, key=None):
        return tokens


# -- what a model must have --------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        QUADRATIC,
        Mine(),
        Required(),
        KeyNetwork(),
        Shifted(Mine()),
        LinenModel(SumNetwork(5)),
        types.SimpleNamespace(init=lambda key, tokens: {}, apply=lambda p, x, *, key: x),
    ],
)
def test_whatever_has_the_two_methods_is_a_model(model):
    assert check_model(model) is model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (QuadraticMLP, r"got the class QuadraticMLP; make one, as in QuadraticMLP\(\.\.\.\)"),
        (None, r"a model with init and apply, such as models.QuadraticMLP\(p=97, width=500\), got"),
        ("QuadraticMLP", "got 'QuadraticMLP'"),
        (optimizers.adamw(1e-3), "a model with init and apply"),
        (types.SimpleNamespace(init=lambda key, tokens: {}, apply=3), "a model with init and"),
        (SumNetwork(5), r"use models.LinenModel\(SumNetwork\(\.\.\.\)\)"),
        (NoKey(), r"model.apply must be a method \(params, tokens, \*, key=None\), got apply\(par"),
        (MoreThanEnough(), "missing a required argument: 'temperature'"),
        (NoTokens(), r"model.init must be a method \(key, tokens\), got init\(key\)"),
    ],
)
def test_anything_else_is_refused_with_help(model, message):
    with pytest.raises(ValueError, match=message):
        check_model(model)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: models.with_weight_noise(None), "model"),
        (lambda: models.with_weight_noise(QuadraticMLP), "model"),
        (lambda: kernels.Centred("model"), "model"),
        (lambda: Mixture(QUADRATIC, MLP), "generalizing"),
        (lambda: Mixture(3, QUADRATIC), "memorizing"),
        (lambda: LogitTable(5).tabulate(QuadraticMLP, {}), "model"),
        (lambda: kernels.trace(QuadraticMLP, {}, np.zeros((1, 2), int)), "model"),
        (lambda: grokjax.Recipe(QuadraticMLP, losses.mse, optimizers.adamw), "model"),
    ],
)
def test_models_are_checked_wherever_they_are_given(make, name):
    with pytest.raises(ValueError, match=f"{name} must be a model"):
        make()


@dataclasses.dataclass(frozen=True)
class Broken:
    """A model that has the two methods, and something wrong with one of them."""

    make: object = lambda: {"w": jnp.zeros((5, 5))}
    logits: object = lambda params, tokens, key, gain: params["w"][tokens[..., 0]] * gain

    def init(self, key, tokens):
        return self.make()

    def apply(self, params, tokens, *, key=None, gain=1.0):
        return self.logits(params, tokens, key, gain)


def run(model, p=5):
    recipe = grokjax.Recipe(model, losses.mse, optimizers.gradient_descent)
    return grokjax.run_sweep(
        recipe, tasks.modular_addition(p), {"learning_rate": 1.0, "gain": 0.5}, max_steps=1,
        eval_every=1, stop=None, progress=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: jnp.zeros((5, 4)) @ jnp.zeros((5, 4)),
            r"^init of the model Broken\(.*raised TypeError: dot_general requires",
        ),
        (
            lambda: {"v": jnp.zeros((5, 5)), "layers": [jnp.zeros(3)]},
            r"^apply of the model Broken\(.* raised KeyError: 'w'; its init returned "
            r"\{'layers': \[float32\[3\]\], 'v': float32\[5, 5\]\}\.$",
        ),
        (
            lambda: {"w": jnp.zeros((5, 5)), "layer": {"n": jnp.zeros(3, int)}},
            r"^the parameter 'layer/n' of the model Broken\(.*\) is int32; parameters are floating",
        ),
    ],
)
def test_parameters_that_do_not_fit_the_model_name_it(make, message):
    with pytest.raises(ValueError, match=message):
        run(Broken(make))


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (
            lambda params, tokens, key, gain: params["w"] if gain > 0 else -params["w"],
            r"^apply of the model Broken\(.*\) needs the value of 'gain' in Python, as `if`.* use "
            "jnp.where, jax.lax.cond",
        ),
        (  # in training alone
            lambda params, tokens, key, gain: (
                params["w"][tokens[..., 0]] * (key is None or gain > 0 or 1)
            ),
            "needs the value of 'gain' in Python",
        ),
        (
            lambda params, tokens, key, gain: np.asarray(params["w"])[tokens[..., 0]],
            "needs the value of 'w' in Python, .* and functions of jax.numpy",
        ),
        (
            lambda params, tokens, key, gain: params["w"][tokens].sum(axis=0),
            r"gives the logits float32\[2, 5\] for 6 equations, and the task 'n1\+n2 mod 5' needs "
            r"real numbers \[6, 5\], or more classes; return from apply a row of logits",
        ),
        (lambda params, tokens, key, gain: None, "gives the logits None for 6 equations"),
    ],
)
def test_logits_that_no_sweep_can_use_name_the_model(logits, message):
    with pytest.raises(ValueError, match=message) as caught:
        run(Broken(logits=logits))
    assert not getattr(caught.value, "__notes__", [])


def test_a_model_needs_as_many_classes_as_the_task_and_may_have_more():
    with pytest.raises(
        ValueError, match=r"float32\[8, 5\] for 8 .*; build the model with 7 classes"
    ):
        run(Broken(), 7)
    assert run(Broken(), 3).final("train_loss").shape == (1,)


# -- what a model may have ---------------------------------------------------------------------


def test_fields_of_a_model_from_outside_are_never_looked_at():
    task = tasks.modular_addition(7)
    check_task(Mine(), task)
    check_columns(Mine(), {"shift": np.array([-1.0]), "dropout": np.array([2.0])})
    assert frozen_params(Mine()) == ()
    assert list(keywords(Mine())) == ["shift"]
    for wrapper in (Shifted(Mine()), models.with_weight_noise(Mine()), kernels.Centred(Mine())):
        check_task(wrapper, task)


def test_a_model_with_fields_of_other_meanings_trains_all_of_its_parameters():
    recipe = grokjax.Recipe(Mine(), losses.mse, optimizers.gradient_descent)
    result = grokjax.run_sweep(
        recipe, tasks.modular_addition(5), {"learning_rate": 1.0}, max_steps=1, eval_every=1,
        stop=None, progress=False,
    )  # fmt: skip
    assert np.all(result.params["frozen"] != 1)


SHORT = tasks.Task(np.array([[1, 2], [3, -1]]), np.array([3, 3]), 5, "sums of one or two")
COMPARISON = tasks.Task(np.array([[1, 4], [3, 2]]), np.array([0, 1]), 2, "n > m", num_tokens=5)
ADDITION_5, ADDITION_7 = tasks.modular_addition(5), tasks.modular_addition(7)
OF_FIVE = [
    QUADRATIC,
    MLP(5, hidden=(4,)),
    LSTM(5, width=4),
    Transformer(5, **SMALL),
    LogitTable(5),
    Mixture(QUADRATIC, LogitTable(5)),
]
WRAPPERS = [Shifted, models.with_weight_noise, kernels.Centred]


def within(model):
    """The model alone, and inside of every wrapper that can hold it."""
    held = WRAPPERS[:2] if frozen_params(model) else WRAPPERS
    return [model, *(wrap(model) for wrap in held), Shifted(models.with_weight_noise(model))]


@pytest.mark.parametrize("model", OF_FIVE, ids=lambda model: type(model).__name__)
def test_tasks_of_another_modulus_are_refused_through_any_wrapper(model):
    message = r"the model has p=5, but the task 'n1\+n2 mod 7' has 7 classes; build it with p=7\."
    for one in within(model):
        check_task(one, ADDITION_5)
        check_task(one, COMPARISON)
        with pytest.raises(ValueError, match=message):
            check_task(one, ADDITION_7)


def test_operands_beyond_the_answers_count_for_the_modulus():
    with pytest.raises(ValueError, match=r"'n > m' has 5 different operands; build it with p=5"):
        check_task(MLP(2), COMPARISON)


def test_a_transformer_of_another_modulus_inside_centred_is_refused():
    with pytest.raises(ValueError, match=r"p=97, but the task .* has 113 classes"):
        check_task(kernels.Centred(Transformer(97)), tasks.modular_addition(113))


@pytest.mark.parametrize("model", OF_FIVE, ids=lambda model: type(model).__name__)
def test_models_that_fix_the_number_of_operands_refuse_another(model):
    task = tasks.modular_addition(5, 3)
    for one in within(model):
        if isinstance(model, LSTM | Transformer):
            check_task(one, task)
        else:
            with pytest.raises(ValueError, match=r"operands=2.*has 3; build it with operands=3"):
                check_task(one, task)


def test_shorter_equations_are_refused_by_tables_only():
    for model in OF_FIVE[:4]:
        check_task(model, SHORT)
    for model in within(LogitTable(5)) + within(Mixture(QUADRATIC, LogitTable(5))):
        with pytest.raises(ValueError, match="'sums of one or two' has shorter equations"):
            check_task(model, SHORT)


@pytest.mark.parametrize("model", OF_FIVE[:4], ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("bad", [1.0, 2.0, -0.1, np.nan])
def test_lane_columns_dropout_are_probabilities_below_one(model, bad):
    for one in within(model):
        check_columns(one, {"dropout": np.array([0.0, 0.5]), "weight_decay": np.array([bad])})
        message = f"'dropout' must be a finite number of at least 0 and below 1, got {bad}"
        with pytest.raises(ValueError, match=message):
            check_columns(one, {"dropout": np.array([0.1, bad, 9.0])})


def test_lane_columns_weight_noise_are_not_negative():
    model = Shifted(models.with_weight_noise(LogitTable(5)))
    check_columns(model, {"weight_noise": np.array([0.0, 3.0]), "dropout": np.array([9.0])})
    with pytest.raises(ValueError, match=r"'weight_noise' must be .* at least 0, got -0\.5"):
        check_columns(model, {"weight_noise": np.array([0.0, -0.5, -2.0])})
    check_columns(LogitTable(5), {"weight_noise": np.array([-1.0])})  # somebody else's column


def test_wrappers_have_the_keywords_of_the_model_inside_and_their_own():
    for model in OF_FIVE[:4]:
        assert list(models.keywords(model)) == ["dropout"]
    assert models.keywords(LinenModel(SumNetwork(5))) == models.keywords(OF_FIVE[5]) == {}
    inner = models.with_weight_noise(MLP(5))
    assert set(models.keywords(inner)) == {"dropout", "weight_noise"}
    assert set(models.keywords(kernels.Centred(inner))) == {"dropout", "weight_noise"}
    assert set(models.keywords(Shifted(Mine()))) == {"shift"}


def test_frozen_parameters_are_those_of_the_model_inside():
    mixture = Mixture(QUADRATIC, QUADRATIC)
    for one in within(mixture):
        assert frozen_params(one) == ("memorizing", "generalizing")
    assert frozen_params(kernels.Centred(QUADRATIC)) == ("initial",)
    assert frozen_params(QUADRATIC) == ()
    for inner in (mixture, kernels.Centred(QUADRATIC)):
        with pytest.raises(ValueError, match="one that trains all of its parameters"):
            kernels.Centred(inner)


def test_frozen_parameters_have_to_be_names():
    class Text(models.ModelBase):
        def frozen_params(self):
            return "initial"  # of which "in" is a part

    with pytest.raises(ValueError, match=r"a tuple of names.*got 'initial'"):
        frozen_params(Text())


def test_a_wrapper_computes_what_the_model_inside_does():
    params = QUADRATIC.init(KEY)
    tokens = ADDITION_5.tokens
    np.testing.assert_array_equal(
        Shifted(QUADRATIC).apply(params, tokens, shift=2.0), QUADRATIC.apply(params, tokens) + 2
    )
