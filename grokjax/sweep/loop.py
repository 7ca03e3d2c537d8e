"""The engine: a loop on the host that keeps every device busy until all lanes are finished.

A round of the loop

1. lets waiting lanes into empty slots, and sends every occupied slot its next steps (`_dispatch`);
2. only then reads the numbers of the round before, so that the devices never wait for the host:
   writes them into the ledger, tells the observers, and frees the slots of lanes that stopped,
   diverged or spent the budget (`_read`, `_retire`);
3. now and then writes a checkpoint: finished lanes for good, running ones to go on from.

Who sits where is decided by `schedule`, what is known of lanes is in `ledger`, what runs on the
devices in `devices`, and the files are `store`'s.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from grokjax.sweep.devices import Devices, any_process, fetch, from_first
from grokjax.sweep.ledger import Ledger
from grokjax.sweep.observers import Measured, Observers
from grokjax.sweep.plan import Plan
from grokjax.sweep.programs import Report
from grokjax.sweep.schedule import EMPTY, Call, Schedule
from grokjax.sweep.snapshot import Pending, snapshot
from grokjax.sweep.store import Segment, Store
from grokjax.train import LaneState


class Arriving(NamedTuple):
    """State, or parameters, of one finished lane of each device, on their way to the host."""

    lanes: dict[int, int]  # by device
    tree: Any
    whole: bool  # the state of training, not the parameters alone


def run(
    plan: Plan,
    devices: Devices,
    schedule: Schedule,
    ledger: Ledger,
    store: Store | None,
    observers: Observers,
    stopping: Callable[[], bool],
    *,
    pending: list[Pending],
    carried: dict[int, LaneState],
    checkpoint_every: float,
) -> None:
    """Trains until no lane is left, or until it is told to stop.

    What lanes had reached when it was told to stop is in the ledger all the same.

    Args:
      plan: the sweep.
      devices: with the state of lanes that are running already.
      schedule: who sits where, and who waits.
      ledger: what is known; gets everything that is measured.
      store: where checkpoints go, or None.
      observers: are told of every measurement.
      stopping: whether to stop.
      pending: calls that were sent before an interruption, whose numbers are still to be used.
      carried: the state of waiting lanes that have trained before, under a smaller budget.
      checkpoint_every: seconds between checkpoints.
    """
    arriving: list[Arriving] = []
    clock = last = time.perf_counter()
    while pending or schedule.running or schedule.queue:
        dispatched = _dispatch(plan, devices, schedule, carried)
        arrived, arriving = arriving, []
        for call in pending:
            arriving += _read(call, plan, devices, schedule, ledger, store, observers)
        _receive(arrived, ledger, plan)  # a round later, when nobody has to wait for them
        pending = dispatched
        now = time.perf_counter()
        ledger.costs["wall_seconds"] += now - clock
        clock = now
        due = store is not None and now - last >= checkpoint_every
        due, stop = bool(from_first(due)), any_process(stopping())
        if store is not None and (stop or due):
            _receive(arriving, ledger, plan)
            arriving = []
            pending = [Pending(sent.call, *fetch(sent[1:])) for sent in pending]
            checkpoint(devices, schedule, ledger, store, pending)
            last = time.perf_counter()
        if stop:
            for call in pending:
                arriving += _read(call, plan, devices, schedule, ledger, store, observers)
            _receive(arriving, ledger, plan)
            _receive_running(devices, schedule, ledger)
            return
    _receive(arriving, ledger, plan)


def checkpoint(
    devices: Devices, schedule: Schedule, ledger: Ledger, store: Store, pending: list[Pending]
) -> None:
    """Writes what is known: finished lanes for good, running ones to go on from."""
    ledger.checkpoints += 1
    try:
        lanes = np.flatnonzero(ledger.finished & ~ledger.stored)
        if len(lanes):
            part = Segment(ledger.result(lanes), ledger.carry(lanes))
            store.add_segment(ledger.checkpoints, part)
            ledger.store(lanes)
            ledger.segments.append(ledger.checkpoints)
        if schedule.running:
            state = fetch(devices.state)
            saved = snapshot(ledger, schedule, state, pending)
            store.save_state(ledger.checkpoints, saved)
    except OSError as error:
        warn_unwritten("a checkpoint", error, "the sweep goes on without")


def warn_unwritten(what: str, error: OSError, remedy: str = "") -> None:
    """Says that something is not on the disk; the sweep does not need it to be."""
    message = f"{what} could not be written to the sweep's directory: {error}"
    warnings.warn(f"{message}; {remedy}." if remedy else f"{message}.", stacklevel=3)


def _dispatch(
    plan: Plan, devices: Devices, schedule: Schedule, carried: dict[int, LaneState]
) -> list[Pending]:
    """Sends waiting lanes and the next steps of all others to the devices."""
    dispatched = []

    def sent(call: Call, report: Report) -> None:
        kept = None
        if plan.keep_params == "all":
            kept = devices.take(call.order, whole=False)
        dispatched.append(Pending(call, report, kept))

    fresh, again = schedule.admit(carried)
    if again:
        places = again.lanes.ravel()
        states = [carried[int(lane)] for lane in places if lane != EMPTY]

        def placed(*leaves: np.ndarray) -> np.ndarray:
            whole = np.zeros((len(places), *leaves[0].shape), leaves[0].dtype)
            whole[places != EMPTY] = leaves
            return whole

        devices.reseat(again, jax.tree.map(placed, *states))
        for lane in places[places != EMPTY]:
            del carried[int(lane)]
    if fresh:
        sent(fresh, devices.admit(fresh))
    for call in schedule.calls(devices.vectorize, devices.measurements):
        sent(call, devices.train(call))
    return dispatched


def _read(
    pending: Pending,
    plan: Plan,
    devices: Devices,
    schedule: Schedule,
    ledger: Ledger,
    store: Store | None,
    observers: Observers,
) -> list[Arriving]:
    """Records what a call reports, and retires the lanes that are done."""
    call = pending.call
    shape = call.lanes.shape
    report, params = fetch((pending.report, pending.params))
    scalars, status = (x.reshape(*shape, *x.shape[-2:]) for x in report)
    taken = 0
    leaving, measured = [], []
    for place in zip(*np.nonzero(call.lanes != EMPTY), strict=True):
        lane = int(call.lanes[place])
        for values, (step, stopped, diverged) in zip(
            scalars[place], status[place].tolist(), strict=True
        ):
            if ledger.is_finished(lane) or step != ledger.next_step(lane):
                break  # it was left as it was
            taken += ledger.add(lane, values, bool(stopped), bool(diverged))
            if params is not None:
                index = np.ravel_multi_index(place, shape)
                copy = jax.tree.map(lambda leaf, index=index: leaf[index], params)
                ledger.kept[lane].append(copy)
            if ledger.is_finished(lane):
                leaving.append(lane)
            if observers:
                ended = "diverged" if diverged else "stopped" if stopped else ""
                ended = ended or ("spent" if ledger.is_finished(lane) else "")
                measured.append(Measured.of(plan, lane, step, values, ended))
    # Side by side every place takes all steps of the call, whoever is in it.
    ledger.costs["slot_steps"] += call.steps * call.targets.size or taken
    observers.tell(measured)
    return _retire(leaving, plan, devices, schedule, ledger, store is not None)


def _retire(
    leaving: list[int],
    plan: Plan,
    devices: Devices,
    schedule: Schedule,
    ledger: Ledger,
    stored: bool,
) -> list[Arriving]:
    """Frees the slots of finished lanes, and starts copying what is kept of them to the host."""
    seats = {lane: schedule.release(lane) for lane in leaving}
    # Those that spent their budget go on under a larger one.
    spent = {lane for lane in leaving if not (ledger.stopped[lane] or ledger.diverged[lane])}
    arriving = []
    for whole in (True, False):
        if not whole and plan.keep_params != "final":
            break  # those of every measurement are here already
        mine = [(lane, *seats[lane]) for lane in leaving if (stored and lane in spent) == whole]
        while mine:
            group = {device: (lane, slot) for lane, device, slot in mine}  # one of each device
            slots = np.zeros((devices.mesh.size, 1), np.int32)
            for device, (_, slot) in group.items():
                slots[device] = slot
            lanes = {device: lane for device, (lane, _) in group.items()}
            arriving.append(Arriving(lanes, devices.take(slots, whole=whole), whole))
            mine = [seat for seat in mine if seat[0] not in lanes.values()]
    return arriving


def _receive(arriving: list[Arriving], ledger: Ledger, plan: Plan) -> None:
    """Takes in what was kept of finished lanes, and lets go of the devices' copies."""
    for lanes, tree, whole in arriving:
        tree = fetch(tree)
        for device, lane in lanes.items():
            own = jax.tree.map(lambda leaf, device=device: leaf[device], tree)
            if whole:
                ledger.spent[lane] = own
            if plan.keep_params == "final":
                ledger.kept[lane] = [own.params if whole else own]


def _receive_running(devices: Devices, schedule: Schedule, ledger: Ledger) -> None:
    """The parameters of lanes that are interrupted, as they are."""
    if ledger.plan.keep_params != "final" or not schedule.running:
        return
    params = fetch(devices.state.params)
    for seat, lane in enumerate(schedule.occupant.ravel().tolist()):
        if lane != EMPTY:
            ledger.kept[lane] = [jax.tree.map(lambda leaf, seat=seat: leaf[seat], params)]
