"""What is measured of a run, and when it is done."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from grokjax import measures
from grokjax.checks import check_integer
from grokjax.tasks import Task
from grokjax.train.lane import LaneState, lane_logits, split_of
from grokjax.train.recipe import Recipe

StopFn = Callable[[dict[str, jax.Array]], jax.Array]
EVALUATION_ROWS = 2**14  # of the table at once: bounds the memory of large tables


@dataclasses.dataclass(frozen=True)
class grokked:
    """Stops a lane when test accuracy has been at least `threshold` for `patience` measurements.

    Any other function of a measurement's scalars will do for `run_sweep(stop=...)`: the lane stops
    once it was true at `patience` measurements in a row (its attribute of that name, or 1).
    """

    threshold: float = 0.99
    patience: int = 3

    def __post_init__(self):
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must be in (0, 1], got {self.threshold}.")
        check_integer("patience", self.patience, at_least=1)

    def __call__(self, scalars: dict[str, jax.Array]) -> jax.Array:
        """Whether test accuracy has reached the threshold."""
        return scalars["test_accuracy"] >= self.threshold


def measure(recipe: Recipe, task: Task, state: LaneState) -> dict[str, jax.Array]:
    """All scalars of a run at its current step: loss, accuracy and the recipe's measures."""
    split = split_of(task, state)
    logits = _table_logits(recipe, state, jnp.asarray(task.tokens))
    losses = recipe.loss(logits, split.labels)
    scalars = {
        "train_loss": measures.masked_mean(losses, split.train),
        "test_loss": measures.masked_mean(losses, split.test),
    }
    for fn in (measures.accuracies, *recipe.measures):
        new = fn(state.params, logits, task, split)
        if repeated := scalars.keys() & new.keys():
            raise ValueError(f"two measures return the same names: {sorted(repeated)}; rename one.")
        scalars |= new
    return {name: jnp.asarray(value, jnp.float32) for name, value in scalars.items()}


def _table_logits(recipe: Recipe, state: LaneState, tokens: jax.Array) -> jax.Array:
    """Logits of the whole table, a large one in equal batches."""
    total = tokens.shape[0]
    batches = -(-total // EVALUATION_ROWS)
    if batches == 1:
        return lane_logits(recipe, state.lane, state.params, tokens)
    size = -(-total // batches)
    filled = jnp.resize(tokens, (batches, size, tokens.shape[1]))  # repeats the first rows
    logits = jax.lax.map(lambda rows: lane_logits(recipe, state.lane, state.params, rows), filled)
    return logits.reshape(batches * size, -1)[:total]


def record(
    recipe: Recipe, task: Task, stop: StopFn | None, state: LaneState, max_steps: jax.Array
) -> tuple[LaneState, dict[str, jax.Array]]:
    """Measures a run and decides whether it is done: stopped, diverged or out of steps."""
    with jax.default_matmul_precision(recipe.precision):
        scalars = measure(recipe, task, state)
    finite = jnp.isfinite(scalars["train_loss"])
    for leaf in jax.tree.leaves(state.params):
        finite &= jnp.all(jnp.isfinite(leaf))
    held = state.held
    stopped = jnp.bool_(False)
    if stop is not None:
        held = jnp.where(stop(scalars), held + 1, 0)
        stopped = held >= getattr(stop, "patience", 1)
    done = stopped | ~finite | (state.step >= max_steps)
    return state._replace(held=held, done=state.done | done, diverged=~finite), scalars
