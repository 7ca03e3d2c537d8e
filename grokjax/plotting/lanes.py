"""The lanes that a figure shows: chosen, grouped, and summarized over seeds."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray

from grokjax.results import SweepResult

Data = SweepResult | xarray.Dataset


def lanes_of(data: Data) -> xarray.Dataset:
    """The dataset of a result.

    Raises:
      ValueError: for a table, whose lanes are unstacked.
    """
    dataset = data.dataset if isinstance(data, SweepResult) else data
    if "lane" not in dataset.dims:
        raise ValueError(
            f"figures are drawn from lanes, got a dataset with the dimensions "
            f"{list(dataset.dims)}; give the SweepResult, or its dataset before table()."
        )
    return dataset


def grouped(data: Data, by: str | None) -> dict[str, xarray.Dataset]:
    """The lanes of each value of a column, by its name, in order of appearance."""
    dataset = lanes_of(data)
    if by is None and "optimizer" not in dataset.coords:
        return {"": dataset}
    by = by or "optimizer"
    values = _column(dataset, by)
    return {
        value if isinstance(value, str) else f"{by} = {value:g}": dataset.isel(lane=values == value)
        for value in dict.fromkeys(values.tolist())
    }


def selected(data: Data, select: dict[str, Any]) -> xarray.Dataset:
    """The lanes whose columns have these values.

    Raises:
      ValueError: if there is no such column, or no such lane.
    """
    dataset = lanes_of(data)
    for name, value in select.items():
        column = _column(dataset, name)
        if not (chosen := column == value).any():
            values: Iterable[Any] = dict.fromkeys(column.tolist())
            raise ValueError(f"no lane has {name}={value!r}; there are {list(values)}.")
        dataset = dataset.isel(lane=chosen)
    return dataset


def _column(dataset: xarray.Dataset, name: str) -> np.ndarray:
    if name not in dataset.coords or dataset[name].dims != ("lane",):
        columns = [k for k, v in dataset.coords.items() if v.dims == ("lane",)]
        raise ValueError(f"{name!r} is no lane column; the columns are {columns}.")
    return dataset[name].values


def over_lanes(dataset: xarray.Dataset, name: str) -> tuple[np.ndarray, ...]:
    """step, median, lowest and highest, while a lane was measured; all [T]."""
    if name not in dataset.data_vars:
        measured = [k for k, v in dataset.data_vars.items() if v.ndim == 2]
        raise ValueError(f"{name!r} was not measured; there are {measured}.")
    values = dataset[name].values
    here = ~np.isnan(values)
    last = np.maximum.accumulate(np.where(here, np.arange(values.shape[1]), 0), axis=1)
    carried = np.take_along_axis(values, last, axis=1)[:, here.any(axis=0)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step before the first measurement
        spread = np.nanmedian(carried, 0), np.nanmin(carried, 0), np.nanmax(carried, 0)
    return dataset.step.values[here.any(axis=0)], *spread
