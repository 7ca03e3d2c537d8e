"""The cells that lanes lie in: the values of two columns, and the lanes that share both."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import xarray

from grokjax.checks import check_text
from grokjax.results import lane_columns
from grokjax.results.dataset import distinct

BINS = 40  # cells along an axis of numbers that are all different
SEEDS = ("seed", "init_seed", "split_seed", "order_seed")


@dataclasses.dataclass(frozen=True)
class Axis:
    """The values of a lane column along one side of the grid.

    Attributes:
      column: its name, or "" where there is no column and one cell.
      label: what the axis is called.
      names: of its cells, in order.
      place: int[L], the cell of each lane.
      binned: whether a cell is a range of numbers.
    """

    column: str
    label: str
    names: tuple[str, ...]
    place: np.ndarray
    binned: bool = False


def choose(dataset: xarray.Dataset, rows: Any, columns: Any) -> tuple[Axis, Axis]:
    """The axes of a grid: its columns, from left to right, and its rows, from the bottom up.

    Where none is given it is a column that varies and is no seed, the training fraction first; the
    seeds of a cell are then in it together.

    Raises:
      ValueError: for what is no lane column, and for one column given twice.
    """
    known = lane_columns(dataset)
    for argument, name in (("rows", rows), ("columns", columns)):
        if name is not None and check_text(argument, name, "weight_decay") not in known:
            raise ValueError(
                f"{argument}={name!r} is no lane column; use one of {list(known)}, or None."
            )
    if rows is not None and rows == columns:
        raise ValueError(f"rows and columns are both {rows!r}; give two columns, or one of them.")
    varying = [name for name, values in known.items() if len(distinct(values)[0]) > 1]
    free = [name for name in varying if name not in (rows, columns)]
    free.sort(key=lambda name: (name in SEEDS, name != "alpha"))
    if columns is None and free and (free[0] not in SEEDS or rows is None):
        columns = free.pop(0)
    if rows is None and free and free[0] not in SEEDS:
        rows = free[0]
    return _axis(dataset, columns), _axis(dataset, rows)


def _axis(dataset: xarray.Dataset, name: str | None) -> Axis:
    if name is None:
        return Axis("", "", ("",), np.zeros(dataset.sizes["lane"], int))
    values = dataset[name].values
    label = str(dataset[name].attrs.get("long_name", name.replace("_", " ")))
    different, place = distinct(values)
    numbers = values.dtype.kind in "iuf"
    if numbers and len(different) > BINS and np.isfinite(values).all():
        return _binned(name, label, values.astype(float))
    return Axis(name, label, _names(name, different.tolist()), place)


def _binned(name: str, label: str, values: np.ndarray) -> Axis:
    """Numbers that hardly repeat, in ranges of one width, logarithmic where that is more even."""
    low, high = values.min(), values.max()
    log = low > 0 and high / low > 30
    edges = np.geomspace(low, high, BINS + 1) if log else np.linspace(low, high, BINS + 1)
    place = np.clip(np.searchsorted(edges, values, "right") - 1, 0, BINS - 1)
    names = [f"{a:.3g} to {b:.3g}" for a, b in itertools.pairwise(edges)]
    return Axis(name, label, tuple(names), place, binned=True)


def _names(column: str, values: list[Any]) -> tuple[str, ...]:
    """What cells are called: numbers with as few digits as tell them apart."""
    digits = (2, 3, 4, 6, 9, 17)
    for number in digits:
        names = tuple(_name(column, value, number) for value in values)
        if len(set(names)) == len(names) or number == digits[-1]:
            break
    return names


def _name(column: str, value: Any, digits: int) -> str:
    if isinstance(value, float):
        return f"no {column}" if math.isnan(value) else f"{value:.{digits}g}"
    return str(value) or f"no {column}"
