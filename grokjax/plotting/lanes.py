"""The lanes that a figure shows: chosen, grouped, and summarized over seeds."""

import warnings
from typing import Any

import numpy as np
import xarray

from grokjax.checks import shown
from grokjax.results import SweepResult

Data = SweepResult | xarray.Dataset


def lanes_of(data: Data, *needed: str) -> xarray.Dataset:
    """The dataset of a result.

    Args:
      data: a result or its dataset.
      *needed: variables and columns that the figure shows, one value for each lane.

    Raises:
      ValueError: for anything else, a table, whose lanes are unstacked, a dataset without lanes, or
        one that lacks what is needed.
    """
    dataset = data.dataset if isinstance(data, SweepResult) else data
    if not isinstance(dataset, xarray.Dataset):
        raise ValueError(f"data must be a SweepResult, or its dataset, got {shown(data)}.")
    if "lane" not in dataset.dims:
        raise ValueError(
            f"figures are drawn from lanes, got a dataset with the dimensions "
            f"{list(dataset.dims)}; give the SweepResult, or its dataset before table()."
        )
    if not dataset.sizes["lane"]:
        raise ValueError("data has no lanes, so there is nothing to draw; give a result with some.")
    for name in needed:
        if name not in dataset.variables or dataset[name].dims != ("lane",):
            raise ValueError(
                f"data lacks {name!r} for each lane; it has {list(map(str, dataset.variables))}."
            )
    return dataset


def alphas_of(dataset: xarray.Dataset) -> np.ndarray:
    """The data fraction of each lane, where a figure has an axis or a colour for it: float[L].

    Raises:
      ValueError: if a lane has none.
    """
    alpha = _column(dataset, "alpha")
    if alpha.dtype.kind not in "iuf" or np.isnan(alpha).any():
        raise ValueError(
            f"every lane needs an alpha to be drawn at, got {shown(np.unique(alpha).tolist())}; "
            "select the lanes that have one."
        )
    return alpha


def grouped(data: Data, by: str | None) -> dict[str, xarray.Dataset]:
    """The lanes of each value of a column, by its name, in order of appearance.

    Lanes that have no value there, NaN or "", are a group of their own.

    Raises:
      ValueError: if there is no such column, or no lane.
    """
    dataset = lanes_of(data)
    if by is None and "optimizer" not in dataset.coords:
        return {"": dataset}
    by = "optimizer" if by is None else by
    column = _column(dataset, by, "by=")
    places = sorted(np.unique(column, return_index=True)[1])  # NaN is one value there
    values = [column[place].item() for place in places]
    return {_group_name(by, x): dataset.isel(lane=_equal(column, x)) for x in values}


def selected(data: Data, select: dict[str, Any]) -> xarray.Dataset:
    """The lanes whose columns have these values; NaN selects those that have none.

    Raises:
      ValueError: if there is no such column, or no such lane.
    """
    dataset = lanes_of(data)
    for name, value in select.items():
        column = _column(dataset, name)
        if not _is_one(value) or not (chosen := _equal(column, value)).any():
            there = shown(np.unique(column).tolist())
            raise ValueError(f"no lane has {name}={shown(value)}; there are {there}.")
        dataset = dataset.isel(lane=chosen)
    return dataset


def over_lanes(data: Data, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A measurement over the lanes: step, median, lowest and highest, all [T].

    A lane that retired, or was interrupted, counts with its last measurement.

    Args:
      data: the lanes.
      name: of a measurement, such as "test_accuracy".

    Raises:
      ValueError: if it was not measured at every step, or there is no lane.
    """
    dataset = lanes_of(data)
    measured = [k for k, v in dataset.data_vars.items() if set(v.dims) == {"lane", "time"}]
    if not isinstance(name, str) or name not in measured:
        raise ValueError(f"{shown(name)} was not measured; there are {measured}.")
    values = dataset[name].transpose("lane", "time").values
    here = ~np.isnan(values)
    last = np.maximum.accumulate(np.where(here, np.arange(values.shape[1]), 0), axis=1)
    carried = np.take_along_axis(values, last, axis=1)[:, here.any(axis=0)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step before the first measurement
        spread = np.nanmedian(carried, 0), np.nanmin(carried, 0), np.nanmax(carried, 0)
    return dataset.step.values[here.any(axis=0)], *spread


def _column(dataset: xarray.Dataset, name: Any, argument: str = "") -> np.ndarray:
    columns = [str(k) for k, v in dataset.coords.items() if v.dims == ("lane",)]
    if not isinstance(name, str) or name not in columns:
        raise ValueError(f"{argument}{shown(name)} is no lane column; the columns are {columns}.")
    values = dataset[name].values
    return values.astype(str) if values.dtype.kind == "O" else values


def _is_one(value: Any) -> bool:
    """Whether something is one number, boolean or word."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return False
    return array.ndim == 0 and array.dtype.kind in "biufU"


def _equal(column: np.ndarray, value: Any) -> np.ndarray:
    """bool[L]: where a column has a value; NaN equals NaN."""
    missing = column != column if value != value else np.zeros(column.shape, bool)
    return (column == value) | missing


def _group_name(by: str, value: Any) -> str:
    if isinstance(value, str):
        return value or f"no {by}"
    if value != value:
        return f"no {by}"
    short = f"{value:g}"
    return f"{by} = {short if float(short) == value else value}"  # two groups never share a name
