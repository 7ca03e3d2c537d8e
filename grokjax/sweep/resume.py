"""Going on from the files of a sweep, and the whole result of old lanes and new ones."""

import dataclasses
from typing import Any

import jax
import numpy as np

from grokjax.results import SweepResult, concatenate, lane_columns
from grokjax.results.result import rows_of
from grokjax.sweep.ledger import Ledger
from grokjax.sweep.loop import warn_unwritten
from grokjax.sweep.plan import Plan
from grokjax.sweep.schedule import EMPTY
from grokjax.sweep.snapshot import running_lanes
from grokjax.sweep.store import Segment, Store
from grokjax.train import LaneState, lane_keys


@dataclasses.dataclass
class Opened:
    """What the files of a sweep say of its lanes.

    Attributes:
      whole: the result of the sweep, if it is there and no lane of this one is missing.
      saved: a snapshot of running lanes, or None.
      running: int[n], their numbers, `EMPTY` for lanes that are not asked for.
      carried: states of lanes that spent a smaller budget, to go on from.
    """

    whole: SweepResult | None = None
    saved: dict[str, Any] | None = None
    running: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, int))
    carried: dict[int, LaneState] = dataclasses.field(default_factory=dict)


def reopen(store: Store, plan: Plan, ledger: Ledger, empty: LaneState) -> Opened:
    """Reads a sweep's directory into the ledger.

    Args:
      store: the directory.
      plan: the sweep.
      ledger: gets lanes that are finished, and those that go on under a larger budget.
      empty: host arrays of one slot, for the structure of a lane's state.

    Raises:
      ValueError: if a lane there started from other parameters than now, and for files that cannot
        be read.
    """
    whole = store.whole()
    if whole is not None:
        first = Ledger(plan)
        _know([whole], Opened(), plan, first, empty)
        if first.stored.all():
            ledger.stored[:] = True
            return Opened(whole.result)  # nothing is written to a directory that has everything
    opened = Opened()
    loaded = store.load_state()
    if loaded is not None:
        ledger.checkpoints, saved = loaded
        ledger.segments = saved["segments"][1:].tolist()
        opened.saved = saved
    store.prepare(None if loaded is None else ledger.checkpoints)
    segments = store.segments(ledger.segments)
    ledger.checkpoints = max(ledger.checkpoints, store.last_segment())
    if opened.saved is not None:
        keys = {key: lane for lane, key in enumerate(lane_keys(plan.table.columns))}
        opened.running = running_lanes(opened.saved, keys)
        here = opened.running != EMPTY
        _check_start(plan, ledger, opened.running[here], opened.saved["initial"][here])
        for name, cost in opened.saved["costs"].items():
            ledger.costs[name] += type(ledger.costs[name])(cost)
    _know(segments, opened, plan, ledger, empty)
    return opened


def _know(
    segments: list[Segment], opened: Opened, plan: Plan, ledger: Ledger, empty: LaneState
) -> None:
    """Which lanes of the segments are finished, and which go on from where they ended."""
    keys = {key: lane for lane, key in enumerate(lane_keys(plan.table.columns))}
    found: dict[int, tuple[int, int]] = {}  # the last one of a lane counts
    for number, part in enumerate(segments):
        columns = lane_columns(part.result.dataset)
        for row, key in enumerate(lane_keys(columns)):
            if key in keys:
                found[keys[key]] = number, row
    of_segment: list[dict[int, int]] = [{} for _ in segments]
    for lane, (number, row) in found.items():
        of_segment[number][lane] = row
    running = set(opened.running.tolist())
    for part, own in zip(segments, of_segment, strict=True):
        data = part.result.dataset
        lanes, rows = np.array(list(own), int), np.array(list(own.values()), int)
        if "initial_digest" in data:
            _check_start(plan, ledger, lanes, data.initial_digest.values[rows])
        stopped, steps = data.stopped.values[rows], data.final_step.values[rows]
        diverged = data.outcome.values[rows] == "diverged"
        here = np.array([lane not in running for lane in own], bool)
        done = here & (stopped | diverged | (steps >= plan.max_steps))
        ledger.stored[lanes[done]] = True
        ledger.count[lanes[done]] = np.searchsorted(plan.measure_at, steps[done], side="right")
        ledger.stopped[lanes[done]] = stopped[done]
        ledger.diverged[lanes[done]] = diverged[done]
        for i in np.flatnonzero(here & ~done):
            _go_on(int(lanes[i]), int(rows[i]), part, opened, plan, ledger, empty)


def _go_on(
    lane: int,
    row: int,
    part: Segment,
    opened: Opened,
    plan: Plan,
    ledger: Ledger,
    empty: LaneState,
) -> None:
    """Puts back a lane that spent a smaller budget; without its state it trains from the start."""
    state = _carried(part, row, empty)
    if state is None:
        return
    data = part.result.dataset
    opened.carried[lane] = state
    count = plan.measured_until(int(data.final_step.values[row]))
    times = np.searchsorted(data.step.values, plan.measure_at[:count])
    values = [data[name].values[row, times] for name in plan.names]
    ledger.restore(lane, np.stack(values, axis=1), False, False)
    if plan.keep_params == "all":
        own = jax.tree.map(lambda leaf: np.asarray(leaf)[row], part.result.params)
        ledger.kept[lane] = [
            jax.tree.map(lambda leaf, time=time: leaf[time], own) for time in times
        ]


