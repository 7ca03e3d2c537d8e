"""A run: its coordinates, its state, and how it begins."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from grokjax import tasks
from grokjax.models import Params
from grokjax.tasks import Split, Task
from grokjax.train.recipe import FULL_BATCH, Recipe


class Lane(NamedTuple):
    """The coordinates of a run, as numbers: all that tells one lane from another.

    Optional fields are None when no lane of the sweep uses them, and then cost nothing.
    """

    init_seed: Any  # uint32[]
    split_seed: Any  # uint32[]
    order_seed: Any  # uint32[]
    num_train: Any  # int32[], training rows
    hyperparameters: dict[str, Any]  # float32[] each
    init_scale: Any = None  # float32[], factor on the initial parameters
    logit_scale: Any = None  # float32[], factor on the logits, in loss and measurements
    label_noise: Any = None  # float32[], fraction of training rows with random answers
    batch_size: Any = None  # int32[], in place of the recipe's; `FULL_BATCH` for all training rows


class LaneState(NamedTuple):
    """A run in progress: what training changes, and the rows it trains on."""

    lane: Lane
    params: Params
    opt_state: Any
    step: jax.Array  # int32[]
    order: jax.Array  # int32[P], the first num_train rows are trained on
    labels: jax.Array | None  # int32[P], only with label noise
    epoch_order: jax.Array | None  # int32[P], only with minibatches
    held: jax.Array  # int32[], consecutive measurements at which the stop condition held
    done: jax.Array  # bool[], a lane that is done is never changed again
    diverged: jax.Array  # bool[]


# Purposes of a lane's random keys: one seed gives independent streams.
_INIT, _SPLIT, _ORDER, _NOISE, _LABELS = range(5)


def _key(seed: Any, purpose: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(seed), purpose)


def init_key(seed: Any) -> jax.Array:
    """The random key of a lane's initial parameters, for `model.init`."""
    return _key(seed, _INIT)


def split_key(seed: Any) -> jax.Array:
    """The random key of a lane's split, for `tasks.split_order`."""
    return _key(seed, _SPLIT)


def label_key(seed: Any) -> jax.Array:
    """The random key of a lane's label noise, from the seed of its split."""
    return _key(seed, _LABELS)


def order_key(seed: Any, epoch: Any) -> jax.Array:
    """The random key of the order of a lane's minibatches in an epoch."""
    return jax.random.fold_in(_key(seed, _ORDER), epoch)


def noise_key(seed: Any, step: Any) -> jax.Array:
    """The random key of a step's dropout, weight noise and update noise."""
    return jax.random.fold_in(_key(seed, _NOISE), step)


def init_lane(recipe: Recipe, task: Task, lane: Lane, params: Any = None) -> LaneState:
    """A run at step 0, from its coordinates alone, or from given initial parameters."""
    if params is None:
        params = recipe.model.init(init_key(lane.init_seed), jnp.asarray(task.tokens[:1]))
    if lane.init_scale is not None:
        params = jax.tree.map(lambda leaf: lane.init_scale * leaf, params)
    order = tasks.split_order(task, split_key(lane.split_seed))
    labels = None
    if lane.label_noise is not None:
        key = label_key(lane.split_seed)
        labels = tasks.corrupt_labels(task, order, lane.num_train, lane.label_noise, key)
    minibatches = recipe.batch_size is not None or lane.batch_size is not None
    return LaneState(
        lane=lane,
        params=params,
        opt_state=recipe.build_optimizer(lane.hyperparameters).init(params),
        step=jnp.int32(0),
        order=order,
        labels=labels,
        epoch_order=order if minibatches else None,
        held=jnp.int32(0),
        done=jnp.bool_(False),
        diverged=jnp.bool_(False),
    )


def batch_size(recipe: Recipe, lane: Lane) -> Any:
    """The batch size of a run: its own, or the recipe's; `FULL_BATCH` where there is none."""
    if lane.batch_size is not None:
        return lane.batch_size
    return FULL_BATCH if recipe.batch_size is None else recipe.batch_size


def step_rows(recipe: Recipe, lane: Lane) -> Any:
    """Rows of one step of a run: all of its training rows, or those of a minibatch."""
    size, half = batch_size(recipe, lane), (lane.num_train + 1) // 2
    return jnp.where(size == FULL_BATCH, lane.num_train, jnp.minimum(size, half))


def split_of(task: Task, state: LaneState) -> Split:
    """The rows that a run trains on and is tested on."""
    split = tasks.split(task, state.order, state.lane.num_train)
    return split if state.labels is None else split._replace(labels=state.labels)


def lane_logits(
    recipe: Recipe, lane: Lane, params: Params, tokens: jax.Array, key: Any = None
) -> jax.Array:
    """Logits of a run, with its hyperparameters; `key` is given in training."""
    logits = recipe.apply(params, tokens, lane.hyperparameters, key)
    return logits if lane.logit_scale is None else lane.logit_scale * logits
