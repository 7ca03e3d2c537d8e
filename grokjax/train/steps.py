"""Training steps of a run, on the full batch or on minibatches."""

import jax
import jax.numpy as jnp
import optax

from grokjax.keys import noise_key, order_key
from grokjax.tasks import Task
from grokjax.train.lane import LaneState, is_done, lane_logits, row_losses, step_rows
from grokjax.train.measurement import StopFn, record
from grokjax.train.recipe import Recipe


def train_step(
    recipe: Recipe,
    state: LaneState,
    tokens: jax.Array,
    labels: jax.Array,
    weights: jax.Array,
) -> LaneState:
    """One optimizer step on `sum(weights * loss(logits, labels)) + penalty`.

    Args:
      recipe: what the lanes share.
      state: the run.
      tokens: int32[B, S], the rows of this step.
      labels: int32[B].
      weights: float[B], 1/(number of rows) on the rows and 0 on padding.
    """
    model_key, update_key = jax.random.split(noise_key(state.lane.order_seed, state.step))

    def objective(params):
        logits = lane_logits(recipe, state.lane, params, tokens, model_key)
        losses = row_losses(recipe, logits, labels)
        # `where`: the loss of a padded row may be anything, and 0 * inf is NaN.
        data_term = jnp.sum(jnp.where(weights > 0, weights * losses, 0.0))
        return data_term + recipe.evaluate_penalty(params, state.lane.hyperparameters)

    optimizer = recipe.build_optimizer(state.lane.hyperparameters)
    optimizer = optax.with_extra_args_support(optimizer)  # those without noise ignore the key
    gradient = jax.grad(objective)(state.params)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params, key=update_key)
    params = optax.apply_updates(state.params, updates)
    return state._replace(params=params, opt_state=opt_state, step=state.step + 1)


def train_steps(
    recipe: Recipe, task: Task, state: LaneState, num_steps: jax.Array | int, rows: int
) -> LaneState:
    """`num_steps` steps of a run; `rows` is a static bound on the rows of one step."""
    tokens = jnp.asarray(task.tokens)
    labels = jnp.asarray(task.labels) if state.labels is None else state.labels
    num_train = state.lane.num_train

    if state.epoch_order is None:
        # Gathered once a chunk: only training rows are touched, repeated up to a shared size.
        chosen = state.order[jnp.arange(rows) % num_train]
        tokens, labels = tokens[chosen], labels[chosen]
        weights = jnp.where(jnp.arange(rows) < num_train, 1.0 / num_train, 0.0)
        step = lambda _, state: train_step(recipe, state, tokens, labels, weights)
    else:
        step = lambda _, state: _minibatch_step(recipe, state, tokens, labels, rows)
    return jax.lax.fori_loop(0, num_steps, step, state)


def _minibatch_step(
    recipe: Recipe, state: LaneState, tokens: jax.Array, labels: jax.Array, rows: int
) -> LaneState:
    """A step on the next rows of the run's current epoch."""
    assert state.epoch_order is not None
    num_train = state.lane.num_train
    batch = step_rows(recipe, state.lane)
    steps_per_epoch = (num_train + batch - 1) // batch
    epoch, place = state.step // steps_per_epoch, state.step % steps_per_epoch

    def shuffled():
        draw = jax.random.uniform(order_key(state.lane.order_seed, epoch), state.order.shape)
        # Training rows first, in a random order.
        return state.order[jnp.argsort(jnp.where(jnp.arange(draw.size) < num_train, draw, jnp.inf))]

    # The order of a full batch does not matter.
    begins = (place == 0) & (steps_per_epoch > 1)
    order = jax.lax.cond(begins, shuffled, lambda: state.epoch_order)
    positions = place * batch + jnp.arange(rows)
    valid = (jnp.arange(rows) < batch) & (positions < num_train)
    # A batch that is not full repeats its first row, which counts nothing.
    chosen = order[jnp.where(valid, positions, place * batch)]
    weights = jnp.where(valid, 1.0 / jnp.sum(valid), 0.0)
    state = state._replace(epoch_order=order)
    return train_step(recipe, state, tokens[chosen], labels[chosen], weights)


def train_chunk(
    recipe: Recipe,
    task: Task,
    stop: StopFn | None,
    state: LaneState,
    num_steps: jax.Array,
    max_steps: jax.Array,
    rows: int,
) -> tuple[LaneState, dict[str, jax.Array]]:
    """Trains a run up to its next measurement, and measures it; one that is done is left alone."""
    left = jnp.minimum(num_steps, max_steps - state.step)
    num_steps = jnp.where(is_done(state, max_steps), 0, left)
    with jax.default_matmul_precision(recipe.precision):
        state = train_steps(recipe, task, state, num_steps, rows)
    return record(recipe, task, stop, state)
