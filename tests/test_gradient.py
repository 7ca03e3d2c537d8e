"""The written-out gradient of the quadratic network, against automatic differentiation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import losses, models, optimizers, tasks, train
from grokjax.train import gradient

P, ROWS = 5, 19
KEY = jax.random.key(0)


def quadratic(operands=2, **fields):
    return models.QuadraticMLP(P, 8, operands=operands, **fields)


def recipe_of(model, loss=losses.mse, **fields):
    return train.Recipe(model, loss, optimizers.gradient_descent, **fields)


def lane_of(**columns):
    named = {"logit_scale": columns.pop("logit_scale", None)}
    numbers = {name: jnp.float32(value) for name, value in columns.items()}
    seed = np.uint32(0)
    return train.Lane(seed, seed, seed, np.int32(9), numbers)._replace(**named)


def rows(operands=2, seed=0):
    """Random rows: operands that are missing, and padding of weight 0 at the end."""
    draw = np.random.default_rng(seed)
    tokens = draw.integers(0, P, (ROWS, operands), np.int32)
    if operands > 2:
        tokens[::3, -1] = tasks.PAD
    weights = np.where(np.arange(ROWS) < 15, draw.uniform(0.5, 1.5, ROWS), 0.0)
    return tokens, draw.integers(0, P, ROWS, np.int32), np.float32(weights)


def automatic(recipe, lane, params, tokens, labels, weights):
    """The reference: the definition, differentiated by JAX."""

    def objective(params):
        scale = 1.0 if lane.logit_scale is None else lane.logit_scale
        logits = scale * recipe.model.apply(params, tokens)
        total = jnp.sum(weights * recipe.loss(logits, labels))
        return total + recipe.evaluate_penalty(params, lane.hyperparameters)

    return jax.grad(objective)(params)


def gradient_at(recipe, lane, params, tokens, labels, weights):
    return gradient.loss_gradient(recipe, lane, tokens, labels, weights)(params, KEY)


def assert_close(one, other):
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=2e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("tile", [10**6, 8 * 7])  # all rows at once; three tiles, one not full
@pytest.mark.parametrize("parameterization", ["mean_field", "standard"])
@pytest.mark.parametrize("operands", [1, 2, 3])
def test_it_is_the_gradient_of_the_loss(operands, parameterization, tile, monkeypatch):
    monkeypatch.setattr(gradient, "TILE", tile)
    recipe = recipe_of(quadratic(operands, parameterization=parameterization))
    given = rows(operands)
    params = recipe.model.init(KEY, given[0])
    found = gradient_at(recipe, lane_of(), params, *given)
    assert_close(found, automatic(recipe, lane_of(), params, *given))


def test_the_scale_of_the_logits_and_a_penalty_are_part_of_it():
    penalty = lambda params, *, strength: strength * jnp.sum(params["w1"] ** 2)
    recipe = recipe_of(quadratic(parameterization="standard"), penalty=penalty)
    lane = lane_of(logit_scale=np.float32(0.3), strength=0.7)
    params, given = recipe.model.init(KEY, rows()[0]), rows()
    found = gradient_at(recipe, lane, params, *given)
    assert_close(found, automatic(recipe, lane, params, *given))
    assert np.abs(found["w1"] - 1.4 * params["w1"]).max() > 1e-3  # both parts count


def test_a_label_that_is_no_class_is_not_a_number():
    recipe, (tokens, labels, weights) = recipe_of(quadratic()), rows()
    params, labels = recipe.model.init(KEY, tokens), labels.copy()
    labels[2] = P
    by_hand = lambda labels: gradient_at(recipe, lane_of(), params, tokens, labels, weights)
    by_jax = lambda labels: automatic(recipe, lane_of(), params, tokens, labels, weights)
    for f in (by_hand, by_jax):
        assert np.isnan(jax.jit(f)(labels)["w2"]).all()


@pytest.mark.parametrize("tile", [10**6, 8 * 7])
def test_it_can_be_mapped_and_differentiated_again(tile, monkeypatch):
    monkeypatch.setattr(gradient, "TILE", tile)
    recipe, given = recipe_of(quadratic(parameterization="standard")), rows()
    several = [recipe.model.init(jax.random.key(seed), given[0]) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *several)
    by_hand = lambda params: gradient_at(recipe, lane_of(), params, *given)
    by_jax = lambda params: automatic(recipe, lane_of(), params, *given)
    found = jax.vmap(by_hand)(stacked)
    for i, params in enumerate(several):
        assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], found), by_jax(params))
    along = jax.tree.map(jnp.cos, several[0])
    assert_close(*(jax.jvp(f, (several[0],), (along,))[1] for f in (by_hand, by_jax)))
    length = lambda f: lambda params: sum(jnp.sum(g**2) for g in jax.tree.leaves(f(params)))
    assert_close(*(jax.grad(length(f))(several[0]) for f in (by_hand, by_jax)))


@dataclasses.dataclass(frozen=True)
class Cubic(models.QuadraticMLP):
    """A network of another kind that has all fields of the quadratic one."""

    def apply(self, params, tokens, *, key=None):
        return super().apply(params, tokens, key=key) ** 3


OTHERS = {
    "another activation": recipe_of(quadratic(activation=jax.nn.relu)),
    "normalized": recipe_of(quadratic(parameterization="standard", normalize=True)),
    "dropout": recipe_of(quadratic(dropout=0.1)),
    "another loss": recipe_of(quadratic(), losses.cross_entropy),
    "a loss of one's own": recipe_of(
        quadratic(), lambda logits, labels: losses.mse(logits, labels)
    ),
    "a wrapper": recipe_of(models.with_weight_noise(quadratic())),
    "a class of one's own": recipe_of(Cubic(P, 8)),
}


@pytest.mark.parametrize("name", [*OTHERS, "dropout of a lane"])
def test_anything_else_is_differentiated_automatically(name, monkeypatch):
    lane = lane_of(dropout=0.2) if name == "dropout of a lane" else lane_of()
    recipe = OTHERS.get(name, recipe_of(quadratic()))
    if name == "a wrapper":
        lane = lane_of(weight_noise=0.1)
    given = rows()
    params = recipe.model.init(KEY, jnp.asarray(given[0]))
    monkeypatch.setattr(gradient, "quadratic_gradient", None)  # calling it would fail
    found = gradient_at(recipe, lane, params, *given)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(found))


def test_the_quadratic_network_on_the_squared_error_is_not(monkeypatch):
    called = []
    monkeypatch.setattr(gradient, "quadratic_gradient", lambda *given: called.append(given))
    recipe = recipe_of(quadratic())
    gradient.loss_gradient(recipe, lane_of(), *rows())
    assert called
