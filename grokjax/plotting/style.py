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
from matplotlib.figure import Figure as _Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter, StrMethodFormatter

from grokjax.checks import (
    check_array,
    check_integer,
    check_number,
    check_path,
    shown,
)

# Okabe and Ito's blue, vermilion, green and black, and a purple, brown and violet in place of their
# pale colours: contrast 3 or more on white, and colour-blind readers can tell them apart.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#C2609F", "#7A5C00", "#8D7FE0", "#000000")
MARKERS = ("o", "s", "D", "v", "P", "p", "X", "h")  # one more than colours
GREY = "#777777"
ALPHA = r"training fraction $\alpha$"  # the label of an axis
TEST: Any = {"linestyle": "-"}  # the line of what is measured on test rows
TRAIN: Any = {"linestyle": (0, (3, 1.5)), "linewidth": 1}  # and on training rows

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

    Raises:
      ValueError: if rows, columns or a size is not positive.
    """
    rows = check_integer("rows", rows, at_least=1, below=1001)
    columns = check_integer("columns", columns, at_least=1, below=1001)
    inches = check_array("size", size, kinds="iuf", shape=(2,)).tolist()
    for i, length in enumerate(inches):
        check_number(f"size[{i}]", length, above=0)
    figure = Figure(figsize=(inches[0], inches[1]), layout="constrained")
    return figure, figure.subplots(rows, columns, **kwargs)


@style
def save(fig: _Figure, directory: str | os.PathLike, name: str) -> list[pathlib.Path]:
    """Write a figure as `name.png` (150 dots per inch), `name.svg` and `name.pdf`.

    The files carry no date, so that the same figure is the same file.

    Args:
      fig: what to save.
      directory: where to; it is made if it does not exist.
      name: of the files, without a folder and without their suffix.

    Returns:
      The paths of the PNG, the SVG and the PDF.

    Raises:
      ValueError: for something else than a figure, a directory that is a file, or such a name.
    """
    if not isinstance(fig, _Figure):
        raise ValueError(f"fig must be a figure, as plotting.new_figure()[0], got {shown(fig)}.")
    directory = check_path("directory", directory)
    if not isinstance(name, str) or not name or set(name) & {"/", "\\", "\0"}:
        raise ValueError(
            f"name must be that of a file, such as 'grokking_time', got {shown(name)}; folders "
            "belong into directory."
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(
            f"directory must be a folder, or one to be made, and {str(directory)!r} or a part of "
            "it is a file."
        ) from None
    dated: dict[str, dict[str, None]] = {
        "png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}
    }  # fmt: skip
    paths = [directory / f"{name}.{suffix}" for suffix in dated]
    engine = fig.get_layout_engine()
    try:
        for path, metadata in zip(paths, dated.values(), strict=True):
            fig.savefig(path, dpi=150, metadata=metadata)
            fig.set_layout_engine("none")  # laid out once, all files are the same picture
    finally:
        fig.set_layout_engine(engine)
    return paths


def axes_or_new(ax: Axes | None) -> tuple[_Figure, Axes]:
    """The given axes and their figure, or new ones.

    Raises:
      ValueError: for anything but axes of a figure.
    """
    if ax is None:
        return new_figure()
    figure = ax.get_figure(root=True) if isinstance(ax, Axes) else None
    if figure is None:
        raise ValueError(
            "ax must be the axes of a figure, such as plotting.new_figure()[1], or None for a new "
            f"one, got {shown(ax)}."
        )
    return figure, ax


def label_log(axis: Axis) -> None:
    """Labels of a logarithmic axis: powers of ten, or plain numbers where those are too few.

    Args:
      axis: such as `ax.xaxis`, after its data or limits were set.

    Raises:
      ValueError: for anything but a logarithmic axis.
    """
    if not isinstance(axis, Axis) or axis.get_scale() != "log":
        raise ValueError(
            'axis must be a logarithmic one, such as ax.xaxis after ax.set_xscale("log"), got '
            f"{shown(axis)}."
        )
    if axis.get_view_interval()[0] <= 0:  # nothing is drawn, and matplotlib would fail on it
        axis.set_view_interval(1, 10, ignore=True)
    low, high = axis.get_view_interval()
    decades = np.log10(high / low)
    if decades >= 2:
        axis.set_major_locator(LogLocator())
        axis.set_major_formatter(LogFormatterSciNotation())
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades >= 1 else (1, 1.5, 2, 3, 5, 7)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
