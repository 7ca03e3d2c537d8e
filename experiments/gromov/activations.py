"""Do the analytic weights, made for the square, also add under other activations?

The question of Gromov 2023, appendix B (figure 6): random-phase weights for x^2 are given ReLU,
GELU, the absolute value and other powers instead. Nothing is trained.

    python experiments/gromov/activations.py                  # quick: p = 23, 15 s on 2 cores
    python experiments/gromov/activations.py --scale paper    # p = 97: 1 minute on 2 cores

Expected: every even activation works, x^4 and the absolute value with as few neurons as the square;
ReLU and GELU, which have an even part, need more, and for GELU the scale of the weights matters;
x^3, which is odd, never works.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

import grokjax
from experiments.common import cells
from grokjax import analytic, tasks
from grokjax.command import Sweeps, override, run_as_command
from grokjax.models import QuadraticMLP, power, square
from grokjax.results import build_dataset, environment


def gelu_of_double(x: jax.Array) -> jax.Array:
    """GELU at twice the scale: unlike the others it is not homogeneous, so scale matters."""
    return jax.nn.gelu(2.0 * x)


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "x^2": square,
    "x^4": power(4),
    "abs": jnp.abs,
    "ReLU": jax.nn.relu,
    "GELU": jax.nn.gelu,
    "GELU(2x)": gelu_of_double,
    "x^3": power(3),
}


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    widths: tuple[int, ...]
    seeds: int


SCALES = {
    "quick": Scale(p=23, widths=(10, 20, 50, 100, 200, 500), seeds=5),
    "paper": Scale(p=97, widths=(20, 50, 100, 200, 500, 1000), seeds=10),
}


def activations(
    scale: Literal["quick", "paper"] = "quick",
    *,
    p: int | None = None,
    widths: tuple[int, ...] | None = None,
    seeds: int | None = None,
    output: Path = Path("results/gromov_activations"),
) -> grokjax.SweepResult:
    """Accuracy of random-phase weights against width, under seven activations.

    Args:
      scale: quick: p = 23, seconds on two CPU cores; paper: p = 97, a minute.
      p: the modulus.
      widths: hidden units.
      seeds: networks of each width, with the random phases of seeds 0, 1, ...
      output: folder for the dataset, the configuration and the figures.

    Returns:
      One lane for each activation, width and seed. Its accuracy is that on the whole table, of
      which nothing was trained on.
    """
    setting = override(SCALES[scale], p=p, widths=widths, seeds=seeds)
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the computation

    task = tasks.modular_addition(setting.p)
    rows = [
        (name, width, seed, _accuracy(task, name, width, seed))
        for width in setting.widths
        for seed in range(setting.seeds)
        for name in ACTIVATIONS
    ]
    names, width, seed, accuracy = (np.array(column) for column in zip(*rows, strict=True))
    history = {name: accuracy[:, None] for name in ("train_accuracy", "test_accuracy")}
    still, finite = np.zeros(len(rows), int), np.zeros(len(rows), bool)
    columns = {"activation": names, "width": width, "seed": seed}
    attributes = {"task": task.name, "chance": task.chance, **environment()}
    dataset = build_dataset(columns, [0], history, still, finite, attributes, patience=1)
    sweeps = Sweeps()
    sweeps.keep(grokjax.SweepResult(dataset))
    return sweeps.report(output, draw, print_table)


def accuracies(result: grokjax.SweepResult) -> dict[str, np.ndarray]:
    """Accuracy by activation: [widths, seeds]."""
    dataset = result.dataset
    return cells(result.final("test_accuracy"), dataset.activation, dataset.width)


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure, drawn from its result, as PNG and SVG."""
    from grokjax import plotting

    widths = np.unique(result.dataset.width)
    values = {k.replace("x^", "$x^") + "$" * ("^" in k): v for k, v in accuracies(result).items()}
    figure = plotting.accuracy_against_width(widths, values)
    ax = figure.axes[0]
    # Chance: the share of the most frequent answer.
    ax.axhline(result.dataset.attrs["chance"], color="0.6", linewidth=0.8, linestyle=(0, (2, 2)))
    ax.set(ylabel="accuracy, whole table", xticks=widths, xticklabels=[str(w) for w in widths])
    ax.minorticks_off()
    return plotting.save(figure, output, "activations")


def print_table(result: grokjax.SweepResult) -> None:
    """Mean accuracy over seeds, and the lowest, for each activation and width."""
    dataset = result.dataset
    seeds = len(np.unique(dataset.seed))
    table = Table(
        title=f"{dataset.attrs['task']}: accuracy (%), mean (lowest) of {seeds} draws of phases"
    )
    table.add_column("activation")
    for width in np.unique(dataset.width):
        table.add_column(f"N = {width}", justify="right")
    for name, values in accuracies(result).items():
        cells = zip(values.mean(axis=1), values.min(axis=1), strict=True)
        table.add_row(name, *(f"{100 * mean:.2f} ({100 * low:.2f})" for mean, low in cells))
    Console().print(table)


def _accuracy(task: tasks.Task, activation: str, width: int, seed: int) -> float:
    """Of random-phase weights under an activation, on the whole table."""
    model = QuadraticMLP(task.num_classes, width, activation=ACTIVATIONS[activation])
    params = analytic.analytic_weights(task.num_classes, width, key=jax.random.key(seed))
    return analytic.evaluate(model, params, task).accuracy


if __name__ == "__main__":
    run_as_command(activations)
