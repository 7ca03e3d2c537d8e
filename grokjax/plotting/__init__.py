"""Figures of sweeps, spectra and weights, for papers and notebooks.

Every function draws into `ax`, or into a new figure, and returns the figure. Nothing global is
touched: no pyplot, no rcParams. `import grokjax` does not import this module; say

    from grokjax import plotting
    plotting.save(plotting.grokking_time(result), "results/first", "grokking_time")

Figures of one's own look like these when they are drawn inside `in_style()`, with `new_figure`,
`over_lanes`, `colour_scale`, `label_log`, `legend_above`, and the colours, markers and lines here.
"""

from grokjax.plotting.efficiency import data_efficiency
from grokjax.plotting.lanes import over_lanes
from grokjax.plotting.style import (
    ALPHA,
    GREY,
    MARKERS,
    PALETTE,
    TEST,
    TRAIN,
    Figure,
    colour_scale,
    in_style,
    label_log,
    legend_above,
    new_figure,
    save,
)
from grokjax.plotting.sweeps import (
    accuracy_curves,
    alpha_sweep_figure,
    curves,
    grokking_time,
    ipr_curve,
    loss_curves,
    training_figure,
)
from grokjax.plotting.weights import accuracy_against_width, heatmap, phase_histogram

__all__ = [
    "ALPHA",
    "GREY",
    "MARKERS",
    "PALETTE",
    "TEST",
    "TRAIN",
    "Figure",
    "accuracy_against_width",
    "accuracy_curves",
    "alpha_sweep_figure",
    "colour_scale",
    "curves",
    "data_efficiency",
    "grokking_time",
    "heatmap",
    "in_style",
    "ipr_curve",
    "label_log",
    "legend_above",
    "loss_curves",
    "new_figure",
    "over_lanes",
    "phase_histogram",
    "save",
    "training_figure",
]
