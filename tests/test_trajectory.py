"""One whole run as a pure function: what a sweep gives, in one call, and differentiable."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import grokjax
from grokjax import losses, measures, models, optimizers, tasks, train

TASK = tasks.modular_addition(7)
MODEL = models.QuadraticMLP(7, 16, parameterization="standard")
COLUMNS = grokjax.grid(alpha=[0.4, 0.6], seed=range(2), learning_rate=1e-2, weight_decay=1.0)
OPTIONS = {"max_steps": 25, "eval_every": 10}
DROPPED = grokjax.grid(seed=range(2), learning_rate=1e-2, dropout=0.3, logit_scale=2.0)

RECIPES = {
    "full batch": (grokjax.Recipe(MODEL, losses.mse, optimizers.adamw), COLUMNS),
    "minibatches": (
        grokjax.Recipe(MODEL, losses.cross_entropy, optimizers.adamw, batch_size=5),
        COLUMNS,
    ),
    "columns of the model": (
        grokjax.Recipe(MODEL, losses.mse, optimizers.adam, measures=(measures.weight_norms,)),
        DROPPED,
    ),
}


def in_one_call(recipe, table, **options):
    run = lambda lane: train.trajectory(recipe, TASK, lane, **options)
    return jax.jit(jax.vmap(run))(train.lanes(recipe, TASK, table))


@pytest.fixture(scope="module")
def full_batch():
    return in_one_call(*RECIPES["full batch"], **OPTIONS)


@pytest.mark.parametrize("name", RECIPES)
def test_one_call_gives_what_a_sweep_gives(name):
    recipe, table = RECIPES[name]
    state, measured = in_one_call(recipe, table, **OPTIONS)
    sweep = grokjax.run_sweep(recipe, TASK, table, stop=None, progress=False, **OPTIONS)
    assert sweep.dataset.step.values.tolist() == [0, 10, 20, 25]
    for name, values in measured.items():
        np.testing.assert_allclose(values, sweep.dataset[name], rtol=2e-4, atol=1e-6, err_msg=name)
    assert set(measured) == {k for k, v in sweep.dataset.data_vars.items() if v.ndim == 2}
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-3, atol=1e-5),
        state.params, sweep.params,
    )  # fmt: skip
    np.testing.assert_array_equal(state.step, 25)


def test_splits_are_those_of_the_sweep_bit_for_bit(full_batch):
    state, _ = full_batch
    for i, seed in enumerate(COLUMNS["seed"]):
        order = tasks.split_order(TASK, grokjax.keys.split_key(seed))
        np.testing.assert_array_equal(state.order[i], order)


def test_steps_may_be_a_list_and_rows_a_bound(full_batch):
    recipe, table = RECIPES["full batch"]
    _, given = in_one_call(recipe, table, max_steps=25, eval_every=[10, 20], rows=40)
    np.testing.assert_allclose(given["train_loss"], full_batch[1]["train_loss"], rtol=2e-4)


def test_hypergradients_are_those_of_finite_differences():
    recipe, table = RECIPES["full batch"]
    one = jax.tree.map(lambda x: jnp.asarray(x[3]), train.lanes(recipe, TASK, table))

    def last(numbers):
        lane = one._replace(hyperparameters=numbers)
        return train.trajectory(recipe, TASK, lane, **OPTIONS)[1]["test_loss"][-1]

    slopes = jax.jit(jax.grad(last))(one.hyperparameters)
    compiled = jax.jit(last)
    for name, at in one.hyperparameters.items():
        step = 0.02 * at
        above, below = (
            compiled(one.hyperparameters | {name: value}) for value in (at + step, at - step)
        )
        assert abs(slopes[name]) > 1e-6
        np.testing.assert_allclose(slopes[name], (above - below) / (2 * step), rtol=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_steps": 0}, "max_steps must be a positive integer"),
        ({"eval_every": 0}, "eval_every must be a positive integer"),
        ({"eval_every": [3, 2]}, "steps of at least 0 that increase"),
        ({"rows": 0}, "rows must be a positive integer"),
    ],
)
def test_bad_steps_are_refused(options, message):
    recipe, table = RECIPES["full batch"]
    lane = jax.tree.map(lambda x: x[0], train.lanes(recipe, TASK, table))
    with pytest.raises(ValueError, match=message):
        train.trajectory(recipe, TASK, lane, **(OPTIONS | options))


def test_a_bound_that_is_too_small_is_told():
    recipe, table = RECIPES["full batch"]
    lane = jax.tree.map(lambda x: x[0], train.lanes(recipe, TASK, table))
    with pytest.raises(ValueError, match="rows=10 is less than the 20 rows of a step"):
        train.trajectory(recipe, TASK, lane, rows=10, **OPTIONS)
    _, measured = in_one_call(recipe, table, max_steps=1, eval_every=1, rows=20)
    loss = measured["train_loss"]
    assert jnp.isfinite(loss[:2]).all()  # alpha 0.4
    assert jnp.isnan(loss[2:]).all()  # alpha 0.6 has 29 rows


def test_lanes_are_checked():
    recipe, _ = RECIPES["full batch"]
    with pytest.raises(ValueError, match="unknown lane column 'rate'"):
        train.lanes(recipe, TASK, {"rate": [1.0]})
