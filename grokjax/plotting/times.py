"""Figures of steps: when lanes memorized and grokked, and which of them had not."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure as AnyFigure

from grokjax import survival
from grokjax.checks import check_confidence, check_flag, shown
from grokjax.plotting.colours import colours_by
from grokjax.plotting.curves import accuracy_curves
from grokjax.plotting.lanes import Data, axis_column, grouped, lanes_of, long_name, seeds_of
from grokjax.plotting.legends import add_key, legend_above, legend_outside
from grokjax.plotting.places import Places, large, small
from grokjax.plotting.style import (
    GREY,
    MARKERS,
    PALETTE,
    Figure,
    axes_or_new,
    label_log,
    style,
)

CENSORED: Any = {"linestyle": "none", "marker": "^", "markerfacecolor": "none", "markersize": 5}
DIVERGED: Any = {"linestyle": "none", "marker": "x", "markersize": 4}
COUNT: Any = {"fontsize": 6, "ha": "center", "va": "bottom", "textcoords": "offset points"}
TIMES = ("grokking_step", "watched_step", "final_step", "outcome")


@dataclasses.dataclass(frozen=True)
class Series:
    """The lanes that share a colour, and the variable that is their step."""

    name: str
    lanes: xarray.Dataset
    step: str = "grokking_step"


@style
def step_against(
    data: Data,
    variables: Mapping[str, str] | Sequence[str],
    column: str,
    ax: Axes | None = None,
    *,
    log_x: bool | None = None,
    confidence: float = 0.95,
    legend: bool = True,
) -> AnyFigure:
    """Steps of every lane against a column, and their Kaplan-Meier medians, joined by a line.

    Lanes for which a step is missing when their training ended, or was interrupted, are censored:
    hollow triangles at the last step at which they were watched (`survival`), with how many of how
    many lanes are there. Lanes that diverged are crosses where they did. A bar is the interval of
    a median; one that reaches up to the triangles has no upper end.

    Args:
      data: the sweep; lanes that share a value of the column are pooled.
      variables: names of steps, one for each lane, such as "grokking_step", in one colour each; or
        what the legend calls each of them, by name.
      column: of the lanes, such as "alpha": numbers or names.
      ax: where to draw.
      log_x: whether the axis of the column is logarithmic; by default where it has three or more
        positive numbers that are evenly spaced in logarithms.
      confidence: the level of the intervals.
      legend: whether to explain everything above the axes.

    Raises:
      ValueError: if a variable or column is missing, or a lane has no value of the column.
    """
    if isinstance(variables, Mapping):
        labels = dict(variables)
    else:
        listed = () if isinstance(variables, str) or not np.iterable(variables) else variables
        labels = dict.fromkeys(listed, "")
    if not labels:
        raise ValueError(
            'variables must be names of steps, such as ("memorization_step", "grokking_step"), got '
            f"{shown(variables)}."
        )
    dataset = lanes_of(data, *labels, *TIMES[1:])
    series = [
        Series(str(label) or long_name(dataset, name), dataset, name)
        for name, label in labels.items()
    ]
    places = Places.of(dataset, column, log_x)
    return draw_times(series, places, ax, "step", "not reached", confidence, legend)


@style
def grokking_time(
    data: Data,
    by: str | None = None,
    ax: Axes | None = None,
    *,
    confidence: float = 0.95,
    legend: bool = True,
) -> AnyFigure:
    """Grokking step against alpha: every lane, and the Kaplan-Meier median with its interval.

    Lanes that had not grokked when their training ended, or was interrupted, are hollow triangles
    at the last step at which they were watched (see `survival`), with how many of how many lanes
    are there: they are censored, and the median counts them as such. Lanes that diverged are
    crosses where they did. A bar that reaches up to the triangles has no upper end; where there are
    too few seeds for an interval there is no bar.

    Args:
      data: the sweep; lanes that share alpha and group are pooled.
      by: the column that makes the groups; by default "optimizer" if there is such a column.
      ax: where to draw.
      confidence: the level of the intervals.
      legend: whether to explain everything above the axes.

    Raises:
      ValueError: if there is no lane, no column `by`, or a lane without alpha.
    """
    dataset = lanes_of(data, *TIMES)
    places = Places.of(dataset, "alpha")
    series = [Series(name, lanes) for name, lanes in grouped(data, by).items()]
    return draw_times(series, places, ax, "grokking step", "not grokked", confidence, legend)


@style
def alpha_sweep_figure(data: Data, by: str | None = None, *, confidence: float = 0.95) -> Figure:
    """The main figure of an alpha sweep: grokking times, and the accuracies of every group.

    Args:
      data: the sweep.
      by: the column that makes the groups; by default "optimizer" if there is such a column.
      confidence: the level of the intervals of the median.

    Raises:
      ValueError: as `grokking_time`.
    """
    confidence = check_confidence(confidence)
    dataset = lanes_of(data, *TIMES)
    axis_column(dataset, "alpha")
    groups = grouped(dataset, by)
    columns = 1 if len(groups) < 4 else 2
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1, 1.2))
    left, right = halves
    grokking_time(dataset, by, left.subplots(), confidence=confidence)
    panels = right.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    colours = colours_by(dataset, "alpha")  # one scale for all panels
    for i, (ax, (name, lanes)) in enumerate(zip(panels.flat, groups.items(), strict=False)):
        accuracy_curves(lanes, ax, by=colours, legend=False)
        ax.set(title=name, ylabel="" if i % columns else "accuracy")
        if i + columns < len(groups):
            ax.set_xlabel("")
        else:
            ax.tick_params(labelbottom=True)  # also where the panel below is hidden
    for ax in panels.flat[len(groups) :]:
        ax.set_axis_off()
    legend_outside(right, colours=colours)
    return figure


def draw_times(
    series: Sequence[Series],
    places: Places,
    ax: Axes | None,
    ylabel: str,
    missing: str,
    confidence: float,
    legend: bool,
) -> AnyFigure:
    """Steps of every lane, their Kaplan-Meier medians with intervals, and the censored lanes."""
    confidence = check_confidence(confidence)
    check_flag("legend", legend)
    figure, ax = axes_or_new(ax)
    outcomes: set[str] = set()
    counts: dict[tuple[float, float], int] = {}
    medians: set[str] = set()
    unseen, pooled = 0, []
    for i, one in enumerate(series):
        x = places.at(one.lanes)
        medians |= _draw_medians(ax, one, x, i, len(series), confidence)
        kinds, at_zero = _draw_lanes(ax, one, x, i, counts)
        outcomes, unseen = outcomes | kinds, unseen + at_zero
        pooled += [one.lanes.isel(lane=x == place) for place in np.unique(x)]
        if one.name:
            add_key(ax, one.name, linestyle="-", colour=_colour(i), **large(*_mark(i)))
    several = seeds_of(pooled)
    if several and "median" in medians:
        interval = f", {100 * confidence:.3g} % interval" if "interval" in medians else ""
        add_key(ax, f"median of {several}{interval}", linestyle="-", **large("o", GREY))
    if "reached" in outcomes:
        add_key(ax, "one lane" if "lanes" in several else "one seed", **small("o", GREY))
    if "censored" in outcomes:
        how_many = ", n/all" if counts else ""
        add_key(ax, f"{missing} (censored{how_many})", **CENSORED)
    if "diverged" in outcomes:
        add_key(ax, "diverged", **DIVERGED)
    if unseen:  # a logarithmic axis has no place for them
        add_key(ax, f"not drawn: {unseen} at step 0")
    places.finish(ax)
    ax.set(ylabel=ylabel, yscale="log")
    ax.margins(y=0.05 + 0.05 * max(counts.values(), default=0))  # room for the counts
    label_log(ax.yaxis)
    if legend:
        legend_above(ax)
    return figure


def _draw_lanes(
    ax: Axes, series: Series, x: np.ndarray, group: int, counts: dict[tuple[float, float], int]
) -> tuple[set[str], int]:
    """Draw every lane; returns which kinds of lanes there are, and how many are at step 0.

    `counts` says how many numbers stand at each place: those of another group go above them.
    """
    lanes, colour = series.lanes, _colour(group)
    step = lanes[series.step]
    reached = step.notnull().values
    diverged = ~reached & (lanes.outcome.values == "diverged")
    kinds: dict[str, tuple[np.ndarray, xarray.DataArray, dict[str, Any]]] = {
        "reached": (reached, step, small(*_mark(group))),
        "censored": (~reached & ~diverged, lanes.watched_step, CENSORED),
        "diverged": (diverged, lanes.final_step, DIVERGED),
    }
    at_zero = 0
    for kind, (rows, steps, marks) in kinds.items():
        drawn = rows & (steps.values > 0)
        ax.plot(x[drawn], steps.values[drawn], color=colour, label=f"_{kind}", **marks)
        at_zero += int(rows.sum() - drawn.sum())
        if kind == "censored":
            _draw_counts(ax, x, np.where(drawn, steps.values, np.nan), colour, counts)
    return {kind for kind, (rows, _, _) in kinds.items() if rows.any()}, at_zero


def _draw_counts(
    ax: Axes, x: np.ndarray, steps: np.ndarray, colour: str, counts: dict[tuple[float, float], int]
) -> None:
    """How many of how many lanes are censored at each place, where there are several lanes."""
    for place in np.unique(x):
        here = steps[x == place]
        for step, number in zip(*np.unique(here[~np.isnan(here)], return_counts=True), strict=True):
            if len(here) > 1:
                above = counts.get((place, step), 0)
                text = f"{number}/{len(here)}"
                ax.annotate(text, (place, step), (0, 4 + 6.5 * above), color=colour, **COUNT)
                counts[place, step] = above + 1


def _draw_medians(
    ax: Axes, series: Series, x: np.ndarray, group: int, groups: int, confidence: float
) -> set[str]:
    """Draw the medians that were reached and their intervals; returns which of both there are."""
    step, watched = series.lanes[series.step], series.lanes.watched_step
    table = survival.summary(step, watched, confidence, place=x)
    middle = table["median"].where(np.isfinite(table["median"]) & (table["median"] > 0))
    ax.plot(
        table.place, middle, color=_colour(group), zorder=3, label="_median", **large(*_mark(group))
    )
    known = (middle.notnull() & (table.low > 0)).values
    top = np.minimum(table.high, step.fillna(watched).max().item()).values
    # Bars of several groups at one place are seen behind each other.
    width = 0.9 + 1.2 * min(groups - 1 - group, 3)
    ax.vlines(
        table.place.values[known], table.low.values[known], top[known], color=_colour(group),
        linewidth=width, label="_interval",
    )  # fmt: skip
    drawn = {"median": middle.notnull().values, "interval": known}
    return {name for name, there in drawn.items() if there.any()}


def _colour(group: int) -> str:
    return PALETTE[group % len(PALETTE)]


def _mark(group: int) -> tuple[str, str, int]:
    """The marker and colour of a group, for `small` and `large`."""
    return MARKERS[group % len(MARKERS)], _colour(group), group
