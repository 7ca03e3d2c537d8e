"""Datasets of lanes: build one, unstack its lanes into a table, join several."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray

from grokjax import survival

COSTS = ("lane_steps", "slot_steps", "wall_seconds", "compilations")  # they add up when joined
MAX_EMPTY = 1000  # cells of a table for each lane: more is a mistake, and may not fit in memory
LONG_NAMES = {
    "train_loss": "training loss",
    "test_loss": "test loss",
    "train_accuracy": "training accuracy",
    "test_accuracy": "test accuracy",
    "alpha": "training fraction",
    "ipr": "inverse participation ratio",
}


def build_dataset(
    columns: Mapping[str, Any],
    steps: Any,
    history: Mapping[str, Any],
    final_step: Any,
    diverged: Any,
    attrs: Mapping[str, Any],
    *,
    threshold: float = 0.99,
    patience: int = 3,
) -> xarray.Dataset:
    """The labelled dataset of a sweep, with its memorization and grokking steps and its outcomes.

    A lane that became non-finite has the outcome "diverged"; any other is "grokked" if its test
    accuracy reached the threshold and stayed there, else "memorized" if its training accuracy did,
    else "underfit".

    Args:
      columns: lane columns, each [L].
      steps: int[T], the step of each measurement.
      history: measurements, each float[L, T], NaN after a lane retired; `train_accuracy` and
        `test_accuracy` among them.
      final_step: int[L], the last step each lane took.
      diverged: bool[L], lanes that became non-finite.
      attrs: what was run: text and numbers only, which is what NetCDF stores.
      threshold: the accuracy that counts as memorized and as grokked.
      patience: for how many measurements in a row.

    Raises:
      ValueError: for shapes that do not fit, or attributes that cannot be stored.
    """
    steps, diverged = np.asarray(steps), np.asarray(diverged, dtype=bool)
    if missing := {"train_accuracy", "test_accuracy"} - set(history):
        raise ValueError(f"history lacks {min(missing)!r}; it has {list(history)}.")
    lanes = len(diverged)
    variables: dict[str, Any] = {}
    for name, values in {**columns, "final_step": final_step}.items():
        variables[name] = (("lane",), _shaped(name, values, (lanes,)))
    for name, values in history.items():
        if name in variables:
            raise ValueError(f"{name!r} is both a measurement and a lane column; rename one.")
        variables[name] = (("lane", "time"), _shaped(name, values, (lanes, len(steps))))
    for name, accuracy in (("memorization", "train_accuracy"), ("grokking", "test_accuracy")):
        reached = survival.first_sustained(history[accuracy], steps, threshold, patience)
        variables[f"{name}_step"] = (("lane",), reached)
    reached = [~np.isnan(variables[f"{name}_step"][1]) for name in ("grokking", "memorization")]
    outcome = np.select([diverged, *reached], ["diverged", "grokked", "memorized"], "underfit")
    variables["outcome"] = (("lane",), outcome)
    dataset = xarray.Dataset(variables, {"step": ("time", steps)}).set_coords(list(columns))
    for name in map(str, dataset.variables):
        attributes = dataset[name].attrs
        attributes["long_name"] = LONG_NAMES.get(name, name.replace("_", " "))
        if dataset[name].dtype.kind != "U":
            attributes["units"] = "steps" if name == "step" or name.endswith("_step") else "1"
    for name in ("memorization_step", "grokking_step"):
        dataset[name].attrs |= {"threshold": threshold, "patience": patience}
    return dataset.assign_attrs({name: _storable(name, value) for name, value in attrs.items()})


def lane_columns(dataset: xarray.Dataset) -> dict[str, np.ndarray]:
    """The columns that name the lanes: name -> [L]."""
    return {str(k): v.values for k, v in dataset.coords.items() if v.dims == ("lane",)}


def unstack(dataset: xarray.Dataset, dims: Sequence[str] | None = None) -> xarray.Dataset:
    """The dataset with its lanes in the cells of a table; see `SweepResult.table`."""
    columns = lane_columns(dataset)
    varying = [name for name in columns if len(_unique(columns[name])[0]) > 1]
    dims = tuple(varying if dims is None else dims)
    if unknown := [name for name in dims if name not in columns]:
        raise ValueError(f"{unknown[0]!r} is no lane column; the columns are {list(columns)}.")
    values, places = {}, []
    for name in dims:
        values[name], place = _unique(columns[name])
        places.append(place)
    shape = tuple(len(v) for v in values.values())
    if np.prod(shape) > MAX_EMPTY * dataset.sizes["lane"]:
        raise ValueError(
            f"a table of the columns {list(dims)} has the shape {shape} for only "
            f"{dataset.sizes['lane']} lanes; name fewer of them, such as dims={dims[:1]}."
        )
    cells = sum(place * int(np.prod(shape[i + 1 :])) for i, place in enumerate(places))
    cells = np.broadcast_to(cells, dataset.sizes["lane"])
    _check_one_lane_each(cells, {name: columns[name] for name in dims})

    variables: dict[Any, Any] = {}
    for name, variable in dataset.variables.items():
        if "lane" not in variable.dims:
            variables[name] = variable
        elif name in dims:
            variables[name] = (name, values[name], variable.attrs)
        elif name in columns and name not in varying:
            variables[name] = ((), variable.values[0], variable.attrs)
        else:
            filled = _scatter(variable.values, cells, shape)
            variables[name] = (dims + variable.dims[1:], filled, variable.attrs)
    return xarray.Dataset(variables, attrs=dataset.attrs).set_coords(list(dataset.coords))


def join(datasets: Sequence[xarray.Dataset]) -> xarray.Dataset:
    """The lanes of several datasets in one, on the union of their steps; see `concatenate`."""
    joined = xarray.concat(
        [d.reset_coords(list(lane_columns(d))).swap_dims(time="step") for d in datasets],
        "lane",
        data_vars="all",
        coords="minimal",
        compat="override",
        join="outer",
        combine_attrs="override",
    )
    joined = joined.swap_dims(step="time").set_coords({k: 0 for d in datasets for k in d.coords})
    for name, variable in joined.variables.items():
        if variable.dtype.kind == "O":  # words, which some of the datasets lack
            words = joined[name].fillna("").values.astype(str)
            joined[name] = (variable.dims, words, variable.attrs)
    joined.attrs = _join_attrs([dataset.attrs for dataset in datasets])
    return joined


def _unique(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different values, and the place of each value among them; words in order of appearance."""
    unique, first, place = np.unique(values, return_index=True, return_inverse=True)
    if unique.dtype.kind != "U":
        return unique, place
    order = np.argsort(first)
    return unique[order], np.argsort(order)[place]


