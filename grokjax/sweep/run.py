"""`run_sweep`: checks what was asked for, and runs it."""

import contextlib
import functools
import hashlib
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from grokjax import train
from grokjax.checks import check_integer
from grokjax.models import Params
from grokjax.results import SweepResult, environment
from grokjax.sweep.engine import Sweep
from grokjax.sweep.lanes import LaneTable, check_lanes
from grokjax.sweep.programs import lane_mesh
from grokjax.sweep.progress import display
from grokjax.sweep.store import Store
from grokjax.tasks import Task
from grokjax.train import Recipe, StopFn, grokked


def run_sweep(
    recipe: Recipe,
    task: Task,
    lanes: Mapping[str, Any],
    *,
    max_steps: int,
    eval_every: int | Sequence[int],
    stop: StopFn | None = grokked(),  # noqa: B008  a frozen dataclass
    slots: int | Literal["auto"] = "auto",
    vectorize: bool | Literal["auto"] = "auto",
    mesh: Mesh | None = None,
    directory: str | os.PathLike | None = None,
    checkpoint_every: float = 60.0,
    initial: Params | None = None,
    keep_params: Literal["final", "all", "none"] = "final",
    progress: bool = True,
) -> SweepResult:
    """Trains every lane of a sweep, side by side, and measures it as it goes.

    Lanes wait in a queue for one of the `slots` of a device. A device call trains every occupied
    slot up to its next measurement; lanes that stopped, diverged or spent `max_steps` then leave
    their slots to waiting ones. A lane's result depends on its coordinates alone.

    Args:
      recipe: what the lanes share.
      task: the table they learn.
      lanes: columns of equal length, from `grid` or `zip_lanes`: `seed` and `alpha` (0 and 0.5
        when absent); `init_seed`, `split_seed` and `order_seed`, each in place of `seed` for the
        initial weights, the split, or minibatches and noise; `init_scale` and `logit_scale`,
        factors on initial weights and logits; `label_noise`, the fraction of training rows with
        random answers; `batch_size`, in place of the recipe's; and the arguments of the recipe's
        optimizer and penalty, and of its model's `apply`, such as `dropout`.
      max_steps: the budget of a lane, in optimizer steps.
      eval_every: steps between measurements; or the increasing steps to measure at, such as
        `log_spaced(max_steps)`.
      stop: when a lane leaves before its budget is spent; None trains all for `max_steps`.
      slots: lanes on each device at once; "auto" finds a good number by a short trial.
      vectorize: True trains the lanes of a device side by side (`vmap`), which is what fills a
        GPU; False one after another, which is faster on a CPU. "auto" goes by the device, and in
        long sweeps by a trial of both.
      mesh: the devices, see `lane_mesh`; by default all there are.
      directory: where the result goes, and checkpoints while the sweep runs. The same call resumes
        an interrupted sweep there, with the same results; with more lanes, it trains those that
        are new. Shared by all processes of a sweep on several hosts.
      checkpoint_every: seconds between checkpoints.
      initial: parameters to start from, lanes first, such as `result.params` of another sweep.
      keep_params: what to keep of the lanes' parameters: the final ones, those of all measurements
        (lanes first, then the steps of the dataset), or none.
      progress: whether to show a progress line in a terminal or notebook.

    Returns:
      The labelled measurements and the parameters. Ctrl-C returns the lanes that are finished, and
      a second one raises KeyboardInterrupt.

    Raises:
      ValueError: for anything that cannot be run, before anything is compiled.
    """
    table = check_lanes(recipe, task, lanes)
    measure_at = _check_steps(max_steps, eval_every)
    mesh = lane_mesh() if mesh is None else mesh
    names = _check_model(recipe, task, table, initial)
    if keep_params not in ("final", "all", "none"):
        raise ValueError(f'keep_params must be "final", "all" or "none", got {keep_params!r}.')
    if vectorize != "auto":
        vectorize = bool(vectorize)
    if slots != "auto":
        slots = min(check_integer("slots", slots, at_least=1), -(-len(table) // mesh.size))
    store = None
    if directory is not None:
        identity = _identity(recipe, task, table, measure_at, stop, initial, keep_params)
        store = Store(directory, identity)

    sweep = Sweep(recipe, task, table, stop, mesh, measure_at, initial, keep_params, names, store)
    shown = progress and jax.process_index() == 0
    with _counting_compilations() as compilations, display(shown) as show:
        sweep.start(slots, vectorize)
        with _graceful_interrupt() as interrupted:
            sweep.run(show, interrupted, checkpoint_every)
    sweep.costs["compilations"] += len(compilations)
    attributes = {
        "recipe": _described(recipe),
        "task": task.name,
        "rows": task.num_rows,
        "chance": task.chance,
        "max_steps": int(measure_at[-1]),
        "stop": _described(stop),
        "precision": recipe.precision,
        "float64": int(_float64()),
        "slots": sweep.schedule.slots,
        "vectorize": int(sweep.vectorize),
        **environment(),
    }
    return sweep.result(attributes)


def log_spaced(max_steps: int, per_decade: int = 20) -> list[int]:
    """Steps at constant ratio, for `run_sweep(eval_every=log_spaced(max_steps))`.

    Example:
      >>> log_spaced(100, per_decade=3)
      [1, 2, 5, 10, 22, 46, 100]
    """
    count = round(np.log10(max_steps) * per_decade) + 1
    return np.unique(np.geomspace(1, max_steps, count).round().astype(int)).tolist()


@contextlib.contextmanager
def _counting_compilations() -> Iterator[list[str]]:
    """A list that grows by one with every program that is compiled, or loaded from a cache."""
    seen: list[str] = []

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@contextlib.contextmanager
def _graceful_interrupt() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed; a second one raises KeyboardInterrupt as usual."""
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread may handle signals
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: Any) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _described(part: Any) -> str:
    """The repr of a recipe or stop rule, with functions by their names alone."""
    return re.sub(r"<function ([\w.<>]+) at 0x[0-9a-f]+>", r"\1", repr(part))


def _identity(
    recipe: Recipe,
    task: Task,
    table: LaneTable,
    measure_at: np.ndarray,
    stop: StopFn | None,
    initial: Params | None,
    keep_params: str,
) -> dict[str, Any]:
    """What must be equal for one sweep to go on from the files of another."""
    return {
        "recipe": _described(recipe),
        "task": task.name,
        "table": _digest((task.tokens, task.labels, task.train_only, task.table_rows)),
        "columns": sorted(table.columns),
        "max_steps": int(measure_at[-1]),
        "measurements": _digest(measure_at),
        "stop": _described(stop),
        "initial": "" if initial is None else _digest(initial),
        "keep_params": keep_params,
        "float64": _float64(),
    }


def _float64() -> bool:
    return jax.dtypes.canonicalize_dtype(np.float64) == np.float64


def _digest(tree: Any) -> str:
    total = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        total.update(np.ascontiguousarray(leaf).tobytes())
    return total.hexdigest()[:16]


def _check_steps(max_steps: int, eval_every: int | Sequence[int]) -> np.ndarray:
    """int64[T], the steps to measure at, from 0 to max_steps."""
    max_steps = check_integer("max_steps", max_steps, at_least=1, below=2**31)
    if np.ndim(eval_every) == 0:
        eval_every = check_integer("eval_every", eval_every, at_least=1, below=2**31)
        return np.append(np.arange(0, max_steps, eval_every), max_steps)
    steps = np.asarray(eval_every)
    if steps.dtype.kind not in "iu" or steps.size == 0 or np.any(np.diff(steps) <= 0):
        raise ValueError(
            f"eval_every must be a positive integer or increasing steps, got {eval_every!r}."
        )
    return np.unique([0, *steps[(steps > 0) & (steps < max_steps)], max_steps])


def _check_model(
    recipe: Recipe, task: Task, table: LaneTable, initial: Params | None
) -> tuple[str, ...]:
    """The names of the measurements; refuses a model, or parameters, made for another table."""
    for name, has in (("p", task.num_classes), ("operands", task.operands)):
        wants = getattr(recipe.model, name, has)
        if wants != has:
            raise ValueError(
                f"the model has {name}={wants}, but the task {task.name!r} has {has}; build it "
                f"with {name}={has}."
            )
    key = jax.eval_shape(lambda: jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((1, task.operands), np.int32)
    params = jax.eval_shape(recipe.model.init, key, tokens)
    logits = jax.eval_shape(recipe.model.apply, params, tokens)
    if logits.ndim != 2 or logits.shape[-1] < task.num_classes:
        raise ValueError(
            f"the model's logits have shape {logits.shape} for one equation; the task "
            f"{task.name!r} needs (1, {task.num_classes}) or more classes."
        )
    if initial is not None:
        wants = jax.tree.map(lambda leaf: (len(table), *leaf.shape), params)
        has = jax.tree.map(np.shape, initial)
        if wants != has:
            raise ValueError(
                f"initial must hold the model's parameters with {len(table)} lanes first: expected "
                f"shapes {wants}, got {has}."
            )
    lane = jax.tree.map(lambda leaf: leaf[0], table.lanes)
    state = jax.eval_shape(functools.partial(train.init_lane, recipe), task, lane)
    scalars = jax.eval_shape(functools.partial(train.measure, recipe), task, state)
    return tuple(sorted(scalars))
