"""Figures of measurements against the step.

`data` is a `SweepResult` or its dataset. `**select` picks lanes by their columns, as in
`accuracy_curves(result, optimizer="adamw", seed=0)`; what is left is pooled. In a median over lanes
a lane that retired, or was interrupted, counts with its last measurement.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as AnyFigure

from grokjax.checks import check_choice, check_flag, check_number, shown
from grokjax.plotting.colours import Colours, colours_of
from grokjax.plotting.lanes import (
    Data,
    axis_column,
    chance_of,
    is_accuracy,
    long_name,
    measured,
    over_lanes,
    seeds_of,
    selected,
)
from grokjax.plotting.legends import add_key, add_median_key, chance_line, legend_above
from grokjax.plotting.style import (
    GREY,
    PALETTE,
    TEST,
    TRAIN,
    Figure,
    axes_or_new,
    label_log,
    new_figure,
    style,
)

BANDS = 6  # at most so many are drawn: more would hide each other
DASHES = 4  # groups whose training lines are as strong as the others; of more they would be a smear
BAND: Any = {"alpha": 0.18, "linewidth": 0}
FAINT: Any = {"linestyle": (0, (2, 1.5)), "linewidth": 0.6, "alpha": 0.7}
LINES: tuple[Any, ...] = ("-", (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (7, 2)))


@style
def curves(
    data: Data,
    variables: Sequence[str],
    ax: Axes | None = None,
    *,
    by: str | Colours | None = None,
    ylabel: str = "",
    yscale: str = "linear",
    xscale: str = "log",
    legend: bool = True,
    **select: Any,
) -> AnyFigure:
    """Measurements against the step: the median over lanes, in a band from lowest to highest.

    Without `by` each variable has a colour and all lanes are pooled. With it each value of a column
    has a colour, from a scale with a colour bar where there are three or more numbers, and the
    variables differ in their lines. There are no bands where more than six would overlap.

    Args:
      data: the sweep.
      variables: names of measurements; the lines of those with "train" in their name are dashed.
      ax: where to draw.
      by: the lane column that has the colours, or the `colours_by` of several panels.
      ylabel: what the variables are; by default the name of a single one.
      yscale: "linear" or "log".
      xscale: "linear" or "log"; a logarithmic axis leaves step 0 out, and every curve begins at its
        first measurement after it.
      legend: whether to explain everything above the axes; `legend_outside` does so for a figure.
      **select: columns and the value they must have.

    Raises:
      ValueError: if no lane is selected, there is no column `by`, or a variable was not measured.
    """
    dataset = selected(data, select)
    names = [] if isinstance(variables, str) or not np.iterable(variables) else list(variables)
    if not names:
        raise ValueError(
            "variables must be names of measurements, such as "
            f'("train_loss", "test_loss"), got {shown(variables)}.'
        )
    for name, scale in (("xscale", xscale), ("yscale", yscale)):
        check_choice(name, scale, ("linear", "log"))
    check_flag("legend", legend)
    for name in names:
        measured(dataset, name)
    colours = None if by is None else colours_of(dataset, by)
    groups = {None: dataset} if colours is None else colours.groups(dataset)
    several = seeds_of(groups.values())
    banded = bool(several) and len(groups) * len(names) <= BANDS
    figure, ax = axes_or_new(ax)
    ax.set(xlabel="step", xscale=xscale, yscale=yscale)
    lines = _lines(names, len(groups), by is not None)
    points = 0
    named = [long_name(dataset, name) for name in names]
    for value, lanes in groups.items():
        for i, name in enumerate(names):
            step, middle, low, high = over_lanes(lanes, name)
            there = slice(np.searchsorted(step, 0, "right") if xscale == "log" else 0, None)
            points += len(step[there])
            colour = PALETTE[i % len(PALETTE)] if colours is None else colours.of(value)
            label = named[i] if colours is None else None
            ax.plot(step[there], middle[there], color=colour, label=label, **lines[i])
            if banded:
                ax.fill_between(step[there], low[there], high[there], color=colour, **BAND)
    if colours is not None:
        if colours.scale is None:
            for value in groups:
                add_key(ax, colours.name(value), colours.of(value), "-")
        if len(names) > 1:
            for name, line in zip(_without(named, ylabel), lines, strict=True):
                add_key(ax, name, **line)
    if not points:
        middle_of_it = {"transform": ax.transAxes, "ha": "center", "va": "center", "color": GREY}
        ax.text(0.5, 0.5, "nothing was measured\nafter step 0", **middle_of_it)
    _finish(ax, dataset, names, several, banded)
    ax.set_ylabel(ylabel or (named[0] if len(names) == 1 else ""))
    if legend:
        legend_above(ax)
        if colours is not None:
            colours.bar(figure, ax)
    return figure


@style
def accuracy_curves(
    data: Data,
    ax: Axes | None = None,
    *,
    by: str | Colours = "alpha",
    legend: bool = True,
    **select: Any,
) -> AnyFigure:
    """Training (dashed) and test (solid) accuracy against the step, the medians of every alpha.

    Args:
      data: the sweep.
      ax: where to draw.
      by: the lane column that has the colours, or the `colours_by` of several panels.
      legend: whether to explain everything above the axes.
      **select: columns and the value they must have.

    Raises:
      ValueError: if no lane is selected, or a lane has no alpha.
    """
    return _both_parts(data, "accuracy", ax, by, legend, "linear", select)


@style
def loss_curves(
    data: Data,
    ax: Axes | None = None,
    *,
    by: str | Colours = "alpha",
    legend: bool = True,
    **select: Any,
) -> AnyFigure:
    """Training (dashed) and test (solid) loss against the step, the medians of every alpha.

    Where there are more than four the training losses are thin, so that they stay lines.

    Args and errors are those of `accuracy_curves`.
    """
    return _both_parts(data, "loss", ax, by, legend, "log", select)


@style
def training_figure(data: Data, **select: Any) -> Figure:
    """Loss, weight norms, accuracy and gradient norms against the step, in panels (a) to (d).

    Panels of norms need the measures `weight_norms` and `gradient_norms` in the recipe, and are
    left out without them.

    Reference: Gromov 2023, figure 1.

    Raises:
      ValueError: if no lane is selected.
    """
    dataset = selected(data, select)
    norms = [str(name) for name, v in dataset.data_vars.items() if v.ndim == 2]
    panels = {
        "loss": ["train_loss", "test_loss"],
        "weight norm": [name for name in norms if name.startswith("norm_")],
        "accuracy": ["train_accuracy", "test_accuracy"],
        "gradient norm": [name for name in norms if name.startswith("gradient_norm_")],
    }
    panels = {label: names for label, names in panels.items() if names}
    rows = -(-len(panels) // 2)
    figure, axes = new_figure(rows, 2, size=(7, 2.8 * rows), sharex=True, squeeze=False)
    for ax, letter, (label, names) in zip(axes.flat, "abcd", panels.items(), strict=False):
        yscale = "log" if label in ("loss", "gradient norm") else "linear"
        curves(dataset, names, ax, ylabel=label, yscale=yscale)
        ax.text(-0.2, 1.05, f"({letter})", transform=ax.transAxes)
        if ax not in axes[-1]:
            ax.set_xlabel("")
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    return figure


@style
def ipr_curve(
    data: Data, reference: float | None = None, ax: Axes | None = None, **select: Any
) -> AnyFigure:
    """Inverse participation ratio and accuracies against the step; `reference` is a dashed line.

    Args:
      data: a sweep with the measure `ipr`.
      reference: the IPR of the analytic weights.
      ax: where to draw.
      **select: options of `curves`, and columns and the value they must have.

    Reference: Gromov 2023, figure 5.

    Raises:
      ValueError: if no lane is selected, or a sweep did not measure the ratio.
    """
    if reference is not None:
        reference = check_number("reference", reference, otherwise="None")
    figure, ax = axes_or_new(ax)
    curves(data, ("ipr", "train_accuracy", "test_accuracy"), ax, **select)
    if reference is not None:
        ax.axhline(reference, color="black", linestyle=(0, (4, 3)), linewidth=1, label="analytic")
    ax.set_ylim(-0.03, 1.05)
    if ax.get_legend() is not None:
        legend_above(ax)
    return figure


def _both_parts(
    data: Data,
    quantity: str,
    ax: Axes | None,
    by: str | Colours,
    legend: bool,
    yscale: str,
    select: dict[str, Any],
) -> AnyFigure:
    dataset = selected(data, select)
    if by == "alpha":
        axis_column(dataset, "alpha")
    names = (f"train_{quantity}", f"test_{quantity}")
    return curves(dataset, names, ax, by=by, ylabel=quantity, yscale=yscale, legend=legend)


def _lines(names: list[str], groups: int, coloured: bool) -> list[dict[str, Any]]:
    """The line of every variable: where colours say the group, each variable has another one."""
    lines, others = [], 0
    for name in names:
        if "train" in name.split("_"):
            lines.append(TRAIN if groups <= DASHES else FAINT)
        else:
            lines.append({**TEST, "linestyle": LINES[others % len(LINES)]})
            others += coloured
    return lines


def _without(named: list[str], quantity: str) -> list[str]:
    """Names of variables without the quantity that all of them end in, such as " accuracy"."""
    if quantity and all(name.endswith(f" {quantity}") for name in named):
        return [name.removesuffix(f" {quantity}") for name in named]
    return named


def _finish(ax: Axes, dataset: Any, names: list[str], several: str, banded: bool) -> None:
    """Keys of what the lines and bands are, the chance line, and the labels of the axes."""
    add_median_key(ax, several, bands=banded)
    accuracies = [name for name in names if is_accuracy(name)]
    if accuracies and (chance := chance_of(dataset)) is not None:
        chance_line(ax, chance)
    if len(accuracies) == len(names) and ax.get_yscale() == "linear":
        ax.set_ylim(-0.03, 1.03)
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "log":
            label_log(axis)
