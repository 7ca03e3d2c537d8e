"""Training steps of a run, on the full batch or on minibatches."""

import jax
import jax.numpy as jnp
import optax

from grokjax.keys import noise_key, order_key
from grokjax.tasks import Task
from grokjax.train.gradient import Gradient, loss_gradient
from grokjax.train.lane import (
    LaneState,
    epoch_steps,
    is_done,
    step_rows,
)
from grokjax.train.measurement import StopFn, record
from grokjax.train.recipe import Recipe

SHORTEST_EPOCH = 2  # steps: a minibatch has at most half of the training rows


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
    gradient = loss_gradient(recipe, state.lane, tokens, labels, weights)
    return _step(recipe, gradient, state)


def _step(recipe: Recipe, gradient: Gradient, state: LaneState) -> LaneState:
    model_key, update_key = jax.random.split(noise_key(state.lane.order_seed, state.step))
    optimizer = recipe.build_optimizer(state.lane.hyperparameters)
    optimizer = optax.with_extra_args_support(optimizer)  # those without noise ignore the key
    updates, opt_state = optimizer.update(
        gradient(state.params, model_key), state.opt_state, state.params, key=update_key
    )
    params = optax.apply_updates(state.params, updates)
    return state._replace(params=params, opt_state=opt_state, step=state.step + 1)


def train_steps(
    recipe: Recipe,
    task: Task,
    state: LaneState,
    num_steps: jax.Array | int,
    rows: int,
    window: int = SHORTEST_EPOCH,
) -> LaneState:
    """`num_steps` steps of a run.

    Args:
      recipe: static.
      task: the table.
      state: the run.
      num_steps: how many; an integer is known when compiling, and not one for each run.
      rows: a static bound on the rows of one step.
      window: a static number of steps in which at most one epoch of minibatches begins.
    """
    tokens = jnp.asarray(task.tokens)
    labels = jnp.asarray(task.labels) if state.labels is None else state.labels
    with jax.default_matmul_precision(recipe.precision):
        if state.epoch_order is not None:
            return _minibatch_steps(recipe, state, tokens, labels, num_steps, rows, window)
        # Gathered once a chunk: only training rows are touched, repeated up to a shared size.
        num_train = state.lane.num_train
        chosen = state.order[jnp.arange(rows) % num_train]
        tokens, labels = tokens[chosen], labels[chosen]
        weights = jnp.where(jnp.arange(rows) < num_train, 1.0 / num_train, 0.0)
        gradient = loss_gradient(recipe, state.lane, tokens, labels, weights)
        step = lambda _, state: _step(recipe, gradient, state)
        return jax.lax.fori_loop(0, num_steps, step, state)


def _minibatch_steps(
    recipe: Recipe,
    state: LaneState,
    tokens: jax.Array,
    labels: jax.Array,
    num_steps: jax.Array | int,
    rows: int,
    window: int,
) -> LaneState:
    """Steps on the next rows of a run's epochs.

    An epoch is shuffled between the loops over single steps, at most once in `window` of them: in
    a loop of runs side by side every step would sort, whichever run begins an epoch. The batches
    of all steps of a loop are looked up before it, which are about as many rows as an epoch has.
    """
    num_train = state.lane.num_train
    batch = step_rows(recipe, state.lane)
    steps_per_epoch = epoch_steps(recipe, state.lane)

    def shuffled(epoch):
        draw = jax.random.uniform(order_key(state.lane.order_seed, epoch), state.order.shape)
        # Training rows first, in a random order.
        return state.order[jnp.argsort(jnp.where(jnp.arange(draw.size) < num_train, draw, jnp.inf))]

    def steps(state: LaneState, count: jax.Array | int) -> LaneState:
        this = state.epoch_order
        assert this is not None
        epoch = (state.step + steps_per_epoch - 1) // steps_per_epoch  # the next one to begin
        first = epoch * steps_per_epoch
        # The order of a full batch does not matter.
        begins = (first < state.step + count) & (steps_per_epoch > 1)
        following = jax.lax.cond(begins, lambda: shuffled(epoch), lambda: this)

        # As many in every loop, so that two loops of different lengths are compiled as one.
        ahead = state.step + jnp.arange(window)
        place = jnp.arange(rows)[None]
        positions = (ahead % steps_per_epoch * batch)[:, None] + place
        valid = (place < batch) & (positions < num_train)
        # A batch that is not full repeats its first row, which counts nothing.
        positions = jnp.where(valid, positions, positions[:, :1])
        chosen = jnp.where((ahead >= first)[:, None], following[positions], this[positions])
        weights = jnp.where(valid, 1.0 / jnp.sum(valid, axis=1, keepdims=True), 0.0)
        batches = tokens[chosen], labels[chosen], weights

        def step(i: jax.Array, state: LaneState) -> LaneState:
            at = lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=False)
            return train_step(recipe, state, *jax.tree.map(at, batches))

        return jax.lax.fori_loop(0, count, step, state)._replace(epoch_order=following)

    if isinstance(num_steps, int):
        # Stretches of equal length, as far as that goes: each length is compiled for itself.
        length = -(-num_steps // -(-num_steps // window))
        state = jax.lax.fori_loop(0, num_steps // length, lambda _, x: steps(x, length), state)
        return steps(state, num_steps % length) if num_steps % length else state
    turn = lambda i, state: steps(state, jnp.minimum(window, num_steps - i * window))
    return jax.lax.fori_loop(0, (num_steps + window - 1) // window, turn, state)


def train_to(
    recipe: Recipe,
    task: Task,
    state: LaneState,
    target: jax.Array,
    max_steps: jax.Array,
    rows: int,
    window: int,
) -> tuple[LaneState, jax.Array]:
    """Trains a run up to a step; one that is done is left alone.

    Args:
      recipe: static, like `rows` and `window`.
      task: the table.
      state: the run.
      target: int32[], the step to train to.
      max_steps: int32[], the budget.
      rows: as in `train_steps`.
      window: likewise.

    Returns:
      The run, and whether it was trained: then it is to be measured.
    """
    trains = ~is_done(state, max_steps)
    num_steps = jnp.where(trains, jnp.minimum(target, max_steps) - state.step, 0)
    return train_steps(recipe, task, state, num_steps, rows, window), trains


def train_chunk(
    recipe: Recipe,
    task: Task,
    stop: StopFn | None,
    state: LaneState,
    target: jax.Array,
    max_steps: jax.Array,
    rows: int,
    window: int,
    num_steps: jax.Array | int,
) -> tuple[LaneState, dict[str, jax.Array]]:
    """Trains one of several runs side by side up to its next measurement, and measures it.

    A run that is done is left alone, and so is one whose target is not `num_steps` away: by a
    choice between its states before and after all of the steps. The loop itself knows of no run in
    particular.

    Args: as in `train_to`, and
      stop: static, when a run is done.
      num_steps: how many steps all of the runs take.
    """
    trained = train_steps(recipe, task, state, num_steps, rows, window)
    trained, scalars = record(recipe, task, stop, trained)
    takes_part = ~is_done(state, max_steps) & (target - state.step == num_steps)
    choose = lambda new, old: jnp.where(takes_part, new, old)
    return jax.tree.map(choose, trained, state), scalars