def _check_one_lane_each(cells: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    unique, first, counts = np.unique(cells, return_index=True, return_counts=True)
    if len(unique) < len(cells):
        lane = first[counts.argmax()]
        place = {name: column[lane].item() for name, column in columns.items()}
        raise ValueError(
            f"{counts.max()} lanes are at {place or 'the one place of a table without dims'}; name "
            "more columns in dims, select some of the lanes, or keep the dataset unstacked."
        )


def _scatter(values: np.ndarray, cells: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[L, ...] -> [*shape, ...]; NaN in empty cells, "" among words."""
    size = int(np.prod(shape))
    if values.dtype.kind in "iub" and size > len(values):
        values = values.astype(float)  # integers have no NaN
    fill = np.nan if values.dtype.kind == "f" else np.zeros((), values.dtype)
    table = np.full((size, *values.shape[1:]), fill, values.dtype)
    table[cells] = values
    return table.reshape(shape + values.shape[1:])


def _shaped(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != shape:
        raise ValueError(f"{name!r} has shape {values.shape}; {shape} is needed.")
    return values


def _storable(name: str, value: Any) -> str | int | float:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(
            f"attribute {name!r} is {value!r}, which NetCDF cannot store; use text or a number."
        )
    return value


def _join_attrs(attrs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    joined = {}
    for name in dict.fromkeys(name for a in attrs for name in a):
        values = [a[name] for a in attrs if name in a]
        different = list(dict.fromkeys(values))
        if name in COSTS:
            joined[name] = sum(values)
        else:
            joined[name] = " | ".join(map(str, different)) if len(different) > 1 else values[0]
    return joined
