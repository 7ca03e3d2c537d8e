"""One matrix: a training step of every model with every optimizer, and every loss among them.

Everything is tiny, and the steps of one model with all optimizers are one program: compiling takes
nearly all of the time.
"""

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import KEY, SMALL, SumNetwork

import grokjax
from grokjax import kernels, losses, models, optimizers, tasks, train
from grokjax.models import LSTM, MLP, LinenModel, LogitTable, Mixture, QuadraticMLP, Transformer
from grokjax.models.protocol import frozen_params

P, LANES = 5, 3
# By the name in `models` that makes them.
MODELS = {
    "QuadraticMLP": [
        QuadraticMLP(P, 4),
        QuadraticMLP(P, 4, parameterization="standard", normalize=True),
    ],
    "MLP": [MLP(P, hidden=(4, 3), vocabulary=1)],
    "LSTM": [LSTM(P, layers=1, width=4, vocabulary=1)],
    "Transformer": [
        Transformer(P, **SMALL | {"width": 4}, layers=1),
        Transformer(P, **SMALL | {"width": 4}, layers=1, equation=True, norm="pre", dropout=0.0),
    ],
    "LinenModel": [LinenModel(SumNetwork(P, 4))],
    "LogitTable": [LogitTable(P)],
    "Mixture": [Mixture(LogitTable(P), LogitTable(P))],
    "with_weight_noise": [models.with_weight_noise(MLP(P, hidden=(4,), vocabulary=1), 0.1)],
}
NO_MODELS = {"Model", "ModelBase", "Params", "Wrapper", "keywords", "look_up", "power", "square"}
ALL = [*itertools.chain(*MODELS.values()), kernels.Centred(QuadraticMLP(P, 4, dropout=0.1))]
OPTIMIZERS = {
    name: getattr(optimizers, name)
    for name in (
        "gradient_descent", "momentum", "nesterov", "adam", "adamw", "adamw_to_init", "rmsprop",
        "grokfast_ema", "grokfast_ma", "orthograd",
    )
}  # fmt: skip
OPTIMIZERS["with_update_noise"] = optimizers.with_update_noise(optimizers.adam)
NO_OPTIMIZERS = {
    "Optimizer", "Scalar", "add_update_noise", "chain", "check_hyperparameters",
    "grokfast_ema_filter", "grokfast_ma_filter", "orthograd_filter",
}  # fmt: skip
LOSSES = [losses.mse, losses.cross_entropy, losses.stablemax_cross_entropy, losses.softmax_mse]
TOKENS = jnp.asarray([[0, 1], [2, 2], [4, 3]], jnp.int32)
ROWS = TOKENS, TOKENS.sum(axis=1) % P, jnp.full(3, 1 / 3)


def test_every_model_optimizer_and_loss_is_in_the_matrix():
    assert MODELS.keys() | NO_MODELS == set(models.__all__)
    assert OPTIMIZERS.keys() | NO_OPTIMIZERS == set(optimizers.__all__)
    own = [x for x in vars(losses).values() if getattr(x, "__module__", "") == losses.__name__]
    public = {x.__name__ for x in own if x.__name__[0] != "_"}
    assert public == {loss.__name__ for loss in LOSSES} | {"l2"}


@functools.partial(jax.jit, static_argnums=0)
def apply(model, params, tokens, key, numbers):
    return model.apply(params, tokens, key=key, **numbers)


@dataclasses.dataclass(frozen=True)
class TracedOnce(models.Wrapper):
    """The same model, traced and differentiated once for all optimizers of a program."""

    model: Any

    def init(self, key, tokens):
        return self.model.init(key, tokens)

    def apply(self, params, tokens, *, key=None, **numbers):
        return apply(self.model, params, tokens, key, numbers)


def recipes(model, names=tuple(OPTIMIZERS)):
    """One for each optimizer. The losses take turns with the models."""
    loss = LOSSES[ALL.index(model) % len(LOSSES)]
    # The gradient of a quadratic network is written out, and known by the model's type.
    same = model if isinstance(model, QuadraticMLP) else TracedOnce(model)
    return [train.Recipe(same, loss, OPTIMIZERS[name]) for name in names]


def begin(recipe, lane, params):
    """A run at its first step; what only sweeps need is left out."""
    opt_state = recipe.build_optimizer(lane.hyperparameters).init(params)
    return train.LaneState(lane, params, opt_state, jnp.int32(0), *[None] * 6)


def step(model, names, lane, params):
    """Parameters and optimizer state after one step, by optimizer."""
    ends = {
        name: train.train_step(recipe, begin(recipe, lane, params), *ROWS)
        for name, recipe in zip(names, recipes(model, names), strict=True)
    }
    return {name: (state.params, state.opt_state) for name, state in ends.items()}


@functools.cache
def networks(model):
    """Lanes with numbers of their own, and random parameters for each."""
    seeds = np.arange(LANES, dtype=np.uint32)
    rates = np.float32([0.01, 0.02, 0.04])
    lanes = train.Lane(seeds, seeds, seeds, np.full(LANES, 3, np.int32), {"learning_rate": rates})
    shapes = jax.eval_shape(model.init, KEY, TOKENS[:1])
    rng = np.random.default_rng(0)
    draw = lambda leaf: rng.normal(0, 0.5, (LANES, *leaf.shape)).astype(leaf.dtype)
    return lanes, jax.tree.map(draw, shapes)


