"""How much weight decay is good, and when does it undo what was learned?

The weight-decay sweep of S2's section 3.3: a Transformer at alpha = 0.5 under AdamW, with decays
from 0 to 1.5, trained on after it has generalized. A rollback is a fall of the test accuracy below
50 % after it has been at 99 %.

    python experiments/data_efficiency/weight_decay.py                 # quick: p = 17, 1 minute
    python experiments/data_efficiency/weight_decay.py --scale paper   # p = 97, for a GPU

At paper scale a step of one network takes 30 ms of a CPU core, and there are 28 networks of 1e5
steps: 23 core hours.

Expected: more decay generalizes sooner; above 0.2 there are occasional rollbacks; at 1.5 the
accuracy is not restored within 3e4 steps. At quick scale, where fewer steps ask for more decay,
networks generalize with 0.3 to 1, sooner with more, and roll back more often the more it is; with 2
and above they no longer get there.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray
from rich import box
from rich.console import Console
from rich.table import Table

import grokjax
from grokjax import losses, models, optimizers, tasks
from grokjax.command import Sweeps, override, run_as_command


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    model: dict[str, Any]  # of the Transformer
    alpha: float
    weight_decays: tuple[float, ...]
    seeds: int
    max_steps: int
    eval_every: int
    learning_rate: float


SCALES = {
    "quick": Scale(
        p=17,
        model={"layers": 1, "width": 32, "vocabulary": 17, "dropout": 0.0},
        alpha=0.8,
        weight_decays=(0.0, 0.1, 0.3, 0.5, 1.0, 2.0, 4.0),
        seeds=3,
        max_steps=2000,
        eval_every=10,
        learning_rate=1e-2,
    ),
    "paper": Scale(
        p=97,
        model={},
        alpha=0.5,
        weight_decays=(
            *(0.0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5),
            *(0.6, 0.7, 0.8, 0.9, 1.0, 1.5),
        ),
        seeds=2,
        max_steps=100_000,
        eval_every=50,
        learning_rate=1e-3,
    ),
}


def weight_decay(
    scale: Literal["quick", "paper"] = "quick",
    *,
    p: int | None = None,
    alpha: float | None = None,
    weight_decays: tuple[float, ...] | None = None,
    seeds: int | None = None,
    max_steps: int | None = None,
    eval_every: int | None = None,
    output: Path = Path("results/data_efficiency/weight_decay"),
    checkpoints: Path | None = None,
    progress: bool = True,
) -> grokjax.SweepResult:
    """Generalization and rollbacks of Transformers under different weight decays.

    Args:
      scale: quick: p = 17 and one narrow layer, a minute on two CPU cores; paper: p = 97 and the
        Transformer of S2.
      p: the modulus.
      alpha: the fraction of the table trained on.
      weight_decays: the decays.
      seeds: networks of each, with seeds 0, 1, ...
      max_steps: training steps of each; none stops sooner.
      eval_every: steps between measurements; a rollback that is over sooner is not seen.
      output: folder for the dataset, the configuration and the figures.
      checkpoints: folder to keep checkpoints in; the same command goes on from them after an
        interruption.
      progress: show how far the sweep is, in a terminal.
    """
    chosen = override(
        SCALES[scale],
        p=p,
        alpha=alpha,
        weight_decays=weight_decays,
        seeds=seeds,
        max_steps=max_steps,
        eval_every=eval_every,
    )
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    model = models.Transformer(chosen.p, **chosen.model)
    recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw, batch_size=512)
    lanes = grokjax.grid(
        alpha=chosen.alpha,
        weight_decay=chosen.weight_decays,
        seed=range(chosen.seeds),
        learning_rate=chosen.learning_rate,
        warmup=10,
    )
    with Sweeps() as sweeps:
        sweeps.run(
            recipe,
            tasks.modular_addition(chosen.p),
            lanes,
            max_steps=chosen.max_steps,
            eval_every=chosen.eval_every,
            stop=None,
            directory=checkpoints,
            keep_params="none",
            progress=progress,
        )
    return sweeps.report(output, draw, print_table)


def rollbacks(result: grokjax.SweepResult, high: float = 0.99, low: float = 0.5) -> xarray.Dataset:
    """How often the test accuracy fell below `low` after its first measurement of at least `high`.

    Returns:
      By lane: `generalization_step`, that first measurement (NaN if there is none);
      `rollbacks`, how often accuracy then went below `low`; `low_share`, the fraction of the later
      measurements that are below; `final_accuracy`.
    """
    dataset = result.dataset
    accuracy = dataset.test_accuracy.values
    later = np.maximum.accumulate(accuracy >= high, axis=1)
    below = later & (accuracy < low)
    falls = below[:, 1:] & ~below[:, :-1]  # the first of `later` itself is high
    measured = ~np.isnan(accuracy)
    with np.errstate(invalid="ignore"):
        low_share = below.sum(axis=1) / (later & measured).sum(axis=1)
    steps = dataset.step.values[later.argmax(axis=1)]
    return xarray.Dataset(
        {
            "generalization_step": ("lane", np.where(later.any(axis=1), steps, np.nan)),
            "rollbacks": ("lane", falls.sum(axis=1)),
            "low_share": ("lane", low_share),
            "final_accuracy": result.final("test_accuracy").reset_coords(drop=True),
        },
        {name: dataset[name] for name in ("weight_decay", "seed")},
    )


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure of a run, drawn from its result, as PNG and SVG."""
    from grokjax import plotting
    from grokjax.plotting import label_log, legend_above

    table = rollbacks(result)
    decays = np.unique(table.weight_decay)
    seed = table.seed.values - table.seed.values.mean()  # side by side, not one over another
    place = np.searchsorted(decays, table.weight_decay) + 0.5 * seed / len(np.unique(seed))
    budget = result.dataset.step.values[-1]
    reached = table.generalization_step.notnull().values
    blue, red = plotting.PALETTE[:2]
    with plotting.in_style():
        figure, (left, right) = plotting.new_figure(1, 2, size=(7.2, 3.0))
        steps = table.generalization_step.values
        left.plot(place[reached], steps[reached], "o", color=blue, markersize=5, label="reached")
        left.plot(
            place[~reached], np.full((~reached).sum(), budget), "^", color=blue, markersize=5,
            fillstyle="none", label="not within the budget",
        )  # fmt: skip
        left.set(ylabel="step of 99 % test accuracy", yscale="log")
        label_log(left.yaxis)
        legend_above(left)
        # A network that never generalized has nothing to lose.
        right.plot(place[reached], table.rollbacks[reached], "o", color=red, markersize=5)
        right.set(ylabel="rollbacks below 50 %", ylim=(-0.4, max(4, table.rollbacks.max()) + 0.4))
        right.yaxis.get_major_locator().set_params(integer=True)
        for ax in (left, right):
            ax.set_xticks(range(len(decays)), [f"{decay:g}" for decay in decays])
            ax.set(xlabel="weight decay", xlim=(-0.6, len(decays) - 0.4))
    return plotting.save(figure, output, "weight_decay")


def print_table(result: grokjax.SweepResult) -> None:
    """One row for each weight decay; what differs between seeds is listed by seed."""
    dataset, lanes = result.dataset, rollbacks(result)
    table = Table(
        title=f"{dataset.attrs['task']}, alpha {dataset.alpha.values[0]:g}: "
        f"{len(np.unique(lanes.seed))} seeds, {dataset.step.values[-1]:,} steps",
        box=box.SIMPLE_HEAD,
    )
    headings = ("weight decay", "99 % at step", "rollbacks", "time below 50 %", "final accuracy")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=heading != "99 % at step")
    for decay in np.unique(lanes.weight_decay):
        rows = lanes.isel(lane=lanes.weight_decay.values == decay)
        listed = lambda name, form, rows=rows: ", ".join(
            "-" if np.isnan(value) else form.format(value) for value in rows[name].values
        )
        table.add_row(
            f"{decay:g}",
            listed("generalization_step", "{:,.0f}"),
            listed("rollbacks", "{:.0f}"),
            listed("low_share", "{:.0%}"),
            listed("final_accuracy", "{:.0%}"),
        )
    Console().print(table)


if __name__ == "__main__":
    run_as_command(weight_decay)
