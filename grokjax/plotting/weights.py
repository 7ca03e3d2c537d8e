"""Figures of weights and spectra: heat maps, phases, accuracy against width."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokjax.plotting.style import MARKERS, PALETTE, axes_or_new, legend_above, style


@style
def heatmap(
    matrix: Any,
    ax: Axes | None = None,
    *,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    colorbar: bool = True,
) -> Figure:
    """A matrix as colours, rows downwards: around zero if it has negative entries, else from zero.

    Args:
      matrix: [rows, columns], real.
      ax: where to draw.
      title: what it is.
      xlabel: what the columns are.
      ylabel: what the rows are.
      colorbar: whether to explain the colours.

    Reference: Gromov 2023, figure 2.

    Raises:
      ValueError: if the matrix is not a real one.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or np.iscomplexobj(matrix):
        raise ValueError(
            f"a heat map shows a real matrix, got shape {matrix.shape} and dtype {matrix.dtype}; "
            "take the absolute value of a complex one."
        )
    figure, ax = axes_or_new(ax)
    top = np.nanmax(np.abs(matrix))
    signed = np.nanmin(matrix) < 0
    colours = {"cmap": "RdBu_r" if signed else "magma", "vmin": -top if signed else 0, "vmax": top}
    image = ax.imshow(matrix, interpolation="nearest", **colours)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.spines[:].set_visible(False)
    if colorbar:
        figure.colorbar(image, ax=ax, pad=0.03, fraction=0.046)
    return figure


@style
def phase_histogram(phases: Mapping[str, Any], ax: Axes | None = None, *, bins: int = 49) -> Figure:
    r"""Density of the phase difference $\varphi_1 + \varphi_2 - \varphi_3$ over neurons.

    Args:
      phases: by name, such as "AdamW": the difference of every neuron, in (-pi, pi].
      ax: where to draw.
      bins: how many; an odd number puts zero into the middle of one.

    Reference: Gromov 2023, figure 3.
    """
    figure, ax = axes_or_new(ax)
    edges = np.linspace(-np.pi, np.pi, bins + 1)
    for i, (name, delta) in enumerate(phases.items()):
        delta = np.asarray(delta).ravel()
        delta = delta[~np.isnan(delta)]
        colour = PALETTE[i % len(PALETTE)]
        density, _ = np.histogram(delta, edges, density=True)
        ax.stairs(density, edges, color=colour, fill=True, alpha=0.25)
        ax.stairs(
            density, edges, color=colour, linewidth=1.2, label=f"{name} ({len(delta)} neurons)"
        )
    ax.axhline(
        0.5 / np.pi, color="black", linestyle=(0, (4, 3)), linewidth=1, label="random phases"
    )
    ax.set_xticks(np.pi * np.array([-1, -0.5, 0, 0.5, 1]), ["−π", "−π/2", "0", "π/2", "π"])
    ax.set(xlabel=r"$\varphi_1 + \varphi_2 - \varphi_3$", ylabel="density", xlim=(-np.pi, np.pi))
    legend_above(ax, columns=2)
    return figure


@style
def accuracy_against_width(
    width: Any, accuracies: Mapping[str, Any], ax: Axes | None = None
) -> Figure:
    """Test accuracy against the number of neurons: the median over seeds, from lowest to highest.

    Args:
      width: [W].
      accuracies: by name, such as "analytic": [W], or [W, seeds].
      ax: where to draw.

    Reference: Gromov 2023, figure 4b.

    Raises:
      ValueError: if an entry does not have one row for each width.
    """
    width = np.asarray(width)
    figure, ax = axes_or_new(ax)
    for i, (name, values) in enumerate(accuracies.items()):
        values = np.asarray(values)
        if values.shape[:1] != width.shape or values.ndim > 2:
            raise ValueError(
                f"accuracies[{name!r}] has shape {values.shape}; give one row for each of the "
                f"{len(width)} widths."
            )
        values = values.reshape(len(width), -1)
        line: dict[str, Any] = {
            "color": PALETTE[i % len(PALETTE)],
            "marker": MARKERS[i % len(MARKERS)],
        }
        ax.plot(width, np.median(values, 1), markersize=4, label=name, **line)
        if values.shape[1] > 1:
            low, high = values.min(1), values.max(1)
            ax.fill_between(width, low, high, color=line["color"], alpha=0.18, linewidth=0)
    ax.set(xlabel="width (neurons)", ylabel="test accuracy", xscale="log", ylim=(-0.03, 1.03))
    legend_above(ax)
    return figure
