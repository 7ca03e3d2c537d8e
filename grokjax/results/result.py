"""The result of a sweep: its dataset and the parameters it ended with."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray

from grokjax.results import files
from grokjax.results.dataset import join, lane_columns, unstack


@dataclasses.dataclass(frozen=True, eq=False)
class SweepResult:
    """What a sweep measured, and the parameters it ended with.

    Attributes:
      dataset: dimensions `lane` and `time`. Coordinates: the lane columns and `step`. Variables:
        measurements [lane, time], NaN after a lane retired, and per lane `memorization_step`,
        `grokking_step`, `final_step` and `outcome`. Attributes: what was run, where, and its cost.
      params: nested dict of arrays with lanes first, or None.
    """

    dataset: xarray.Dataset
    params: dict[str, Any] | None = None

    def __repr__(self) -> str:
        outcomes, counts = np.unique(self.dataset.outcome.values, return_counts=True)
        text = ", ".join(f"{n} {name}" for name, n in zip(outcomes, counts, strict=True))
        sizes = self.dataset.sizes
        return f"SweepResult({sizes['lane']} lanes, {sizes['time']} measurements: {text})"

    def table(self, dims: Sequence[str] | None = None) -> xarray.Dataset:
        """The dataset with its lanes unstacked into their columns: [alpha, seed, ..., time].

        Numbers are sorted along a dimension, words stay in the order of the lanes. Combinations
        that no lane has are NaN, and "" among words.

        Args:
          dims: the columns to become dimensions; by default all that vary. Columns that never vary
            become scalar coordinates, others that are left out become coordinates of every cell.

        Raises:
          ValueError: if `dims` names no lane column, or two lanes have the same place in the table.
        """
        return unstack(self.dataset, dims)

    def select(self, lanes: Sequence[int] | np.ndarray) -> "SweepResult":
        """Some of the lanes, by number, in that order; with their parameters."""
        lanes = np.asarray(lanes, int)
        params = None if self.params is None else _take(self.params, lanes)
        return SweepResult(self.dataset.isel(lane=lanes), params)

    def branch(self, lanes: Mapping[str, Any], match: Sequence[str] = ()) -> dict[str, Any]:
        """Parameters for lanes that go on from these, for `run_sweep(initial=...)`.

        Each new lane gets those of the one lane here that has the same values in the columns
        `match`; without any, all get those of the only lane there is. So one trained network goes
        on under many conditions, and all of them start with the measurements it ended with.

        Args:
          lanes: the new ones, from `grid` or `zip_lanes`.
          match: columns of both tables.

        Raises:
          ValueError: if there are no parameters, a column is missing, or a new lane has no match,
            or several.

        Example:
          parents = run_sweep(recipe, task, grid(alpha=0.7, seed=range(3), ...), ...)
          lanes = grid(alpha=[0.05, 0.1, 0.2], seed=range(3), ...)
          run_sweep(recipe, task, lanes, initial=parents.branch(lanes, ["seed"]), ...)
        """
        if self.params is None:
            raise ValueError(
                'this result has no parameters to go on from; make it with keep_params="final".'
            )
        number = max(len(np.atleast_1d(column)) for column in lanes.values())
        matching = np.ones((number, self.dataset.sizes["lane"]), bool)
        own = lane_columns(self.dataset)
        for name in match:
            if name not in own or name not in lanes:
                raise ValueError(
                    f"{name!r} is no column of both: the result has {list(own)}, and the new lanes "
                    f"have {list(lanes)}."
                )
            matching &= np.asarray(lanes[name]).reshape(-1, 1) == own[name]
        counts = matching.sum(axis=1)
        if (counts != 1).any():
            lane = int((counts != 1).argmax())
            has = {name: np.broadcast_to(lanes[name], number)[lane].item() for name in match}
            raise ValueError(
                f"new lane {lane} has {counts[lane]} lanes to go on from, with {has or 'match=()'}, "
                "not one; select() the lanes to choose from, or name more columns in match."
            )
        return _take(self.params, matching.argmax(axis=1))

    def save(self, directory: str | os.PathLike) -> None:
        """Write `results.nc`, `config.json` (the attributes) and `params.nc` into a directory.

        Every file is written under another name and then moved, `results.nc` last, so that nobody
        ever reads half a file.
        """
        files.write(pathlib.Path(directory), self.dataset, self.params)


def _take(tree: Any, lanes: np.ndarray) -> Any:
    if isinstance(tree, Mapping):
        return {name: _take(value, lanes) for name, value in tree.items()}
    return np.asarray(tree)[lanes]


def load_result(directory: str | os.PathLike) -> SweepResult:
    """The result that was saved in a directory; the code that made it is not needed.

    Raises:
      ValueError: if there is no result in the directory, or one that cannot be read.
    """
    return SweepResult(*files.read(pathlib.Path(directory)))


def concatenate(results: Sequence[SweepResult], **columns: Sequence[Any]) -> SweepResult:
    """Several results in one: lanes one after the other, on the union of their steps.

    What a result has not measured is NaN; a column it does not have is NaN, or "" among words.
    Costs (`lane_steps`, `slot_steps`, `wall_seconds`, `compilations`) are added; other attributes
    that differ are joined by " | ". Parameters are kept if all have them in the same shapes.

    Args:
      results: at least one.
      **columns: new lane columns, one value for each result.

    Example:
      concatenate([with_adamw, with_sgd], optimizer=["adamw", "sgd"]).table()

    Raises:
      ValueError: if there is nothing to join, or a column has another length or exists already.
    """
    if not results:
        raise ValueError("concatenate needs at least one result, got none.")
    datasets = [result.dataset for result in results]
    for name, values in columns.items():
        if len(values) != len(datasets):
            raise ValueError(
                f"column {name!r} has {len(values)} values for {len(datasets)} results; give one "
                "value for each result."
            )
        if any(name in dataset.variables for dataset in datasets):
            raise ValueError(f"a result has {name!r} already; choose another name for the column.")
    added = [
        dataset.assign_coords(
            {k: ("lane", np.repeat(v[i], dataset.sizes["lane"])) for k, v in columns.items()}
        )
        for i, dataset in enumerate(datasets)
    ]
    return SweepResult(join(added), _join_params([result.params for result in results]))


def _join_params(params: Sequence[Any]) -> Any:
    """Nested dicts of arrays, joined along their lanes; None if they do not fit."""
    if all(isinstance(p, Mapping) for p in params):
        if any(set(p) != set(params[0]) for p in params):
            return None
        joined = {name: _join_params([p[name] for p in params]) for name in params[0]}
        return None if any(value is None for value in joined.values()) else joined
    if any(p is None or isinstance(p, Mapping) for p in params):
        return None
    if len({np.shape(p)[1:] for p in params}) > 1:
        return None
    return np.concatenate(params)
