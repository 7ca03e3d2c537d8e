"""How figures look, and how they are made and saved."""

import contextlib
import io
import os
import pathlib
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure as _Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter, StrMethodFormatter

# Okabe and Ito's colours, which colour-blind readers can tell apart; their yellow is too pale.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "D", "v", "P", "p", "X", "h")  # one more than colours
GREY = "#777777"

STYLE: Any = {
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "figure.titlesize": 10,
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "grokjax",  # the same figure is the same file
    "xtick.labelsize": 8,
    "xtick.major.width": 0.7,
    "xtick.minor.width": 0.5,
    "ytick.labelsize": 8,
    "ytick.major.width": 0.7,
    "ytick.minor.width": 0.5,
}
style = matplotlib.rc_context(STYLE)  # a decorator: drawing happens in this style, and only there


def in_style() -> contextlib.AbstractContextManager[None]:
    """A context in which drawing of one's own looks like the figures of this module."""
    return matplotlib.rc_context(STYLE)


class Figure(_Figure):
    """A matplotlib figure that a notebook shows by itself, without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


@style
def new_figure(
    rows: int = 1, columns: int = 1, *, size: tuple[float, float] = (4.5, 3.2), **kwargs: Any
) -> tuple[Figure, Any]:
    """A figure of `size` inches with a grid of axes, for the functions that draw into `ax`.

    Returns:
      The figure, and the axes as `Figure.subplots(rows, columns, **kwargs)` gives them.
    """
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, **kwargs)


@style
def save(fig: _Figure, directory: str | os.PathLike, name: str) -> list[pathlib.Path]:
    """Write `name.png` (150 dots per inch) and `name.svg` into a directory; returns their paths."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{name}.{suffix}" for suffix in ("png", "svg")]
    fig.savefig(paths[0], dpi=150)
    fig.savefig(paths[1], metadata={"Date": None})
    return paths


def axes_or_new(ax: Axes | None) -> tuple[_Figure, Axes]:
    """The given axes and their figure, or new ones."""
    if ax is None:
        return new_figure()
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure, ax


def colour_scale(values: np.ndarray) -> ScalarMappable:
    """Colours for numbers: viridis without its palest end."""
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, 256))
    norm = Normalize(values.min(), values.max())
    return ScalarMappable(norm, ListedColormap(colours))


def label_log(axis: Axis) -> None:
    """Labels of a logarithmic axis: powers of ten, or plain numbers where those are too few."""
    low, high = axis.get_view_interval()
    decades = np.log10(high / low)
    if decades >= 2:
        axis.set_major_locator(LogLocator())
        axis.set_major_formatter(LogFormatterSciNotation())
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades >= 1 else (1, 1.5, 2, 3, 5, 7)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_above(ax: Axes, handles: list[Any] | None = None, columns: int = 3) -> None:
    """A legend above the axes, where it covers no data."""
    options: dict[str, Any] = {} if handles is None else {"handles": handles}
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=columns,
        columnspacing=1.2,
        borderaxespad=0.2,
        **options,
    )