def _carried(part: Segment, row: int, empty: LaneState) -> LaneState | None:
    """The state that a lane ended with, if it was kept."""
    if part.carry is None or row not in part.carry["row"]:
        return None
    place = int(np.flatnonzero(part.carry["row"] == row)[0])
    leaves, structure = jax.tree.flatten(empty)
    kept = [np.asarray(leaf)[place] for leaf in part.carry["state"]]
    if [leaf.shape for leaf in kept] != [leaf.shape[1:] for leaf in leaves]:
        return None  # of a version of the library whose states were others
    return jax.tree.unflatten(structure, kept)


def _check_start(plan: Plan, ledger: Ledger, lanes: np.ndarray, digests: np.ndarray) -> None:
    """Lanes go on from the parameters that they began with."""
    different = np.asarray(digests).astype(np.uint64) != ledger.digests(lanes)
    if different.any():
        lane = lanes[different.argmax()]
        place = {name: column[lane].item() for name, column in plan.table.columns.items()}
        raise ValueError(
            f"lane {lane}, {place}, started from other initial parameters in this directory than "
            "those given now; choose another directory, or tell the lanes apart with a column "
            "replica=..."
        )


def finish(
    plan: Plan, ledger: Ledger, whole: SweepResult | None, store: Store | None, interrupted: bool
) -> SweepResult:
    """The result of all lanes that are finished, and written to the store if that is all of them.

    Args:
      plan: the sweep.
      ledger: lanes of this process.
      whole: the result, if the store had it before.
      store: the directory, or None.
      interrupted: whether lanes are missing; those that were running are then part of it.

    Raises:
      OSError: if lanes that were finished are not in the store any more.
    """
    if whole is None:
        fresh = ~ledger.stored & (ledger.count > 0) & (ledger.finished | interrupted)
        lanes = np.flatnonzero(fresh)
        parts = [] if store is None else store.segments(ledger.segments)
        if len(lanes) or not parts:
            parts.append(Segment(ledger.result(lanes), ledger.carry(lanes)))
        joined = _join(plan, parts)
        whole = joined.result
        if store is not None and not interrupted and len(_asked_for(plan, whole)) == len(plan):
            try:
                store.complete(joined)
            except OSError as error:
                warn_unwritten("the result", error, "save it elsewhere with result.save(directory)")
    rows = _asked_for(plan, whole)
    if (missing := len(plan) - len(rows)) and not interrupted:
        raise OSError(
            f"{missing} of {len(plan)} lanes are missing: somebody removed files of the sweep "
            "while it ran; the same call trains them again."
        )
    result = whole.select(rows)
    if interrupted:
        result.dataset.attrs["interrupted"] = 1
    return dataclasses.replace(result, model=plan.recipe.model, task=plan.task)


def _join(plan: Plan, parts: list[Segment]) -> Segment:
    """Parts of a sweep as one: the lanes of the plan in its order, and then all others.

    Of a lane that several parts have, which went on under a larger budget, the last one counts.
    What all parts cost is added up, and where they come from joined.
    """
    joined = concatenate([part.result for part in parts])
    order = _asked_for(plan, joined)
    last = {key: row for row, key in enumerate(lane_keys(lane_columns(joined.dataset)))}
    order += sorted(set(last.values()) - set(order))
    result = rows_of(joined, np.array(order, int))
    attributes = plan.attributes() | {"lane_steps": int(result.dataset.final_step.sum())}
    result.dataset.attrs |= attributes
    starts = np.cumsum([0, *(part.result.dataset.sizes["lane"] for part in parts)])
    carries = [
        (start, part.carry) for start, part in zip(starts, parts, strict=False) if part.carry
    ]
    if not carries:
        return Segment(result)
    rows = np.concatenate([start + carry["row"] for start, carry in carries])
    state = [
        np.concatenate(leaves)
        for leaves in zip(*(carry["state"] for _, carry in carries), strict=True)
    ]
    now = {row: i for i, row in enumerate(order)}
    kept = [i for i, row in enumerate(rows.tolist()) if row in now]
    carry = {
        "row": np.array([now[row] for row in rows[kept].tolist()], int),
        "state": [leaf[kept] for leaf in state],
    }
    return Segment(result, carry if kept else None)


def _asked_for(plan: Plan, whole: SweepResult) -> list[int]:
    """The rows of a result that are lanes of the plan, in its order; of two, the last one."""
    place = {key: row for row, key in enumerate(lane_keys(lane_columns(whole.dataset)))}
    return [place[key] for key in lane_keys(plan.table.columns) if key in place]
