"""Datasets of lanes: build one, unstack its lanes into a table, join several."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray

from grokjax import survival
from grokjax.checks import check_array, check_mapping, check_number, shown

COSTS = ("lane_steps", "slot_steps", "wall_seconds", "compilations")  # they add up when joined
DERIVED = ("outcome", "memorization_step", "grokking_step", "final_step", "watched_step", "stopped")
#: Names that results give to other things: neither a lane column nor a measurement may have one.
RESERVED = ("lane", "time", "step", "initial_digest", *DERIVED)
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
    stopped: Any = None,
    running: Any = None,
    threshold: float = 0.99,
    patience: int = 3,
) -> xarray.Dataset:
    """The labelled dataset of a sweep, with its memorization and grokking steps and its outcomes.

    A lane that became non-finite has the outcome "diverged", and one that was still running when
    its sweep was interrupted "interrupted"; any other is "grokked" if its test accuracy reached the
    threshold and stayed there, else "memorized" if its training accuracy did, else "underfit". To
    stay there is to be there at `patience` measurements in a row, or to the end of a lane that its
    stop rule ended sooner.

    Args:
      columns: lane columns, each [L].
      steps: int[T], the step of each measurement.
      history: measurements, each float[L, T], NaN after a lane retired; `train_accuracy` and
        `test_accuracy` among them.
      final_step: int[L], the last step each lane took.
      diverged: bool[L], lanes that became non-finite.
      attrs: what was run: text and numbers only, which is what NetCDF stores.
      stopped: bool[L], lanes that their stop rule ended; none when not given.
      running: bool[L], lanes that were interrupted; none when not given.
      threshold: the accuracy that counts as memorized and as grokked.
      patience: for how many measurements in a row.

    Raises:
      ValueError: for arrays of another kind or shape, names that a dataset has for something else
        or that no file can have, and attributes that cannot be stored.
    """
    check_mapping("columns", columns, '{"seed": [0, 1, 2]}')
    check_mapping("history", history, '{"train_accuracy": ..., "test_accuracy": ...}')
    check_mapping("attrs", attrs, '{"task": "n1+n2 mod 97"}')
    check_names(columns, history)
    if missing := {"train_accuracy", "test_accuracy"} - set(history):
        raise ValueError(f"history lacks {min(missing)!r}; it has {list(history)}.")
    threshold = check_number("threshold", threshold, above=0, at_most=1)
    steps = check_array("steps", steps, shape=["T"], kinds="iu")
    diverged = check_array("diverged", diverged, shape=["L"], kinds="b")
    lanes = len(diverged)
    final_step = check_array("final_step", final_step, shape=[lanes], kinds="iu")
    stopped, running = (
        np.zeros(lanes, bool)
        if given is None
        else check_array(name, given, shape=[lanes], kinds="b")
        for name, given in (("stopped", stopped), ("running", running))
    )
    history = {
        name: check_array(f"history[{name!r}]", values, shape=[lanes, len(steps)])
        for name, values in history.items()
    }
    variables: dict[str, Any] = {
        name: (("lane",), _shaped(name, values, (lanes,)))
        for name, values in {**columns, "final_step": final_step, "stopped": stopped}.items()
    }
    variables |= {name: (("lane", "time"), values) for name, values in history.items()}
    reached = {}
    for name, accuracy in (("memorization", "train_accuracy"), ("grokking", "test_accuracy")):
        reached[name] = survival.first_sustained(
            history[accuracy], steps, threshold, patience, ended=stopped
        )
        variables[f"{name}_step"] = (("lane",), reached[name])
    grokked, memorized = (~np.isnan(reached[name]) for name in ("grokking", "memorization"))
    outcome = np.select(
        [diverged, running, grokked, memorized],
        ["diverged", "interrupted", "grokked", "memorized"],
        "underfit",
    )
    variables["outcome"] = (("lane",), outcome)
    there = np.logical_or.reduce([~np.isnan(values) for values in history.values()])
    measured = there | (steps == final_step[:, None])
    watched = survival.watched_steps(steps, measured, patience) if len(steps) else final_step
    # What a stop rule ended is seen to its end: see `ended` of first_sustained.
    watched = np.where(grokked | stopped, final_step, watched)
    variables["watched_step"] = (("lane",), watched)
    dataset = xarray.Dataset(variables, {"step": ("time", steps)}).set_coords(list(columns))
    for name in map(str, dataset.variables):
        attributes = dataset[name].attrs
        attributes["long_name"] = LONG_NAMES.get(name, name.replace("_", " "))
        if dataset[name].dtype.kind != "U":
            attributes["units"] = "steps" if name == "step" or name.endswith("_step") else "1"
    for name in ("memorization_step", "grokking_step"):
        dataset[name].attrs |= {"threshold": threshold, "patience": patience}
    return dataset.assign_attrs({name: _storable(name, value) for name, value in attrs.items()})


def check_names(columns: Iterable[str], measurements: Iterable[str]) -> None:
    """Refuses names that a dataset has for something else, or that no file can have.

    Args:
      columns: names of lane columns.
      measurements: names of what is measured of each lane.

    Raises:
      ValueError: naming the first one.
    """
    columns = list(columns)
    for kind, names in (("lane column", columns), ("measurement", measurements)):
        for name in names:
            problem = ""
            if name in RESERVED:
                problem = "results have a coordinate or variable of that name"
            elif not isinstance(name, str) or name in ("", ".", "..") or {"/", "\0"} & set(name):
                problem = "no file can have that name in it"
            elif kind == "measurement" and name in columns:
                problem = "it is a lane column"
            elif kind == "measurement" and not name.isidentifier():
                problem = "it is no name in Python, such as train_loss, as which a dataset has it"
            if problem:
                also = ", or the argument that it sets" if kind == "lane column" else ""
                raise ValueError(
                    f"a {kind} cannot be called {name!r}, because {problem}; rename it{also}."
                )


def check_dataset(name: str, dataset: Any) -> None:
    """Refuses what is not the dataset of a sweep, as `build_dataset` makes it.

    Args:
      name: of the argument or file, for the message.
      dataset: what was given.

    Raises:
      ValueError: naming what is missing.
    """
    given = shown(dataset)
    if isinstance(dataset, xarray.Dataset):
        missing = [d for d in ("lane", "time") if d not in dataset.dims]
        missing += [v for v in ("step", "final_step", "outcome") if v not in dataset.variables]
        if not missing:
            return
        given = f"one without {missing[0]!r}"
    raise ValueError(
        f"{name} must be the dataset of a sweep, with lanes, times and what was measured, got "
        f"{given}."
    )


def last_measured(dataset: xarray.Dataset, step: Any = np.inf) -> np.ndarray:
    """The place on the time axis of each lane's last measurement up to a step: int[L].

    Raises:
      ValueError: if a lane was not measured before.
    """
    if "lane" not in dataset.dims or "time" not in dataset.dims:
        raise ValueError(
            f"the dataset has the dimensions {list(dataset.dims)}, not lanes and times; give it as "
            "it was before table()."
        )
    steps, final = dataset.step.values, dataset.final_step.values
    values = [v.values for v in dataset.data_vars.values() if v.dims == ("lane", "time")]
    there = np.logical_or.reduce([~np.isnan(v) for v in values]) | (steps == final[:, None])
    there &= (steps <= final[:, None]) & (steps <= step)
    if not there.any(axis=1).all():
        lane = int(there.any(axis=1).argmin())
        raise ValueError(f"lane {lane} has no measurement up to step {step}; ask for a later one.")
    return len(steps) - 1 - there[:, ::-1].argmax(axis=1)


def carried(dataset: xarray.Dataset, place: np.ndarray) -> xarray.Dataset:
    """The measurements of each lane at one place on the time axis: dimension `lane` alone."""
    taken: dict[Any, Any] = {}
    for name, variable in dataset.variables.items():
        if variable.dims == ("lane", "time"):
            values = np.take_along_axis(variable.values, place[:, None], axis=1)[:, 0]
            taken[name] = ("lane", values, variable.attrs)
        elif name == "step":
            taken[name] = ("lane", variable.values[place], variable.attrs)
        elif "time" not in variable.dims:
            taken[name] = variable
    coords = [name for name in dataset.coords if name in taken]
    return xarray.Dataset(taken, attrs=dataset.attrs).set_coords(coords)


def lane_columns(dataset: xarray.Dataset) -> dict[str, np.ndarray]:
    """The columns that name the lanes: name -> [L]."""
    return {
        str(k): v.values
        for k, v in dataset.coords.items()
        if v.dims == ("lane",) and k not in RESERVED
    }


def unstack(dataset: xarray.Dataset, dims: Sequence[str] | None = None) -> xarray.Dataset:
    """The dataset with its lanes in the cells of a table; see `SweepResult.table`."""
    columns = lane_columns(dataset)
    varying = [name for name in columns if len(distinct(columns[name])[0]) > 1]
    try:
        dims = (dims,) if isinstance(dims, str) else tuple(varying if dims is None else dims)
    except TypeError:
        raise ValueError(f"dims must be names of lane columns, got {shown(dims)}.") from None
    for place, name in enumerate(dims):
        if not isinstance(name, str) or name not in columns:
            raise ValueError(f"{name!r} is no lane column; the columns are {list(columns)}.")
        if name in dims[:place]:
            raise ValueError(f"dims has {name!r} twice; name each column once.")
    values, places = {}, []
    for name in dims:
        values[name], place = distinct(columns[name])
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


def distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different values, and the place of each value among them.

    Numbers ascend, with NaN as one value at the end; words come in order of appearance.
    """
    unique, first, place = np.unique(values, return_index=True, return_inverse=True)
    if unique.dtype.kind not in "UO":
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
    if values.dtype.kind not in "biufU":
        raise ValueError(f"{name!r} must hold numbers or words, got {shown(values)}.")
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
        different = list(dict.fromkeys(map(str, values)))  # a list of numbers has no hash
        if name in COSTS:
            joined[name] = sum(values)
        elif name == "interrupted":
            joined[name] = max(values)
        else:
            joined[name] = " | ".join(different) if len(different) > 1 else values[0]
    return joined
