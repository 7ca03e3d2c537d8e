"""Near the critical alpha, do networks end anywhere between memorizing and generalizing?

The question of figure 9 of the technical report "Towards Understanding Grokking Phenomenon via
Model and Training Efficiency": the distribution of final test accuracies over many seeds, for
fractions of the table around the critical one, with and without weight decay.

    python experiments/efficiency/semigrokking.py                  # quick: p = 23, 40 s on 2 cores
    python experiments/efficiency/semigrokking.py --scale paper    # p = 97, Transformer: for a GPU

Expected: near the critical fraction (the report: 23 % to 27 % at p = 97) final accuracies in the
middle, below it accuracies near chance, above it 100 %. What is in the middle after any budget may
still be on its way up: the table says how much accuracies rose in the last quarter of the steps.
With a decay of 1 all Transformers at p = 97, 3 seeds, grok within 14,000 steps at 21 % to 33 %.
"""

from typing import Any

import numpy as np
import xarray

import grokjax
from experiments.common import Network, networks_for
from grokjax import losses, optimizers, plotting, tasks
from grokjax.command import Study, experiment, print_table, run_as_command, spread

LOW, HIGH = 0.1, 0.9  # what is between is in the middle


@experiment("efficiency_semigrokking", paper={
    "network": "transformer", "p": 97, "seeds": 20, "max_steps": 100_000,
    "alphas": (0.19, 0.21, 0.23, 0.25, 0.27, 0.29, 0.31, 0.33), "decays": (0.0, 0.1, 1.0),
})  # fmt: skip
def semigrokking(
    study: Study,
    *,
    network: Network = "quadratic",
    p: int = 23,
    alphas: tuple[float, ...] = (0.3, 0.35, 0.4, 0.45, 0.5, 0.6),
    decays: tuple[float, ...] = (0.0, 1.0),
    seeds: int = 12,
    max_steps: int = 1500,
) -> grokjax.SweepResult:
    """Final test accuracies of many seeds around the critical alpha.

    Training is with AdamW, on all rows at once; at scale paper in minibatches of 512.

    Args:
      max_steps: training steps; networks that grok stop there.
    """
    model, rate = networks_for(p, study.scale)[network]
    batch_size = 512 if study.scale == "paper" else None
    columns = {"weight_decay": decays, "alpha": alphas, "learning_rate": rate, "warmup": 10}
    with study.sweeps(draw, print_endings) as sweeps:
        sweeps.run(
            grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw, batch_size=batch_size),
            tasks.modular_addition(p), grokjax.grid(**columns, seed=range(seeds)),
            max_steps=max_steps, eval_every=max(1, max_steps // 100),
            checkpoints="networks", keep_params="none",
        )  # fmt: skip
    return sweeps.result


def late_rise(dataset: xarray.Dataset) -> np.ndarray:
    """How much test accuracy rose in the last quarter of the budget, NaN if grokked before: [L]."""
    steps = dataset.step.values
    since = int(np.searchsorted(steps, 0.75 * steps[-1]))
    values = dataset.test_accuracy.values
    return values[:, -1] - values[:, since]


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """Final test accuracies over alpha, a panel for each weight decay."""

    def panel(lanes: grokjax.SweepResult, ax: Any) -> None:
        plotting.final_against(lanes, "test_accuracy", "alpha", ax=ax, log_x=False, legend=False)
        ax.set_ylabel(f"test accuracy\nafter {result.dataset.attrs['max_steps']:,} steps")
        label = f"the middle, {LOW:g} to {HIGH:g}"
        ax.axhspan(LOW, HIGH, color=plotting.GREY, alpha=0.1, linewidth=0, label=label)

    return plotting.group_panels(result, "weight_decay", panel)


def print_endings(result: grokjax.SweepResult) -> None:
    """How many networks end low, in the middle and high, for each decay and alpha."""
    rows = []
    for (decay, alpha), lanes in result.groups("weight_decay", "alpha"):
        last = lanes.final("test_accuracy").values
        middle = (last >= LOW) & (last <= HIGH)
        counts = (last < LOW).sum(), middle.sum(), (last > HIGH).sum()
        rise = spread(late_rise(lanes.dataset)[middle].round(2))
        rows.append((decay, alpha, *counts, f"{np.median(last):.2f}", rise))
    title = "{task}: test accuracy after {max_steps:,} steps, chance {chance:.3f}"
    ends = (f"below {LOW:g}", "middle", f"above {HIGH:g}", "median", "late rise\nof the middle")
    print_table(
        title.format_map(result.dataset.attrs), ("decay", "alpha", *ends), rows, sections=True
    )


if __name__ == "__main__":
    run_as_command(semigrokking)
