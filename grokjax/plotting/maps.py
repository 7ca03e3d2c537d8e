"""Cells at their coordinates: heat maps of matrices, and phase diagrams of sweeps."""

import dataclasses
from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke

from grokjax.checks import check_array, check_choice, check_flag, shown
from grokjax.plotting.lanes import (
    Data,
    axis_column,
    column_label,
    distinct,
    lanes_of,
    log_spaced,
    seeds_of,
    selected,
)
from grokjax.plotting.legends import legend_above
from grokjax.plotting.style import GREY, axes_or_new, label_log, style

OUTCOMES = ("grokked", "memorized", "underfit", "diverged", "interrupted")


@dataclasses.dataclass(frozen=True)
class Cells:
    """The cells along one axis: their coordinates in ascending order, and the edges between."""

    order: np.ndarray  # of the coordinates as they were given
    centres: np.ndarray
    names: tuple[str, ...]  # of the cells; none where the coordinates are numbers
    log: bool

    @classmethod
    def of(cls, name: str, coordinates: Any, length: int) -> "Cells":
        """The cells of coordinates, or of 0, 1, 2, ... where there are none.

        Raises:
          ValueError: if there are not as many as cells, or two are the same.
        """
        given = np.arange(length) if coordinates is None else np.asarray(coordinates)
        words = given.dtype.kind in "OU"
        given = given.astype(str) if words else check_array(name, given, finite=True).astype(float)
        if given.shape != (length,) or len(np.unique(given)) < length:
            raise ValueError(
                f"{name} must be {length} different coordinates, one for each cell, got "
                f"{shown(coordinates)}."
            )
        if words:
            return cls(np.arange(length), np.arange(length), tuple(given.tolist()), False)
        order = np.argsort(given)
        if 0 in given and log_spaced(given[given != 0]):  # neither kind of axis shows these
            return cls(order, np.arange(length), tuple(f"{x:g}" for x in given[order]), False)
        return cls(order, given[order], (), log_spaced(given))

    @property
    def edges(self) -> np.ndarray:
        """Where each cell begins, and the last one ends: midway between the coordinates."""
        centres = np.log(self.centres) if self.log else self.centres.astype(float)
        if len(centres) == 1:
            return centres + np.array([-0.5, 0.5])
        middle = (centres[1:] + centres[:-1]) / 2
        edges = np.r_[2 * centres[0] - middle[0], middle, 2 * centres[-1] - middle[-1]]
        return np.exp(edges) if self.log else edges

    def finish(self, ax: Axes, which: str) -> None:
        """The scale and the ticks of an axis, "x" or "y"."""
        axis: Axis = getattr(ax, f"{which}axis")
        if self.log:
            ax.set(**{f"{which}scale": "log"})
            ax.set(**{f"{which}lim": self.edges[[0, -1]]})
            label_log(axis)
        if self.names:
            axis.set_ticks(list(self.centres), list(self.names))


