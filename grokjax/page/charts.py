"""The charts of a page as Vega-Lite specifications, declared with altair.

The data are named, not included: the page fills them in.
"""

from typing import Any

from grokjax.page.cells import Axis
from grokjax.page.lanes import OUTCOMES

FONT = "system-ui, sans-serif"
GREY = "#777777"
SYMLOG: Any = {"type": "symlog", "constant": 10, "nice": False, "zero": False}  # of steps, 0 too
# Rows of the grid, from dark to light: viridis without its yellow end, which is not seen on white.
GROUP_COLOURS = ["#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#8fbc2b"]
GROUP_COLOURS = [*GROUP_COLOURS, "#c2a400"]


def specifications(altair: Any, across: Axis, up: Axis, times: dict[str, Any]) -> dict[str, Any]:
    """The charts by name.

    Args:
      altair: the library.
      across: the columns of the grid.
      up: its rows.
      times: as `lanes.times_of` gives them.
    """
    last = max([*times["step"], *(row["end"] for row in times["medians"])])
    axis = altair.Axis(values=_steps(last), format=",d", labelOverlap=True)
    step = {"title": "step", "axis": axis, "scale": altair.Scale(**SYMLOG)}
    charts = {
        "grid": _grid(altair, across, up),
        "curves": _curves(altair, step),
        "times": _times(altair, across, times["groups"], step),
        "survival": _survival(altair, step),
    }
    found = {}
    for name, chart in charts.items():
        configured = chart.configure(
            font=FONT,
            background="transparent",
            # Where the data change, so does the room that the labels of an axis need.
            autosize=altair.AutoSizeParams(type="fit-x", contains="padding", resize=True),
            axisY={"minExtent": 34},
            axis={"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"},
            legend={"labelFontSize": 11, "titleFontSize": 12, "labelLimit": 260},
            view={"stroke": None},
        )
        found[name] = configured.to_dict(validate=False)
    return found


def _steps(last: float) -> list[int]:
    """Ticks of an axis of steps that is logarithmic from 10 on: 0, 10, 30, 100, 300, ..."""
    found = [0, 10]
    while found[-1] < last:
        found.append(3 * found[-1] if len(found) % 2 == 0 else 10 * found[-2])
    return found


