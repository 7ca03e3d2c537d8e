"""The lanes that a figure shows: chosen, grouped, and summarized over seeds."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray

from grokjax.checks import shown
from grokjax.plotting.style import ALPHA
from grokjax.results import SweepResult
from grokjax.results import dataset as datasets

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


def grouped(data: Data, by: str | None) -> dict[str, xarray.Dataset]:
    """The lanes of each value of a column, by its name: numbers ascend, names as they appear.

    Lanes that have no value there, NaN or "", are a group of their own. Without `by` these are the
    optimizers, or all lanes if there is no such column.

    Raises:
      ValueError: if there is no such column, or no lane.
    """
    dataset = lanes_of(data)
    if by is None and "optimizer" not in dataset.coords:
        return {"": dataset}
    by = "optimizer" if by is None else by
    column = column_of(dataset, by, "by=")
    rows = {group_name(by, value): where_equal(column, value) for value in distinct(column)}
    return {name: dataset.isel(lane=inside) for name, inside in rows.items()}


def selected(data: Data, select: dict[str, Any]) -> xarray.Dataset:
    """The lanes whose columns have these values; NaN selects those that have none.

    Raises:
      ValueError: if there is no such column, or no such lane.
    """
    dataset = lanes_of(data)
    for name, value in select.items():
        column = column_of(dataset, name)
        if not _is_one(value) or not (chosen := where_equal(column, value)).any():
            there = shown(np.unique(column).tolist())
            raise ValueError(f"no lane has {name}={shown(value)}; there are {there}.")
        dataset = dataset.isel(lane=chosen)
    return dataset


def over_lanes(data: Data, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A measurement over the lanes: step, median, lowest and highest, all [T].

    A lane that retired, or was interrupted, counts with its last measurement; before its first one
    it does not count.

    Args:
      data: the lanes.
      name: of a measurement, such as "test_accuracy".

    Raises:
      ValueError: if it was not measured at every step, or there is no lane.
    """
    dataset = lanes_of(data)
    values = measured(dataset, name)
    here = ~np.isnan(values)
    last = np.maximum.accumulate(np.where(here, np.arange(values.shape[1]), 0), axis=1)
    carried = np.take_along_axis(values, last, axis=1)[:, here.any(axis=0)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step before the first measurement
        spread = np.nanmedian(carried, 0), np.nanmin(carried, 0), np.nanmax(carried, 0)
    return dataset.step.values[here.any(axis=0)], *spread


def column_of(dataset: xarray.Dataset, name: Any, argument: str = "") -> np.ndarray:
    """The values of a lane column: [L].

    Raises:
      ValueError: if there is no such column.
    """
    columns = [str(k) for k, v in dataset.coords.items() if v.dims == ("lane",)]
    if not isinstance(name, str) or name not in columns:
        raise ValueError(f"{argument}{shown(name)} is no lane column; the columns are {columns}.")
    values = dataset[name].values
    return values.astype(str) if values.dtype.kind == "O" else values


def measured(dataset: xarray.Dataset, name: Any) -> np.ndarray:
    """A measurement of every lane at every step: [L, T].

    Raises:
      ValueError: if it was not measured at every step.
    """
    names = [k for k, v in dataset.data_vars.items() if set(v.dims) == {"lane", "time"}]
    if not isinstance(name, str) or name not in names:
        raise ValueError(f"{shown(name)} was not measured; there are {names}.")
    return dataset[name].transpose("lane", "time").values


def axis_column(dataset: xarray.Dataset, name: str) -> np.ndarray:
    """The values of a lane column that has an axis or a scale, one for each lane: [L].

    Raises:
      ValueError: if there is no such column, or a lane has no value there.
    """
    values = column_of(dataset, name)
    if values.dtype.kind != "U" and not np.isfinite(values).all():
        raise ValueError(
            f"every lane needs a number in {name} to be drawn at, got {shown(distinct(values))}; "
            "select the lanes that have one."
        )
    return values


def column_label(data: xarray.Dataset | xarray.DataArray, name: str) -> str:
    """The label of an axis for a lane column, or another coordinate."""
    return ALPHA if name == "alpha" else long_name(data, name)


def long_name(data: xarray.Dataset | xarray.DataArray, name: str) -> str:
    """What a legend calls a measurement."""
    return str(data[name].attrs.get("long_name", name.replace("_", " ")))


def distinct(column: np.ndarray) -> list[Any]:
    """The different values of a column: numbers ascend, NaN last, and names as they appear."""
    return datasets.distinct(column)[0].tolist()


def where_equal(column: np.ndarray, value: Any) -> np.ndarray:
    """bool[L]: where a column has a value; NaN equals NaN."""
    missing = column != column if value != value else np.zeros(column.shape, bool)
    return (column == value) | missing


def group_name(by: str, value: Any) -> str:
    """What a legend calls the lanes of one value of a column, such as "weight decay = 0.1"."""
    by = r"$\alpha$" if by == "alpha" else by.replace("_", " ")
    if isinstance(value, str):
        return value or f"no {by}"
    if value != value:
        return f"no {by}"
    # Enough digits for two groups never to share a name, and not those of 0.1 + 0.2.
    return f"{by} = {f'{value:.12g}' if isinstance(value, float) else value}"


def log_spaced(values: Any) -> bool:
    """Whether three or more positive numbers, 8-fold or more, are more even in their logarithms."""
    numbers = np.unique(np.asarray(values, float))
    if len(numbers) < 3 or numbers[0] <= 0 or not 8 <= numbers[-1] / numbers[0] < np.inf:
        return False
    ratios, gaps = np.diff(np.log(numbers)), np.diff(numbers)
    return bool(ratios.std() / ratios.mean() < gaps.std() / gaps.mean() - 1e-9)


def seeds_of(groups: Iterable[xarray.Dataset]) -> str:
    """How many lanes a median is of, such as "5 seeds"; "" where none is of more than one.

    Lanes of a group that differ in more than their seed are counted as lanes.
    """
    groups = [lanes for lanes in groups if lanes.sizes["lane"]]
    sizes = [lanes.sizes["lane"] for lanes in groups]
    if max(sizes, default=0) < 2:
        return ""
    seeds = all(
        "seed" in lanes.coords and len(np.unique(lanes.seed)) == lanes.sizes["lane"]
        for lanes in groups
    )
    few, many = min(sizes), max(sizes)
    return f"{many if few == many else f'{few} to {many}'} {'seeds' if seeds else 'lanes'}"


def chance_of(dataset: xarray.Dataset) -> float | None:
    """The accuracy of guessing: the column `chance`, if it has a single value, or the attribute."""
    if "chance" in dataset.coords and len(values := np.unique(dataset.chance)) == 1:
        return float(values[0])
    # Joined results of several tasks have all of their chances in one text.
    chance = dataset.attrs.get("chance", "")
    return None if isinstance(chance, str) else float(chance)


def is_accuracy(name: str) -> bool:
    """Whether a measurement is a fraction of rows that are right."""
    return name.endswith("accuracy")


def _is_one(value: Any) -> bool:
    """Whether something is one number, boolean or word."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return False
    return array.ndim == 0 and array.dtype.kind in "biufU"