@style
def heatmap(
    matrix: Any,
    ax: Axes | None = None,
    *,
    x: Any = None,
    y: Any = None,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    colorbar: bool = True,
    square: bool = False,
) -> Figure:
    """A matrix as colours at its coordinates: around zero if it has negative entries, else from 0.

    Without coordinates rows and columns are counted from 0, and rows go downwards; with them the
    axis of the rows points up. An axis is logarithmic where three or more positive coordinates are
    evenly spaced in their logarithms; if 0 is one of them too, the cells are counted.

    Args:
      matrix: [rows, columns], real; the coordinates and names of an xarray.DataArray are used.
      ax: where to draw.
      x: coordinates of the columns: numbers, each once, or names.
      y: coordinates of the rows likewise.
      title: what it is.
      xlabel: what the columns are.
      ylabel: what the rows are.
      colorbar: whether to explain the colours.
      square: whether a unit is as long on both axes.

    Reference: Gromov 2023, figure 2.

    Raises:
      ValueError: if the matrix is not a real one with at least one finite entry, or coordinates do
        not fit it.
    """
    values = check_array("matrix", matrix, kinds="biufc", shape=("rows", "columns"))
    if np.iscomplexobj(values):
        raise ValueError("matrix must be real; take the absolute value of a complex one.")
    values = values.astype(float)
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ValueError(
            f"matrix must have at least one finite entry, got none in the shape {values.shape}."
        )
    check_flag("colorbar", colorbar)
    check_flag("square", square)
    if isinstance(matrix, xarray.DataArray):
        rows, columns = matrix.dims
        y = matrix[rows].values if y is None and rows in matrix.coords else y
        x = matrix[columns].values if x is None and columns in matrix.coords else x
        ylabel, xlabel = (
            given or column_label(matrix, str(name))
            for given, name in ((ylabel, rows), (xlabel, columns))
        )
    across, up = Cells.of("x", x, values.shape[1]), Cells.of("y", y, values.shape[0])
    figure, ax = axes_or_new(ax)
    top = np.abs(finite).max()
    signed = finite.min() < 0
    colours = {"cmap": "RdBu_r" if signed else "magma", "vmin": -top if signed else 0, "vmax": top}
    mesh = _draw_cells(ax, across, up, values, **colours)
    if y is None:
        ax.invert_yaxis()
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel, aspect="equal" if square else "auto")
    ax.spines[:].set_visible(False)
    if colorbar:
        figure.colorbar(mesh, ax=ax, pad=0.03, fraction=0.046)
    return figure


@style
def phase_diagram(
    data: Data,
    x: str = "alpha",
    y: str = "weight_decay",
    ax: Axes | None = None,
    *,
    quantity: Any = "grokked",
    label: str = "",
    legend: bool = True,
    **select: Any,
) -> Figure:
    """The probability of an outcome over two lane columns: its share of the lanes of each cell.

    A line between the cells is where it crosses 50 %. Cells without lanes are crossed out, and
    those in which half the lanes or more diverged are hatched. An axis is logarithmic where its
    column has three or more positive numbers that are evenly spaced in logarithms; if 0 is one of
    them too, the cells are counted.

    Args:
      data: the sweep; lanes that share both columns are pooled.
      x: the column of the horizontal axis: numbers or names.
      y: the column of the vertical axis.
      ax: where to draw.
      quantity: the outcome: "grokked", "memorized", "underfit", "diverged" or "interrupted"; or a
        fraction for each selected lane, such as `result.final("test_accuracy")`, whose mean is
        drawn.
      label: of the colours; by default the outcome and the number of seeds of a cell.
      legend: whether to explain lines and hatches above the axes, and colours in a bar.
      **select: columns and the value they must have.

    Raises:
      ValueError: if there is no such column, a lane has no value there, or the quantity is neither
        an outcome nor a fraction for each lane.
    """
    dataset = selected(lanes_of(data, "outcome"), select)
    check_flag("legend", legend)
    shares, named = _shares(dataset, quantity)
    cells, places = [], []
    for name in (x, y):
        column = axis_column(dataset, name)
        values = distinct(column)
        cells.append(Cells.of(name, values, len(values)))
        places.append(np.array([values.index(value) for value in column.tolist()]))
    across, up = cells
    shape = (len(up.centres), len(across.centres))
    place = np.ravel_multi_index((places[1], places[0]), shape)
    number = np.bincount(place, minlength=shape[0] * shape[1])
    with np.errstate(invalid="ignore"):  # 0 / 0: no lane
        mean = (np.bincount(place, shares, len(number)) / number).reshape(shape)
        lost = np.bincount(place, dataset.outcome.values == "diverged", len(number)) / number
    figure, ax = axes_or_new(ax)
    mesh = _draw_cells(ax, across, up, mean, cmap="viridis", vmin=0, vmax=1)
    _draw_half(ax, across, up, mean)
    _hatch(ax, across, up, np.isnan(mean), "no lane", "xxx", "0.75")
    if named != "share diverged":
        diverged = (lost >= 0.5).reshape(shape)  # NaN is not
        _hatch(ax, across, up, diverged, "half or more diverged", "///", "white")
    ax.set(xlabel=column_label(dataset, x), ylabel=column_label(dataset, y))
    pooled = [dataset.isel(lane=place == cell) for cell in np.flatnonzero(number)]
    if not label:
        several = seeds_of(pooled)
        label = f"{named}{f' of {several}' if several else ''}"
    if legend:
        legend_above(ax)
        figure.colorbar(mesh, ax=ax, label=label, pad=0.02, aspect=30)
    return figure


