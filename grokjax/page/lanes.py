"""What a page holds of the lanes: outcomes of cells, curves, and times of grokking."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray

from grokjax import survival
from grokjax.checks import shown
from grokjax.page.cells import Axis
from grokjax.page.packing import packed, packed_floats, spread, thinned
from grokjax.results import lane_columns

#: Outcomes in the order that cells are filled, what a page calls them, and their colours. The
#: colours differ in lightness, so that they can be told apart in print and by the colour-blind.
OUTCOMES = {
    "grokked": ("grokked", "#0067a5"),
    "memorized": ("memorized only", "#f0a63a"),
    "underfit": ("never memorized", "#dcdcdc"),
    "diverged": ("diverged", "#3b1431"),
    "interrupted": ("interrupted", "#9a8fbf"),
}
MEASURES = ("train_accuracy", "test_accuracy", "train_loss", "test_loss")
CURVE_BYTES = 4_000_000  # of all curves together, before they become text
POINTS = 200  # of a curve at most
FEWEST = 16  # and at least: with less room, some of the lanes have none
SHOWN = 2000  # lanes that have a mark in the chart of grokking times
GROUPS = 8  # rows of the grid up to which they have medians of their own


def cells_of(dataset: xarray.Dataset, across: Axis, up: Axis) -> tuple[dict[str, Any], np.ndarray]:
    """The cells that have lanes, with their outcomes and what survival says; and each lane's cell.

    A lane's cell is its number among these.
    """
    place = up.place * len(across.names) + across.place
    there, cell = np.unique(place, return_inverse=True)
    outcome = dataset.outcome.values.astype(str)
    kinds = [name for name in OUTCOMES if (outcome == name).any()]
    counts = np.zeros((len(there), len(kinds)), int)
    for i, name in enumerate(kinds):
        np.add.at(counts[:, i], cell[outcome == name], 1)
    order = np.argsort(cell, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(cell))[:-1])
    return {
        "x": (there % len(across.names)).tolist(),
        "y": (there // len(across.names)).tolist(),
        "outcomes": kinds,
        "counts": counts.tolist(),
        "survival": [survival_of(dataset, lanes) if len(lanes) > 1 else None for lanes in members],
    }, cell


def survival_of(dataset: xarray.Dataset, lanes: np.ndarray) -> dict[str, Any]:
    """The Kaplan-Meier curve of some lanes, its median and the probability of grokking."""
    grokking = dataset.grokking_step.values[lanes].astype(float)
    watched = np.maximum(dataset.watched_step.values[lanes].astype(float), 0)
    watched = np.where(np.isnan(grokking), watched, np.maximum(watched, grokking))
    curve = survival.kaplan_meier(grokking, watched)
    keep = spread(len(curve.step), 200)
    probability = survival.grokking_probability(grokking)
    return {
        "n": len(lanes),
        "grokked": int(np.isfinite(grokking).sum()),
        "step": curve.step[keep].tolist(),
        "share": _rounded(curve.survival[keep]),
        "low": _rounded(curve.low[keep]),
        "high": _rounded(curve.high[keep]),
        "censored": spread_values(np.sort(watched[np.isnan(grokking)]), 200),
        "end": float(np.max(np.where(np.isnan(grokking), watched, grokking))),
        "median": _numbers(survival.median(grokking, watched)),
        "probability": _numbers(probability),
    }


def times_of(dataset: xarray.Dataset, across: Axis, up: Axis) -> dict[str, Any]:
    """Grokking times along the columns of the grid: of lanes, and medians with their intervals.

    Every row of the grid has medians of its own, where there are few.
    """
    grokking = dataset.grokking_step.values.astype(float)
    watched = dataset.watched_step.values.astype(float)
    separate = 1 < len(up.names) <= GROUPS
    group = up.place if separate else np.zeros(len(grokking), int)
    medians = []
    for row in np.unique(group):
        for column in np.unique(across.place[group == row]):
            lanes = np.flatnonzero((group == row) & (across.place == column))
            found = survival_of(dataset, lanes)
            medians.append(
                {
                    "x": int(column),
                    "group": int(row),
                    "n": found["n"],
                    "grokked": found["grokked"],
                    "median": found["median"][0],
                    "low": found["median"][1],
                    "high": found["median"][2],
                    "end": found["end"],
                }
            )
    lanes = spread(len(grokking), SHOWN)
    return {
        "groups": list(up.names) if separate else [],
        "medians": medians,
        "lanes": lanes.tolist(),
        "step": np.where(np.isnan(grokking), watched, grokking)[lanes].tolist(),
        "grokked": (~np.isnan(grokking))[lanes].astype(int).tolist(),
    }


def measures_of(dataset: xarray.Dataset, wanted: Sequence[str] | None) -> list[str]:
    """The measurements that have curves: accuracies and losses first.

    Raises:
      ValueError: for one that was not made.
    """
    names = [str(k) for k, v in dataset.data_vars.items() if v.dims == ("lane", "time")]
    names.sort(key=lambda name: MEASURES.index(name) if name in MEASURES else len(MEASURES))
    if wanted is None:
        return names
    listed = list(wanted) if hasattr(wanted, "__iter__") and not isinstance(wanted, str) else None
    unknown = [] if listed is None else [name for name in listed if name not in names]
    if listed is None or unknown:
        raise ValueError(
            f"measures must be names of measurements, from {names}, got "
            f"{shown(wanted if listed is None else unknown[0])}."
        )
    return [name for name in names if name in {"train_accuracy", "test_accuracy", *listed}]


def curves_of(dataset: xarray.Dataset, cell: np.ndarray, measures: list[str]) -> dict[str, Any]:
    """The curves of the lanes, thinned so that they fit into a page.

    Every curve loses points first, and the lanes of full cells lose their curves after that.
    """
    values = {name: dataset[name].values for name in measures}
    there = np.logical_or.reduce([~np.isnan(v) for v in values.values()])
    lanes, longest = there.shape[0], int(there.sum(axis=1).max(initial=0))
    width = 4 + 2 * len(measures)  # bytes of a point: its step, and what was measured
    points = int(np.clip(CURVE_BYTES // (width * lanes), FEWEST, POINTS))
    chosen = np.arange(lanes)
    if points * width * lanes > CURVE_BYTES:
        # Of a cell every so many lanes: those that come late in their own cell go first.
        order = np.argsort(cell, kind="stable")
        start = np.r_[0, np.cumsum(np.bincount(cell))[:-1]]
        rank = np.empty(lanes, int)
        rank[order] = np.arange(lanes) - start[cell[order]]
        chosen = np.sort(np.argsort(rank, kind="stable")[: CURVE_BYTES // (width * points)])
    points = min(points, max(longest, 1))
    times = np.full((len(chosen), points), -1)
    for row, lane in enumerate(chosen):
        measured = np.flatnonzero(there[lane])
        kept = measured[thinned(len(measured), points)]
        times[row, : len(kept)] = kept
    steps = dataset.step.values[np.maximum(times, 0)]
    long_names = {name: str(dataset[name].attrs.get("long_name", name)) for name in measures}
    found = {}
    for name, of_lanes in values.items():
        taken = np.take_along_axis(of_lanes[chosen], np.maximum(times, 0), axis=1)
        found[name] = packed_floats(np.where(times < 0, np.nan, taken))
        found[name]["label"] = long_names[name]
    return {
        "lanes": chosen.tolist(),
        "points": points,
        "longest": longest,
        "steps": packed(np.where(times < 0, -1, steps).astype(np.float32)),
        "measures": found,
    }


def names_of(dataset: xarray.Dataset) -> dict[str, Any]:
    """The columns of every lane, those that differ, for the words that describe one."""
    columns = lane_columns(dataset)
    varying = {name: v for name, v in columns.items() if len(np.unique(v)) > 1}
    return {
        "columns": {name: _plain(values) for name, values in varying.items()},
        "outcome": [list(OUTCOMES).index(name) for name in dataset.outcome.values.astype(str)],
        "grokking": _numbers(dataset.grokking_step.values),
        "final": dataset.final_step.values.tolist(),
    }


def spread_values(values: np.ndarray, number: int) -> list[float]:
    """Some of many values, evenly chosen."""
    return values[spread(len(values), number)].tolist() if len(values) else []


def _plain(values: np.ndarray) -> list[Any]:
    if values.dtype.kind == "f":
        return [float(f"{x:.6g}") if np.isfinite(x) else None for x in values.tolist()]
    return values.tolist()


def _rounded(values: np.ndarray) -> list[float]:
    return np.round(np.asarray(values, float), 4).tolist()


def _numbers(values: Any) -> list[float | None]:
    """Numbers for JSON, which has neither NaN nor infinity."""
    return [float(x) if np.isfinite(x) else None for x in np.asarray(values, float)]
