"""Do the analytic weights, made for the square, also add under other activations?

The question of Gromov 2023, appendix B (figure 6): random-phase weights for x^2 are given ReLU,
GELU, the absolute value and other powers instead. Nothing is trained.

    python experiments/gromov/activations.py                  # quick: p = 23, 15 s on 2 cores
    python experiments/gromov/activations.py --scale paper    # p = 97: 1 minute on 2 cores

Expected: every even activation works, x^4 and the absolute value with as few neurons as the square;
ReLU and GELU, which have an even part, need more, and for GELU the scale of the weights matters;
x^3, which is odd, never works.
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import grokjax
from experiments.common import cells, untrained
from grokjax import analytic, models, plotting, tasks
from grokjax.command import Study, experiment, print_table, run_as_command

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "x^2": models.square,
    "x^4": models.power(4),
    "abs": jnp.abs,
    "ReLU": jax.nn.relu,
    "GELU": jax.nn.gelu,
    "GELU(2x)": lambda x: jax.nn.gelu(2.0 * x),  # it is not homogeneous: the scale matters
    "x^3": models.power(3),
}


@experiment(
    "gromov_activations", paper={"p": 97, "widths": (20, 50, 100, 200, 500, 1000), "seeds": 10}
)
def activations(
    study: Study,
    *,
    p: int = 23,
    widths: tuple[int, ...] = (10, 20, 50, 100, 200, 500),
    seeds: int = 5,
) -> grokjax.SweepResult:
    """Accuracy of random-phase weights against width, under seven activations, on the whole table.

    Args:
      seeds: networks of each width, with the random phases of seeds 0, 1, ...
    """
    task = tasks.modular_addition(p)

    def accuracy(width: int, seed: int, activation: str) -> float:
        model = models.QuadraticMLP(p, width, activation=ACTIVATIONS[activation])
        params = analytic.analytic_weights(p, width, key=jax.random.key(seed))
        return analytic.evaluate(model, params, task).accuracy

    with study.sweeps(draw, table) as sweeps:
        rows = list(itertools.product(widths, range(seeds), ACTIVATIONS))
        size, seed, activation = zip(*rows, strict=True)
        columns = {"width": size, "seed": seed, "activation": activation}
        sweeps.keep(untrained(task, columns, accuracy=[accuracy(*row) for row in rows]))
    return sweeps.result


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """Accuracy against width under each activation."""
    widths, found = cells(result.final("test_accuracy"), "activation", "width")
    values = {k.replace("x^", "$x^") + "$" * ("^" in k): v for k, v in found.items()}
    figure, ax = plotting.new_figure()
    plotting.accuracy_against_width(widths, values, ax, chance=result.dataset.attrs["chance"])
    ax.set_ylabel("accuracy, whole table")
    return figure


def table(result: grokjax.SweepResult) -> None:
    """Mean accuracy over seeds, and the lowest, for each activation and width."""
    widths, values = cells(result.final("test_accuracy"), "activation", "width")
    draws = len(np.unique(result.dataset.seed))
    title = f"{result.dataset.attrs['task']}: accuracy (%), mean and lowest of {draws} draws"
    rows = [
        (name, *(f"{100 * row.mean():.2f}\n{100 * row.min():.2f}" for row in rows))
        for name, rows in values.items()
    ]
    print_table(title, ("activation", *(f"N = {x}" for x in widths)), rows)


if __name__ == "__main__":
    run_as_command(activations)
