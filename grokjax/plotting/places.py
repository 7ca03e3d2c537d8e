"""Where lanes stand on the axis of a column, and the marks that they are drawn with."""

import dataclasses
from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes

from grokjax.checks import check_flag, shown
from grokjax.plotting.lanes import axis_column, column_label, column_of, distinct, log_spaced
from grokjax.plotting.style import label_log


@dataclasses.dataclass(frozen=True)
class Places:
    """Where the lanes of each value of a column stand: numbers at themselves, names one by one."""

    column: str
    label: str
    names: tuple[str, ...]
    log: bool

    @classmethod
    def of(cls, dataset: xarray.Dataset, column: str, log_x: bool | None = False) -> "Places":
        """The places of a column of these lanes.

        Raises:
          ValueError: if there is no such column, or a lane has no value there; if a logarithmic
            axis is wanted for what is not positive.
        """
        values = axis_column(dataset, column)
        words = values.dtype.kind == "U"
        names = tuple(name or f"no {column}" for name in distinct(values)) if words else ()
        if log_x is None:
            log_x = not words and log_spaced(values)
        elif check_flag("log_x", log_x, "None") and (words or (values <= 0).any()):
            raise ValueError(
                f"log_x needs a column of positive numbers, and {column} has "
                f"{shown(distinct(values))}; use log_x=False."
            )
        return cls(column, column_label(dataset, column), names, bool(log_x))

    def at(self, dataset: xarray.Dataset) -> np.ndarray:
        """float[L]: where each lane stands."""
        values = column_of(dataset, self.column)
        if not self.names:
            return values.astype(float)
        places = {name: i for i, name in enumerate(self.names)}
        return np.array([places[value or f"no {self.column}"] for value in values], float)

    def finish(self, ax: Axes) -> None:
        """The scale, the ticks and the label of the axis."""
        ax.set_xlabel(self.label)
        if self.names:
            ax.set_xticks(range(len(self.names)), self.names)
            ax.set_xlim(-0.5, len(self.names) - 0.5)
        elif self.log:
            ax.set_xscale("log")
            label_log(ax.xaxis)


def small(marker: str, colour: Any, group: int = 0) -> dict[str, Any]:
    """The mark of one lane: every second group is hollow."""
    return {
        "marker": marker,
        "markersize": 3.5,
        "markeredgewidth": 0.7 if group % 2 else 0,
        "markerfacecolor": "none" if group % 2 else colour,
        "linestyle": "none",
        "alpha": 0.5,
    }


def large(marker: str, colour: Any, group: int = 0) -> dict[str, Any]:
    """The mark of a median, with a white edge around it or, in every second group, a white face."""
    return {
        "marker": marker,
        "markersize": 5.5,
        "markeredgewidth": 1.1 if group % 2 else 0.6,
        "markeredgecolor": colour if group % 2 else "white",
        "markerfacecolor": "white" if group % 2 else colour,
    }
