"""`run_sweep`: checks what was asked for, and runs it."""

import contextlib
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from grokjax.checks import check_flag, check_integer, check_path, shown
from grokjax.models import Params
from grokjax.results import SweepResult, environment
from grokjax.sweep import loop
from grokjax.sweep.devices import Devices, any_process, empty_slots, lane_mesh
from grokjax.sweep.ledger import Ledger
from grokjax.sweep.observers import Observer, Observers, ProgressLine, check_observers
from grokjax.sweep.plan import Keep, Plan, make_plan
from grokjax.sweep.resume import Opened, finish, reopen
from grokjax.sweep.schedule import Schedule
from grokjax.sweep.snapshot import Pending, restore
from grokjax.sweep.store import Store
from grokjax.sweep.tuning import Layout, Trial, choose_layout
from grokjax.tasks import Task
from grokjax.train import Recipe, StopFn, grokked

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class SweepInterrupted(KeyboardInterrupt):
    """A sweep that was interrupted by Ctrl-C, SIGTERM or SIGHUP, with what it had by then.

    Attributes:
      result: the lanes that were finished, and the curves so far of those that were running, whose
        outcome is "interrupted". Its dataset has the attribute `interrupted`, 1.
    """

    def __init__(self, message: str, result: SweepResult):
        super().__init__(message)
        self.result = result


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
    devices: Sequence[Any] | Mesh | None = None,
    directory: str | os.PathLike | None = None,
    checkpoint_every: float = 60.0,
    initial: Params | None = None,
    keep_params: Keep = "final",
    progress: bool = True,
    observe: Observer | Sequence[Observer] = (),
) -> SweepResult:
    """Trains every lane of a sweep, side by side, and measures it as it goes.

    A *lane* is one training run, named by its columns. Lanes wait in a queue for a *slot*, a place
    on a device. A device call trains every occupied slot up to its next measurement; lanes that
    stopped, diverged or spent `max_steps` then leave their slots to waiting ones. A lane's result
    depends on its coordinates alone.

    Args:
      recipe: what the lanes share.
      task: the table they learn.
      lanes: columns of equal length, from `grid` or `zip_lanes`: `seed` and `alpha` (0 and 0.5
        when absent); `init_seed`, `split_seed` and `order_seed`, each in place of `seed` for the
        initial weights, the split, or minibatches and noise; `init_scale` and `logit_scale`,
        factors on initial weights and logits; `label_noise`, the fraction of training rows with
        random answers; `batch_size`, in place of the recipe's; `replica`, which changes nothing
        and tells lanes apart that are equal otherwise; and the arguments of the recipe's optimizer
        and penalty, and of its model's `apply`, such as `dropout`.
      max_steps: the budget of a lane, in optimizer steps.
      eval_every: steps between measurements; or the increasing steps to measure at, such as
        `log_spaced(max_steps)`.
      stop: when a lane leaves before its budget is spent, see `train.StopFn`; None trains all for
        `max_steps`.
      slots: lanes on each device at once; "auto" finds a good number by a short trial.
      vectorize: True trains the lanes of a device side by side (`vmap`), which is what fills a
        GPU; False one after another, which is faster on a CPU. "auto" goes by the device, and in
        long sweeps by a trial of both.
      devices: a list of devices, or a mesh of one axis; by default all there are.
      directory: where the result goes, and checkpoints while the sweep runs. The same call resumes
        an interrupted sweep there, with the same results; with more lanes, it trains those that
        are new; with a larger `max_steps`, those that had spent the smaller one go on. Shared by
        all processes of a sweep on several hosts, and used by one sweep at a time.
      checkpoint_every: seconds between checkpoints; `math.inf` for none.
      initial: parameters to start from, lanes first, such as `result.params` of another sweep; they
        are converted to the types of the model's own.
      keep_params: what to keep of the lanes' parameters: the final ones, those of all measurements
        (lanes first, then the steps of the dataset), or none.
      progress: whether to show a progress line in a terminal or notebook.
      observe: functions that are called with every measurement as it comes in, a
        `sweep.Measured`: for live logs.

    Returns:
      The labelled measurements and the parameters: see `SweepResult`. Lanes end at different steps;
      `result.final` and `result.at` have the last measurement of each.

    Raises:
      ValueError: for anything that cannot be run, before anything is compiled.
      SweepInterrupted: on Ctrl-C, SIGTERM or SIGHUP, after a checkpoint, with what is finished as
        its `result`. A second Ctrl-C raises KeyboardInterrupt at once.
    """
    plan = make_plan(
        recipe,
        task,
        lanes,
        max_steps=max_steps,
        eval_every=eval_every,
        stop=stop,
        initial=initial,
        keep_params=keep_params,
    )
    mesh = lane_mesh(devices)
    if vectorize != "auto":
        vectorize = check_flag("vectorize", vectorize, '"auto"')
    if slots != "auto":
        slots = check_integer("slots", slots, at_least=1, otherwise='"auto"')
        slots = min(slots, -(-len(plan) // mesh.size))
    observers = check_observers(observe)
    progress = check_flag("progress", progress)
    _check_seconds(checkpoint_every)
    store = None if directory is None else Store(check_path("directory", directory), plan)

    ledger = Ledger(plan)
    with contextlib.ExitStack() as closing:
        if store is not None:
            closing.callback(store.release)
        closing.enter_context(_counting_compilations(ledger.costs))
        stopping = closing.enter_context(_signals())
        empty = empty_slots(plan, lane_mesh(mesh.devices.flat[:1]), 1)
        opened = Opened() if store is None else reopen(store, plan, ledger, empty)
        if not ledger.stored.all():
            if progress and jax.process_index() == 0:
                known = ledger.finished | ledger.stored
                line = ProgressLine(len(plan), plan.max_steps, ledger.step, known)
                observers = [*observers, closing.enter_context(line)]
            told = Observers(observers if jax.process_index() == 0 else [])
            _train(
                plan, mesh, ledger, opened, store, told, stopping, slots, vectorize,
                checkpoint_every,
            )  # fmt: skip
        interrupted = not (ledger.finished | ledger.stored).all()
        result = finish(plan, ledger, opened.whole, store, interrupted)
        asked = any_process(stopping())  # maybe too late to matter, but not to be told
    if asked or interrupted:
        raise SweepInterrupted(_interruption(plan, result, store), result)
    return result


def _train(
    plan: Plan,
    mesh: Mesh,
    ledger: Ledger,
    opened: Opened,
    store: Store | None,
    observers: Observers,
    stopping: Callable[[], bool],
    slots: int | Literal["auto"],
    vectorize: bool | Literal["auto"],
    checkpoint_every: float,
) -> None:
    """Sets up the devices and the schedule, and trains what is left."""
    running = {lane for lane in opened.running.tolist() if lane >= 0}
    layout = _layout(plan, mesh, store, slots, vectorize)
    slots = max(layout.slots, -(-len(running) // mesh.size))
    schedule = Schedule.of(plan.rows, plan.table.lanes.num_train, plan.measure_at, mesh.size, slots)
    schedule.keep_waiting(lambda lane: not ledger.stored[lane] and lane not in running)
    schedule.measured[:] = ledger.count
    state, pending = empty_slots(plan, mesh, slots), list[Pending]()
    if opened.saved is not None:
        state, pending = restore(opened.saved, opened.running, schedule, ledger, state)
    ledger.origin = {**environment(), "slots": slots, "vectorize": int(layout.vectorize)}
    if store is not None:
        ledger.origin["sweep"] = store.mark
    with contextlib.closing(
        Devices(plan, mesh, slots, layout.vectorize, layout.measurements)
    ) as on:
        on.set_state(state)
        # Side by side nobody knows yet which padded sizes will be the largest of a call.
        on.compile([] if layout.vectorize else schedule.sizes(), admits=bool(schedule.queue))
        loop.run(
            plan, on, schedule, ledger, store, observers, stopping,
            pending=pending, carried=opened.carried, checkpoint_every=checkpoint_every,
        )  # fmt: skip
    if store is not None:
        try:
            store.close()
        except OSError as error:
            loop.warn_unwritten("the last checkpoint", error)


def _layout(
    plan: Plan,
    mesh: Mesh,
    store: Store | None,
    slots: int | Literal["auto"],
    vectorize: bool | Literal["auto"],
) -> Layout:
    """What was asked for; else as before the interruption, or as a trial says."""
    before = None if store is None else store.layout(mesh.size)
    if before is not None:
        if slots in ("auto", before[0]) and vectorize in ("auto", before[1]):
            return Layout(*before)
        slots = before[0] if slots == "auto" else slots
        vectorize = before[1] if vectorize == "auto" else vectorize
    chunk = int(np.median(np.diff(plan.measure_at)))
    layout = choose_layout(Trial(plan, mesh), slots, vectorize, len(plan) * plan.max_steps, chunk)
    if store is not None:
        store.keep_layout(mesh.size, layout)
    return layout


def _interruption(plan: Plan, result: SweepResult, store: Store | None) -> str:
    """What an interrupted sweep says: how far it came, and how to go on."""
    done = int((result.dataset.outcome != "interrupted").sum())
    if done == len(plan):
        remedy = "the result is complete"
    elif store is not None:
        remedy = f"the same call with directory={str(store.directory)!r} goes on"
    else:
        remedy = "what is finished is in the exception's .result; with directory= it could go on"
    return f"the sweep was interrupted with {done} of {len(plan)} lanes finished; {remedy}."


def _check_seconds(seconds: Any) -> None:
    number = isinstance(seconds, int | float | np.integer | np.floating)
    if isinstance(seconds, bool) or not number or not seconds >= 0:
        raise ValueError(
            f"checkpoint_every must be a number of seconds, or {math.inf}, got {shown(seconds)}."
        )


@contextlib.contextmanager
def _counting_compilations(costs: dict[str, Any]) -> Iterator[None]:
    """Counts every program that is compiled, or loaded from a cache."""

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            costs["compilations"] += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Whether a signal has asked the sweep to stop; the second one acts as it did before."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread may handle signals
        return
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    # What is ignored, such as the hang-up of a program under nohup, stays ignored.
    before = {n: handler for n, handler in before.items() if handler not in (signal.SIG_IGN, None)}

    def handle(number: int, frame: Any) -> None:
        received.append(number)
        for other, handler in before.items():
            signal.signal(other, handler)

    for number in before:
        signal.signal(number, handle)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
