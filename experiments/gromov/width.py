"""How many neurons does modular addition need: trained, with random phases, and exactly?

The question of Gromov 2023, figure 4b: test accuracy against width for gradient descent and AdamW
at half of the table, and for the analytic weights with random phases. Beside them the exact
weights, whose phases are chosen so that everything unwanted cancels.

    python experiments/gromov/width.py                  # quick: p = 23, 1 minute on 2 cores
    python experiments/gromov/width.py --scale paper    # p = 97: 15 minutes on 2 cores

Expected: accuracy grows with width; trained networks need fewer neurons than random phases, which
need about 200 at p = 97; exact ones need 3.
"""

import itertools

import jax
import numpy as np

import grokjax
from experiments.common import adamw, cells, gradient_descent, untrained
from grokjax import analytic, models, plotting, tasks
from grokjax.command import Study, experiment, print_table, run_as_command, spread

NETWORKS = ("exact", "AdamW", "gradient descent", "random phases")


@experiment("gromov_width", paper={
    "p": 97, "widths": (6, 12, 25, 50, 100, 200, 500), "alpha": 0.5, "max_steps": (5000, 1000),
})  # fmt: skip
def width(
    study: Study,
    *,
    p: int = 23,
    widths: tuple[int, ...] = (6, 12, 25, 50, 100, 200),
    alpha: float = 0.7,
    seeds: int = 5,
    draws: int = 10,
    max_steps: tuple[int, int] = (3000, 500),
    eval_every: int = 50,
) -> grokjax.SweepResult:
    """Test accuracy against width, for trained and for analytic networks.

    Args:
      widths: hidden units, at least 3.
      seeds: trained networks of each width, with seeds 0, 1, ...
      draws: networks with random phases of each width.
      max_steps: training steps of gradient descent and of AdamW, or until all answers are right.
      eval_every: steps between measurements; a fifth of it for AdamW.

    Returns:
      One lane for each network; of an analytic one the accuracy is that on the whole table.
    """
    task = tasks.modular_addition(p)
    trained = {
        "AdamW": (adamw, max_steps[1], max(1, eval_every // 5)),
        "gradient descent": (gradient_descent, max_steps[0], eval_every),
    }
    with study.sweeps(draw, table) as sweeps:
        sweeps.keep(analytic_networks(task, widths, draws))
        for network, (training, budget, every) in trained.items():
            for size in widths:
                recipe, columns = training(p, size)
                sweeps.run(
                    recipe, task, grokjax.grid(alpha=alpha, seed=range(seeds), **columns),
                    title=f"{network}, {size} neurons", columns={"network": network, "width": size},
                    checkpoints=f"{training.__name__}_{size}", keep_params="none",
                    max_steps=budget, eval_every=every, stop=grokjax.grokked(threshold=1.0),
                )  # fmt: skip
    return sweeps.result


def analytic_networks(task: tasks.Task, widths: tuple[int, ...], draws: int) -> grokjax.SweepResult:
    """Exact and random-phase networks of every width, as lanes that take no step."""
    p = task.num_classes
    rows = [("exact", size, 0) for size in widths]
    rows += [("random phases", *row) for row in itertools.product(widths, range(draws))]
    found = []
    for name, size, seed in rows:
        key = None if name == "exact" else jax.random.key(seed)
        params = analytic.analytic_weights(p, size, key=key)
        found.append(analytic.evaluate(models.QuadraticMLP(p, size), params, task))
    network, size, seed = zip(*rows, strict=True)
    columns = {"network": network, "width": size, "seed": seed}
    measured = {"accuracy": [x.accuracy for x in found], "loss": [x.mse for x in found]}
    return untrained(task, columns, **measured)


def accuracies(result: grokjax.SweepResult) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The widths, and the final test accuracy by network: [widths, seeds]."""
    widths, found = cells(result.final("test_accuracy"), "network", "width")
    return widths, {name: found[name] for name in NETWORKS if name in found}


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """Test accuracy against width, of each kind of network."""
    figure, ax = plotting.new_figure()
    plotting.accuracy_against_width(*accuracies(result), ax, chance=result.dataset.attrs["chance"])
    return figure


def table(result: grokjax.SweepResult) -> None:
    """Median test accuracy, and the lowest and highest, for each network and width."""
    widths, values = accuracies(result)
    title = f"{result.dataset.attrs['task']}: test accuracy (%), median and lowest-highest"
    rows = [
        (size, *(spread(100 * x[i], ".2f", lines=True) for x in values.values()))
        for i, size in enumerate(widths)
    ]
    print_table(title, ("width", *(f"{name} ({x.shape[1]})" for name, x in values.items())), rows)


if __name__ == "__main__":
    run_as_command(width)
