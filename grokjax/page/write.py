"""Writes the page of a sweep."""

import functools
import html
import importlib
import json
import os
import pathlib
import string
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray

from grokjax.checks import check_path, check_text, shown
from grokjax.models import Model
from grokjax.models.protocol import check_model
from grokjax.page import cells, charts, lanes, networks
from grokjax.results import SweepResult
from grokjax.results.dataset import COSTS
from grokjax.results.files import replacing
from grokjax.tasks import Task, check_task

HERE = pathlib.Path(__file__).parent
VERSIONS = (
    "grokjax", "jax", "jaxlib", "flax", "optax", "numpy", "python", "git_commit", "date",
    "platform", "device", "device_count",
)  # fmt: skip
NEEDED = {"watched_step", "grokking_step"}
ROWS = 200  # lanes that the table without JavaScript lists


def report(
    result: SweepResult,
    path: str | os.PathLike,
    *,
    rows: str | None = None,
    columns: str | None = None,
    measures: Sequence[str] | None = None,
    watch: int | Sequence[int] | None = None,
    model: Model | None = None,
    task: Task | None = None,
    title: str | None = None,
) -> None:
    """Writes a web page that shows a whole sweep, and opens with no server and no network.

    The page has the grid of outcomes over two lane columns, where pointing at a cell draws the
    curves of its lanes; grokking times with Kaplan-Meier medians, their intervals, and censored
    lanes marked as such; the recipe, versions and costs. For a sweep with `keep_params="all"` it
    has networks to watch while they learn: which equations are right at each step, the spectra of
    the neurons, and the residues on the circles of the network's frequencies.

    It is one file of about 1 MB, most of it Vega's JavaScript, and below 10 MB for 10,000 lanes:
    curves then have fewer points, and the page says so.

    Args:
      result: of a sweep.
      path: of the file, such as "page.html".
      rows: the lane column along the vertical side of the grid; by default one that varies and is
        no seed. More than 40 different numbers are put into ranges.
      columns: the one along the horizontal side; by default the training fraction, where it varies.
      measures: measurements that have curves, beside the accuracies; all of them by default.
      watch: lanes to watch, of a sweep with `keep_params="all"`; by default up to three.
      model: what the sweep trained, where `result.model` is None, as after loading.
      task: what it learned, where `result.task` is None.
      title: of the page; by default what the sweep learned.

    Raises:
      ValueError: for a column or a measurement that there is not, a lane that cannot be watched, a
        result without lanes, and a path that cannot be written to.
      ModuleNotFoundError: without altair and vl-convert-python, which `pip install
        "grokjax[report]"` installs.

    Example:
      grokjax.report(result, "page.html", rows="weight_decay")
    """
    result = _checked(result)
    path = check_path("path", path)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ValueError(
            f"path={str(path)!r} cannot be written, because it is a folder or in none that exists; "
            'choose a file in a folder that does, such as "page.html".'
        )
    if model is not None:
        check_model(model)
    if task is not None:
        check_task(task)
    if title is not None:
        check_text("title", title, "Addition modulo 97")
    dataset = result.dataset
    across, up = cells.choose(dataset, rows, columns)
    measured = lanes.measures_of(dataset, measures)
    watched, why = networks.chosen_lanes(result, watch, model, task)
    altair, javascript = libraries()

    grid, cell = lanes.cells_of(dataset, across, up)
    times = lanes.times_of(dataset, across, up)
    curves = lanes.curves_of(dataset, cell, measured)
    data = {
        "outcomes": list(lanes.OUTCOMES.values()),
        "across": {"column": across.column, "label": across.label, "names": across.names},
        "up": {"column": up.column, "label": up.label, "names": up.names},
        "cells": grid,
        "lanes": {**lanes.names_of(dataset), "cell": cell.tolist()},
        "curves": curves,
        "times": times,
        "all": lanes.survival_of(dataset, np.arange(dataset.sizes["lane"])),
        "networks": [networks.network_frames(result, lane, model, task) for lane in watched],
        "charts": charts.specifications(altair, across, up, times),
    }
    heading = title or str(dataset.attrs.get("task") or "A sweep")
    text = string.Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(heading),
        summary=html.escape(_summary(dataset)),
        watch=html.escape(why),
        hidden="" if watched else "hidden",
        unavailable="hidden" if watched else "",
        left_out="".join(f"<p>{html.escape(line)}</p>" for line in _left_out(dataset, data)),
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        described=_definitions(_described(dataset)),
        costs=_definitions(_costs(dataset)),
        versions=_definitions({k: dataset.attrs[k] for k in VERSIONS if k in dataset.attrs}),
        lanes=_lane_table(result),
        data=_script_safe(json.dumps(data, separators=(",", ":"), allow_nan=False)),
        library=javascript,
        script=(HERE / "page.js").read_text(encoding="utf-8"),
    )
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"path={str(path)!r} cannot be written ({error}); choose another folder."
        ) from error


