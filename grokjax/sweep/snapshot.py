"""A sweep in progress as arrays, for checkpoints: what running lanes need to go on."""

from typing import Any, NamedTuple

import jax
import numpy as np

from grokjax.models import Params
from grokjax.sweep.ledger import Ledger
from grokjax.sweep.programs import Report
from grokjax.sweep.schedule import EMPTY, Call, Schedule
from grokjax.train import LaneState, lane_keys


class Pending(NamedTuple):
    """A call whose numbers the host has not used yet."""

    call: Call
    report: Report
    params: Params | None  # in the places of the call, when those of every measurement are kept


def snapshot(
    ledger: Ledger, schedule: Schedule, state: LaneState, pending: list[Pending]
) -> dict[str, Any]:
    """Running lanes as host arrays: their coordinates, seats, device state and history.

    Args:
      ledger: what is known of them.
      schedule: where they sit.
      state: of all slots, on the host.
      pending: calls whose numbers are still to be used, on the host.
    """
    occupant = schedule.occupant
    seats = np.flatnonzero(occupant.ravel() != EMPTY)
    lanes = occupant.ravel()[seats]
    place = {lane: i for i, lane in enumerate(lanes.tolist())}
    sent = []
    for call, report, params in pending:
        numbers = np.vectorize(lambda lane: place.get(lane, EMPTY), otypes=[int])(call.lanes)
        call = {name: x for name, x in call._asdict().items() if name != "rows"}
        call["steps"] = np.int64(call["steps"])
        sent.append({"call": {**call, "lanes": numbers}, "report": report._asdict()})
        if params is not None:
            sent[-1]["params"] = jax.tree.leaves(params)
    trees = [jax.tree.leaves(tree) for lane in lanes for tree in ledger.kept[lane]]
    one = np.zeros((1, len(ledger.plan.names)), np.float32)  # orbax refuses empty arrays
    return {
        "columns": {name: column[lanes] for name, column in ledger.plan.table.columns.items()},
        "layout": np.array(occupant.shape),
        "seat": seats,
        "measured": schedule.measured[lanes],
        "state": jax.tree.leaves(state),
        "count": ledger.count[lanes],
        "stopped": ledger.stopped[lanes],
        "diverged": ledger.diverged[lanes],
        "values": np.concatenate([*(ledger.values(lane) for lane in lanes), one]),
        # Parameters at the measurements so far, when those of every one are kept.
        "kept": [np.stack(leaves) for leaves in zip(*trees, strict=True)],
        "pending": sent,
        "costs": {name: np.float64(cost) for name, cost in ledger.costs.items()},
        "segments": np.array([0, *ledger.segments], np.int64),  # and here
        "initial": ledger.digests(lanes),
    }


def running_lanes(saved: dict[str, Any], plan_keys: dict[tuple, int]) -> np.ndarray:
    """The numbers of a snapshot's lanes in this sweep; `EMPTY` for those that it does not have."""
    return np.array([plan_keys.get(key, EMPTY) for key in lane_keys(saved["columns"])], int)


def restore(
    saved: dict[str, Any], lanes: np.ndarray, schedule: Schedule, ledger: Ledger, empty: LaneState
) -> tuple[LaneState, list[Pending]]:
    """Puts running lanes back where they were: in the same slots if there are as many.

    Args:
      saved: a snapshot.
      lanes: their numbers in this sweep, see `running_lanes`.
      schedule: without any of them; gets them seated.
      ledger: gets what was known of them.
      empty: host arrays of all slots, which are filled.

    Returns:
      The state of all slots, on the host, and the calls whose numbers are still to be used.
    """
    devices, slots = schedule.occupant.shape
    same = tuple(saved["layout"].tolist()) == (devices, slots)
    leaves, structure = jax.tree.flatten(empty)
    params = jax.tree.structure(empty.params)
    ends = np.cumsum(saved["count"])
    for i, lane in enumerate(lanes.tolist()):
        if lane == EMPTY:
            continue  # not asked for any more
        seat = divmod(int(saved["seat"][i]), slots) if same else schedule.free_seat()
        schedule.seat(lane, *seat, int(saved["measured"][i]))
        for leaf, old in zip(leaves, saved["state"], strict=True):
            leaf[seat[0] * slots + seat[1]] = old[int(saved["seat"][i])]
        rows = range(ends[i] - int(saved["count"][i]), ends[i])
        ledger.restore(
            lane,
            saved["values"][rows.start : rows.stop],
            bool(saved["stopped"][i]),
            bool(saved["diverged"][i]),
        )
        if kept := saved.get("kept"):  # an empty list is not stored
            ledger.kept[lane] = [
                jax.tree.unflatten(params, [leaf[row] for leaf in kept]) for row in rows
            ]
    pending = []
    for sent in saved.get("pending", []):
        call, copy = sent["call"], sent.get("params")
        call["lanes"] = np.where(call["lanes"] == EMPTY, EMPTY, lanes[call["lanes"]])
        copy = None if copy is None else jax.tree.unflatten(params, copy)
        call["steps"] = int(call["steps"])
        pending.append(Pending(Call(**call, rows=0), Report(**sent["report"]), copy))
    return jax.tree.unflatten(structure, leaves), pending
