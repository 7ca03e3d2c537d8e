"""When do the weights become periodic: before, while or after the network groks?

The question of Gromov 2023, figure 5: the inverse participation ratio (IPR) of the weights'
spectra, averaged over neurons, under AdamW.

    python experiments/gromov/ipr.py                  # quick: p = 23, 15 s on 2 cores
    python experiments/gromov/ipr.py --scale paper    # p = 97, width 500: 2 minutes on 2 cores

Expected: the IPR grows slowly while the network memorizes, faster from the grokking step on, and
saturates below the value of the analytic weights, which is 1.
"""

import itertools

import numpy as np
import xarray

import grokjax
from experiments.common import about, adamw
from grokjax import measures, plotting, spectral, tasks
from grokjax.command import Study, experiment, print_table, run_as_command, spread

REGIMES = ("slow", "transition", "fast", "saturation")
EDGES = ("test accuracy last below 5 %", "grokking step", "nine tenths of the IPR's rise")


@experiment("gromov_ipr", paper={"p": 97, "width": 500, "eval_every": 2})
def ipr(
    study: Study,
    *,
    p: int = 23,
    width: int = 128,
    alpha: float = 0.5,
    seeds: int = 5,
    max_steps: int = 1000,
    eval_every: int = 3,
) -> grokjax.SweepResult:
    """Inverse participation ratio and accuracies under AdamW.

    Args:
      eval_every: steps between the first 100 measurements; five times as many between later ones.
    """
    recipe, columns = adamw(p, width, measures=(measures.ipr,))
    lanes = grokjax.grid(alpha=[alpha], seed=range(seeds), **columns)
    early = 100 * eval_every
    often = range(eval_every, early, eval_every)
    measure_at = [*often, *range(early, max(early, max_steps) + 1, 5 * eval_every)]
    options = {"max_steps": max_steps, "eval_every": measure_at, "stop": None}
    with study.sweeps(draw, table, running=True) as sweeps:
        sweeps.run(recipe, tasks.modular_addition(p), lanes, checkpoints="seeds", **options)
    return sweeps.result


def regimes(dataset: xarray.Dataset) -> xarray.Dataset:
    """Where the four regimes of each lane begin and end, and the slope of its IPR in each.

    The boundaries are: test accuracy is last below 0.05, it reaches 0.99 for good, and the IPR has
    made nine tenths of its way to its final value. Slopes are those of least-squares lines.

    Returns:
      `start`, `end`, `slope` (IPR per 100 steps) and `ipr` (at the end): [lane, regime]; and
      `steepest` [lane], the step at which the IPR grows fastest.
    """
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
            rows.append((start, end, 100 * slope, y[inside][-1] if enough else np.nan))
    values = np.reshape(rows, (-1, len(REGIMES), 4))
    growth = dataset.ipr.diff("time") / np.diff(dataset.step)
    steepest = dataset.step[1:][growth.argmax("time")].reset_coords(drop=True)
    names = ("start", "end", "slope", "ipr")
    variables = {name: (("lane", "regime"), values[..., i]) for i, name in enumerate(names)}
    return xarray.Dataset({**variables, "steepest": steepest}, {"regime": list(REGIMES)})


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """IPR and accuracies against the step, the first of them on a linear axis."""
    figure, axes = plotting.new_figure(1, 2, size=(7.2, 3.1), sharey=True)
    edges = regimes(result.dataset).end.median("lane").values
    for ax, xscale in zip(axes, ("linear", "log"), strict=True):
        plotting.ipr_curve(result, spectral.cosine_ipr(), ax, xscale=xscale)
        for edge, label in zip(edges, EDGES, strict=False):
            plotting.vertical_line(ax, edge, label)
    # The regimes, on the axis where their lines are straight.
    axes[0].set_xlim(0, np.nanmax([2.0 * edges[len(EDGES) - 1], 20]))
    plotting.legend_outside(figure)
    return figure


def table(result: grokjax.SweepResult) -> None:
    """Median over seeds, and the lowest and highest."""
    dataset, found = result.dataset, regimes(result.dataset)
    columns = [found[name] for name in ("start", "end", "slope", "ipr")]
    title = f"{about(result)}, AdamW: {dataset.sizes['lane']} seeds, median and lowest-highest"
    headings = ("regime", "from step", "to step", "IPR per 100 steps", "IPR at its end")
    rows = [(x, *(spread(y.sel(regime=x), lines=True) for y in columns)) for x in REGIMES]
    notes = [
        f"steepest at step {spread(found.steepest)}",
        f"IPR at the start {spread(dataset.ipr.isel(time=0))}, of the analytic weights "
        f"{spectral.cosine_ipr():g}",
    ]
    print_table(title, headings, rows, notes=notes)


if __name__ == "__main__":
    run_as_command(ipr)
