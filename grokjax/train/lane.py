"""A run: its coordinates, its state, and how it begins."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from grokjax import tasks
from grokjax.keys import init_key, label_key, split_key
from grokjax.models import Params
from grokjax.tasks import Split, Task
from grokjax.train.recipe import FULL_BATCH, Recipe, describe


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
    stopped: jax.Array  # bool[], the stop rule held for as long as it has to
    diverged: jax.Array  # bool[], not finite any more


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
        stopped=jnp.bool_(False),
        diverged=jnp.bool_(False),
    )


def is_done(state: LaneState, max_steps: Any) -> Any:
    """Whether a run is over: stopped, diverged, or out of steps. It is never changed again."""
    return state.stopped | state.diverged | (state.step >= max_steps)


def batch_size(recipe: Recipe, lane: Lane) -> Any:
    """The batch size of a run: its own, or the recipe's; `FULL_BATCH` where there is none."""
    if lane.batch_size is not None:
        return lane.batch_size
    return FULL_BATCH if recipe.batch_size is None else recipe.batch_size


def step_rows(recipe: Recipe, lane: Lane, xp: Any = jnp) -> Any:
    """Rows of one step of a run: all of its training rows, or those of a minibatch.

    `xp=numpy` computes it of many lanes on the host, without compiling anything.
    """
    size, half = batch_size(recipe, lane), (lane.num_train + 1) // 2
    return xp.where(size == FULL_BATCH, lane.num_train, xp.minimum(size, half))


def epoch_steps(recipe: Recipe, lane: Lane, xp: Any = jnp) -> Any:
    """Steps in which a run goes through its training rows once: 1 on the full batch; see above."""
    rows = step_rows(recipe, lane, xp)
    return (lane.num_train + rows - 1) // rows


def row_losses(recipe: Recipe, logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The loss of each row: float[B, C], int[B] -> float[B].

    Raises:
      ValueError: for a loss that reduces, or returns several numbers a row. Training weighs and
        sums the rows itself: it could not tell training rows from padding in a mean.
    """
    losses = recipe.loss(logits, labels)
    if jnp.shape(losses) != labels.shape:
        raise ValueError(
            f"the loss {describe(recipe.loss)} returns an array of shape {jnp.shape(losses)} for "
            f"{labels.shape[0]} rows, and must return one number for each row; leave the mean or "
            "sum over rows to the sweep, and reduce over classes inside the loss, as losses.mse "
            "does."
        )
    return losses


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
