"""What explains a figure: legends, keys, and the lines that mean something by themselves."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

from grokjax.checks import check_integer, check_number, check_text, shown
from grokjax.plotting.colours import Colours
from grokjax.plotting.style import GREY, style

VERTICAL: tuple[Any, ...] = ((0, (5, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)), "-")
CHANCE: Any = {"color": GREY, "linewidth": 0.8, "linestyle": (0, (2, 2)), "zorder": 0}


@style
def legend_above(
    ax: Axes, handles: Sequence[Any] | None = None, columns: int | None = None
) -> None:
    """A legend above the axes, where it covers no data.

    Args:
      ax: the axes.
      handles: what it explains; by default everything in the axes that has a label, each label
        once.
      columns: entries in a row; by default as many as fit over the axes.

    Raises:
      ValueError: for something else than axes, a number of columns that is not positive, or
        handles that have no label.
    """
    if not isinstance(ax, Axes):
        raise ValueError(f"ax must be matplotlib axes, got {shown(ax)}.")
    if columns is not None:
        columns = check_integer("columns", columns, at_least=1)
    if handles is None:
        handles = _labelled([ax])
    handles = list(handles) if np.iterable(handles) else [handles]
    if not all(hasattr(handle, "get_label") for handle in handles):
        raise ValueError(f"handles must be lines and patches with labels, got {shown(handles)}.")
    figure = ax.get_figure(root=True)
    assert figure is not None
    inches = 1.15 * ax.bbox.width / figure.dpi  # the layout makes axes wider than they are now
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=columns or _columns(handles, inches),
        columnspacing=1.2,
        borderaxespad=0.2,
    )


@style
def legend_outside(
    figure: Figure | SubFigure, *, colours: Colours | None = None, columns: int | None = None
) -> None:
    """One legend for a whole figure, above its panels, in place of theirs.

    It explains everything in the panels that has a label, each label once.

    Args:
      figure: a figure with panels, which may have been drawn with `legend=False`.
      colours: those of the panels, as `colours_by` makes them; a scale of numbers gets one colour
        bar for all of them.
      columns: entries in a row; by default as many as fit over the figure.

    Raises:
      ValueError: for anything but a figure, or a number of columns that is not positive.
    """
    if not isinstance(figure, Figure | SubFigure):
        raise ValueError(
            f"figure must be a figure, as plotting.new_figure()[0], got {shown(figure)}."
        )
    if columns is not None:
        columns = check_integer("columns", columns, at_least=1)
    panels: list[Axes] = [ax for ax in figure.get_axes() if ax.axison]
    for ax in panels:
        if (own := ax.get_legend()) is not None:
            own.remove()
    if handles := _labelled(panels):
        inches = figure.bbox.width / figure.dpi
        columns = columns or _columns(handles, inches)
        figure.legend(handles=handles, loc="outside upper left", ncols=columns, columnspacing=1.2)
    if colours is not None:
        colours.bar(figure, panels)


def add_key(ax: Axes, label: str, colour: Any = GREY, linestyle: Any = "none", **line: Any) -> None:
    """An entry of the legends of these axes that explains marks which have no label themselves."""
    if label not in ax.get_legend_handles_labels()[1]:
        ax.add_line(Line2D([], [], color=colour, label=label, linestyle=linestyle, **line))


def add_median_key(ax: Axes, seeds: str, *, bands: bool) -> None:
    """An entry that says of how many seeds the lines are medians, and what the bands are."""
    if bands:
        band = Stroke(linewidth=7, foreground=GREY, alpha=0.35)
        add_key(
            ax, f"median of {seeds}, range", linestyle="-", solid_capstyle="butt",
            path_effects=[band, Normal()],
        )  # fmt: skip
    elif seeds:
        add_key(ax, f"median of {seeds}", linestyle="-")


def vertical_line(ax: Axes, step: Any, label: str) -> None:
    """A vertical line at a step, explained in the legend.

    Lines of another label are dashed in another way. If the axes have a legend, it is drawn anew
    above them with everything that has a label.

    Args:
      ax: the axes.
      step: where; a step that was never reached (NaN or infinite) has no line, and neither has
        step 0 on a logarithmic axis.
      label: what happens there.

    Raises:
      ValueError: for something else than axes, a number and text.
    """
    _check_axes(ax)
    label = check_text("label", label, "first grokked")
    if not _never(step):
        step = check_number("step", step)
        if step > 0 or ax.get_xscale() != "log":
            seen = [line.get_label() for line in ax.lines if line.get_gid() == "vertical"]
            kinds = list(dict.fromkeys([*seen, label]))
            dashes = VERTICAL[kinds.index(label) % len(VERTICAL)]
            line = ax.axvline(step, color=GREY, linewidth=0.9, linestyle=dashes, zorder=0)
            line.set(label=label, gid="vertical")
            _refresh(ax)


def chance_line(ax: Axes, chance: Any, label: str = "chance") -> None:
    """A horizontal line at the accuracy of guessing, explained in the legend.

    If the axes have a legend, it is drawn anew above them with everything that has a label.

    Args:
      ax: the axes.
      chance: the accuracy of guessing, such as `task.chance`.
      label: its name in the legend.

    Raises:
      ValueError: for something else than axes, a fraction and text.
    """
    _check_axes(ax)
    label = check_text("label", label, "chance")
    chance = check_number("chance", chance, at_least=0, at_most=1)
    drawn = [line for line in ax.lines if line.get_gid() == "chance"]
    if not any(np.array_equal(line.get_ydata(), [chance, chance]) for line in drawn):
        ax.axhline(chance, label=label, gid="chance", **CHANCE)
        _refresh(ax)


def _refresh(ax: Axes) -> None:
    if ax.get_legend() is not None:
        legend_above(ax)


def _labelled(panels: Iterable[Axes]) -> list[Any]:
    """What has a label, each label once."""
    entries: dict[str, Any] = {}
    for ax in panels:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    return list(entries.values())


def _columns(handles: Sequence[Any], inches: float) -> int:
    """How many columns of a legend fit side by side, at 0.057 inches for a letter."""
    widths = [0.5 + 0.057 * len(str(handle.get_label()).strip("$")) for handle in handles]
    for columns in range(len(widths), 1, -1):
        parts = np.array_split(widths, columns)  # a legend fills its columns one after another
        if sum(part.max() for part in parts) <= inches:
            return columns
    return 1


def _never(step: Any) -> bool:
    try:
        return not np.isfinite(float(step))
    except (TypeError, ValueError):
        return False  # check_number says what is wrong


def _check_axes(ax: Any) -> None:
    if not isinstance(ax, Axes):
        raise ValueError(f"ax must be matplotlib axes, got {shown(ax)}.")
