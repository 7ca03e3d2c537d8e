"""Figures of data efficiency: the best accuracy that each of several settings reaches."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from grokjax.plotting.style import GREY, PALETTE, Figure, new_figure, style
from grokjax.plotting.sweeps import ALPHA


@style
def data_efficiency(alphas: Any, accuracies: Mapping[str, Any], *, columns: int = 3) -> Figure:
    """Best test accuracy against alpha, a panel for each setting: all seeds, and their median.

    The medians of the other settings are grey lines behind.

    Args:
      alphas: [A].
      accuracies: by setting: [A], or [A, seeds].
      columns: panels in a row.

    Reference: S1 figure 4; Power et al. 2022, figure 2.

    Raises:
      ValueError: without settings, or if one does not have a row for each alpha.
    """
    alphas = np.asarray(alphas)
    if not accuracies:
        raise ValueError("accuracies is empty; give at least one setting.")
    values = {name: np.asarray(best) for name, best in accuracies.items()}
    for name, best in values.items():
        if best.shape[:1] != alphas.shape or best.ndim > 2:
            raise ValueError(
                f"accuracies[{name!r}] has shape {best.shape}; give one row for each of the "
                f"{len(alphas)} alphas."
            )
    values = {name: best.reshape(len(alphas), -1) for name, best in values.items()}
    rows = -(-len(values) // columns)
    figure, axes = new_figure(
        rows, columns, size=(2.4 * columns, 1.7 * rows + 0.4),
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    colour = PALETTE[0]
    for ax, (name, best) in zip(axes.flat, values.items(), strict=False):
        for other in values.values():
            ax.plot(alphas, np.median(other, axis=1), color=GREY, alpha=0.3, linewidth=0.8)
        seeds = np.repeat(alphas, best.shape[1])
        ax.plot(seeds, best.ravel(), "o", color=colour, alpha=0.4, markersize=3, markeredgewidth=0)
        ax.plot(alphas, np.median(best, axis=1), color=colour)
        ax.set(title=name, ylim=(-0.03, 1.03))
    for ax in axes.flat[len(values) :]:
        ax.set_axis_off()
    figure.supxlabel(ALPHA, fontsize=9)
    figure.supylabel("best test accuracy", fontsize=9)
    return figure
