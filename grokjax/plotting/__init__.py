"""Figures of sweeps, spectra and weights, for papers and notebooks.

Every function draws into `ax`, or into a new figure, and returns the figure. Nothing global is
touched: no pyplot, no rcParams. `import grokjax` does not import this module; say

    from grokjax import plotting
    plotting.save(plotting.grokking_time(result), "results/first", "grokking_time")
"""

from grokjax.plotting.efficiency import data_efficiency
from grokjax.plotting.style import PALETTE, Figure, in_style, new_figure, save
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
    "PALETTE",
    "Figure",
    "accuracy_against_width",
    "accuracy_curves",
    "alpha_sweep_figure",
    "curves",
    "data_efficiency",
    "grokking_time",
    "heatmap",
    "in_style",
    "ipr_curve",
    "loss_curves",
    "new_figure",
    "phase_histogram",
    "save",
    "training_figure",
]
