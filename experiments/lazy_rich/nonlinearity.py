"""Is the sum easier to learn when the first operand takes more values, or when there are more rows?

The question of S2, section 4 and figure 9: a network learns n + m modulo p for n in a random set A,
lambda = |A| / p, from 0.6 of the rows. S2 reads a larger lambda as a less linear function, which
forces a network out of its kernel regime. But at fixed alpha lambda also sets the number of
training rows, so every lambda is trained on as many rows as each smaller one has, too: what
remains at equal rows is the effect of lambda.

    python experiments/lazy_rich/nonlinearity.py                  # quick: p = 31, 30 s on 2 cores
    python experiments/lazy_rich/nonlinearity.py --scale paper    # p = 151: hours; a GPU is better

The paper scale is S2's: an MLP under stochastic gradient descent with momentum. At p = 31 that
network never generalizes, whatever lambda is; the quick scale is Gromov's network, which does.

Expected at the quick scale: S2's picture at fixed alpha: a larger lambda is slower to fit (104,
264, 405, 718 steps) and ends with more right answers (0, 2, 15, 100 %). At equal rows it is the
other way round: of 279 rows lambda = 0.5 makes 15 % right and lambda = 1 only 1 %, and at 56 rows
the curves of all lambdas lie on each other. It is the rows that matter.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import xarray
from rich import box
from rich.console import Console
from rich.table import Table

import grokjax
from grokjax import losses, optimizers, tasks
from grokjax.command import Sweeps, override, run_as_command
from grokjax.models import MLP, QuadraticMLP
from grokjax.sweep import log_spaced


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    network: Literal["quadratic", "mlp"]
    p: int
    width: int
    nonlinearity: tuple[float, ...]
    alpha: float
    rate: float
    seeds: int
    max_steps: int


SCALES = {
    "quick": Scale("quadratic", 31, 128, (0.1, 0.3, 0.5, 1.0), 0.6, 1e6, 2, 3000),
    "paper": Scale("mlp", 151, 256, (0.1, 0.3, 0.5, 1.0), 0.6, 1e-3, 3, 100_000),
}


def nonlinearity(
    scale: Literal["quick", "paper"] = "quick",
    *,
    network: Literal["quadratic", "mlp"] | None = None,
    p: int | None = None,
    width: int | None = None,
    nonlinearity: tuple[float, ...] | None = None,
    alpha: float | None = None,
    rate: float | None = None,
    seeds: int | None = None,
    max_steps: int | None = None,
    output: Path = Path("results/lazy_rich_nonlinearity"),
    progress: bool = True,
) -> grokjax.SweepResult:
    """Loss and accuracy against lambda, at fixed alpha and at fixed training rows.

    Args:
      scale: quick: the quadratic network at p = 31, a minute on two CPU cores; paper: S2's size.
      network: quadratic: gradient descent on the squared error; mlp: two hidden layers, dropout
        0.1, cross entropy, batches of 512, Nesterov momentum 0.99 after 10 steps of warmup.
      p: the modulus.
      width: hidden units of a layer.
      nonlinearity: the values of lambda.
      alpha: the fraction of the rows of A x Z_p trained on.
      rate: the learning rate; of the quadratic network that of p = 97 and width 500, converted.
      seeds: networks of each, with seeds 0, 1, ...
      max_steps: the budget of each.
      output: folder for the dataset, the configuration and the figures.
      progress: show how far the sweeps are, in a terminal.

    Returns:
      Lanes for each lambda (`nonlinearity`) and each number of `train_rows` that it or a smaller
      lambda has at the fixed alpha.
    """
    setting = override(
        SCALES[scale],
        network=network,
        p=p,
        width=width,
        nonlinearity=nonlinearity,
        alpha=alpha,
        rate=rate,
        seeds=seeds,
        max_steps=max_steps,
    )
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    recipe, numbers = _training(setting)
    whole = tasks.modular_addition(setting.p)
    values = sorted(setting.nonlinearity)
    key = jax.random.key(0)  # one for all: the sets A are nested
    restricted = [tasks.restrict_operand(whole, value, key) for value in values]
    rows = [tasks.num_train_rows(task, setting.alpha) for task in restricted]
    with Sweeps() as sweeps:
        for i, (value, task) in enumerate(zip(values, restricted, strict=True)):
            alphas = [count / task.num_rows for count in rows[: i + 1]]
            sweeps.run(
                recipe,
                task,
                grokjax.grid(alpha=alphas, seed=range(setting.seeds), **numbers),
                title=f"lambda {value:g}",
                columns={"nonlinearity": value},
                max_steps=setting.max_steps,
                eval_every=log_spaced(setting.max_steps, per_decade=16),
                stop=None,
                keep_params="none",
                progress=progress,
            )
    result = sweeps.joined()
    of = dict(zip(values, restricted, strict=True))
    lanes = zip(result.dataset.nonlinearity.values, result.dataset.alpha.values, strict=True)
    counts = [tasks.num_train_rows(of[value], alpha) for value, alpha in lanes]
    result.dataset.coords["train_rows"] = "lane", counts
    return sweeps.report(output, draw, print_table, result=result)


def groups(dataset: xarray.Dataset, *, rows_fixed: bool) -> dict[float, xarray.Dataset]:
    """The lanes of each lambda: at the fixed alpha (most rows), or at the fewest rows."""
    found = {}
    for value in np.unique(dataset.nonlinearity):
        lanes = dataset.isel(lane=dataset.nonlinearity.values == value)
        rows = lanes.train_rows.values
        found[float(value)] = lanes.isel(lane=rows == (rows.min() if rows_fixed else rows.max()))
    return found


def final_accuracy(result: grokjax.SweepResult) -> xarray.DataArray:
    """Median test accuracy at the end, [nonlinearity, train_rows]; NaN where there are no lanes."""
    dataset = result.dataset.assign(last=result.final("test_accuracy").drop_vars("step"))
    table = grokjax.SweepResult(dataset).table(["nonlinearity", "train_rows", "seed"])
    return table["last"].median("seed")


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure of a run, drawn from its result, as PNG and SVG."""
    from grokjax import plotting

    with plotting.in_style():
        return plotting.save(_figure(result), output, "nonlinearity")