@functools.cache
def side_by_side(model):
    return jax.jit(jax.vmap(functools.partial(step, model, tuple(OPTIMIZERS))))


@functools.cache
def stepped(model):
    return jax.tree.map(np.asarray, side_by_side(model)(*networks(model)))


def of_lane(tree, lane):
    return jax.tree.map(lambda leaf: leaf[lane], tree)


each = pytest.mark.parametrize("model", ALL, ids=lambda model: f"{type(model).__name__}")


@each
def test_a_step_moves_all_that_trains_and_keeps_structure_shapes_and_types(model):
    lanes, start = networks(model)
    frozen = frozen_params(model)
    for name, recipe in zip(OPTIMIZERS, recipes(model), strict=True):
        params, opt_state = stepped(model)[name]
        begun = jax.eval_shape(functools.partial(begin, recipe), *of_lane((lanes, start), 0))
        for found, expected in ((params, begun.params), (opt_state, begun.opt_state)):
            assert jax.tree.structure(found) == jax.tree.structure(expected), name
            for leaf, shape in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
                assert (leaf.shape[1:], leaf.dtype) == (shape.shape, shape.dtype), name
                assert np.isfinite(leaf).all(), name
        for path, before in jax.tree_util.tree_leaves_with_path(start):
            after = functools.reduce(lambda tree, key: tree[key.key], path, params)
            # A scalar is all along itself, and orthogonal to that there is nothing.
            still = path[0].key in frozen or (name == "orthograd" and before[0].size == 1)
            moved = np.abs(after - before).reshape(LANES, -1).max(axis=1)
            assert ((moved == 0) == still).all(), (name, path)


@each
def test_a_step_is_the_same_alone_and_in_any_company(model):
    lanes, start = networks(model)
    expected = of_lane(stepped(model), 1)
    # Alone they take turns with the models, a third each, since compiling takes so long.
    names = tuple(OPTIMIZERS)[ALL.index(model) % 3 :: 3]
    alone = jax.jit(functools.partial(step, model, names))(*of_lane((lanes, start), 1))
    for found, leaf in zip(
        *map(jax.tree.leaves, (alone, {name: expected[name] for name in names})), strict=True
    ):
        np.testing.assert_allclose(found, leaf, rtol=1e-4, atol=1e-6)
    # Beside two that are lost.
    lost = jax.tree.map(lambda leaf: np.where(_second(leaf), leaf, np.float32(np.nan)), start)
    rates = np.float32([np.nan, 0.02, np.inf])
    seeds = np.uint32([7, 1, 9])
    lanes = lanes._replace(order_seed=seeds, hyperparameters={"learning_rate": rates})
    among = of_lane(jax.tree.map(np.asarray, side_by_side(model)(lanes, lost)), 1)
    for found, leaf in zip(*map(jax.tree.leaves, (among, expected)), strict=True):
        np.testing.assert_array_equal(found, leaf)


def _second(leaf):
    return np.arange(LANES).reshape(-1, *[1] * (leaf.ndim - 1)) == 1


# A model, how many lanes, and steps between two measurements. Of three lanes the last trains in a
# smaller batch, and three steps are not a multiple of the two that shuffle at most once: both
# compile training once more, so one model has them.
SWEPT = {
    "transformer": (Transformer(6, layers=1, **SMALL, equation=True), 4, 4),
    "lstm": (LSTM(6, layers=1, width=8, vocabulary=1), 4, 4),
    "noisy mlp": (models.with_weight_noise(MLP(5, hidden=(16,), vocabulary=1), 0.01), 3, 3),
    "linen": (LinenModel(SumNetwork(5, 8)), 4, 4),
}


@pytest.mark.parametrize(("model", "number", "every"), SWEPT.values(), ids=SWEPT)
def test_a_lane_of_a_sweep_trains_to_the_same_in_any_company(model, number, every):
    """With minibatches, noise of its own, and a slot that another lane has left."""
    recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw, batch_size=8)
    numbers = {name: [0.2, 0.1, 0.0, 0.1] for name in models.keywords(model)}

    def run(seeds):
        """The lanes of some of the seeds 0 to 3."""
        columns = {"seed": [0, 1, 2, 3], "alpha": [0.5, 0.8, 0.8, 0.5], **numbers}
        lanes = grokjax.zip_lanes(
            **{name: np.asarray(column)[seeds] for name, column in columns.items()},
            learning_rate=np.full(len(seeds), 1e-2),
        )
        task = tasks.modular_addition(getattr(model, "p", 5))
        return grokjax.run_sweep(
            recipe, task, lanes, max_steps=2 * every, eval_every=every, stop=None, slots=2,
            vectorize=True, devices=jax.devices()[:1], progress=False,
        )  # fmt: skip

    together, other = run(list(range(number))), run([2, 0])
    loss = np.asarray(together.dataset.train_loss)
    assert np.all(loss[:, -1] < loss[:, 0])
    for a, b in zip(jax.tree.leaves(together.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_allclose(np.asarray(a)[[2, 0]], np.asarray(b), rtol=1e-4, atol=1e-5)
