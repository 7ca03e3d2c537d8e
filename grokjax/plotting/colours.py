"""Colours of the values of a lane column: one for each name, a scale for numbers."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import FigureBase

from grokjax.checks import check_array, check_text
from grokjax.plotting.lanes import (
    Data,
    column_label,
    column_of,
    distinct,
    group_name,
    lanes_of,
    log_spaced,
    where_equal,
)
from grokjax.plotting.style import PALETTE

PALEST = 0.67  # of inferno: up to here every colour has contrast 3 or more on white
DARKEST = 0.15  # below it thin lines all look black


def colour_scale(values: Any) -> ScalarMappable:
    """Colours for numbers, from the lowest to the highest: inferno without its pale end.

    Every colour has at least contrast 3 on white, and so is seen as a thin line. Positive numbers
    that are evenly spaced in their logarithms are coloured by these.
    `colour_scale(values).to_rgba(value)` is one of them, and `figure.colorbar` takes the scale.

    Args:
      values: numbers of any shape.

    Raises:
      ValueError: if there is none, or one that is not finite.
    """
    values = check_array("values", values, kinds="iuf", finite=True)
    if not values.size:
        raise ValueError("values is empty; a colour scale needs at least one number.")
    colours = matplotlib.colormaps["inferno"](np.linspace(DARKEST, PALEST, 256))
    norm = (LogNorm if log_spaced(values) else Normalize)(values.min(), values.max())
    return ScalarMappable(norm, ListedColormap(colours))


@dataclasses.dataclass(frozen=True)
class Colours:
    """The colour of every value of a lane column; `colours_by` makes one."""

    column: str
    label: str
    values: tuple[Any, ...]
    scale: ScalarMappable | None

    def of(self, value: Any) -> Any:
        """The colour of one of the values."""
        if self.scale is not None and value == value:
            return self.scale.to_rgba(value)
        return PALETTE[self.place(value) % len(PALETTE)]

    def place(self, value: Any) -> int:
        """The place of one of the values among them all, for markers and the like."""
        known = list(enumerate(self.values))
        same = [i for i, own in known if own == value or (own != own and value != value)]
        return same[0] if same else len(self.values)

    def name(self, value: Any) -> str:
        """What a legend calls one of the values."""
        return group_name(self.column, value)

    def groups(self, dataset: xarray.Dataset) -> dict[Any, xarray.Dataset]:
        """The lanes of each of the values that there are."""
        column = column_of(dataset, self.column)
        inside = {value: where_equal(column, value) for value in self.values}
        return {value: dataset.isel(lane=rows) for value, rows in inside.items() if rows.any()}

    def bar(self, figure: FigureBase, panels: Axes | Sequence[Axes]) -> None:
        """The colour bar of a scale; names and two numbers have entries in a legend instead."""
        if self.scale is not None:
            numbers = [value for value in self.values if value == value]
            few = len(numbers) <= 8
            bar = figure.colorbar(
                self.scale, ax=panels, label=self.label, pad=0.02, aspect=30,
                ticks=numbers if few else None,
            )  # fmt: skip
            if few:
                bar.ax.set_yticks(numbers, [f"{value:g}" for value in numbers])
                bar.ax.minorticks_off()


def colours_by(data: Data, column: str) -> Colours:
    """A colour for every value of a lane column, to be the same in all panels of a figure.

    Three or more numbers have colours of a scale (`colour_scale`), names and two numbers those of
    `PALETTE`. Lanes that have no value there, NaN, are a group of their own.

    Args:
      data: all the lanes of the figure.
      column: of the lanes, such as "alpha".

    Raises:
      ValueError: if there is no such column, or no lane.
    """
    dataset = lanes_of(data)
    column = check_text("column", column, "alpha")
    values = distinct(column_of(dataset, column))
    numbers = [value for value in values if not isinstance(value, str) and value == value]
    scale = colour_scale(numbers) if len(numbers) > 2 else None
    return Colours(column, column_label(dataset, column), tuple(values), scale)


def colours_of(dataset: xarray.Dataset, by: str | Colours) -> Colours:
    """The colours that `by` names or is."""
    return by if isinstance(by, Colours) else colours_by(dataset, by)
