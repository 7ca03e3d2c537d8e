"""What a sweep is asked for: checked, and made into the arrays that the other parts work on."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np

from grokjax import tasks
from grokjax.checks import check_array, check_choice, check_integer, needs_value, shown
from grokjax.models import Params
from grokjax.models.protocol import check_logits, check_task, described
from grokjax.results.dataset import check_names
from grokjax.sweep.identity import digest, fingerprint
from grokjax.tasks import Task
from grokjax.train import (
    LaneState,
    LaneTable,
    Recipe,
    StopFn,
    check_lanes,
    describe,
    grokked,
    init_lane,
    measure,
    measurement_steps,
    padded_rows,
    patience,
    row_losses,
    success,
)

Keep = Literal["final", "all", "none"]


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """A sweep, checked: what every lane shares, and what tells them apart.

    Attributes:
      recipe: what the lanes share.
      task: the table they learn.
      table: the lanes.
      stop: when a lane leaves before its budget is spent.
      measure_at: int64[T], the steps to measure at, from 0 to the budget.
      names: of the measurements, in alphabetical order.
      rows: int[L], what the training rows of a lane's step are padded to.
      state: of training, of one lane: shapes and types.
      initial: parameters to start from, lanes first, in the types of the model's own; or None.
      keep_params: which parameters of a lane are kept.
    """

    recipe: Recipe
    task: Task
    table: LaneTable
    stop: StopFn | None
    measure_at: np.ndarray
    names: tuple[str, ...]
    rows: np.ndarray
    state: LaneState
    initial: Params | None
    keep_params: Keep

    def __len__(self) -> int:
        return len(self.table)

    @property
    def max_steps(self) -> int:
        """The budget of a lane."""
        return int(self.measure_at[-1])

    @property
    def success(self) -> grokked:
        """What counts as memorized and as grokked."""
        return success(self.stop)

    def measured_until(self, step: int) -> int:
        """How many measurements a lane has that has come to a step."""
        return int(np.searchsorted(self.measure_at, step, side="right"))

    def attributes(self) -> dict[str, Any]:
        """What the sweep is, as attributes of its result."""
        return {
            "recipe": describe(self.recipe),
            "task": self.task.name,
            "rows": self.task.num_rows,
            "chance": self.task.chance,
            "max_steps": self.max_steps,
            "stop": describe(self.stop),
            "precision": self.recipe.precision,
            "float64": int(_float64()),
            "keep_params": self.keep_params,
        }

    def identity(self) -> dict[str, Any]:
        """What must be equal for one sweep to go on from the files of another.

        Steps and lanes are not part of it: a budget can be raised, and lanes can be added.

        Raises:
          ValueError: for a part of the recipe that cannot be told apart from another one.
        """
        parts = {f.name: getattr(self.recipe, f.name) for f in dataclasses.fields(self.recipe)}
        parts["stop"] = self.stop
        task = self.task
        sizes = (task.num_classes, task.num_tokens, task.table_rows)
        table = (task.tokens, task.labels, task.train_only, sizes)
        return {
            **{name: _identified(name, part) for name, part in parts.items()},
            "task": f"{task.name} #{digest(table)}",
            "columns": sorted(self.table.columns),
            "initial": self.initial is not None,
            "keep_params": self.keep_params,
            "float64": _float64(),
        }

    def initial_digests(self) -> np.ndarray:
        """What tells the initial parameters of one lane from those of another: uint64[L].

        0 where the model draws them itself.
        """
        if self.initial is None:
            return np.zeros(len(self), np.uint64)
        lane = lambda i: jax.tree.map(lambda leaf: leaf[i], self.initial)
        return np.array([int(digest(lane(i)), 16) for i in range(len(self))], np.uint64)


def make_plan(
    recipe: Recipe,
    task: Task,
    lanes: Mapping[str, Any],
    *,
    max_steps: int,
    eval_every: int | Sequence[int],
    stop: StopFn | None,
    initial: Params | None,
    keep_params: Keep,
) -> Plan:
    """A plan of what was asked for.

    Raises:
      ValueError: for anything that cannot be run, before anything is compiled.
    """
    if not isinstance(recipe, Recipe):
        raise ValueError(
            "recipe must be a grokjax.Recipe(model, loss, optimizer), got " + shown(recipe)
        )
    task = tasks.check_task(task)
    check_task(recipe.model, task)
    table = check_lanes(recipe, task, lanes)
    measure_at = measurement_steps(max_steps, eval_every)
    params = _check_model(recipe, task, table)
    names, state = _check_measurements(recipe, task, table, stop)
    if stop is not None:
        _check_often_enough(stop, measure_at, eval_every)
    return Plan(
        recipe=recipe,
        task=task,
        table=table,
        stop=stop,
        measure_at=measure_at,
        names=names,
        rows=padded_rows(recipe, task, table.lanes),
        state=state,
        initial=None if initial is None else _check_initial(initial, params, len(table)),
        keep_params=check_choice("keep_params", keep_params, ("final", "all", "none")),
    )


def log_spaced(max_steps: int, per_decade: int = 20) -> list[int]:
    """Steps at constant ratio, for `run_sweep(eval_every=log_spaced(max_steps))`.

    Raises:
      ValueError: unless both are positive integers.

    Example:
      >>> log_spaced(100, per_decade=3)
      [1, 2, 5, 10, 22, 46, 100]
    """
    max_steps = check_integer("max_steps", max_steps, at_least=1, below=2**31)
    per_decade = check_integer("per_decade", per_decade, at_least=1, below=2**20)
    count = round(np.log10(max_steps) * per_decade) + 1
    return np.unique(np.geomspace(1, max_steps, count).round().astype(int)).tolist()


def _check_model(recipe: Recipe, task: Task, table: LaneTable) -> Params:
    """The shapes of the model's parameters; refuses a model and a loss that do not suit the task.

    The model is evaluated as in a measurement, and as in a training step.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    tokens = lambda rows: jax.ShapeDtypeStruct((rows, task.operands), np.int32)
    numbers = {name: values[0] for name, values in table.lanes.hyperparameters.items()}
    params = _shapes_of_model(recipe, "init", recipe.model.init, key, tokens(1))
    for path, leaf in jax.tree.leaves_with_path(params):
        if not jax.numpy.issubdtype(leaf.dtype, np.inexact):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise ValueError(
                f"the parameter {name!r} of the model {describe(recipe.model)} is {leaf.dtype}; "
                "parameters are floating point: make it float32 in init, or compute it in apply."
            )
    has = f"; its init returned {described(params)}"
    rows = task.num_classes + 1  # told apart from the classes
    apply = functools.partial(_shapes_of_model, recipe, "apply", recipe.apply, has=has)
    logits = apply(params, tokens(rows), numbers)
    check_logits(recipe.model, task, logits, rows)
    apply(params, tokens(rows), numbers, key)
    labels = jax.ShapeDtypeStruct((rows,), np.int32)
    try:
        losses = jax.eval_shape(functools.partial(row_losses, recipe), logits, labels)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        if "must return one number for each row" in str(error):
            raise
        raise ValueError(
            f"the loss {describe(recipe.loss)} cannot be computed from logits {logits.shape} and "
            f"integer labels {labels.shape}: {error}"
        ) from error
    if not jax.numpy.issubdtype(losses.dtype, np.floating):
        raise ValueError(f"the loss {describe(recipe.loss)} must be real, got {losses.dtype}.")
    return params


