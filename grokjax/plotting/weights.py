"""Figures of weights: phases of neurons, and accuracy against width."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokjax.checks import check_array, check_integer, check_mapping
from grokjax.plotting.legends import add_median_key, chance_line, legend_above
from grokjax.plotting.style import MARKERS, PALETTE, axes_or_new, label_log, style


@style
def phase_histogram(phases: Mapping[str, Any], ax: Axes | None = None, *, bins: int = 49) -> Figure:
    r"""Density of the phase difference $\varphi_1 + \varphi_2 - \varphi_3$ over neurons.

    Args:
      phases: by name, such as "AdamW": the difference of every neuron, in (-pi, pi].
      ax: where to draw.
      bins: how many; an odd number puts zero into the middle of one.

    Reference: Gromov 2023, figure 3.

    Raises:
      ValueError: without phases, of none that is a number, or of one outside [-pi, pi].
    """
    phases = check_mapping("phases", phases, '{"AdamW": spectral.phases(params).delta}')
    bins = check_integer("bins", bins, at_least=1, below=10_001)
    if not phases:
        raise ValueError("phases is empty; give at least one group of neurons.")
    differences = {name: _phases(f"phases[{name!r}]", delta) for name, delta in phases.items()}
    figure, ax = axes_or_new(ax)
    edges = np.linspace(-np.pi, np.pi, bins + 1)
    for i, (name, delta) in enumerate(differences.items()):
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
    width: Any,
    accuracies: Mapping[str, Any],
    ax: Axes | None = None,
    *,
    chance: float | None = None,
) -> Figure:
    """Test accuracy against the number of neurons: the median over seeds, from lowest to highest.

    Args:
      width: [W].
      accuracies: by name, such as "analytic": [W], or [W, seeds].
      ax: where to draw.
      chance: the accuracy of guessing, such as `task.chance`, for a line.

    Reference: Gromov 2023, figure 4b.

    Raises:
      ValueError: without accuracies, if an entry does not have one row for each width, or is no
        fraction.
    """
    width = check_array("width", width, kinds="iuf", shape=("W",), finite=True)
    if not width.size or (width <= 0).any():
        raise ValueError(f"width must be positive numbers of neurons, got {width.tolist()}.")
    rows = accuracy_rows(accuracies, len(width), "widths")
    figure, ax = axes_or_new(ax)
    for i, (name, values) in enumerate(rows.items()):
        line: dict[str, Any] = {
            "color": PALETTE[i % len(PALETTE)],
            "marker": MARKERS[i % len(MARKERS)],
        }
        ax.plot(width, np.median(values, 1), markersize=4, label=name, **line)
        if values.shape[1] > 1:
            low, high = values.min(1), values.max(1)
            ax.fill_between(width, low, high, color=line["color"], alpha=0.18, linewidth=0)
    ax.set(xlabel="width (neurons)", ylabel="test accuracy", xscale="log", ylim=(-0.03, 1.03))
    label_log(ax.xaxis)
    seeds = several(rows)
    add_median_key(ax, seeds, bands=bool(seeds))
    if chance is not None:
        chance_line(ax, chance)
    legend_above(ax)
    return figure


def accuracy_rows(accuracies: Any, rows: int, what: str) -> dict[str, np.ndarray]:
    """Accuracies by name, each as [rows, seeds].

    Raises:
      ValueError: without any, if an entry has another number of rows, or is no fraction.
    """
    accuracies = check_mapping("accuracies", accuracies, '{"analytic": [0.2, 1.0]}')
    if not accuracies:
        raise ValueError("accuracies is empty; give at least one setting.")
    found = {}
    for name, values in accuracies.items():
        values = check_array(f"accuracies[{name!r}]", values).astype(float)
        if values.shape[:1] != (rows,) or values.ndim > 2 or not values.size:
            raise ValueError(
                f"accuracies[{name!r}] has shape {values.shape}; give one row for each of the "
                f"{rows} {what}."
            )
        if (outside := (values < 0) | (values > 1 + 1e-6)).any():
            raise ValueError(
                f"accuracies[{name!r}] must be fractions between 0 and 1, got "
                f"{values[outside][0]:g}."
            )
        found[name] = values.reshape(rows, -1)
    return found


def several(rows: Mapping[str, np.ndarray]) -> str:
    """Of how many seeds the medians of [rows, seeds] are, such as "5 seeds"; "" if all of one."""
    few, many = (f(values.shape[1] for values in rows.values()) for f in (min, max))
    return "" if many == 1 else f"{many if few == many else f'{few} to {many}'} seeds"


def _phases(name: str, values: Any) -> np.ndarray:
    values = check_array(name, values, kinds="iuf").astype(float).ravel()
    values = values[~np.isnan(values)]
    if not values.size:
        raise ValueError(f"{name} must have at least one phase that is a number, got none.")
    if (outside := np.abs(values) > np.pi + 1e-5).any():  # float32 has a larger pi
        raise ValueError(
            f"{name} must be phases in (-pi, pi], got {values[outside][0]:g}; use spectral.wrap."
        )
    return np.clip(values, -np.pi, np.pi)
