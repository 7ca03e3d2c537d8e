"""One whole run as a pure function of its lane: what a user maps, compiles and differentiates."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from grokjax.checks import check_array, check_integer, check_size, is_concrete, shown
from grokjax.tasks import Task
from grokjax.train.lane import Lane, LaneState, epoch_steps, init_lane, step_rows
from grokjax.train.measurement import record
from grokjax.train.recipe import Recipe
from grokjax.train.steps import SHORTEST_EPOCH, train_steps
from grokjax.train.table import check_lanes


def lanes(recipe: Recipe, task: Task, table: Mapping[str, Any]) -> Lane:
    """The checked coordinates of many runs, stacked: what `trajectory` is mapped over.

    Args:
      recipe: what the runs share.
      task: the table they learn.
      table: columns of equal length, from `grid` or `zip_lanes`, as for `run_sweep`.

    Raises:
      ValueError: as `run_sweep`, for columns that the recipe does not take and the like.
    """
    return check_lanes(recipe, task, table).lanes


def trajectory(
    recipe: Recipe,
    task: Task,
    lane: Lane,
    *,
    max_steps: int,
    eval_every: int | Sequence[int],
    rows: int | None = None,
) -> tuple[LaneState, dict[str, jax.Array]]:
    """One run from its first step to its last, with its measurements: nothing on the host between.

    Pure, and not compiled: `jax.jit(jax.vmap(...))` of it over `lanes(...)` is a sweep in one
    device call, in which every lane takes all of its steps, where `run_sweep` lets finished ones
    go. `jax.grad` of one of its measurements in a number of the lane, such as
    `lane.hyperparameters["weight_decay"]`, is a hypergradient; between two measurements only the
    state at the first is kept for it.

    Args:
      recipe: static.
      task: the table.
      lane: the coordinates of the run, one entry of `lanes(...)`.
      max_steps: optimizer steps.
      eval_every: steps between measurements; or the increasing steps to measure at.
      rows: a bound on the training rows of one step, to which they are padded; without it those of
        the lane where they are known, and all rows of the table inside of `jit` or `vmap`. There a
        bound that is too small makes everything NaN.

    Returns:
      The last state, and the measurements by name: float32[T], at the steps 0, eval_every, ...,
      max_steps, as `run_sweep(stop=None)` has them, to rounding. A run that diverges goes on with
      numbers that are not finite.

    Raises:
      ValueError: for steps that are not positive, or do not increase, or a bound that is too small.

    Example:
      run = lambda lane: trajectory(recipe, task, lane, max_steps=500, eval_every=10)
      state, measured = jax.jit(jax.vmap(run))(lanes(recipe, task, grid(seed=range(5), ...)))
    """
    steps = measurement_steps(max_steps, eval_every)
    needed = step_rows(recipe, lane)
    known = is_concrete(needed)
    if rows is None:
        rows = int(needed) if known else task.num_rows
    rows = check_integer("rows", rows, at_least=1)
    if known and rows < needed:
        raise ValueError(f"rows={rows} is less than the {needed} rows of a step of this lane.")
    window = max(int(epoch_steps(recipe, lane)), SHORTEST_EPOCH) if known else SHORTEST_EPOCH

    def chunk(state: LaneState, num_steps: int) -> tuple[LaneState, dict[str, jax.Array]]:
        # Recomputed in a backward pass: the states of all steps would not fit.
        advance = jax.checkpoint(
            lambda state: train_steps(recipe, task, state, num_steps, rows, window)
        )
        return record(recipe, task, None, advance(state))

    state = init_lane(recipe, task, lane)
    if not known:  # a bound that is too small must not train on a part of the rows in silence
        enough = lambda leaf: jnp.where(needed <= rows, leaf, jnp.nan)
        state = state._replace(params=jax.tree.map(enough, state.params))
    state, first = record(recipe, task, None, state)
    measured = [jax.tree.map(lambda x: x[None], first)]
    lengths = np.diff(steps)
    # Equal chunks in a row are one loop: its body is compiled once.
    for part in np.split(lengths, np.flatnonzero(np.diff(lengths)) + 1):
        length = int(part[0])
        state, scalars = jax.lax.scan(
            lambda state, _, length=length: chunk(state, length), state, length=len(part)
        )
        measured.append(scalars)
    return state, jax.tree.map(lambda *parts: jnp.concatenate(parts), *measured)


def measurement_steps(max_steps: int, eval_every: int | Sequence[int]) -> np.ndarray:
    """The steps at which a run is measured, from 0 to `max_steps`: int64[T].

    Raises:
      ValueError: for steps that are not positive integers, or do not increase.
    """
    max_steps = check_integer("max_steps", max_steps, at_least=1, below=2**31)
    if isinstance(eval_every, Sequence):
        check_size("the steps of eval_every", len(eval_every), "measure less often")
    elif np.ndim(eval_every) == 0:
        eval_every = check_integer(
            "eval_every", eval_every, at_least=1, below=2**31, otherwise="increasing steps"
        )
        check_size(f"{max_steps=} at {eval_every=}", max_steps // eval_every, "measure less often")
        return np.append(np.arange(0, max_steps, eval_every), max_steps)
    steps = check_array("eval_every", eval_every, shape=["T"], kinds="iu")
    if steps.size == 0 or steps[0] < 0 or np.any(np.diff(steps) <= 0):
        raise ValueError(
            "eval_every must be a positive integer, or steps of at least 0 that increase, got "
            f"{shown(eval_every)}."
        )
    return np.unique([0, *steps[(steps > 0) & (steps < max_steps)], max_steps])