def _shapes_of_model(
    recipe: Recipe, method: str, fn: Callable[..., Any], *arguments: Any, has: str = ""
) -> Any:
    """The shapes that a method of the model returns; a method that fails is named.

    Args:
      recipe: whose model it is.
      method: "init" or "apply", for the message.
      fn: the method.
      *arguments: shapes of what it is given.
      has: what is known of the parameters, for the message.
    """
    try:
        return jax.eval_shape(fn, *arguments)
    except Exception as error:  # a model of somebody else's may raise anything
        whose = f"{method} of the model {describe(recipe.model)}"
        if problem := needs_value(error):
            raise ValueError(f"{whose} {problem}. JAX says: {error}") from error
        said = str(error).rstrip(".")
        raise ValueError(f"{whose} raised {type(error).__name__}: {said}{has}.") from error


def _drop_note(error: ValueError) -> None:
    """Takes JAX's note on the frames that it removed from the traceback out of an error."""
    error.__notes__ = [x for x in getattr(error, "__notes__", ()) if "JAX has removed" not in x]


def _check_initial(initial: Params, params: Params, lanes: int) -> Params:
    """Given parameters in the types of the model's own, lanes first."""
    wants = jax.tree.map(lambda leaf: (lanes, *leaf.shape), params)
    has = jax.tree.map(np.shape, initial)
    if wants != has:
        raise ValueError(
            f"initial must hold the model's parameters with {lanes} lanes first: expected shapes "
            f"{wants}, got {has}."
        )

    def typed(leaf: Any, like: Any) -> np.ndarray:
        return check_array("initial", leaf, kinds="iuf").astype(like.dtype)

    return jax.tree.map(typed, initial, params)


