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

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import xarray
from rich.console import Console
from rich.table import Table

import grokjax
from grokjax import losses, measures, optimizers, tasks
from grokjax.command import Sweeps, check_option, override, run_as_command
from grokjax.models import QuadraticMLP


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    width: int
    alpha: float
    rate: float
    seeds: int
    max_steps: int
    eval_every: int


SCALES = {
    "quick": Scale(p=23, width=128, alpha=0.8, rate=1e6, seeds=5, max_steps=2000, eval_every=10),
    "paper": Scale(p=97, width=500, alpha=0.49, rate=2.5e5, seeds=5, max_steps=8000, eval_every=40),
}


def dynamics(
    scale: Literal["quick", "paper"] = "quick",
    *,
    p: int | None = None,
    width: int | None = None,
    alpha: float | None = None,
    rate: float | None = None,
    seeds: int | None = None,
    max_steps: int | None = None,
    eval_every: int | None = None,
    faster: tuple[float, ...] = (2, 4, 8, 16, 32),
    output: Path = Path("results/gromov_dynamics"),
    progress: bool = True,
) -> grokjax.SweepResult:
    """Losses, accuracies, weight and gradient norms under gradient descent.

    Args:
      scale: quick: p = 23, width 128, seconds on two CPU cores; paper: p = 97, width 500, minutes.
      p: the modulus.
      width: hidden units.
      alpha: the fraction of the table trained on.
      rate: the learning rate at p = 97 and width 500; at others the one of the same dynamics. At
        1e6 the training loss has spikes after the network has grokked.
      seeds: networks, with seeds 0, 1, ...
      max_steps: training steps of each.
      eval_every: steps between measurements.
      faster: multiples of the learning rate to try as well, on seed 0, to find where it diverges.
      output: folder for the dataset, the configuration and the figures.
      progress: show how far the sweep is, in a terminal.
    """
    setting = override(
        SCALES[scale],
        p=p,
        width=width,
        alpha=alpha,
        rate=rate,
        seeds=seeds,
        max_steps=max_steps,
        eval_every=eval_every,
    )
    if faster:
        faster = check_option("faster", faster, tuple[float, ...])
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    model = QuadraticMLP(setting.p, setting.width)
    recipe = grokjax.Recipe(
        model,
        losses.mse,
        optimizers.gradient_descent,
        measures=(measures.weight_norms, measures.gradient_norms),
    )
    # The dynamics is the same for every p and width at this rate; its time scales as 1 / rate.
    learning_rate = setting.rate * (setting.p / 97) ** 3 * (setting.width / 500)
    task = tasks.modular_addition(setting.p)
    lanes = grokjax.grid(
        alpha=[setting.alpha], seed=range(setting.seeds), learning_rate=[learning_rate]
    )
    options = {"eval_every": setting.eval_every, "stop": None, "progress": progress}
    with Sweeps(running=True) as sweeps:
        sweeps.run(recipe, task, lanes, max_steps=setting.max_steps, **options)
    result = sweeps.report(output, draw, print_findings)
    if faster:
        lanes = grokjax.grid(alpha=[setting.alpha], learning_rate=learning_rate * np.array(faster))
        # Sooner by as much as the rate is larger; what is stable until then stays so.
        with Sweeps() as sweeps:
            sweeps.run(recipe, task, lanes, max_steps=max(1, setting.max_steps // 4), **options)
        sweeps.report(output / "learning_rates", lambda *_: [], print_edge)
    return result


def findings(result: grokjax.SweepResult) -> xarray.Dataset:
    """The numbers of the figure, one for every lane.

    "The peak" is that of the test loss, up to the grokking step: a learning rate at the edge of
    stability makes higher ones later.
    """
    dataset, p = result.dataset, int(result.dataset.attrs["task"].split()[-1])
    final = {name: result.final(name) for name in ("test_accuracy", "norm_w1", "norm_w2")}
    step = dataset.step
    early = ~(step > dataset.grokking_step)  # all of them if it never groks
    peak = step[dataset.test_loss.where(early).argmax("time")].drop_vars("step")
    gradient_peak = step[dataset.gradient_norm.argmax("time")].drop_vars("step")
    memorizing = (step <= peak) & (dataset.train_accuracy >= 0.5)
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
        "step of the gradient's peak": gradient_peak,
        "test accuracy, lowest": dataset.test_accuracy.min("time"),
        # From half of the training rows right to the peak.
        "test accuracy while memorizing, highest": dataset.test_accuracy.where(memorizing).max(
            "time"
        ),
        "final test accuracy": final["test_accuracy"],
    }
    for name in ("norm_w1", "norm_w2"):
        norm = dataset[name]
        start = norm.isel(time=0)
        numbers[f"{name} at the peak / at the start"] = at_peak(name) / start
        numbers[f"{name} at the end / at the start"] = final[name] / start
    # Small steps conserve norm_w1^2 - 2 norm_w2^2, about 0 at the start: 1 unless steps are large.
    numbers["norm_w1^2 / (2 norm_w2^2) at the end"] = final["norm_w1"] ** 2 / (
        2 * final["norm_w2"] ** 2
    )
    return xarray.Dataset({k: v.reset_coords(drop=True) for k, v in numbers.items()})


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure of a run, drawn from its result, as PNG and SVG."""
    from grokjax import plotting

    figure = plotting.training_figure(result)
    peak = float(findings(result)["step of the peak"].median())
    for ax in figure.axes:
        ax.axvline(peak, color="0.6", linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
    figure.supxlabel("vertical line: peak of the test loss; bands: lowest to highest seed", size=8)
    return plotting.save(figure, output, "dynamics")


def print_findings(result: grokjax.SweepResult) -> None:
    """Median over seeds, and the lowest and highest seed."""
    dataset = result.dataset
    title = f"{dataset.attrs['task']}, alpha {dataset.alpha.values[0]:g}, gradient descent"
    table = Table(title=f"{title}: {dataset.sizes['lane']} seeds")
    for heading in ("", "median", "lowest", "highest"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, values in findings(result).items():
        x = values.values
        cells: Iterable[float] = (np.median(x), x.min(), x.max())
        table.add_row(str(name), *("-" if np.isnan(cell) else f"{cell:.4g}" for cell in cells))
    Console().print(table)


def print_edge(result: grokjax.SweepResult) -> None:
    """Which of the larger learning rates diverged, and when."""
    dataset = result.dataset
    for lane in range(dataset.sizes["lane"]):
        row = dataset.isel(lane=lane)
        print(
            f"learning rate {row.learning_rate.item():.3g}: {row.outcome.item()} after "
            f"{row.final_step.item()} steps"
        )


if __name__ == "__main__":
    run_as_command(dynamics)
