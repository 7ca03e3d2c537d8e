"""Figures of sweeps: grokking times, and measurements against the step.

`data` is a `SweepResult` or its dataset. `**select` picks lanes by their columns, as in
`accuracy_curves(result, optimizer="adamw", seed=0)`; what is left is pooled. In a median over lanes
a lane that retired, or was interrupted, counts with its last measurement.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure as AnyFigure
from matplotlib.lines import Line2D

from grokjax import survival
from grokjax.checks import check_choice, check_confidence, check_number, shown
from grokjax.plotting.lanes import Data, alphas_of, grouped, lanes_of, over_lanes, selected
from grokjax.plotting.style import (
    ALPHA,
    GREY,
    MARKERS,
    PALETTE,
    TEST,
    TRAIN,
    Figure,
    axes_or_new,
    colour_scale,
    label_log,
    legend_above,
    new_figure,
    style,
)

GROKKED: dict[str, Any] = {"marker": "o", "markersize": 3, "markeredgewidth": 0, "alpha": 0.35}
CENSORED: dict[str, Any] = {"marker": "^", "markerfacecolor": "none", "markersize": 5}
DIVERGED: dict[str, Any] = {"marker": "x", "markersize": 4}
TIMES = ("grokking_step", "watched_step", "final_step", "outcome")


@style
def grokking_time(
    data: Data, by: str | None = None, ax: Axes | None = None, *, confidence: float = 0.95
) -> AnyFigure:
    """Grokking step against alpha: every lane, and the Kaplan-Meier median with its interval.

    Lanes that had not grokked when their training ended, or was interrupted, are hollow triangles
    at the last step at which they were watched (see `survival`): they are censored, and the median
    counts them as such. Lanes that diverged are crosses where they did. A bar that reaches up to
    the triangles has no upper end; where there are too few seeds for an interval there is no bar.

    Args:
      data: the sweep; lanes that share alpha and group are pooled.
      by: the column that makes the groups; by default "optimizer" if there is such a column.
      ax: where to draw.
      confidence: the level of the intervals.

    Raises:
      ValueError: if there is no lane, no column `by`, or a lane without alpha.
    """
    confidence = check_confidence(confidence)
    alphas = np.unique(alphas_of(lanes_of(data, *TIMES)))
    groups = grouped(data, by)
    figure, ax = axes_or_new(ax)
    spacing = np.diff(alphas).min() if len(alphas) > 1 else 0.1
    shifts = (
        (np.arange(len(groups)) - (len(groups) - 1) / 2) * spacing * min(0.14, 0.6 / len(groups))
    )
    handles, barred, outcomes, unseen = [], False, set(), 0
    for i, (name, lanes) in enumerate(groups.items()):
        colour, marker = PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]
        barred |= _draw_medians(ax, lanes, shifts[i], colour, marker, confidence)
        kinds, at_zero = _draw_lanes(ax, lanes, shifts[i], colour)
        outcomes, unseen = outcomes | kinds, unseen + at_zero
        if name:
            handles.append(_key(name, colour, marker=marker, linestyle="-"))
    interval = f", {100 * confidence:.3g} % interval" if barred else ""
    handles.append(_key(f"median{interval}", GREY, marker="o", linestyle="-"))
    handles.append(_key("one seed", GREY, **GROKKED))
    if "censored" in outcomes:
        handles.append(_key("not grokked (censored)", GREY, **CENSORED))
    if "diverged" in outcomes:
        handles.append(_key("diverged", GREY, **DIVERGED))
    if unseen:  # a logarithmic axis has no place for them
        handles.append(_key(f"not drawn: {unseen} at step 0", GREY))
    ax.set(xlabel=ALPHA, ylabel="grokking step", yscale="log")
    label_log(ax.yaxis)
    legend_above(ax, handles, columns=2)
    return figure


@style
def accuracy_curves(data: Data, ax: Axes | None = None, **select: Any) -> AnyFigure:
    """Train (dashed) and test (solid) accuracy against the step, the median over lanes by alpha.

    Args:
      data: the sweep.
      ax: where to draw.
      **select: columns and the value they must have.

    Raises:
      ValueError: if no lane is selected.
    """
    figure = _by_alpha(data, "accuracy", ax, select)
    (figure.axes[0] if ax is None else ax).set_ylim(-0.03, 1.03)
    return figure


@style
def loss_curves(data: Data, ax: Axes | None = None, **select: Any) -> AnyFigure:
    """Train (dashed) and test (solid) loss against the step, the median over lanes by alpha.

    Args and errors are those of `accuracy_curves`.
    """
    figure = _by_alpha(data, "loss", ax, select)
    ax = figure.axes[0] if ax is None else ax
    ax.set_yscale("log")
    label_log(ax.yaxis)
    return figure


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
    alphas = alphas_of(lanes_of(data, *TIMES))
    groups = grouped(data, by)
    columns = 1 if len(groups) < 4 else 2
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1, 1.2))
    left, right = halves
    grokking_time(data, by, left.subplots(), confidence=confidence)
    panels = right.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    colours = colour_scale(alphas)  # one scale for all panels
    for ax, (name, lanes) in zip(panels.flat, groups.items(), strict=False):
        _draw_by_alpha(ax, lanes, "accuracy", colours)
        ax.set(title=name, ylim=(-0.03, 1.03))
    for ax in panels.flat[len(groups) :]:
        ax.set_axis_off()
    right.supxlabel("step", fontsize=9)
    right.supylabel("accuracy: test solid, train dashed", fontsize=9)
    if len(np.unique(alphas)) > 1:
        right.colorbar(colours, ax=panels, label=ALPHA, pad=0.02, aspect=40)
    return figure


@style
def curves(
    data: Data,
    variables: Sequence[str],
    ax: Axes | None = None,
    *,
    ylabel: str = "",
    yscale: str = "linear",
    xscale: str = "log",
    **select: Any,
) -> AnyFigure:
    """Any measurements against the step: the median over lanes, in a band from lowest to highest.

    Args:
      data: the sweep.
      variables: names of measurements; those that begin with "train" are dashed.
      ax: where to draw.
      ylabel: what they are.
      yscale: "linear" or "log".
      xscale: "linear" or "log"; a logarithmic axis leaves step 0 out.
      **select: columns and the value they must have.

    Raises:
      ValueError: if no lane is selected, or a variable was not measured.
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
    figure, ax = axes_or_new(ax)
    for i, name in enumerate(names):
        step, middle, low, high = over_lanes(dataset, name)
        colour = PALETTE[i % len(PALETTE)]
        line = TRAIN if name.startswith("train") else TEST
        label = dataset[name].attrs.get("long_name", name)
        ax.plot(step, middle, color=colour, label=label, **line)
        if dataset.sizes["lane"] > 1:
            ax.fill_between(step, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.set(xlabel="step", ylabel=ylabel, xscale=xscale, yscale=yscale)
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "log":
            label_log(axis)
    legend_above(ax)
    return figure


@style
def training_figure(data: Data, **select: Any) -> AnyFigure:
    """Loss, weight norms, accuracy and gradient norms against the step, in panels (a) to (d).

    Panels of norms need the measures `weight_norms` and `gradient_norms` in the recipe, and are
    left out without them.

    Reference: Gromov 2023, figure 1.
    """
    dataset = selected(data, select)
    measured = [str(name) for name, v in dataset.data_vars.items() if v.ndim == 2]
    panels = {
        "loss": ["train_loss", "test_loss"],
        "weight norm": [name for name in measured if name.startswith("norm_")],
        "accuracy": ["train_accuracy", "test_accuracy"],
        "gradient norm": [name for name in measured if name.startswith("gradient_norm_")],
    }
    panels = {label: names for label, names in panels.items() if names}
    rows = -(-len(panels) // 2)
    figure, axes = new_figure(rows, 2, size=(7, 2.6 * rows), sharex=True, squeeze=False)
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
      **select: columns and the value they must have.

    Reference: Gromov 2023, figure 5.

    Raises:
      ValueError: if no lane is selected, or a sweep did not measure the ratio.
    """
    if reference is not None:
        reference = check_number("reference", reference, otherwise="None")
    figure = curves(data, ("ipr", "train_accuracy", "test_accuracy"), ax, ylabel="", **select)
    ax = figure.axes[-1] if ax is None else ax
    if reference is not None:
        ax.axhline(reference, color="black", linestyle=(0, (4, 3)), linewidth=1, label="analytic")
    ax.set_ylim(-0.03, 1.05)
    legend_above(ax, columns=2)
    return figure


def _draw_lanes(ax: Axes, lanes: xarray.Dataset, shift: float, colour: str) -> tuple[set[str], int]:
    """Draw every lane; returns which kinds of lanes there are, and how many are at step 0."""
    grokked = lanes.grokking_step.notnull().values
    diverged = ~grokked & (lanes.outcome.values == "diverged")
    kinds: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "grokked": (grokked, lanes.grokking_step, GROKKED),
        "censored": (~grokked & ~diverged, lanes.watched_step, CENSORED),
        "diverged": (diverged, lanes.final_step, DIVERGED),
    }
    at_zero = 0
    for kind, (rows, step, marker) in kinds.items():
        drawn = rows & (step.values > 0)
        x, y = lanes.alpha.values[drawn] + shift, step.values[drawn]
        ax.plot(x, y, color=colour, linestyle="none", label=f"_{kind}", **marker)
        at_zero += int(rows.sum() - drawn.sum())
    return {kind for kind, (rows, _, _) in kinds.items() if rows.any()}, at_zero


def _by_alpha(data: Data, quantity: str, ax: Axes | None, select: dict[str, Any]) -> AnyFigure:
    dataset = selected(data, select)
    colours = colour_scale(alphas_of(dataset))
    figure, ax = axes_or_new(ax)
    _draw_by_alpha(ax, dataset, quantity, colours)
    ax.set(xlabel="step", ylabel=quantity)
    lines = {"train": TRAIN, "test": TEST}
    legend_above(ax, [Line2D([], [], color=GREY, label=k, **v) for k, v in lines.items()])
    if len(np.unique(dataset.alpha)) > 1:
        figure.colorbar(colours, ax=ax, label=ALPHA, pad=0.02, aspect=30)
    return figure


def _draw_by_alpha(
    ax: Axes, dataset: xarray.Dataset, quantity: str, colours: ScalarMappable
) -> None:
    for alpha in np.unique(dataset.alpha):
        lanes = dataset.isel(lane=dataset.alpha.values == alpha)
        for part, line in (("train", TRAIN), ("test", TEST)):
            step, middle, _, _ = over_lanes(lanes, f"{part}_{quantity}")
            ax.plot(step, middle, color=colours.to_rgba(alpha), **line)
    ax.set_xscale("log")
    label_log(ax.xaxis)


def _draw_medians(
    ax: Axes, lanes: xarray.Dataset, shift: float, colour: str, marker: str, confidence: float
) -> bool:
    """Draw the medians that were reached and their intervals; returns whether there are any."""
    table = survival.summary(lanes.grokking_step, lanes.watched_step, confidence, alpha=lanes.alpha)
    middle = table["median"].where(np.isfinite(table["median"]) & (table["median"] > 0))
    ax.plot(
        table.alpha + shift, middle, color=colour, marker=marker, markersize=5,
        markeredgecolor="white", markeredgewidth=0.6, zorder=3, label="_median",
    )  # fmt: skip
    known = (middle.notnull() & (table.low > 0)).values
    observed = lanes.grokking_step.fillna(lanes.watched_step)
    top = np.minimum(table.high, observed.max().item()).values
    x, low = table.alpha.values[known] + shift, table.low.values[known]
    ax.vlines(x, low, top[known], color=colour, linewidth=0.9, label="_interval")
    return bool(known.any())


def _key(label: str, colour: str, linestyle: Any = "none", **line: Any) -> Line2D:
    return Line2D([], [], color=colour, label=label, linestyle=linestyle, **line)
