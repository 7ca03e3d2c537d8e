"""Minibatches: which rows a step trains on, of runs alone and of lanes with sizes of their own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import grokjax
from grokjax import keys, tasks, train
from grokjax.train import grid

P = 7
TASK = tasks.modular_addition(P)


@dataclasses.dataclass(frozen=True)
class Counter:
    """A 'network' that counts how often each row was trained on."""

    p: int

    def init(self, key, tokens):
        return {"seen": jnp.zeros(self.p**2)}

    def apply(self, params, tokens, *, key=None):
        seen = params["seen"][tokens[..., 0] * self.p + tokens[..., 1]]
        return jnp.zeros((*seen.shape, self.p)).at[..., 0].set(seen)


# Jitted, so that runs of one recipe share their programs whatever rows they have.
init_lane = jax.jit(train.init_lane, static_argnums=0)
train_steps = jax.jit(train.train_steps, static_argnums=(0, 4))


def first_logit(logits, labels):
    return -logits[..., 0]


def sum_of_signs():
    """Adds one to whatever has a gradient."""
    return optax.stateless(lambda g, _: jax.tree.map(lambda x: -jnp.sign(x), g))


@pytest.mark.parametrize("num_train", [1, 2, 9, 20, 33, 48])
@pytest.mark.parametrize("batch_size", [1, 4, 16, 512])
def test_an_epoch_visits_every_training_row_once_in_a_new_order(num_train, batch_size):
    counting = train.Recipe(Counter(P), first_logit, sum_of_signs, batch_size=batch_size)
    lane = train.Lane(*[np.uint32(0)] * 3, np.int32(num_train), {})
    batch = min(batch_size, -(-num_train // 2))
    steps = -(-num_train // batch)
    state = init_lane(counting, TASK, lane)
    in_train = np.zeros(P * P)
    in_train[np.asarray(state.order)[:num_train]] = 1
    orders = []
    for epoch in (1, 2):
        state = train_steps(counting, TASK, state, jnp.int32(steps), TASK.num_rows)
        np.testing.assert_array_equal(state.params["seen"], epoch * in_train)
        orders.append(state.epoch_order[:num_train].tolist())
    assert sorted(orders[0]) == sorted(orders[1])
    tight = init_lane(counting, TASK, lane)
    tight = train_steps(counting, TASK, tight, jnp.int32(2 * steps), batch)
    np.testing.assert_array_equal(tight.params["seen"], state.params["seen"])
    if num_train >= 20:
        assert orders[0] != orders[1]


@pytest.mark.parametrize("vectorize", [False, True])
@pytest.mark.parametrize("sizes", [(), (3, 40, np.inf)], ids=["recipe", "column"])
def test_every_lane_goes_through_its_own_rows_once_an_epoch(task, vectorize, sizes):
    counting = grokjax.Recipe(Counter(11), first_logit, sum_of_signs, batch_size=16)
    column = {"batch_size": sizes} if sizes else {}
    lanes = grid(alpha=[0.05, 0.1, 0.25, 0.5, 0.8], seed=range(2), **column)
    steps = 23
    result = grokjax.run_sweep(
        counting, task, lanes, max_steps=steps, eval_every=6, stop=None, slots=3,
        vectorize=vectorize, progress=False,
    )  # fmt: skip
    for i, (alpha, seed) in enumerate(zip(lanes["alpha"], lanes["seed"], strict=True)):
        count = tasks.num_train_rows(task, alpha)
        trained = np.zeros(121, bool)
        trained[np.asarray(tasks.split_order(task, keys.split_key(seed)))[:count]] = True
        seen = result.params["seen"][i]
        size = lanes["batch_size"][i] if sizes else 16
        batch = count if size == np.inf else int(min(size, -(-count // 2)))
        epochs, place = divmod(steps, -(-count // batch))
        assert not seen[~trained].any()
        assert set(seen[trained]) <= {epochs, epochs + 1}
        assert seen.sum() == epochs * count + place * batch
        split = result.split(i)
        np.testing.assert_array_equal(split.train, trained)
        np.testing.assert_array_equal(split.test, ~trained)


@pytest.mark.parametrize("vectorize", [False, True])
def test_batch_sizes_are_a_lane_column(recipe, task, vectorize):
    """A lane with a batch size of its own is that lane under a recipe with that batch size."""
    recipe = dataclasses.replace(recipe, measures=())
    sizes = [7, 16, np.inf]
    columns = {"seed": [0, 1], "alpha": 0.7, "learning_rate": 1e-2}
    run = lambda recipe, lanes: grokjax.run_sweep(
        recipe, task, lanes, max_steps=12, eval_every=6, stop=None, slots=2, vectorize=vectorize,
        progress=False,
    )  # fmt: skip
    together = run(recipe, grid(batch_size=sizes, **columns))
    assert together.table().train_loss.dims == ("seed", "batch_size", "time")
    for i, size in enumerate(sizes):
        own = dataclasses.replace(recipe, batch_size=None if size == np.inf else size)
        alone = run(own, grid(**columns))
        for a, b in zip(
            jax.tree.leaves(together.select(range(2 * i, 2 * i + 2)).params),
            jax.tree.leaves(alone.params),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert len(np.unique(together.dataset.train_loss.values[:, -1])) == 6


def test_new_batch_sizes_compile_only_new_padded_sizes(recipe, task):
    run = lambda sizes: grokjax.run_sweep(
        recipe, task, grid(batch_size=sizes, alpha=0.7, learning_rate=1e-2), max_steps=4,
        eval_every=2, stop=None, slots=2, progress=False,
    ).dataset.attrs["compilations"]  # fmt: skip
    run([9, 17, np.inf])
    assert run([17, 9, np.inf]) == 0
    assert run([18, 9, np.inf]) == 1
