"""How do loss, accuracy, weights and gradients move while plain gradient descent groks?

The question of Gromov 2023, figure 1: modular addition, mean squared error, full batch, no
regularization, 49 % of the table.

    python experiments/gromov/dynamics.py                  # quick: p = 23, 15 s on 2 cores
    python experiments/gromov/dynamics.py --scale paper    # p = 97: 10 minutes on 2 cores

Expected: the loss starts at 1/p; the training loss never rises (at a rate of 2.5e5, which was
chosen for that: at 5e5 and 1e6 it has spikes after the network has grokked); the test loss peaks
just before test accuracy jumps; the weights grow around there, without blowing up; the gradient
grows until about then (the source: until the peak; here: until the network has grokked) and decays
after it. While the network memorizes, test accuracy is 0, below chance.
"""

import numpy as np
import xarray

import grokjax
from experiments.common import about, gradient_descent
from grokjax import measures, plotting, tasks
from grokjax.command import Study, experiment, number, print_line, print_table, run_as_command


@experiment("gromov_dynamics", paper={
    "p": 97, "width": 500, "alpha": 0.49, "rate": 2.5e5, "max_steps": 8000, "eval_every": 40,
})  # fmt: skip
def dynamics(
    study: Study,
    *,
    p: int = 23,
    width: int = 128,
    alpha: float = 0.8,
    rate: float = 1e6,
    seeds: int = 5,
    max_steps: int = 2000,
    eval_every: int = 10,
    faster: tuple[float, ...] | None = (2, 4, 8, 16, 32),
) -> grokjax.SweepResult:
    """Losses, accuracies, weight and gradient norms under gradient descent.

    Args:
      rate: the learning rate at p = 97 and width 500; at others the one of the same dynamics. At
        1e6 the training loss has spikes after the network has grokked.
      faster: multiples of the rate to try as well, on seed 0, to find where it diverges; or None.
    """
    norms = (measures.weight_norms, measures.gradient_norms)
    recipe, columns = gradient_descent(p, width, rate, measures=norms)
    task = tasks.modular_addition(p)
    lanes = grokjax.grid(alpha=[alpha], seed=range(seeds), **columns)
    options = {"eval_every": eval_every, "stop": None}
    with study.sweeps(draw, print_findings, running=True) as sweeps:
        sweeps.run(recipe, task, lanes, max_steps=max_steps, checkpoints="seeds", **options)
    if faster:
        rates = columns["learning_rate"] * np.array(faster)
        lanes = grokjax.grid(alpha=[alpha], learning_rate=rates)
        with study.sweeps(None, print_edge, part="learning_rates") as edge:
            # Sooner by as much as the rate is larger; what is stable until then stays so.
            steps = max(1, max_steps // 4)
            edge.run(recipe, task, lanes, max_steps=steps, checkpoints="learning_rates", **options)
    return sweeps.result


def findings(result: grokjax.SweepResult) -> xarray.Dataset:
    """The numbers of the figure, one for every lane.

    "The peak" is that of the test loss, up to the grokking step: a learning rate at the edge of
    stability makes higher ones later.
    """
    dataset, p = result.dataset, int(result.dataset.attrs["task"].split()[-1])
    step = dataset.step
    early = ~(step > dataset.grokking_step)  # all of them if it never groks
    peak = step[dataset.test_loss.where(early).argmax("time")].drop_vars("step")
    memorizing = dataset.test_accuracy.where((step <= peak) & (dataset.train_accuracy >= 0.5))
    rise = dataset.train_loss / dataset.train_loss.shift(time=1) - 1
    half = dataset.test_accuracy >= 0.5
    at_peak = lambda name: dataset[name].where(step == peak).max("time")
    numbers = {
        "initial test loss, times p": dataset.test_loss.isel(time=0) * p,
        "rise of the training loss, largest until grokking": rise.where(early).max("time"),
        "rise of the training loss, largest": rise.max("time"),
        "memorization step": dataset.memorization_step,
        "step of the peak": peak,
        "test loss at the peak, times p": at_peak("test_loss") * p,
        "training accuracy at the peak": at_peak("train_accuracy"),
        "step of test accuracy 0.5": step[half.argmax("time")].where(half.any("time")),
        "grokking step": dataset.grokking_step,
        "step of the gradient's peak": step[dataset.gradient_norm.argmax("time")].drop_vars("step"),
        "test accuracy, lowest": dataset.test_accuracy.min("time"),
        # From half of the training rows right to the peak.
        "test accuracy while memorizing, highest": memorizing.max("time"),
        "final test accuracy": result.final("test_accuracy"),
    }
    for name in ("norm_w1", "norm_w2"):
        start = dataset[name].isel(time=0)
        numbers[f"{name} at the peak / at the start"] = at_peak(name) / start
        numbers[f"{name} at the end / at the start"] = result.final(name) / start
    # Small steps conserve norm_w1^2 - 2 norm_w2^2, about 0 at the start: 1 unless steps are large.
    squares = result.final("norm_w1") ** 2, result.final("norm_w2") ** 2
    numbers["norm_w1^2 / (2 norm_w2^2) at the end"] = squares[0] / (2 * squares[1])
    return xarray.Dataset({k: v.reset_coords(drop=True) for k, v in numbers.items()})


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """Loss, weight norms, accuracy and gradient norms, with the peak of the test loss."""
    figure = plotting.training_figure(result)
    peak = findings(result)["step of the peak"].median()
    for ax in figure.axes:
        plotting.vertical_line(ax, peak, "peak of the test loss")
    plotting.legend_outside(figure)
    return figure


def print_findings(result: grokjax.SweepResult) -> None:
    """Median over seeds, and the lowest and highest seed."""
    cells = lambda v: (number(x, "-") for x in (np.median(v), v.min(), v.max()))
    title = f"{about(result)}, gradient descent: {result.dataset.sizes['lane']} seeds"
    rows = [(name, *cells(values.values)) for name, values in findings(result).items()]
    print_table(title, ("", "median", "lowest", "highest"), rows)


def print_edge(result: grokjax.SweepResult) -> None:
    """Which of the larger learning rates diverged, and when."""
    for rate, lane in result.groups("learning_rate"):
        outcome, step = lane.dataset.outcome.item(), lane.dataset.final_step.item()
        print_line(f"learning rate {number(rate)}: {outcome} after {step} steps")


if __name__ == "__main__":
    run_as_command(dynamics)
