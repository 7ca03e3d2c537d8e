"""The last measurement of every lane against a column, and panels for the values of a column."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as AnyFigure

from grokjax.checks import check_array, check_callable, check_flag, check_integer
from grokjax.plotting.colours import Colours, colours_of
from grokjax.plotting.lanes import (
    Data,
    chance_of,
    column_of,
    distinct,
    group_name,
    is_accuracy,
    lanes_of,
    long_name,
    seeds_of,
    where_equal,
)
from grokjax.plotting.legends import (
    add_key,
    add_median_key,
    chance_line,
    legend_above,
    legend_outside,
)
from grokjax.plotting.places import Places, small
from grokjax.plotting.style import GREY, MARKERS, PALETTE, Figure, axes_or_new, new_figure, style
from grokjax.results import SweepResult


@style
def final_against(
    data: Data,
    name: str,
    column: str,
    by: str | Colours | None = None,
    ax: Axes | None = None,
    *,
    log_x: bool | None = None,
    legend: bool = True,
) -> AnyFigure:
    """The last measurement of every lane against a column, and the medians, joined by a line.

    Args:
      data: the sweep; `SweepResult.final` is the last measurement.
      name: of the measurement, such as "test_accuracy"; an accuracy has the line of chance.
      column: of the lanes, such as "alpha": numbers or names.
      by: the lane column that has the colours, or the `colours_by` of several panels; without it
        all lanes are pooled.
      ax: where to draw.
      log_x: whether the axis of the column is logarithmic; by default where it has three or more
        positive numbers that are evenly spaced in logarithms.
      legend: whether to explain everything above the axes.

    Raises:
      ValueError: if the measurement or a column is missing, or a lane has no value of the column.
    """
    dataset = lanes_of(data)
    places = Places.of(dataset, column, log_x)
    check_flag("legend", legend)
    last = SweepResult(dataset).final(name)
    dataset = dataset.assign(last=last)
    colours = None if by is None else colours_of(dataset, by)
    groups = {None: dataset} if colours is None else colours.groups(dataset)
    figure, ax = axes_or_new(ax)
    pooled = []
    for value, lanes in groups.items():
        colour = PALETTE[0] if colours is None else colours.of(value)
        place = 0 if colours is None else colours.place(value)
        mark = small(MARKERS[place % len(MARKERS)], colour, place)
        lanes = lanes.isel(lane=np.isfinite(lanes["last"].values))
        x, y = places.at(lanes), lanes["last"].values
        ax.plot(x, y, color=colour, label="_lanes", **mark)
        here = {at: lanes.isel(lane=x == at) for at in np.unique(x)}
        middle = [float(np.median(inside["last"])) for inside in here.values()]
        pooled += here.values()
        ax.plot(list(here), middle, color=colour, label="_median", linewidth=1.4)
        if colours is not None and colours.scale is None:
            joined = {**mark, "linestyle": "-", "alpha": 1}
            add_key(ax, colours.name(value), colour, **joined)
    several = seeds_of(pooled)
    add_median_key(ax, several, bands=False)
    add_key(ax, "one seed" if "lanes" not in several else "one lane", **small("o", GREY))
    places.finish(ax)
    ax.set_ylabel(f"final {long_name(dataset, name)}")
    if is_accuracy(name):
        ax.set_ylim(-0.03, 1.03)
        if (chance := chance_of(dataset)) is not None:
            chance_line(ax, chance)
    if legend:
        legend_above(ax)
        if colours is not None:
            colours.bar(figure, ax)
    return figure


@style
def group_panels(
    data: Data,
    column: str,
    draw: Callable[[Any, Axes], Any],
    *,
    columns: int = 3,
    size: tuple[float, float] = (2.6, 2.2),
    colours: Colours | None = None,
    sharey: bool = True,
) -> Figure:
    """A panel for each value of a column, with shared axes and one legend above them all.

    Args:
      data: the sweep.
      column: of the lanes; the panels are in the order of its numbers, or of its names as they
        appear.
      draw: draws one panel, `draw(lanes, ax)`; its lanes are a result if `data` is one.
      columns: panels in a row.
      size: of a panel, in inches.
      colours: those of the panels, as `colours_by` makes them, if they need a colour bar.
      sharey: whether the panels share their vertical axis too.

    Example:
      plotting.group_panels(
          result, "weight_decay",
          lambda lanes, ax: plotting.final_against(lanes, "test_accuracy", "alpha", ax=ax),
      )

    Raises:
      ValueError: if there is no such column.
    """
    dataset = lanes_of(data)
    check_callable("draw", draw, "a function of lanes and axes that draws a panel")
    columns = check_integer("columns", columns, at_least=1)
    sharey = check_flag("sharey", sharey)
    width, height = check_array("size", size, kinds="iuf", shape=(2,)).tolist()
    values = column_of(dataset, column)
    groups = distinct(values)
    columns = min(columns, len(groups))
    rows = -(-len(groups) // columns)
    figure, axes = new_figure(
        rows, columns, size=(width * columns + 0.4, height * rows + 0.5),
        sharex=True, sharey=sharey, squeeze=False,
    )  # fmt: skip
    for i, (ax, value) in enumerate(zip(axes.flat, groups, strict=False)):
        inside = where_equal(values, value)
        chosen = data.select(inside) if isinstance(data, SweepResult) else data.isel(lane=inside)
        draw(chosen, ax)
        ax.set_title(group_name(column, value))
        if i + columns < len(groups):
            ax.set_xlabel("")
        else:
            ax.tick_params(labelbottom=True)  # also where the panel below is hidden
        if i % columns and sharey:
            ax.set_ylabel("")
    for ax in axes.flat[len(groups) :]:
        ax.set_axis_off()
    legend_outside(figure, colours=colours)
    return figure
