"""When do the weights become periodic: before, while or after the network groks?

The question of Gromov 2023, figure 5: the inverse participation ratio (IPR) of the weights'
spectra, averaged over neurons, under AdamW.

    python experiments/gromov/ipr.py                  # quick: p = 23, 15 s on 2 cores
    python experiments/gromov/ipr.py --scale paper    # p = 97, width 500: 2 minutes on 2 cores

Expected: the IPR grows slowly while the network memorizes, faster from the grokking step on, and
saturates below the value of the analytic weights, which is 1.
"""

import itertools
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray
from rich.console import Console
from rich.table import Table

import grokjax
from experiments.common import spread
from grokjax import losses, measures, optimizers, spectral, tasks
from grokjax.command import Sweeps, override, run_as_command
from grokjax.models import QuadraticMLP


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    width: int
    alpha: float
    seeds: int
    max_steps: int
    eval_every: int


SCALES = {
    "quick": Scale(p=23, width=128, alpha=0.5, seeds=5, max_steps=1000, eval_every=3),
    "paper": Scale(p=97, width=500, alpha=0.5, seeds=5, max_steps=1000, eval_every=2),
}


def ipr(
    scale: Literal["quick", "paper"] = "quick",
    *,
    p: int | None = None,
    width: int | None = None,
    alpha: float | None = None,
    seeds: int | None = None,
    max_steps: int | None = None,
    eval_every: int | None = None,
    output: Path = Path("results/gromov_ipr"),
    progress: bool = True,
) -> grokjax.SweepResult:
    """Inverse participation ratio and accuracies under AdamW.

    Args:
      scale: quick: p = 23, width 128, seconds on two CPU cores; paper: p = 97, width 500, minutes.
      p: the modulus.
      width: hidden units.
      alpha: the fraction of the table trained on.
      seeds: networks, with seeds 0, 1, ...
      max_steps: training steps of each.
      eval_every: steps between the first 100 measurements; five times as many between later ones.
      output: folder for the dataset, the configuration and the figures.
      progress: show how far the sweep is, in a terminal.
    """
    setting = override(
        SCALES[scale],
        p=p,
        width=width,
        alpha=alpha,
        seeds=seeds,
        max_steps=max_steps,
        eval_every=eval_every,
    )
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    model = QuadraticMLP(setting.p, setting.width, parameterization="standard")
    recipe = grokjax.Recipe(model, losses.mse, optimizers.adamw, measures=(measures.ipr,))
    lanes = grokjax.grid(
        alpha=[setting.alpha], seed=range(setting.seeds), learning_rate=[1e-2], weight_decay=[5.0]
    )
    early = 100 * setting.eval_every
    measure_at = [
        *range(setting.eval_every, early, setting.eval_every),
        *range(early, max(early, setting.max_steps) + 1, 5 * setting.eval_every),
    ]
    with Sweeps(running=True) as sweeps:
        sweeps.run(
            recipe,
            tasks.modular_addition(setting.p),
            lanes,
            max_steps=setting.max_steps,
            eval_every=measure_at,
            stop=None,
            progress=progress,
        )
    return sweeps.report(output, draw, print_regimes)


def regimes(dataset: xarray.Dataset) -> xarray.Dataset:
    """Where the four regimes of each lane begin and end, and the slope of its IPR in each.

    The boundaries are: test accuracy is last below 0.05, it reaches 0.99 for good, and the IPR has
    made nine tenths of its way to its final value. Slopes are those of least-squares lines.

    Returns:
      `start`, `end`, `slope` (IPR per 100 steps) and `ipr` (at the end): [lane, regime]; and
      `steepest` [lane], the step at which the IPR grows fastest.
    """
    names = ["slow", "transition", "fast", "saturation"]
    rows = []
    for lane in range(dataset.sizes["lane"]):
        measured = dataset.ipr.notnull().values[lane]  # all of it, if it was not interrupted
        step, y = dataset.step.values[measured], dataset.ipr.values[lane, measured]
        rises = step[dataset.test_accuracy.values[lane, measured] < 0.05].max(initial=0)
        groks = dataset.grokking_step.values[lane]
        nearly = step[(y - y[0] >= 0.9 * (y[-1] - y[0])).argmax()]
        edges = np.array([0, rises, groks, max(nearly, groks), step[-1]], float)
        for start, end in itertools.pairwise(edges):
            inside = (step >= start) & (step <= end)
            enough = inside.sum() > 1
            slope = np.polyfit(step[inside], y[inside], 1)[0] if enough else np.nan
            last = y[inside][-1] if enough else np.nan
            rows.append((start, end, 100 * slope, last))
    table = np.array(rows).reshape(dataset.sizes["lane"], len(names), 4)
    variables: dict[str, Any] = {
        name: (("lane", "regime"), table[..., i])
        for i, name in enumerate(("start", "end", "slope", "ipr"))
    }
    growth = dataset.ipr.diff("time") / np.diff(dataset.step)
    variables["steepest"] = dataset.step[1:][growth.argmax("time")].reset_coords(drop=True)
    return xarray.Dataset(variables, {"regime": names})


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure of a run, drawn from its result, as PNG and SVG."""
    from grokjax import plotting

    figure, (early, whole) = plotting.new_figure(1, 2, size=(7.2, 3.1), sharey=True)
    reference = spectral.cosine_ipr()
    plotting.ipr_curve(result, reference, early, xscale="linear")
    plotting.ipr_curve(result, reference, whole)
    edges = regimes(result.dataset).end.median("lane").values[:-1]
    for ax in (early, whole):
        for edge in edges[np.isfinite(edges)]:
            ax.axvline(edge, color="0.6", linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
    # The regimes, on the axis where their lines are straight.
    early.set_xlim(0, np.nanmax([2.0 * edges[-1], 20]))
    whole.get_legend().remove()
    return plotting.save(figure, output, "ipr")


def print_regimes(result: grokjax.SweepResult) -> None:
    """Median over seeds, with the lowest and highest."""
    dataset, table = result.dataset, regimes(result.dataset)
    printed = Table(
        title=f"{dataset.attrs['task']}, alpha {dataset.alpha.values[0]:g}, AdamW: "
        f"{dataset.sizes['lane']} seeds, median (lowest to highest)"
    )
    for heading in ("regime", "from step", "to step", "IPR per 100 steps", "IPR at its end"):
        printed.add_column(heading, justify="left" if heading == "regime" else "right")
    for regime in table.regime.values:
        row = table.sel(regime=regime)
        cells = [spread(row[name]) for name in ("start", "end", "slope", "ipr")]
        printed.add_row(str(regime), *cells)
    Console().print(printed)
    print(f"steepest at step {spread(table.steepest)}")
    first = spread(dataset.ipr.isel(time=0))
    print(f"IPR at the start {first}, of the analytic weights {spectral.cosine_ipr():g}")


if __name__ == "__main__":
    run_as_command(ipr)
