"""Figures of data efficiency: the best accuracy that each of several settings reaches."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from grokjax.checks import check_array, check_integer
from grokjax.plotting.legends import add_key, chance_line, legend_outside
from grokjax.plotting.style import ALPHA, PALETTE, Figure, new_figure, style
from grokjax.plotting.weights import accuracy_rows, several

OTHERS = "#949494"  # the palest grey of contrast 3 on white


@style
def data_efficiency(
    alphas: Any,
    accuracies: Mapping[str, Any],
    *,
    columns: int = 3,
    chance: float | None = None,
) -> Figure:
    """Best test accuracy against alpha, a panel for each setting: all seeds, and their median.

    The medians of the other settings are grey lines behind.

    Args:
      alphas: [A].
      accuracies: by setting: [A], or [A, seeds].
      columns: panels in a row.
      chance: the accuracy of guessing, such as `task.chance`, for a line.

    Reference: "Model and Training Efficiency", figure 4; Power et al. 2022, figure 2.

    Raises:
      ValueError: without settings or alphas, if a setting does not have a row for each alpha, or
        something is no fraction.
    """
    alphas = check_array("alphas", alphas, kinds="iuf", shape=("A",), finite=True)
    if not alphas.size or (alphas < 0).any() or (alphas > 1).any():
        raise ValueError(f"alphas must be fractions between 0 and 1, got {alphas.tolist()}.")
    columns = check_integer("columns", columns, at_least=1)
    values = accuracy_rows(accuracies, len(alphas), "alphas")
    columns = min(columns, len(values))
    rows = -(-len(values) // columns)
    figure, axes = new_figure(
        rows, columns, size=(2.4 * columns, 1.7 * rows + 0.4),
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    colour = PALETTE[0]
    for ax, (name, best) in zip(axes.flat, values.items(), strict=False):
        for other in values.values():
            ax.plot(alphas, np.median(other, axis=1), color=OTHERS, linewidth=0.7)
        x = np.repeat(alphas, best.shape[1])
        ax.plot(x, best.ravel(), "o", color=colour, alpha=0.4, markersize=3, markeredgewidth=0)
        ax.plot(alphas, np.median(best, axis=1), color=colour)
        seeds = several({name: best})
        add_key(ax, f"median of {seeds}" if seeds else "one seed", colour, "-")
        if seeds:
            add_key(ax, "one seed", colour, marker="o", markersize=3)
        if len(values) > 1:
            add_key(ax, "the other settings", OTHERS, "-", linewidth=0.7)
        if chance is not None:
            chance_line(ax, chance)
        ax.set(title=name, ylim=(-0.03, 1.03))
    for i, ax in enumerate(axes.flat):
        if i >= len(values):
            ax.set_axis_off()
        elif i + columns >= len(values):  # the panel below is hidden
            ax.tick_params(labelbottom=True)
    figure.supxlabel(ALPHA, fontsize=9)
    figure.supylabel("best test accuracy", fontsize=9)
    legend_outside(figure)
    return figure
