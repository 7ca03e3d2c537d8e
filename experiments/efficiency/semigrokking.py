"""Near the critical alpha, do networks end anywhere between memorizing and generalizing?

The question of S1, figure 9: the distribution of final test accuracies over many seeds, for
fractions of the table around the critical one, with and without weight decay.

    python experiments/efficiency/semigrokking.py                  # quick: p = 23, 40 s on 2 cores
    python experiments/efficiency/semigrokking.py --scale paper    # p = 97, Transformer: for a GPU

Expected: near the critical fraction (S1: 23 % to 27 % at p = 97) final accuracies in the middle,
below it accuracies near chance, above it 100 %. What is in the middle after any budget may still be
on its way up: the table says how much accuracies rose in the last quarter of the steps.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import xarray
from rich import box
from rich.console import Console
from rich.table import Table

import grokjax
from experiments.common import spread
from experiments.efficiency.common import learning_rate
from experiments.efficiency.common import network as build_network
from grokjax import losses, optimizers, tasks
from grokjax.command import Sweeps, override, run_as_command


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    network: str
    p: int
    alphas: tuple[float, ...]
    decays: tuple[float, ...]
    seeds: int
    max_steps: int
    batch_size: int | None


SCALES = {
    "quick": Scale(
        network="quadratic",
        p=23,
        alphas=(0.3, 0.35, 0.4, 0.45, 0.5, 0.6),
        decays=(0.0, 1.0),
        seeds=12,
        max_steps=1500,
        batch_size=None,
    ),
    "paper": Scale(
        network="transformer",
        p=97,
        alphas=(0.19, 0.21, 0.23, 0.25, 0.27, 0.29, 0.31, 0.33),
        decays=(0.0, 0.1, 1.0),
        seeds=20,
        max_steps=100_000,
        batch_size=512,
    ),
}
LOW, HIGH = 0.1, 0.9  # what is between is in the middle


def semigrokking(
    scale: Literal["quick", "paper"] = "quick",
    *,
    network: str | None = None,
    p: int | None = None,
    alphas: tuple[float, ...] | None = None,
    decays: tuple[float, ...] | None = None,
    seeds: int | None = None,
    max_steps: int | None = None,
    output: Path = Path("results/efficiency_semigrokking"),
    checkpoints: Path | None = None,
    progress: bool = True,
) -> grokjax.SweepResult:
    """Final test accuracies of many seeds around the critical alpha.

    Args:
      scale: quick: p = 23, quadratic networks; paper: p = 97, S1's Transformer, minibatches.
      network: quadratic, mlp, lstm or transformer.
      p: the modulus.
      alphas: fractions of the table to train on.
      decays: weight decays; 0 is none.
      seeds: networks of each.
      max_steps: training steps; those that grok stop there.
      output: folder for the dataset, the configuration and the figure.
      checkpoints: folder to keep checkpoints in.
      progress: show how far the sweep is, in a terminal.

    Returns:
      One lane for each network.
    """
    setting = override(
        SCALES[scale],
        network=network,
        p=p,
        alphas=alphas,
        decays=decays,
        seeds=seeds,
        max_steps=max_steps,
    )
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    recipe = grokjax.Recipe(
        build_network(setting.network, setting.p, scale),
        losses.cross_entropy,
        optimizers.adamw,
        batch_size=setting.batch_size,
    )
    lanes = grokjax.grid(
        weight_decay=setting.decays,
        alpha=setting.alphas,
        seed=range(setting.seeds),
        learning_rate=learning_rate(setting.network, scale),
        warmup=10,
    )
    with Sweeps() as sweeps:
        sweeps.run(
            recipe,
            tasks.modular_addition(setting.p),
            lanes,
            max_steps=setting.max_steps,
            eval_every=max(1, setting.max_steps // 100),
            keep_params="none",
            directory=checkpoints,
            progress=progress,
        )
    return sweeps.report(output, draw, print_table)


def late_rise(dataset: xarray.Dataset) -> np.ndarray:
    """How much test accuracy rose in the last quarter of the budget: float[L].

    NaN for networks that had grokked before.
    """
    steps = dataset.step.values
    since = int(np.searchsorted(steps, 0.75 * steps[-1]))
    values = dataset.test_accuracy.values
    return values[:, -1] - values[:, since]


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure of a run, drawn from its result, as PNG and SVG."""
    from grokjax import plotting
    from grokjax.plotting import ALPHA, GREY

    dataset = result.dataset
    decays, alphas = np.unique(dataset.weight_decay), np.unique(dataset.alpha)
    last = result.final("test_accuracy").values
    width = 0.35 * (np.diff(alphas).min() if len(alphas) > 1 else 0.02)
    jitter = np.random.default_rng(0).uniform(-width, width, dataset.sizes["lane"])
    with plotting.in_style():
        figure, axes = plotting.new_figure(
            1, len(decays), size=(2.9 * len(decays) + 0.6, 2.8), sharey=True, squeeze=False
        )
        for i, (ax, decay) in enumerate(zip(axes[0], decays, strict=True)):
            here = dataset.weight_decay.values == decay
            ax.axhspan(LOW, HIGH, color=GREY, alpha=0.1, linewidth=0)
            ax.axhline(
                dataset.attrs["chance"], color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0
            )
            ax.plot(
                (dataset.alpha.values + jitter)[here], last[here], "o", color=plotting.PALETTE[i],
                markersize=3.5, markeredgewidth=0, alpha=0.6,
            )  # fmt: skip
            ax.set(xlabel=ALPHA, title=f"weight decay {decay:g}", ylim=(-0.03, 1.03))
        axes[0, 0].set_ylabel(f"test accuracy, {dataset.attrs['max_steps']:,} steps")
    return plotting.save(figure, output, "semigrokking")


def print_table(result: grokjax.SweepResult) -> None:
    """How many networks end low, in the middle and high, for each decay and alpha."""
    dataset, last = result.dataset, result.final("test_accuracy").values
    rise = late_rise(dataset)
    table = Table(
        title=f"{dataset.attrs['task']}: test accuracy after {dataset.attrs['max_steps']:,} steps, "
        f"chance {dataset.attrs['chance']:.3f}",
        box=box.SIMPLE_HEAD,
    )
    headings = ("decay", "alpha", f"below {LOW:g}", "middle", f"above {HIGH:g}", "median")
    for heading in (*headings, "late rise of the middle"):
        table.add_column(heading, justify="right")
    for decay in np.unique(dataset.weight_decay):
        for alpha in np.unique(dataset.alpha):
            here = (dataset.weight_decay.values == decay) & (dataset.alpha.values == alpha)
            if not here.any():
                continue  # not finished when the sweep was interrupted
            middle = here & (last >= LOW) & (last <= HIGH)
            table.add_row(
                f"{decay:g}",
                f"{alpha:g}",
                str((here & (last < LOW)).sum()),
                str(middle.sum()),
                str((here & (last > HIGH)).sum()),
                f"{np.median(last[here]):.2f}",
                spread(rise[middle], ".2f"),
            )
        table.add_section()
    Console().print(table)


if __name__ == "__main__":
    run_as_command(semigrokking)
