"""Does a Transformer grok sums of more operands from a smaller fraction of their table?

The question of S2, section 3.4 and figures 5 to 8: K-wise addition modulo 31, for K from 2 to 5.

    python experiments/operands.py                       # quick: p = 13, a minute or two on 2 cores
    python experiments/operands.py --scale paper         # p = 31, up to 1e5 steps: for a GPU
    python experiments/operands.py --scale paper --figures 5    # K = 2 and 3 only

Expected: with three operands the network groks at smaller alpha than with two, and sooner after it
has memorized. With four (figure 6) test accuracy jumps before 60 % of the training rows are right,
at alpha 9 % and not at every value near it; with more decay and dropout (figure 7) at 6 to 8 %, but
accuracy falls back at times. With five (figure 8) 0.5 % of the table is not enough, and 0.1 % is if
all equations of two and three operands are trained on as well. At the quick scale three operands
are learned from 80 % of their table in 2e3 steps, nearly from 60 %, and two not even from 90 %; all
pairs do not help three operands there.

Tables of four and five operands are sampled: alpha is the fraction of the whole table, and the test
rows are `tests_per_train` times as many as the training rows, 3 in S2's text and 9 in its code.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import numpy as np
import tyro
import xarray
from rich import box
from rich.console import Console
from rich.table import Table

import grokjax
from grokjax import losses, optimizers, survival, tasks
from grokjax.checks import check_number
from grokjax.command import Sweeps, choose, override, run_as_command
from grokjax.models import Transformer


class Study(NamedTuple):
    """Networks on one table: those of one seed side by side, as in `zip_lanes`."""

    operands: int
    alpha: tuple[float, ...]
    weight_decay: tuple[float, ...] | float
    dropout: tuple[float, ...] | float = 0.1
    extra: tuple[int, ...] = ()  # operands of the equations that are all trained on as well


class Figure(NamedTuple):
    """The studies of a figure, and how they are measured."""

    studies: tuple[Study, ...]
    eval_every: int
    to_the_end: bool = True  # or until a network has grokked


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    width: int
    layers: int
    figures: tuple[str, ...]
    seeds: int
    learning_rate: float
    max_steps: int
    batch_size: int


FIGURES = {
    # Smaller tables, which need more of their rows, and decay that a short training can feel. Three
    # operands stand for the four and five of S2, and all pairs for its pairs and triples.
    "quick": {
        "5": Figure(
            (Study(2, (0.7, 0.8, 0.9), 0.3), Study(3, (0.4, 0.6, 0.8), 0.3)), 50, to_the_end=False
        ),
        "6": Figure((Study(3, (0.5, 0.51, 0.52), 0.3),), 50),
        "7": Figure((Study(3, (0.5, 0.5, 0.4), (0.3, 1.0, 1.0), (0.2, 0.3, 0.3)),), 50),
        "8": Figure((Study(3, (0.4,), 0.3), Study(3, (0.4,), 0.3, extra=(2,))), 50),
    },
    "paper": {
        "5": Figure(
            (
                Study(2, (0.4, 0.5, 0.6, 0.7, 0.8), 0.1),
                Study(3, (0.15, 0.2, 0.25, 0.3, 0.35), 0.1),
            ),
            100,
            to_the_end=False,
        ),
        "6": Figure((Study(4, (0.09, 0.091, 0.092), 0.1),), 1000),
        "7": Figure((Study(4, (0.08, 0.08, 0.06), (0.1, 0.2, 0.2), (0.2, 0.3, 0.3)),), 1000),
        "8": Figure((Study(5, (0.005,), 0.1), Study(5, (0.001,), 0.01, extra=(2, 3))), 1000),
    },
}
SCALES = {
    "quick": Scale(
        p=13,
        width=64,
        layers=1,
        figures=("5", "8"),
        seeds=1,
        learning_rate=3e-3,
        max_steps=3000,
        batch_size=256,
    ),
    "paper": Scale(
        p=31,
        width=128,
        layers=2,
        figures=("5", "6", "7", "8"),
        seeds=3,
        learning_rate=1e-3,
        max_steps=100_000,
        batch_size=512,
    ),
}


def operands(
    scale: Literal["quick", "paper"] = "quick",
    *,
    figures: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="N ...")] = None,
    p: int | None = None,
    width: int | None = None,
    layers: int | None = None,
    seeds: int | None = None,
    learning_rate: float | None = None,
    max_steps: int | None = None,
    batch_size: int | None = None,
    tests_per_train: float = 3.0,
    output: Path = Path("results/operands"),
    checkpoints: Path | None = None,
    progress: bool = True,
) -> dict[str, grokjax.SweepResult]:
    """Sums of two to five operands by a Transformer.

    Args:
      scale: quick: p = 13, minutes on two CPU cores; paper: p = 31, for a GPU.
      figures: of S2, any of 5, 6, 7, 8.
      p: the modulus.
      width: of the Transformer.
      layers: of the Transformer.
      seeds: networks of each kind, with seeds 0, 1, ...
      learning_rate: of AdamW, after a warmup of 10 steps.
      max_steps: training steps of each.
      batch_size: rows of a step.
      tests_per_train: test rows for each training row, where the table has more.
      output: folder for the datasets, the configuration and the figures.
      checkpoints: folder to keep checkpoints in; the same command goes on from them.
      progress: show how far the sweep is, in a terminal.

    Returns:
      The networks of each figure, with the columns `operands` and `extra`: what was trained on as
      well.
    """
    setting = override(
        SCALES[scale],
        figures=figures,
        p=p,
        width=width,
        layers=layers,
        seeds=seeds,
        learning_rate=learning_rate,
        max_steps=max_steps,
        batch_size=batch_size,
    )
    names = choose("figure", setting.figures, FIGURES[scale])
    check_number("tests_per_train", tests_per_train, above=0)
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    model = Transformer(setting.p, width=setting.width, layers=setting.layers)
    recipe = grokjax.Recipe(
        model, losses.cross_entropy, optimizers.adamw, batch_size=setting.batch_size
    )
    results = {}
    for name in names:
        figure = FIGURES[scale][name]
        with Sweeps(running=True) as sweeps:
            for i, study in enumerate(figure.studies):
                task = task_of(study, setting.p, tests_per_train)
                columns = grokjax.zip_lanes(
                    alpha=study.alpha, weight_decay=study.weight_decay, dropout=study.dropout
                )
                columns = {k: np.repeat(v, setting.seeds) for k, v in columns.items()}
                seed = np.tile(np.arange(setting.seeds), len(study.alpha))
                sweeps.run(
                    recipe,
                    task,
                    grokjax.zip_lanes(
                        **columns, seed=seed, learning_rate=setting.learning_rate, warmup=10
                    ),
                    title=f"figure {name}: {task.name}, {task.num_rows:,} rows",
                    columns={
                        "operands": study.operands,
                        "extra": ", ".join(f"K = {k}" for k in study.extra),
                    },
                    max_steps=setting.max_steps,
                    eval_every=figure.eval_every,
                    stop=None if figure.to_the_end else grokjax.grokked(),
                    directory=None if checkpoints is None else checkpoints / f"{name}_{i}",
                    keep_params="none",
                    progress=progress,
                )
        results[name] = sweeps.report(
            output / f"figure_{name}",
            lambda result, _, name=name: draw(name, result, output),
            lambda result, name=name: print_table(name, result.dataset),
        )
    return results


def task_of(study: Study, p: int, tests_per_train: float) -> tasks.Task:
    """The sums of a study: the whole table, or a sample for training and testing."""
    total = p**study.operands
    wanted = round((1 + tests_per_train) * max(study.alpha) * total)
    sample: dict[str, Any] = {"num_rows": wanted, "key": jax.random.key(0)}
    task = tasks.modular_addition(p, study.operands, **(sample if wanted < total else {}))
    extra = [tasks.modular_addition(p, k) for k in study.extra]
    return tasks.with_extra_training(task, *extra) if extra else task


def kinds(dataset: xarray.Dataset) -> dict[str, xarray.Dataset]:
    """The lanes of each kind of network, those that differ in the seed only, by a title."""
    names = ("operands", "extra", "alpha", "weight_decay", "dropout")
    columns = [dataset[name].values.tolist() for name in names]
    found: dict[str, list[int]] = {}
    varies = {name: len(np.unique(dataset[name])) > 1 for name in names}
    for lane, values in enumerate(zip(*columns, strict=True)):
        row = dict(zip(names, values, strict=True))
        title = f"K = {row['operands']}, $\\alpha$ = {100 * row['alpha']:g} %"
        title += f" + {row['extra']}" if row["extra"] else ""
        if varies["dropout"]:
            title += f"\ndecay {row['weight_decay']:g}, dropout {row['dropout']:g}"
        found.setdefault(title, []).append(lane)
    return {title: dataset.isel(lane=lanes) for title, lanes in found.items()}


def findings(dataset: xarray.Dataset) -> xarray.Dataset:
    """The numbers of the figures, one for every lane.

    Returns:
      `memorized` and `grokked`, steps; `train at half`, training accuracy when half of the test
      rows are right; `best test`, accuracy; `fall`, the largest of test accuracy below what it has
      been before.
    """
    test, train = dataset.test_accuracy, dataset.train_accuracy
    half = test >= 0.5
    best = np.fmax.accumulate(test.values, axis=1)
    fall = xarray.DataArray(np.nanmax(best - test.values, axis=1), dims="lane")
    at_half = train.isel(time=half.argmax("time")).where(half.any("time"))
    return xarray.Dataset(
        {
            "memorized": dataset.memorization_step,
            "grokked": dataset.grokking_step,
            "train at half": at_half,
            "best test": test.max("time"),
            "fall": fall,
        }
    ).reset_coords(drop=True)


def draw(name: str, result: grokjax.SweepResult, output: Path) -> list[Path]:
    """A figure of S2, drawn from its result, as PNG and SVG."""
    from grokjax import plotting

    draw_one = _draw_steps if name == "5" else _draw_accuracies
    with plotting.in_style():
        return plotting.save(draw_one(result.dataset), output, f"figure_{name}")


def _draw_steps(dataset: xarray.Dataset) -> Any:
    """Steps to memorize and to generalize against alpha, a panel for each number of operands."""
    from matplotlib.lines import Line2D

    from grokjax import plotting
    from grokjax.plotting import label_log

    numbers = np.unique(dataset.operands)
    figure, axes = plotting.new_figure(
        1, len(numbers), size=(3.4 * len(numbers), 2.9), sharey=True, squeeze=False
    )
    variables = {"memorization_step": "memorized", "grokking_step": "generalized"}
    for ax, number in zip(axes.flat, numbers, strict=True):
        lanes = dataset.isel(lane=dataset.operands.values == number)
        for colour, name in zip(plotting.PALETTE, variables, strict=False):
            step = lanes[name]
            ax.plot(lanes.alpha, step, ".", color=colour, alpha=0.35, markeredgewidth=0)
            late = (step.isnull() & (lanes.watched_step > 0)).values  # an axis in logarithms
            ax.plot(
                lanes.alpha[late], lanes.watched_step[late], "^", color=colour, mfc="none", ms=5
            )
            table = survival.summary(step, lanes.watched_step, alpha=lanes.alpha)
            middle = table["median"].where(np.isfinite(table["median"]))
            ax.plot(table.alpha, middle, "o-", color=colour, markersize=4)
        ax.set(title=f"K = {number}", xlabel=r"training fraction $\alpha$", yscale="log")
        ax.locator_params(axis="x", nbins=5)
        label_log(ax.yaxis)
    axes[0, 0].set_ylabel("step")
    keys = [
        Line2D([], [], color=colour, marker="o", markersize=4, label=label)
        for colour, label in zip(plotting.PALETTE, variables.values(), strict=False)
    ]
    keys.append(
        Line2D([], [], color="0.4", marker="^", mfc="none", ls="none", label="not yet (censored)")
    )
    figure.legend(handles=keys, loc="outside upper left", ncols=3)
    return figure


def _draw_accuracies(dataset: xarray.Dataset) -> Any:
    """Training and test accuracy against the step, a panel for each kind of network."""
    from grokjax import plotting

    groups = kinds(dataset)
    figure, axes = plotting.new_figure(
        1, len(groups), size=(2.6 * len(groups), 2.6), sharey=True, squeeze=False
    )
    for ax, (title, lanes) in zip(axes.flat, groups.items(), strict=True):
        plotting.curves(lanes, ("train_accuracy", "test_accuracy"), ax)
        ax.get_legend().remove()
        ax.set(title=title, ylim=(-0.03, 1.05))
    axes[0, 0].set_ylabel("accuracy")
    figure.legend(axes[0, 0].lines[:2], ["training", "test"], loc="outside upper left", ncols=2)
    return figure


def print_table(name: str, dataset: xarray.Dataset) -> None:
    """The findings of every kind of network: the median over seeds, and the extremes."""
    printed = Table(
        title=f"S2 figure {name}: median of {len(np.unique(dataset.seed))} seeds, at most "
        f"{dataset.final_step.max().item():,.0f} steps",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        collapse_padding=True,
        pad_edge=False,
    )
    groups = {title: findings(lanes) for title, lanes in kinds(dataset).items()}
    printed.add_column("")
    for heading in next(iter(groups.values())):
        printed.add_column(str(heading).replace("train ", "train\n"), justify="right", no_wrap=True)
    for title, numbers in groups.items():
        cells = [_spread(values.values) for values in numbers.values()]
        printed.add_row(title.replace("$\\alpha$", "alpha").replace("\n", ", "), *cells)
    Console().print(printed)


def _spread(values: np.ndarray) -> str:
    """The median of the lanes that have a value; below it the extremes, and how many have none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return "never"
    number = lambda x: f"{x:.3g}" if known.max() < 100 else f"{x:,.0f}"
    lines = [number(np.median(known))]
    if len(known) > 1:
        lines.append(f"{number(known.min())}-{number(known.max())}")
    if len(known) < len(values):
        lines.append(f"{len(values) - len(known)} never")
    return "\n".join(lines)


if __name__ == "__main__":
    run_as_command(operands)
