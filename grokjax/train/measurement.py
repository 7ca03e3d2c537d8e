"""What is measured of a run, and when it is done."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from grokjax import measures
from grokjax.checks import check_integer, check_number
from grokjax.tasks import Task
from grokjax.train.lane import LaneState, lane_logits, row_losses, split_of
from grokjax.train.recipe import Recipe

#: When a lane stops before its budget is spent: a function of the scalars of a measurement that
#: returns one boolean. The lane stops once it was true at `patience` measurements in a row, an
#: attribute of the function, 1 where it has none. Whether a lane that stopped is "grokked" or
#: "memorized" is decided by its accuracies, against `threshold`, an attribute too, or 0.99.
StopFn = Callable[[dict[str, jax.Array]], jax.Array]
EVALUATION_ROWS = 2**14  # of the table at once: bounds the memory of large tables


@dataclasses.dataclass(frozen=True)
class grokked:
    """Stops a lane when test accuracy has been at least `threshold` for `patience` measurements.

    Any other function of a measurement's scalars will do for `run_sweep(stop=...)`, see `StopFn`.

    Raises:
      ValueError: for a threshold outside (0, 1], or a patience below 1.
    """

    threshold: float = 0.99
    patience: int = 3

    def __post_init__(self):
        check_number("threshold", self.threshold, above=0, at_most=1)
        check_integer("patience", self.patience, at_least=1)

    def __call__(self, scalars: dict[str, jax.Array]) -> jax.Array:
        """Whether test accuracy has reached the threshold."""
        return scalars["test_accuracy"] >= self.threshold


def patience(stop: StopFn | None) -> int:
    """For how many measurements in a row a stop rule has to hold.

    Raises:
      ValueError: for a rule whose attribute `patience` is no positive integer.
    """
    return check_integer("stop.patience", getattr(stop, "patience", 1), at_least=1)


def success(stop: StopFn | None) -> grokked:
    """What counts as memorized and grokked under a stop rule: `grokked()` without one.

    Raises:
      ValueError: for a rule whose attribute `threshold` is no accuracy.
    """
    if stop is None or isinstance(stop, grokked):
        return stop or grokked()
    threshold = check_number(
        "stop.threshold", getattr(stop, "threshold", grokked.threshold), above=0, at_most=1
    )
    return grokked(threshold)


def measure(recipe: Recipe, task: Task, state: LaneState) -> dict[str, jax.Array]:
    """All scalars of a run at its current step: loss, accuracy and the recipe's measures.

    Raises:
      ValueError: for a loss or a measure that does not fit the model, by name.
    """
    split = split_of(task, state)
    network = measures.Network(
        params=state.params,
        logits=_table_logits(recipe, state, jnp.asarray(task.tokens)),
        split=split,
        task=task,
        forward=functools.partial(lane_logits, recipe, state.lane),
        loss=functools.partial(row_losses, recipe),
        penalty=lambda params: recipe.evaluate_penalty(params, state.lane.hyperparameters),
    )
    always = measures.evaluate((_losses, measures.accuracies), network)
    return always | measures.evaluate(recipe.measures, network, always)


def _losses(network: measures.Network) -> dict[str, jax.Array]:
    losses = network.loss(network.logits, network.split.labels)
    return {
        "train_loss": measures.masked_mean(losses, network.split.train),
        "test_loss": measures.masked_mean(losses, network.split.test),
    }


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
    recipe: Recipe, task: Task, stop: StopFn | None, state: LaneState
) -> tuple[LaneState, dict[str, jax.Array]]:
    """Measures a run, and decides whether it has stopped or diverged."""
    with jax.default_matmul_precision(recipe.precision):
        scalars = measure(recipe, task, state)
    finite = jnp.isfinite(scalars["train_loss"])
    for leaf in jax.tree.leaves(state.params):
        finite &= jnp.all(jnp.isfinite(leaf))
    held, stopped = state.held, state.stopped
    if stop is not None:
        held = jnp.where(stop(scalars), held + 1, 0)
        stopped |= held >= patience(stop)
    return state._replace(held=held, stopped=stopped, diverged=~finite), scalars
