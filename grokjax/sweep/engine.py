"""`run_sweep`: the host loop that keeps every device busy until all lanes are finished."""

import contextlib
import dataclasses
import operator
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from grokjax.models import Params
from grokjax.results import SweepResult, build_dataset, environment
from grokjax.sweep import programs
from grokjax.sweep.lanes import LaneTable, check_lanes, padded_rows
from grokjax.sweep.programs import Report, lane_mesh
from grokjax.sweep.progress import Status, display
from grokjax.sweep.schedule import EMPTY, Call, Schedule
from grokjax.tasks import Task
from grokjax.train import Recipe, StopFn, grokked

SLOTS_ON_CPU = 8  # enough to make a call long against its overhead; more balance worse at the end
SLOTS_ELSEWHERE = 64


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
    initial: Params | None = None,
    keep_params: bool = True,
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
        when absent), `init_seed`, `split_seed`, `order_seed`, `init_scale`, `logit_scale`,
        `label_noise`, and the arguments of the recipe's optimizer and penalty.
      max_steps: the budget of a lane, in optimizer steps.
      eval_every: steps between measurements; or the increasing steps to measure at.
      stop: when a lane leaves before its budget is spent; None trains all for `max_steps`.
      slots: lanes on each device at once.
      vectorize: True trains the lanes of a device side by side (`vmap`), which is what fills a
        GPU; False one after another, which is faster on a CPU. "auto" goes by the device.
      mesh: the devices, see `lane_mesh`; by default all there are.
      initial: parameters to start from, lanes first, such as `result.params` of another sweep.
      keep_params: whether to keep the final parameters of the lanes.
      progress: whether to show a progress line in a terminal or notebook.

    Returns:
      The labelled measurements and final parameters. Ctrl-C returns the lanes that are finished.

    Raises:
      ValueError: for anything that cannot be run, before anything is compiled.
    """
    table = check_lanes(recipe, task, lanes)
    measure_at = _check_steps(max_steps, eval_every)
    mesh = lane_mesh() if mesh is None else mesh
    _check_model(recipe, task)
    _check_initial(recipe, task, initial, len(table))
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    vectorize = not on_cpu if vectorize == "auto" else bool(vectorize)
    slots = _check_slots(slots, SLOTS_ON_CPU if on_cpu else SLOTS_ELSEWHERE, len(table), mesh)

    rows = np.array([padded_rows(task, n) for n in table.lanes.num_train.tolist()])
    run = _Run(
        recipe=recipe,
        task=task,
        table=table,
        stop=stop,
        mesh=mesh,
        vectorize=vectorize,
        measure_at=measure_at,
        initial=initial,
        keep_params=keep_params,
        schedule=Schedule.of(rows, measure_at, mesh.size, slots),
    )
    start = time.perf_counter()
    with _counting_compilations() as compilations, display(progress) as show:
        with contextlib.suppress(KeyboardInterrupt):
            run.to_the_end(show)
    attributes = {
        "recipe": _described(recipe),
        "task": task.name,
        "rows": task.num_rows,
        "chance": task.chance,
        "max_steps": int(measure_at[-1]),
        "stop": _described(stop),
        "precision": recipe.precision,
        "float64": int(jax.config.jax_enable_x64),
        "slots": slots,
        "vectorize": int(vectorize),
        "lane_steps": int(run.records.step.sum()),
        "slot_steps": run.slot_steps,
        "compilations": len(compilations),
        "wall_seconds": time.perf_counter() - start,
        **environment(),
    }
    return run.result(attributes)


class Pending(NamedTuple):
    """A call whose numbers the host has not read yet."""

    call: Call
    report: Report


@dataclasses.dataclass
class Records:
    """What is known of every lane, growing as reports are read."""

    step: np.ndarray  # int64[L], the last step measured
    finished: np.ndarray  # bool[L]
    diverged: np.ndarray  # bool[L]
    stopped: np.ndarray  # bool[L], left before its budget was spent
    history: list[dict[int, dict[str, float]]]  # of each lane: step -> scalars
    params: list[Any]  # of each lane, once it is finished


@dataclasses.dataclass
class _Run:
    """A sweep in progress: the device state, the schedule and the records."""

    recipe: Recipe
    task: Task
    table: LaneTable
    stop: StopFn | None
    mesh: Mesh
    vectorize: bool
    measure_at: np.ndarray
    initial: Params | None
    keep_params: bool
    schedule: Schedule
    slot_steps: int = 0

    def __post_init__(self):
        lanes = len(self.table)
        self.records = Records(
            step=np.zeros(lanes, np.int64),
            finished=np.zeros(lanes, bool),
            diverged=np.zeros(lanes, bool),
            stopped=np.zeros(lanes, bool),
            history=[{} for _ in range(lanes)],
            params=[None] * lanes,
        )
        self.device_task = programs.put(self.mesh, self.task, whole=True)
        self.max_steps = programs.put(self.mesh, np.int32(self.measure_at[-1]), whole=True)
        one = jax.tree.map(lambda leaf: leaf[0], (self.table.lanes, self.initial))
        slots = self.schedule.occupant.shape[1]
        self.state = programs.empty_slots(self.recipe, self.task, self.mesh, slots, *one)

    def to_the_end(self, show) -> None:
        """Runs calls until no lane is left."""
        pending: list[Pending] = []
        while True:
            dispatched = self.dispatch()
            # The numbers of a call are read only after the next one is on its way, so that the
            # device does not wait for the host.
            for call, report in pending:
                self.read(call, programs.fetch(report))
            pending = dispatched
            show(self.status())
            if not (pending or self.schedule.running or self.schedule.queue):
                return

    def dispatch(self) -> list[Pending]:
        """Sends waiting lanes and the next steps of all others to the devices."""
        pending = []
        if call := self.schedule.admit():
            lanes, initial = jax.tree.map(
                lambda leaf: leaf[call.lanes.ravel()], (self.table.lanes, self.initial)
            )
            self.state, report = programs.admit(
                self.recipe,
                self.device_task,
                self.stop,
                self.mesh,
                self.state,
                *programs.put(self.mesh, (call.order.ravel(), call.count, lanes, initial)),
                self.max_steps,
            )
            pending.append(Pending(call, report))
        for call in self.schedule.calls(self.vectorize):
            self.state, report = programs.train(
                self.recipe,
                self.device_task,
                self.stop,
                self.mesh,
                self.state,
                *programs.put(self.mesh, (call.order.ravel(), call.count, call.targets.ravel())),
                self.max_steps,
                rows=call.rows,
                vectorize=self.vectorize,
            )
            pending.append(Pending(call, report))
        return pending

    def read(self, call: Call, report: Report) -> None:
        """Records what a call reports, and retires the lanes that are done."""
        report = jax.tree.map(lambda leaf: leaf.reshape(call.lanes.shape), report)
        taken = np.zeros(call.lanes.shape, np.int64)
        leaving = []
        for place in zip(*np.nonzero(call.lanes != EMPTY), strict=True):
            lane = int(call.lanes[place])
            if self.records.finished[lane]:
                continue  # was done before this call, which left it as it was
            step = int(report.step[place])
            taken[place] = step - self.records.step[lane]
            self.records.step[lane] = step
            self.records.history[lane][step] = {
                name: values[place] for name, values in report.scalars.items()
            }
            if report.done[place]:
                self.records.finished[lane] = True
                self.records.diverged[lane] = report.diverged[place]
                self.records.stopped[lane] = step < self.measure_at[-1]
                leaving.append(lane)
        if self.vectorize:  # a batch takes as long as its longest member, in every place
            self.slot_steps += int(taken.max(axis=1).sum()) * taken.shape[1]
        else:
            self.slot_steps += int(taken.sum())
        self.retire(leaving)

    def retire(self, leaving: list[int]) -> None:
        """Frees the slots of finished lanes and starts copying their parameters to the host."""
        seats = {lane: self.schedule.release(lane) for lane in leaving}
        while seats and self.keep_params:
            # At most one lane of each device at a time.
            group = {device: (lane, slot) for lane, (device, slot) in seats.items()}
            slot = np.zeros(self.mesh.size, np.int32)
            for device, (_, s) in group.items():
                slot[device] = s
            taken = programs.take(self.mesh, self.state.params, programs.put(self.mesh, slot))
            for device, (lane, _) in group.items():
                self.records.params[lane] = (taken, device)
                del seats[lane]

    def status(self) -> Status:
        """The sweep as the progress line shows it."""
        records, budget = self.records, int(self.measure_at[-1])
        done = records.finished
        expected = records.step[done].mean() if done.any() else budget
        left = np.maximum(expected - records.step[~done], 0).sum()
        return Status(
            lanes=len(done),
            finished=int(done.sum()),
            running=self.schedule.running,
            grokked=int((records.stopped & ~records.diverged).sum()),
            lane_steps=int(records.step.sum()),
            steps_left=float(left),
        )

    def result(self, attributes: dict[str, Any]) -> SweepResult:
        """The finished lanes, labelled."""
        kept = np.flatnonzero(self.records.finished)
        steps = sorted({step for lane in kept for step in self.records.history[lane]})
        place = {step: i for i, step in enumerate(steps)}
        names = list(self.records.history[kept[0]][0]) if len(kept) else []
        history = {name: np.full((len(kept), len(steps)), np.nan, np.float32) for name in names}
        for i, lane in enumerate(kept):
            for step, scalars in self.records.history[lane].items():
                for name in names:
                    history[name][i, place[step]] = scalars[name]
        params = None
        if self.keep_params and len(kept):
            leaves = [self._lane_params(lane) for lane in kept]
            params = jax.tree.map(lambda *leaf: np.stack(leaf), *leaves)
        rule = self.stop if isinstance(self.stop, grokked) else grokked()
        dataset = build_dataset(
            {name: values[kept] for name, values in self.table.columns.items()},
            np.array(steps, np.int64),
            history,
            self.records.step[kept],
            self.records.diverged[kept],
            attributes,
            threshold=rule.threshold,
            patience=rule.patience,
        )
        return SweepResult(dataset, params)

    def _lane_params(self, lane: int) -> Params:
        taken, device = self.records.params[lane]
        return jax.tree.map(lambda leaf: leaf[device], programs.fetch(taken))


def _described(part: Any) -> str:
    """The repr of a recipe or stop rule, with functions by their names alone."""
    return re.sub(r"<function ([\w.<>]+) at 0x[0-9a-f]+>", r"\1", repr(part))


@contextlib.contextmanager
def _counting_compilations() -> Iterator[list[str]]:
    """A list that grows by one with every program that is compiled, or loaded from a cache."""
    seen: list[str] = []

    def listen(event: str, duration: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def _check_steps(max_steps: int, eval_every: int | Sequence[int]) -> np.ndarray:
    """int64[T], the steps to measure at, from 0 to max_steps."""
    max_steps = _check_count("max_steps", max_steps, 2**31 - 1)
    if np.ndim(eval_every) == 0:
        every = _check_count("eval_every", eval_every, 2**31 - 1)
        return np.append(np.arange(0, max_steps, every), max_steps)
    steps = np.asarray(eval_every)
    if steps.dtype.kind not in "iu" or steps.size == 0 or np.any(np.diff(steps) <= 0):
        raise ValueError(
            f"eval_every must be a positive integer or increasing steps, got {eval_every!r}."
        )
    return np.unique([0, *steps[(steps > 0) & (steps < max_steps)], max_steps])


def _check_slots(slots: int | str, default: int, lanes: int, mesh: Mesh) -> int:
    """Lanes on each device at once: never more than there are."""
    if slots == "auto":
        slots = default
    elif isinstance(slots, str):
        raise ValueError(f'slots must be a positive integer or "auto", got {slots!r}.')
    return min(_check_count("slots", slots, 2**31 - 1), -(-lanes // mesh.size))


def _check_count(name: str, value: Any, at_most: int) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if isinstance(value, bool) or not 1 <= count <= at_most:
        raise ValueError(f"{name} must be a positive integer, got {value!r}.")
    return count


def _check_model(recipe: Recipe, task: Task) -> None:
    """Refuses a model that was made for another table."""
    for name, has in (("p", task.num_classes), ("operands", task.operands)):
        wants = getattr(recipe.model, name, has)
        if wants != has:
            raise ValueError(
                f"the model has {name}={wants}, but the task {task.name!r} has {has}; build it with "
                f"{name}={has}."
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


def _check_initial(recipe: Recipe, task: Task, initial: Params | None, lanes: int) -> None:
    """Refuses initial parameters that are not the model's, lanes first."""
    if initial is None:
        return
    key = jax.eval_shape(lambda: jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((1, task.operands), np.int32)
    wants = jax.tree.map(
        lambda leaf: (lanes, *leaf.shape), jax.eval_shape(recipe.model.init, key, tokens)
    )
    has = jax.tree.map(np.shape, initial)
    if wants != has:
        raise ValueError(
            f"initial must hold the model's parameters with {lanes} lanes first: expected shapes "
            f"{wants}, got {has}."
        )
