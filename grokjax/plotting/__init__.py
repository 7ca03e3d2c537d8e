"""Figures of sweeps, spectra and weights, for papers and notebooks.

Every function draws into `ax`, or into a new figure, and returns the figure. Nothing global is
touched: no pyplot, no rcParams. `import grokjax` does not import this module; say

    from grokjax import plotting
    plotting.save(plotting.grokking_time(result), "results/first", "grokking_time")

Everything drawn has a label, so that a legend explains it: each function puts one above its axes,
`legend=False` leaves it out, and `legend_outside` puts one above all panels of a figure.

Figures of one's own look like these when they are drawn inside `in_style()`, with `new_figure`,
`over_lanes`, `colours_by`, `colour_scale`, `label_log`, `vertical_line`, `chance_line`, the
legends, and the colours, markers and lines here.
"""

try:
    import matplotlib  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'grokjax.plotting draws with matplotlib; install it with pip install "grokjax[commands]".'
    ) from error

from grokjax.plotting.against import final_against, group_panels
from grokjax.plotting.colours import Colours, colour_scale, colours_by
from grokjax.plotting.curves import (
    accuracy_curves,
    curves,
    ipr_curve,
    loss_curves,
    training_figure,
)
from grokjax.plotting.efficiency import data_efficiency
from grokjax.plotting.lanes import over_lanes
from grokjax.plotting.legends import chance_line, legend_above, legend_outside, vertical_line
from grokjax.plotting.maps import heatmap, phase_diagram
from grokjax.plotting.style import (
    ALPHA,
    GREY,
    MARKERS,
    PALETTE,
    TEST,
    TRAIN,
    Figure,
    in_style,
    label_log,
    new_figure,
    save,
)
from grokjax.plotting.times import alpha_sweep_figure, grokking_time, step_against
from grokjax.plotting.weights import accuracy_against_width, phase_histogram

__all__ = [
    "ALPHA",
    "GREY",
    "MARKERS",
    "PALETTE",
    "TEST",
    "TRAIN",
    "Colours",
    "Figure",
    "accuracy_against_width",
    "accuracy_curves",
    "alpha_sweep_figure",
    "chance_line",
    "colour_scale",
    "colours_by",
    "curves",
    "data_efficiency",
    "final_against",
    "grokking_time",
    "group_panels",
    "heatmap",
    "in_style",
    "ipr_curve",
    "label_log",
    "legend_above",
    "legend_outside",
    "loss_curves",
    "new_figure",
    "over_lanes",
    "phase_diagram",
    "phase_histogram",
    "save",
    "step_against",
    "training_figure",
    "vertical_line",
]


def __dir__() -> list[str]:
    return __all__
