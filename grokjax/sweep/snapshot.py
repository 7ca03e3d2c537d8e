"""A sweep in progress as arrays, for checkpoints: what running lanes need to go on."""

from typing import Any, NamedTuple

import jax
import numpy as np

from grokjax.models import Params
from grokjax.sweep.lanes import Lanes
from grokjax.sweep.programs import Report
from grokjax.sweep.records import Records
from grokjax.sweep.schedule import EMPTY, Call, Schedule
from grokjax.train import LaneState


class Pending(NamedTuple):
    """A call whose numbers the host has not used yet."""

    call: Call
    report: Report
    params: Params | None  # in the places of the call, when those of every measurement are kept


def snapshot(
    columns: Lanes,
    schedule: Schedule,
    records: Records,
    state: LaneState,
    pending: list[Pending],
) -> dict[str, Any]:
    """Running lanes as arrays: their coordinates, seats, device state and history."""
    occupant = schedule.occupant
    seats = np.flatnonzero(occupant.ravel() != EMPTY)
    lanes = occupant.ravel()[seats]
    known = np.array([len(records.history[lane]) for lane in lanes])
    steps = np.zeros((len(lanes), max(1, known.max())), np.int64)
    history = np.zeros((*steps.shape, len(records.names)), np.float32)
    # Parameters at the measurements so far, when those of every one are kept.
    shapes = jax.tree.leaves(state.params) if any(records.params[lane] for lane in lanes) else []
    kept = [np.zeros((*steps.shape, *leaf.shape[1:]), leaf.dtype) for leaf in shapes]
    for i, lane in enumerate(lanes):
        for k, (step, scalars) in enumerate(records.history[lane]):
            steps[i, k], history[i, k] = step, scalars
        for k, params in enumerate(records.params[lane] or []):
            for whole, leaf in zip(kept, jax.tree.leaves(params), strict=True):
                whole[i, k] = leaf
    place = {lane: i for i, lane in enumerate(lanes.tolist())}
    sent = []
    for call, report, params in pending:
        numbers = np.vectorize(lambda lane: place.get(lane, EMPTY), otypes=[int])(call.lanes)
        call = {name: x for name, x in call._asdict().items() if name != "rows"}
        sent.append({"call": {**call, "lanes": numbers}, "report": report._asdict()})
        if params is not None:
            sent[-1]["params"] = jax.tree.leaves(params)
    return {
        "columns": {name: values[lanes] for name, values in columns.items()},
        "layout": np.array(occupant.shape),
        "seat": seats,
        "measured": schedule.measured[lanes],
        "state": jax.tree.leaves(state),
        "known": known,
        "steps": steps,
        "history": history,
        "kept": kept,
        "pending": sent,
    }


def restore(
    saved: dict[str, Any], lanes: np.ndarray, schedule: Schedule, records: Records, empty: LaneState
) -> tuple[LaneState, list[Pending]]:
    """Puts running lanes back where they were: in the same slots if there are as many.

    Args:
      saved: a snapshot.
      lanes: their numbers in this sweep, `EMPTY` for those that it does not have.
      schedule: without any of them; gets them seated.
      records: gets what was known of them.
      empty: host arrays of all slots, which are filled.

    Returns:
      The state of all slots, on the host, and the calls whose numbers are still to be used.
    """
    devices, slots = schedule.occupant.shape
    same = tuple(saved["layout"].tolist()) == (devices, slots)
    leaves, structure = jax.tree.flatten(empty)
    params = jax.tree.structure(empty.params)
    for i, lane in enumerate(lanes.tolist()):
        if lane == EMPTY:
            continue  # not asked for any more
        seat = divmod(int(saved["seat"][i]), slots) if same else schedule.free_seat()
        schedule.seat(lane, *seat, int(saved["measured"][i]))
        for leaf, old in zip(leaves, saved["state"], strict=True):
            leaf[seat[0] * slots + seat[1]] = old[int(saved["seat"][i])]
        for k in range(int(saved["known"][i])):
            records.add(lane, int(saved["steps"][i, k]), saved["history"][i, k])
            if kept := saved.get("kept"):  # an empty list is not stored
                tree = jax.tree.unflatten(params, [leaf[i, k] for leaf in kept])
                records.params[lane] = [*(records.params[lane] or []), tree]
    pending = []
    for sent in saved.get("pending", []):
        call, copy = sent["call"], sent.get("params")
        call["lanes"] = np.where(call["lanes"] == EMPTY, EMPTY, lanes[call["lanes"]])
        copy = None if copy is None else jax.tree.unflatten(params, copy)
        pending.append(Pending(Call(**call, rows=0), Report(**sent["report"]), copy))
    return jax.tree.unflatten(structure, leaves), pending