def _shares(dataset: xarray.Dataset, quantity: Any) -> tuple[np.ndarray, str]:
    """A fraction for each lane, and what it is called."""
    if isinstance(quantity, str):
        check_choice("quantity", quantity, OUTCOMES)
        return (dataset.outcome.values == quantity).astype(float), f"share {quantity}"
    lanes = dataset.sizes["lane"]
    shares = check_array("quantity", quantity, kinds="biuf", shape=(lanes,), finite=True)
    if (outside := (shares < 0) | (shares > 1 + 1e-6)).any():
        raise ValueError(
            "quantity must be an outcome or a fraction between 0 and 1 for each lane, got "
            f"{shares[outside][0]:g}."
        )
    name = getattr(quantity, "attrs", {}).get("long_name", "")
    return shares.astype(float), f"mean {name}".strip()


def _draw_cells(ax: Axes, across: Cells, up: Cells, values: np.ndarray, **colours: Any) -> QuadMesh:
    """Cells at their coordinates: values[rows, columns] in the order that was given."""
    values = values[np.ix_(up.order, across.order)]
    # A picture inside SVG and PDF: a file of thousands of vectors opens slowly, with seams.
    mesh = ax.pcolormesh(across.edges, up.edges, values, rasterized=True, **colours)
    across.finish(ax, "x")
    up.finish(ax, "y")
    return mesh


def _draw_half(ax: Axes, across: Cells, up: Cells, values: np.ndarray) -> None:
    """The line between neighbouring cells of which one is at one half or above, and one below."""
    values = values[np.ix_(up.order, across.order)]
    known, above = np.isfinite(values), values >= 0.5
    x, y = across.edges, up.edges
    beside = known[:, 1:] & known[:, :-1] & (above[:, 1:] != above[:, :-1])
    over = known[1:] & known[:-1] & (above[1:] != above[:-1])
    lines = [[(x[c + 1], y[r]), (x[c + 1], y[r + 1])] for r, c in np.argwhere(beside)]
    lines += [[(x[c], y[r + 1]), (x[c + 1], y[r + 1])] for r, c in np.argwhere(over)]
    if lines:
        edge = Stroke(linewidth=3.4, foreground="white", capstyle="projecting")
        ax.add_collection(
            LineCollection(
                lines, colors="black", linewidths=1.8, capstyle="projecting", label="50 %",
                path_effects=[edge, Normal()],
            )
        )  # fmt: skip


def _hatch(
    ax: Axes, across: Cells, up: Cells, where: np.ndarray, label: str, hatch: str, colour: str
) -> None:
    """Hatch some cells, if there are any, and explain the hatching."""
    where = where[np.ix_(up.order, across.order)]
    for row, column in np.argwhere(where):
        x, y = across.edges[column : column + 2], up.edges[row : row + 2]
        ax.fill(
            x[[0, 1, 1, 0]], y[[0, 0, 1, 1]], facecolor="none", edgecolor=colour, hatch=hatch,
            linewidth=0,
        )  # fmt: skip
    if where.any():
        face = "none" if colour != "white" else GREY
        key = {"facecolor": face, "edgecolor": colour, "hatch": hatch, "linewidth": 0}
        ax.add_patch(Rectangle((0, 0), 0, 0, label=label, **key))