def _figure(result: grokjax.SweepResult) -> Any:
    """Losses at fixed alpha and at fixed rows, and accuracy against rows."""
    from grokjax import plotting
    from grokjax.plotting import label_log

    dataset, colours = result.dataset, plotting.PALETTE
    figure, (left, middle, right) = plotting.new_figure(1, 3, size=(10.0, 3.2))
    for ax, rows_fixed in ((left, False), (middle, True)):
        for i, lanes in enumerate(groups(dataset, rows_fixed=rows_fixed).values()):
            for part, line, width in (("train", (0, (3, 1.5)), 1.0), ("test", "-", 1.4)):
                curve = lanes[f"{part}_loss"].median("lane")
                ax.plot(dataset.step, curve, color=colours[i], linestyle=line, linewidth=width)
        ax.set(xscale="log", yscale="log", xlabel="step")
        ax.set_ylim(1e-3 * float(dataset.train_loss.max()), None)
        label_log(ax.xaxis)
        label_log(ax.yaxis)
    fewest = int(dataset.train_rows.min())
    alpha = float(dataset.alpha.max())
    left.set(ylabel="loss: test solid, train dashed")
    left.set_title(rf"$\alpha$ = {alpha:.2g} for all", loc="left", fontsize=9)
    middle.set_title(f"{fewest} training rows for all", loc="left", fontsize=9)
    middle.sharey(left)
    accuracy = final_accuracy(result)
    for i, value in enumerate(accuracy.nonlinearity.values):
        line = accuracy.sel(nonlinearity=value).dropna("train_rows")
        right.plot(
            line.train_rows, line, marker="o", markersize=5, color=colours[i], linewidth=1.4,
            markeredgecolor="white", markeredgewidth=0.6, label=rf"$\lambda$ = {value:g}",
            zorder=3 + len(accuracy) - i, clip_on=False,
        )  # fmt: skip
    right.set(
        xscale="log", ylim=(-0.03, 1.03), xlabel="training rows", ylabel="final test accuracy"
    )
    label_log(right.xaxis)
    right.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def print_table(result: grokjax.SweepResult) -> None:
    """What came of each lambda at the fixed alpha, and all accuracies at equal rows."""
    dataset = result.dataset
    p, seeds = dataset.attrs["task"].split(",")[0], len(np.unique(dataset.seed))
    budget = int(dataset.step[-1])
    printed = Table(title=f"{p}: medians of {seeds} seeds, {budget} steps", box=box.SIMPLE_HEAD)
    for heading in ("lambda", "rows", "T_mem", "T_gen", "highest test loss", "test loss"):
        printed.add_column(heading, justify="right")
    for value, lanes in groups(dataset, rows_fixed=False).items():
        steps = [
            np.median(np.nan_to_num(lanes[name].values, nan=np.inf))
            for name in ("memorization_step", "grokking_step")
        ]
        rows = int(lanes.train_rows.values[0])
        loss = lanes.test_loss.median("lane")
        cells = [f"{step:,.0f}" if np.isfinite(step) else f">{budget:,}" for step in steps]
        printed.add_row(f"{value:g}", str(rows), *cells, f"{loss.max():.3g}", f"{loss[-1]:.3g}")
    Console().print(printed)
    accuracy = final_accuracy(result)
    printed = Table(title="final test accuracy", box=box.SIMPLE_HEAD)
    printed.add_column("training rows")
    for value in accuracy.nonlinearity.values:
        printed.add_column(f"lambda = {value:g}", justify="right")
    for rows in accuracy.train_rows.values:
        cells = accuracy.sel(train_rows=rows).values
        printed.add_row(str(rows), *("" if np.isnan(x) else f"{x:.3f}" for x in cells))
    Console().print(printed)


def _training(setting: Scale) -> tuple[grokjax.Recipe, dict[str, list[float]]]:
    """The recipe of a network, and its hyperparameters."""
    if setting.network == "quadratic":
        model = QuadraticMLP(setting.p, setting.width)
        rate = setting.rate * (setting.p / 97) ** 3 * (setting.width / 500)
        recipe = grokjax.Recipe(model, losses.mse, optimizers.gradient_descent)
        return recipe, {"learning_rate": [rate]}
    recipe = grokjax.Recipe(
        MLP(setting.p, hidden=(setting.width, setting.width), dropout=0.1),
        losses.cross_entropy,
        optimizers.nesterov,
        batch_size=512,
    )
    return recipe, {"learning_rate": [setting.rate], "momentum": [0.99], "warmup": [10]}


if __name__ == "__main__":
    run_as_command(nonlinearity)
