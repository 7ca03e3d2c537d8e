"""Optimizers and noise in sweeps: each lane has its own numbers."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import grokjax
from grokjax import losses, models, optimizers, tasks, train

P = 7
TASK = tasks.modular_addition(P)
EVERYTHING = optimizers.with_update_noise(
    optimizers.chain(
        optimizers.grokfast_ema_filter, optimizers.orthograd_filter, optimizers.adamw_to_init
    )
)
LANES = grokjax.grid(
    seed=range(2),
    learning_rate=0.01,
    weight_decay=0.1,
    warmup=[0, 5],
    lamb=1.0,
    update_noise=[0.0, 0.5],
)


def noisy_recipe():
    model = models.QuadraticMLP(P, 16, parameterization="standard")
    optimizer = optimizers.chain(*EVERYTHING.parts)
    return grokjax.Recipe(model, losses.stablemax_cross_entropy, optimizer)


def swept(lanes, **settings):
    settings = {"max_steps": 12, "eval_every": 6, "stop": None, "progress": False} | settings
    return grokjax.run_sweep(noisy_recipe(), TASK, lanes, **settings)


@pytest.fixture(scope="module")
def noisy():
    return swept(LANES)


def test_a_wrapped_optimizer_runs_and_new_numbers_compile_nothing(noisy):
    assert noisy.dataset.attrs["compilations"] > 0
    assert np.isfinite(noisy.dataset.train_loss).all()
    other = swept(LANES | {"lamb": LANES["lamb"] / 2, "update_noise": LANES["update_noise"] + 1})
    assert other.dataset.attrs["compilations"] == 0
    assert not np.array_equal(other.params["w1"], noisy.params["w1"])


def test_update_noise_follows_the_order_seed(noisy):
    again = swept({name: column[::-1] for name, column in LANES.items()})
    for name in ("w1", "w2"):
        same = again.params[name][::-1]
        np.testing.assert_allclose(same, noisy.params[name], rtol=1e-5, atol=1e-6)
    other = swept(LANES | {"order_seed": LANES["seed"] + 10})
    moved = np.abs(other.params["w1"] - noisy.params["w1"]).max(axis=(1, 2, 3))
    loud = LANES["update_noise"] > 0
    assert (moved[loud] > 1e-3).all()
    assert (moved[~loud] < 1e-6).all()


def test_the_warmup_of_one_lane_is_not_that_of_another(noisy):
    quiet = noisy.dataset.update_noise == 0
    loss = noisy.dataset.where(quiet, drop=True).isel(time=1).set_index(lane=["seed", "warmup"])
    later = loss.train_loss.sel(warmup=5).values
    assert (later > loss.train_loss.sel(warmup=0).values).all()


def test_a_wrong_name_is_refused_with_the_accepted_ones():
    with pytest.raises(ValueError, match=r"'update_nois'.*Did you mean 'update_noise'.*ema_decay"):
        swept(grokjax.grid(learning_rate=0.01, update_nois=0.1))


def test_noise_moves_training_only_when_the_lane_has_some():
    recipe = dataclasses.replace(
        noisy_recipe(), optimizer=optimizers.with_update_noise(optimizers.gradient_descent)
    )
    lane = train.Lane(
        *(np.uint32(3),) * 3,
        np.int32(20),
        {"learning_rate": jnp.float32(0.5), "update_noise": jnp.float32(0.1)},
    )
    state = train.init_lane(recipe, TASK, lane)
    ends = {}
    for noise in (0.0, 0.1, 0.2):
        numbers = lane.hyperparameters | {"update_noise": jnp.float32(noise)}
        start = state._replace(lane=lane._replace(hyperparameters=numbers))
        ends[noise] = train.train_steps(recipe, TASK, start, jnp.int32(1), 49).params["w1"]
    one, two = (np.asarray(ends[noise] - ends[0.0]) for noise in (0.1, 0.2))
    np.testing.assert_allclose(two, 2 * one, rtol=1e-3, atol=1e-6)  # the same draw
    assert one.std() == pytest.approx(0.05, rel=0.2)