@functools.cache
def libraries() -> tuple[Any, str]:
    """altair, and Vega's JavaScript as it stands in a page.

    Raises:
      ModuleNotFoundError: if they are not installed.
    """
    try:
        altair = importlib.import_module("altair")
        converter = importlib.import_module("vl_convert")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a report needs altair and vl-convert-python; install them with "
            'pip install "grokjax[report]".'
        ) from error
    version = ".".join(altair.VEGALITE_VERSION.lstrip("v").split(".")[:2])
    bundle = converter.javascript_bundle(vl_version=version)
    return altair, bundle.replace("</script", "<\\/script")


def _checked(result: Any) -> SweepResult:
    if isinstance(result, xarray.Dataset):
        result = SweepResult(result)
    if not isinstance(result, SweepResult):
        raise ValueError(
            f"result must be a SweepResult, as run_sweep and load_result give it, got "
            f"{shown(result)}."
        )
    if not result.dataset.sizes["lane"]:
        raise ValueError("result has no lanes, so there is nothing to show; give one with some.")
    if missing := NEEDED - set(result.dataset.variables):
        raise ValueError(f"the dataset of the result lacks {min(missing)!r} of each lane.")
    return result


def _summary(dataset: xarray.Dataset) -> str:
    """What became of the lanes, in one sentence."""
    outcome = dataset.outcome.values.astype(str)
    counts = [
        f"{int((outcome == name).sum()):,} {words}"
        for name, (words, _) in lanes.OUTCOMES.items()
        if (outcome == name).any()
    ]
    number = dataset.sizes["lane"]
    of = f"{number:,} networks were trained" if number > 1 else "One network was trained"
    steps = int(dataset.final_step.max())
    longest = f"for up to {steps:,} steps" if number > 1 else f"for {steps:,} steps"
    unfinished = ""
    if dataset.attrs.get("interrupted"):
        unfinished = " The sweep was interrupted: lanes are missing or unfinished."
    return f"{of} {longest}: {', '.join(counts)}.{unfinished}"


def _left_out(dataset: xarray.Dataset, data: dict[str, Any]) -> list[str]:
    """What the page does not show of the result, in sentences."""
    number, curves, lines = dataset.sizes["lane"], data["curves"], []
    if curves["points"] < curves["longest"]:
        lines.append(
            f"Thinned: a curve has up to {curves['points']} of its {curves['longest']:,} "
            "measurements, both ends among them, with more of the early ones."
        )
    if len(curves["lanes"]) < number:
        lines.append(
            f"Thinned: {len(curves['lanes']):,} of the {number:,} lanes have curves, from every "
            "cell about equally many."
        )
    if len(data["times"]["lanes"]) < number:
        lines.append(
            f"Thinned: {len(data['times']['lanes']):,} of the {number:,} lanes have a mark of "
            "their own among the grokking times. Medians, intervals and shares are of all lanes."
        )
    for network in data["networks"]:
        if (kept := len(network["steps"])) < network["measured"]:
            lines.append(
                f"Thinned: the network of lane {network['lane']} is shown at {kept} of its "
                f"{network['measured']:,} measurements."
            )
    return lines


def _described(dataset: xarray.Dataset) -> dict[str, Any]:
    known = {*COSTS, *VERSIONS}
    return {k: v for k, v in dataset.attrs.items() if k not in known and v != ""}


def _costs(dataset: xarray.Dataset) -> dict[str, Any]:
    found: dict[str, Any] = {k: dataset.attrs[k] for k in COSTS if k in dataset.attrs}
    if found.get("lane_steps") and found.get("slot_steps"):
        found["share of slots in use"] = found["lane_steps"] / found["slot_steps"]
    return found


def _definitions(entries: dict[str, Any]) -> str:
    """Names and values as a list of definitions."""
    return "".join(
        f"<dt>{html.escape(str(name).replace('_', ' '))}</dt><dd>{html.escape(_value(value))}</dd>"
        for name, value in entries.items()
    )


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _lane_table(result: SweepResult) -> str:
    """The first lanes as a table, which needs no JavaScript."""
    frame = result.to_dataframe().head(ROWS)
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in frame.columns)
    rows = [
        "".join(f"<td>{'' if x != x else html.escape(_value(x))}</td>" for x in row)
        for row in frame.astype(object).to_numpy().tolist()
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    more = result.dataset.sizes["lane"] - len(frame)
    note = f"<p>The first {len(frame)} lanes; {more:,} more are in the result.</p>" if more else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def _script_safe(text: str) -> str:
    """JSON that cannot end the script it stands in."""
    return text.replace("<", "\\u003c")
