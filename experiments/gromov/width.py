"""How many neurons does modular addition need: trained, with random phases, and exactly?

The question of Gromov 2023, figure 4b: test accuracy against width for gradient descent and AdamW
at half of the table, and for the analytic weights with random phases. Beside them the exact
weights, whose phases are chosen so that everything unwanted cancels.

    python experiments/gromov/width.py                  # quick: p = 23, 1 minute on 2 cores
    python experiments/gromov/width.py --scale paper    # p = 97: 15 minutes on 2 cores

Expected: accuracy grows with width; trained networks need fewer neurons than random phases, which
need about 200 at p = 97; exact ones need 3.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

import grokjax
from experiments.common import cells, spread
from grokjax import analytic, losses, optimizers, tasks
from grokjax.command import Sweeps, override, run_as_command
from grokjax.models import Params, QuadraticMLP
from grokjax.results import build_dataset, environment

NETWORKS = ("exact", "AdamW", "gradient descent", "random phases")


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    widths: tuple[int, ...]
    alpha: float
    seeds: int
    draws: int  # of random phases
    max_steps: tuple[int, int]  # of gradient descent, of AdamW
    eval_every: int


SCALES = {
    "quick": Scale(
        p=23,
        widths=(6, 12, 25, 50, 100, 200),
        alpha=0.7,
        seeds=5,
        draws=10,
        max_steps=(3000, 500),
        eval_every=50,
    ),
    "paper": Scale(
        p=97,
        widths=(6, 12, 25, 50, 100, 200, 500),
        alpha=0.5,
        seeds=5,
        draws=10,
        max_steps=(5000, 1000),
        eval_every=50,
    ),
}


def width(
    scale: Literal["quick", "paper"] = "quick",
    *,
    p: int | None = None,
    widths: tuple[int, ...] | None = None,
    alpha: float | None = None,
    seeds: int | None = None,
    draws: int | None = None,
    max_steps: tuple[int, int] | None = None,
    eval_every: int | None = None,
    output: Path = Path("results/gromov_width"),
    progress: bool = True,
) -> grokjax.SweepResult:
    """Test accuracy against width, for trained and for analytic networks.

    Args:
      scale: quick: p = 23, a minute on two CPU cores; paper: p = 97, longer.
      p: the modulus.
      widths: hidden units, at least 3.
      alpha: the fraction of the table trained on.
      seeds: trained networks of each width, with seeds 0, 1, ...
      draws: networks with random phases of each width.
      max_steps: training steps of gradient descent and of AdamW; all test answers right ends the
        training of a network sooner.
      eval_every: steps between measurements; a fifth of it for AdamW.
      output: folder for the dataset, the configuration and the figures.
      progress: show how far the sweeps are, in a terminal.

    Returns:
      One lane for each network, with the columns `network` and `width`. The accuracy of analytic
      networks is that on the whole table, of which they were not trained on any part.
    """
    setting = override(
        SCALES[scale],
        p=p,
        widths=widths,
        alpha=alpha,
        seeds=seeds,
        draws=draws,
        max_steps=max_steps,
        eval_every=eval_every,
    )
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    task = tasks.modular_addition(setting.p)
    with Sweeps() as sweeps:
        sweeps.keep(_analytic(task, setting))
        for network, train in (("AdamW", _adamw), ("gradient descent", _gradient_descent)):
            for size in setting.widths:
                recipe, columns, budget, every = train(setting, size)
                sweeps.run(
                    recipe,
                    task,
                    grokjax.grid(alpha=setting.alpha, seed=range(setting.seeds), **columns),
                    title=f"{network}, {size} neurons",
                    columns={"network": network, "width": size},
                    max_steps=budget,
                    eval_every=every,
                    stop=grokjax.grokked(threshold=1.0),
                    keep_params="none",
                    progress=progress,
                )
    return sweeps.report(output, draw, print_table)


def accuracies(result: grokjax.SweepResult) -> dict[str, np.ndarray]:
    """Final test accuracy by network: [widths, seeds]."""
    dataset = result.dataset
    found = cells(result.final("test_accuracy"), dataset.network, dataset.width)
    return {name: found[name] for name in NETWORKS if name in found}


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure of a run, drawn from its result, as PNG and SVG."""
    from grokjax import plotting

    widths = np.unique(result.dataset.width)
    figure = plotting.accuracy_against_width(widths, accuracies(result))
    ax = figure.axes[0]
    ax.set(xticks=widths, xticklabels=[str(w) for w in widths])
    ax.minorticks_off()
    return plotting.save(figure, output, "width")


def print_table(result: grokjax.SweepResult) -> None:
    """Median test accuracy, with the lowest and highest, for each network and width."""
    dataset = result.dataset
    table = Table(title=f"{dataset.attrs['task']}: test accuracy (%), median (lowest to highest)")
    table.add_column("width", justify="right")
    values = accuracies(result)
    for name, accuracy in values.items():
        table.add_column(f"{name} ({accuracy.shape[1]})", justify="right")
    for i, size in enumerate(np.unique(dataset.width)):
        table.add_row(str(size), *(spread(100 * rows[i], ".2f") for rows in values.values()))
    Console().print(table)


Training = tuple[grokjax.Recipe, dict[str, float], int, int]  # columns, max_steps, eval_every


def _gradient_descent(setting: Scale, size: int) -> Training:
    model = QuadraticMLP(setting.p, size)
    rate = 1e6 * (setting.p / 97) ** 3 * (size / 500)  # the same dynamics at every width
    recipe = grokjax.Recipe(model, losses.mse, optimizers.gradient_descent)
    return recipe, {"learning_rate": rate}, setting.max_steps[0], setting.eval_every


def _adamw(setting: Scale, size: int) -> Training:
    model = QuadraticMLP(setting.p, size, parameterization="standard")
    recipe = grokjax.Recipe(model, losses.mse, optimizers.adamw)
    columns = {"learning_rate": 1e-2, "weight_decay": 5.0}
    return recipe, columns, setting.max_steps[1], max(1, setting.eval_every // 5)


def _analytic(task: tasks.Task, setting: Scale) -> grokjax.SweepResult:
    """Exact and random-phase networks of every width, as lanes that take no step."""
    exact: Callable[[int, int], Params] = lambda size, _: analytic.analytic_weights(setting.p, size)
    random: Callable[[int, int], Params] = lambda size, seed: analytic.analytic_weights(
        setting.p, size, key=jax.random.key(seed)
    )
    rows = [
        (name, size, seed, *_evaluate(task, size, weights(size, seed)))
        for name, weights, seeds in (("exact", exact, 1), ("random phases", random, setting.draws))
        for size in setting.widths
        for seed in range(seeds)
    ]
    network, size, seed, accuracy, mse = (np.array(x) for x in zip(*rows, strict=True))
    history = {f"{part}_accuracy": accuracy[:, None] for part in ("train", "test")}
    history |= {f"{part}_loss": mse[:, None] for part in ("train", "test")}
    still, finite = np.zeros(len(rows), int), np.zeros(len(rows), bool)
    columns = {"network": network, "width": size, "seed": seed}
    attributes = {"task": task.name, "chance": task.chance, **environment()}
    dataset = build_dataset(columns, [0], history, still, finite, attributes, patience=1)
    return grokjax.SweepResult(dataset)


def _evaluate(task: tasks.Task, size: int, params: Params) -> tuple[float, float]:
    evaluation = analytic.evaluate(QuadraticMLP(task.num_classes, size), params, task)
    return evaluation.accuracy, evaluation.mse


if __name__ == "__main__":
    run_as_command(width)