def _check_measurements(
    recipe: Recipe, task: Task, table: LaneTable, stop: StopFn | None
) -> tuple[tuple[str, ...], LaneState]:
    """The names of the measurements, and the shapes of what they are made of.

    Refuses names that the result has other meanings for.
    """
    lane = jax.tree.map(lambda leaf: leaf[0], table.lanes)
    state = jax.eval_shape(functools.partial(init_lane, recipe), task, lane)
    try:
        scalars = jax.eval_shape(functools.partial(measure, recipe), task, state)
    except ValueError as error:
        _drop_note(error)
        raise
    check_names(table.columns, scalars)
    recipe.check_step(state.params, state.opt_state, lane.hyperparameters)
    if stop is not None:
        _check_stop(stop, scalars)
    return tuple(sorted(scalars)), state


def _check_stop(stop: StopFn, scalars: dict[str, Any]) -> None:
    if not callable(stop):
        raise ValueError(
            "stop must be None, grokjax.grokked(), or a function of the measurements such as "
            f"lambda m: m['test_accuracy'] >= 0.9, got {shown(stop)}."
        )
    success(stop)
    patience(stop)
    try:
        found = jax.eval_shape(stop, scalars)
    except Exception as error:
        raise ValueError(
            f"the stop rule {describe(stop)} fails on the measurements {sorted(scalars)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not (getattr(found, "shape", None) == () and found.dtype.kind in "bi"):
        raise ValueError(
            f"the stop rule {describe(stop)} must return one boolean of JAX, computed from the "
            f"measurements; got {shown(found)}."
        )


def _check_often_enough(
    stop: StopFn, measure_at: np.ndarray, eval_every: int | Sequence[int]
) -> None:
    """Refuses a rule that asks for more measurements in a row than there are."""
    count, needed, last = len(measure_at), patience(stop), int(measure_at[-1])
    if count < needed:
        raise ValueError(
            f"eval_every={shown(eval_every)} measures {count} times in max_steps={last}, counting "
            f"step 0, and {describe(stop)} stops a lane after {needed} measurements in a row: none "
            f"could stop or grok. Measure at least that often, train for longer, or give stop=None."
        )


def _identified(name: str, part: Any) -> str:
    """What a part of a sweep is, for people and for certain."""
    try:
        return f"{describe(part)} #{fingerprint(part)}"
    except ValueError as error:
        raise ValueError(f"the sweep's {name} is {describe(part)}: {error}") from error


def _float64() -> bool:
    return jax.dtypes.canonicalize_dtype(np.float64) == np.float64
