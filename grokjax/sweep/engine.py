"""A sweep in progress: the host loop that keeps every device busy until all lanes are finished."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from grokjax.models import Params
from grokjax.results import SweepResult, concatenate, lane_columns
from grokjax.sweep import programs
from grokjax.sweep.lanes import LaneTable, padded_rows
from grokjax.sweep.programs import Report
from grokjax.sweep.progress import Status
from grokjax.sweep.records import Records
from grokjax.sweep.schedule import EMPTY, Call, Schedule
from grokjax.sweep.snapshot import Pending, restore, snapshot
from grokjax.sweep.store import Store
from grokjax.sweep.tuning import Layout, Trial, choose_layout
from grokjax.tasks import Task
from grokjax.train import Recipe, StopFn

TO_SHARE = {"slot_steps": 0, "wall_seconds": 0.0}  # costs, which finished lanes take with them


class Sweep:
    """A sweep in progress: the device state, the schedule and the records."""

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        table: LaneTable,
        stop: StopFn | None,
        mesh: Mesh,
        measure_at: np.ndarray,
        initial: Params | None,
        keep_params: str,
        names: tuple[str, ...],
        store: Store | None,
    ):
        self.recipe, self.table, self.stop, self.mesh = recipe, table, stop, mesh
        self.measure_at, self.initial = measure_at, initial
        self.keep_params, self.store, self.host_task = keep_params, store, task
        self.rows = padded_rows(recipe, task, table.lanes)
        self.records = Records.of(names, len(table))
        self.costs = {**TO_SHARE, "compilations": 0}
        self.pending: list[Pending] = []
        self.seats: dict[int, Any] = {}  # by padded size: what the devices were sent last
        self.leaving: list[int] = []  # lanes whose parameters are on their way to the host
        self.checkpoints = 0

    # -- starting, and going on -----------------------------------------------------------------

    def start(self, slots: int | Literal["auto"], vectorize: bool | Literal["auto"]) -> None:
        """Sets up the devices; goes on from the store's last checkpoint if there is one."""
        self.task = programs.put(self.mesh, self.host_task, whole=True)
        self.max_steps = programs.put(self.mesh, np.int32(self.measure_at[-1]), whole=True)
        done, saved = np.zeros(len(self.table), bool), None
        if self.store is not None:
            done, saved = self._reopen(self.store)
        running = set() if saved is None else set(saved["lanes"].tolist())
        slots, self.vectorize = self._layout(slots, vectorize, int((~done).sum()))
        slots = max(slots, -(-len(running) // self.mesh.size))
        self.schedule = Schedule.of(
            self.rows, self.table.lanes.num_train, self.measure_at, self.mesh.size, slots
        )
        self.schedule.keep_waiting(lambda lane: not done[lane] and lane not in running)
        one = jax.tree.map(lambda leaf: leaf[0], (self.table.lanes, self.initial))
        empty = programs.empty_slots(self.recipe, self.host_task, self.mesh, slots, *one)
        if saved is not None:
            lanes = saved["lanes"]
            empty, self.pending = restore(saved, lanes, self.schedule, self.records, empty)
            self.costs["slot_steps"] += int(saved["slot_steps"])
            self.costs["wall_seconds"] += float(saved["wall_seconds"])
        self.state = programs.put(self.mesh, empty)

    def _layout(
        self, slots: int | Literal["auto"], vectorize: bool | Literal["auto"], lanes: int
    ) -> Layout:
        """What was asked for; else as before the interruption, or as a trial says."""
        before = None if self.store is None else self.store.layout(self.mesh.size)
        if before is not None:
            slots = before[0] if slots == "auto" else slots
            vectorize = before[1] if vectorize == "auto" else vectorize
        if not lanes:  # nothing is left to train
            return Layout(1, False)
        trial = Trial(
            self.recipe, self.host_task, self.table, self.stop, self.mesh, int(self.rows.max())
        )
        most = int(self.measure_at[-1])
        chunk = int(np.median(np.diff(self.measure_at)))
        layout = choose_layout(trial, slots, vectorize, lanes * most, chunk)
        if self.store is not None:
            self.store.keep_layout(self.mesh.size, layout)
        return layout

    def _reopen(self, store: Store) -> tuple[np.ndarray, dict[str, Any] | None]:
        """Which lanes are finished, and the state of running ones, from the store."""
        loaded = store.load_state()
        self.checkpoints = 0 if loaded is None else loaded[0]
        store.open_segments(None if loaded is None else self.checkpoints)
        self.checkpoints = max([self.checkpoints, *store.segments()])
        finished = {key for part in store.finished() for key in _keys(lane_columns(part.dataset))}
        keys = list(_keys(self.table.columns))
        done = np.array([key in finished for key in keys])
        if loaded is None:
            return done, None
        saved, place = loaded[1], {key: lane for lane, key in enumerate(keys)}
        saved["lanes"] = np.array([place.get(key, EMPTY) for key in _keys(saved["columns"])])
        return done, saved

    def run(self, show: Callable, interrupted: Callable[[], bool], checkpoint_every: float) -> None:
        """Runs calls until no lane is left, or until interrupted."""
        clock = last = time.perf_counter()
        schedule = self.schedule
        while self.pending or schedule.running or schedule.queue:
            dispatched = self._dispatch()
            left, self.leaving = self.leaving, []
            # The numbers of a call are used only after the next one is on its way, so that the
            # device does not wait for the host.
            for pending in self.pending:
                self._read(pending)
            self._fetch_params(left)  # a round later, when nobody has to wait for them
            self.pending = dispatched
            now = time.perf_counter()
            self.costs["wall_seconds"] += now - clock
            clock = now
            show(self._status())
            due = self.store is not None and now - last >= checkpoint_every
            stopping, due = programs.from_first([interrupted(), due])
            if self.store is not None and (stopping or due):
                self._checkpoint(self.store)
                last = time.perf_counter()
            if stopping:
                return

    # -- one round ------------------------------------------------------------------------------

    def _dispatch(self) -> list[Pending]:
        """Sends waiting lanes and the next steps of all others to the devices."""
        fixed = (self.recipe, self.task, self.stop, self.mesh)
        dispatched = []

        def sent(call: Call, order: jax.Array, report: Report) -> None:
            kept = None
            if self.keep_params == "all":
                kept = programs.take(self.mesh, self.state.params, order)
            dispatched.append(Pending(call, report, kept))

        if call := self.schedule.admit():
            new = call.lanes.ravel()
            lanes, initial = jax.tree.map(lambda leaf: leaf[new], (self.table.lanes, self.initial))
            arguments = programs.put(self.mesh, (call.order.ravel(), call.count, lanes, initial))
            self.state, report = programs.admit(*fixed, self.state, *arguments, self.max_steps)
            sent(call, arguments[0], report)
        for call in self.schedule.calls(self.vectorize):
            seats = self._seats(call)
            self.state, report = programs.train(
                *fixed, self.state, *seats,
                programs.put(self.mesh, call.targets.ravel()), self.max_steps,
                rows=call.rows, vectorize=self.vectorize,
            )  # fmt: skip
            sent(call, seats[0], report)
        return dispatched

    def _seats(self, call: Call) -> tuple[jax.Array, jax.Array]:
        """Order and count of a call on the devices; mostly they are those of the round before."""
        seats = (call.order.ravel(), call.count)
        last = self.seats.get(call.rows)
        if last is None or not all(map(np.array_equal, seats, last[0])):
            last = self.seats[call.rows] = seats, programs.put(self.mesh, seats)
        return last[1]

    def _read(self, pending: Pending) -> None:
        """Records what a call reports, and retires the lanes that are done."""
        call, records = pending.call, self.records
        shape = call.lanes.shape
        report, params = programs.fetch((pending.report, pending.params))
        scalars, status = (leaf.reshape(*shape, -1) for leaf in report)
        taken = np.zeros(shape, np.int64)
        leaving = []
        for place in zip(*np.nonzero(call.lanes != EMPTY), strict=True):
            lane = int(call.lanes[place])
            if records.finished[lane]:
                continue  # was done before this call, which left it as it was
            step, done, diverged = status[place].tolist()
            taken[place] = records.add(lane, step, scalars[place])
            if params is not None:
                index = np.ravel_multi_index(place, shape)
                kept = jax.tree.map(lambda leaf, index=index: leaf[index], params)
                records.params[lane] = [*(records.params[lane] or []), kept]
            if done:
                records.finish(lane, bool(diverged), int(self.measure_at[-1]))
                leaving.append(lane)
        if self.vectorize:  # a batch takes as long as its longest member, in every place
            self.costs["slot_steps"] += int(taken.max(axis=1).sum()) * taken[0].size
        else:
            self.costs["slot_steps"] += int(taken.sum())
        self._retire(leaving)

    def _retire(self, leaving: list[int]) -> None:
        """Frees the slots of finished lanes and starts copying their parameters to the host."""
        seats = {lane: self.schedule.release(lane) for lane in leaving}
        while seats and self.keep_params == "final":
            # One lane of each device at a time.
            group = {device: (lane, slot) for lane, (device, slot) in seats.items()}
            slots = np.zeros(self.mesh.size, np.int32)
            for device, (_, slot) in group.items():
                slots[device] = slot
            taken = programs.take(self.mesh, self.state.params, programs.put(self.mesh, slots))
            for device, (lane, _) in group.items():
                self.records.params[lane] = _Taken(taken, device)
                self.leaving.append(lane)
                del seats[lane]

    def _fetch_params(self, lanes: Iterable[int]) -> None:
        """Lets go of the device's copy of finished lanes' parameters."""
        params = self.records.params
        for lane in lanes:
            if isinstance(params[lane], _Taken):
                params[lane] = params[lane].fetch()

    def _status(self) -> Status:
        """The sweep as the progress line shows it."""
        records, waiting = self.records, len(self.schedule.queue)
        done = records.finished
        ours = int(done.sum()) + self.schedule.running + waiting
        expected = records.step[done].mean() if done.any() else int(self.measure_at[-1])
        left = ours * expected - records.step.sum()
        return Status(
            lanes=len(done),
            finished=len(done) - self.schedule.running - waiting,
            running=self.schedule.running,
            grokked=int((records.stopped & ~records.diverged).sum()),
            lane_steps=int(records.step.sum()),
            steps_left=max(float(left), 0.0),
        )

    # -- checkpoints and results ----------------------------------------------------------------

    def _checkpoint(self, store: Store) -> None:
        """Writes what is known: finished lanes for good, running ones to go on from."""
        self.pending = [Pending(p.call, *programs.fetch(p[1:])) for p in self.pending]
        self.checkpoints += 1
        try:
            self._flush(store)
            if self.schedule.running:
                running = snapshot(
                    self.table.columns, self.schedule, self.records, self.state, self.pending
                )
                costs = {name: np.float64(self.costs[name]) for name in TO_SHARE}
                store.save_state(self.checkpoints, running | costs)
        except OSError as error:
            self._warn("a checkpoint", error, "the sweep goes on without")

    def _warn(self, what: str, error: OSError, remedy: str = "") -> None:
        message = f"{what} could not be written to the sweep's directory: {error}"
        warnings.warn(f"{message}; {remedy}." if remedy else f"{message}.", stacklevel=4)

    def _flush(self, store: Store) -> None:
        """Moves finished lanes from the host's memory to the store."""
        records = self.records
        lanes = np.array([i for i in np.flatnonzero(records.finished) if records.history[i]], int)
        if len(lanes):
            store.add_segment(self.checkpoints, self._labelled(lanes))
            self.costs |= TO_SHARE
            for lane in lanes:
                records.history[lane], records.params[lane] = [], None

    def _labelled(self, lanes: np.ndarray) -> SweepResult:
        records = self.records
        self._fetch_params(lanes)
        steps = self.measure_at if self.keep_params == "all" else None
        costs = {"lane_steps": int(records.step[lanes].sum()), **self.costs}
        return records.result(lanes, self.table.columns, costs, self.stop, steps)

    def result(self, attributes: dict[str, Any]) -> SweepResult:
        """The finished lanes, labelled, and written to the store if that is all of them."""
        fresh = np.array([i for i, h in enumerate(self.records.history) if h], int)
        fresh = fresh[self.records.finished[fresh]]
        parts = [self._labelled(fresh)]
        if self.store is None:
            return SweepResult(parts[0].dataset.assign_attrs(attributes), parts[0].params)
        try:
            self.store.close()
        except OSError as error:
            self._warn("the last checkpoint", error)
        parts = self.store.finished() + ([parts[0]] if len(fresh) else [])
        whole = concatenate(parts) if parts else self._labelled(fresh)
        whole = SweepResult(whole.dataset.assign_attrs(attributes), whole.params)
        place = {key: i for i, key in enumerate(_keys(lane_columns(whole.dataset)))}
        wanted = [place[key] for key in _keys(self.table.columns) if key in place]
        if len(wanted) == len(self.table):
            others = [i for i in place.values() if i not in set(wanted)]
            try:
                self.store.complete(whole.select(wanted + others))
            except OSError as error:
                self._warn("the result", error, "save it elsewhere with result.save(directory)")
        return whole.select(wanted)


class _Taken(NamedTuple):
    """Parameters of one lane of each device, on their way to the host."""

    params: Params
    device: int

    def fetch(self) -> Params:
        return jax.tree.map(lambda leaf: leaf[self.device], programs.fetch(self.params))


def _keys(columns: Mapping[str, Any]) -> Iterator[tuple]:
    """What names each lane: its coordinates."""
    return zip(*(np.asarray(columns[name]).tolist() for name in sorted(columns)), strict=True)