def _cell_axis(altair: Any, axis: Axis, **options: Any) -> Any:
    """An axis with the names of cells between whole numbers."""
    number = len(axis.names)
    every = -(-number // 25)  # as many names as fit
    names = ", ".join(_quoted(name) for name in axis.names)
    values = [i + 0.5 for i in range(0, number, every)] if axis.column else []
    return altair.Axis(
        values=values, labelExpr=f"[{names}][floor(datum.value)]", title=axis.label or None,
        ticks=False, domain=False, grid=False, labelOverlap=False, **options,
    )  # fmt: skip


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", " ")
    return f"'{escaped}'"


def _grid(altair: Any, across: Axis, up: Axis) -> Any:
    tilted = {"labelAngle": -45} if max(map(len, across.names)) * len(across.names) > 90 else {}
    tilted = tilted or {"labelAngle": 0}
    places = {
        "x": altair.X(
            "x0:Q", axis=_cell_axis(altair, across, **tilted),
            scale=altair.Scale(domain=[0, len(across.names)], nice=False),
        ),
        "x2": "x1:Q",
        "y": altair.Y(
            "y0:Q", axis=_cell_axis(altair, up),
            scale=altair.Scale(domain=[0, len(up.names)], nice=False),
        ),
        "y2": "y1:Q",
    }  # fmt: skip
    colours = altair.Color(
        "outcome:N",
        scale=altair.Scale(
            domain=[name for name, _ in OUTCOMES.values()],
            range=[colour for _, colour in OUTCOMES.values()],
        ),
        legend=None,
    )
    shares = altair.Chart(altair.NamedData("shares")).mark_rect().encode(color=colours, **places)
    whole = altair.Chart(altair.NamedData("cells")).mark_rect(
        fillOpacity=0, stroke="white", strokeWidth=1.5 if len(across.names) <= 60 else 0.3,
        cursor="pointer",
    )  # fmt: skip
    tooltip = [altair.Tooltip(f"{name}:N") for name in ("cell", "lanes", "median")]
    whole = whole.encode(**places, tooltip=tooltip)
    marked = altair.Chart(altair.NamedData("marked")).mark_rect(
        fillOpacity=0, stroke="black", strokeWidth=2.5
    )
    marked = marked.encode(**places)
    chart = altair.layer(shares, whole, marked)
    return chart.properties(width="container", height=max(60, min(420, 44 * len(up.names))))


def _curves(altair: Any, step: dict[str, Any]) -> Any:
    outcome = altair.Color(
        "outcome:N",
        scale=altair.Scale(
            domain=[name for name, _ in OUTCOMES.values()],
            range=["#0067a5", "#d07f00", "#8a8a8a", "#3b1431", "#7a6cab"],
        ),
        legend=None,
    )
    lines = altair.Chart(altair.NamedData("curves")).mark_line(strokeWidth=1.5, clip=True)
    lines = lines.encode(
        x=altair.X("step:Q", **step),
        y=altair.Y("value:Q", title="accuracy", scale=altair.Scale(zero=False)),
        color=outcome,
        detail="lane:N",
        strokeDash=altair.StrokeDash(
            "kind:N",
            scale=altair.Scale(domain=["test", "training"], range=[[1, 0], [4, 3]]),
            legend=None,
        ),
        tooltip=[
            altair.Tooltip("name:N", title="lane"),
            altair.Tooltip("kind:N", title="rows"),
            altair.Tooltip("step:Q", format=","),
            altair.Tooltip("value:Q", format=".4g"),
        ],
    )
    cursor = altair.Chart(altair.NamedData("cursor")).mark_rule(color="black", strokeDash=[2, 2])
    return altair.layer(lines, cursor.encode(x="step:Q")).properties(width="container", height=220)


def _times(altair: Any, across: Axis, groups: list[str], step: dict[str, Any]) -> Any:
    colour = altair.value("#0067a5")
    if groups:
        chosen = [
            GROUP_COLOURS[round(i * (len(GROUP_COLOURS) - 1) / max(1, len(groups) - 1))]
            for i in range(len(groups))
        ]
        colour = altair.Color(
            "group:N",
            scale=altair.Scale(domain=groups, range=chosen),
            legend=altair.Legend(orient="top", title=None, symbolType="circle"),
        )
    tilted = {"labelAngle": -45} if max(map(len, across.names)) * len(across.names) > 90 else {}
    x = altair.X(
        "x:Q", axis=_cell_axis(altair, across, **(tilted or {"labelAngle": 0})),
        scale=altair.Scale(domain=[0, len(across.names)], nice=False),
    )  # fmt: skip
    y = altair.Y("step:Q", **{**step, "scale": altair.Scale(**SYMLOG, padding=8)})
    shape = altair.Shape(
        "kind:N",
        scale=altair.Scale(
            domain=["grokked", "not grokked by then"], range=["circle", "triangle-up"]
        ),
        legend=altair.Legend(orient="top", title=None),
    )
    base = altair.Chart(altair.NamedData("lanes")).mark_point(size=22, opacity=0.6, strokeWidth=1.2)
    tips = [
        altair.Tooltip("name:N", title="lane"),
        altair.Tooltip("kind:N", title="outcome"),
        altair.Tooltip("step:Q", format=","),
    ]
    lanes = base.encode(x=x, y=y, color=colour, shape=shape, tooltip=tips)
    medians = altair.Chart(altair.NamedData("medians"))
    tips = [
        altair.Tooltip(f"{name}:N", title=title)
        for name, title in (
            ("cell", "column"),
            ("group", "row"),
            ("about", "median"),
            ("lanes", "lanes"),
        )
    ]
    bars = medians.mark_rule(strokeWidth=2).encode(
        x=x, y=altair.Y("low:Q"), y2="high:Q", color=colour, tooltip=tips
    )
    reached = medians.transform_filter("datum.reached").mark_point(
        size=90, filled=True, opacity=1, stroke="white", strokeWidth=1
    )
    reached = reached.encode(x=x, y="median:Q", color=colour, tooltip=tips)
    open_ended = medians.transform_filter("datum.open").mark_point(
        size=90, shape="triangle-up", filled=False, opacity=1, strokeWidth=2
    )
    open_ended = open_ended.encode(x=x, y="high:Q", color=colour, tooltip=tips)
    chart = altair.layer(lanes, bars, reached, open_ended)
    return chart.properties(width="container", height=280)


def _survival(altair: Any, step: dict[str, Any]) -> Any:
    x = altair.X("step:Q", **step)
    y = altair.Y(
        "share:Q", title="share of lanes that have not grokked", scale=altair.Scale(domain=[0, 1])
    )
    data = altair.Chart(altair.NamedData("survival"))
    colour = altair.Color(
        "who:N",
        scale=altair.Scale(domain=["all lanes", "this cell"], range=[GREY, "#0067a5"]),
        legend=altair.Legend(orient="top", title=None),
    )
    band = data.mark_area(interpolate="step-after", opacity=0.18).encode(
        x=x, y="low:Q", y2="high:Q", color=colour
    )
    line = data.mark_line(interpolate="step-after", strokeWidth=2).encode(
        x=x, y=y, color=colour,
        tooltip=[altair.Tooltip("who:N"), altair.Tooltip("step:Q", format=","),
                 altair.Tooltip("share:Q", format=".2f")],
    )  # fmt: skip
    ticks = altair.Chart(altair.NamedData("censored")).mark_tick(
        thickness=1.5, size=10, orient="vertical"
    )
    ticks = ticks.encode(x=x, y="share:Q", color=colour)
    return altair.layer(band, line, ticks).properties(width="container", height=280)
