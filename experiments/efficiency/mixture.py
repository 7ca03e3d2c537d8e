"""Does grokking need the memorizing circuit to learn faster, and does it need weight decay?

The question of S1, figure 5: a network that memorizes and one that generalizes, both trained
before and frozen, are mixed by two weights, each a product of two scalars that train:
`logits = w_m1 w_m2 memorizing + w_g1 w_g2 generalizing`, from w_m1 = w_g1 = 0. The scalars w_m2
and w_g2 set the speeds.

    python experiments/efficiency/mixture.py                  # quick: p = 23, a minute on 2 cores
    python experiments/efficiency/mixture.py --scale paper    # p = 97, S1's MLP: for a GPU

Expected: with (w_m2, w_g2) = (10, 1) the test loss rises while the training loss falls, and falls
once that is near zero: grokking. With (1, 1) both fall together. The source does not say whether
the scalars decay: both are run. Without decay nothing takes the memorizing network away again.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import grokjax
from experiments.common import spread
from experiments.efficiency.common import learning_rate as network_rate
from experiments.efficiency.common import network as build_network
from grokjax import losses, optimizers, survival, tasks
from grokjax.command import Sweeps, check_option, override, run_as_command
from grokjax.models import LogitTable, Mixture, Model
from grokjax.sweep import log_spaced


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    network: str
    p: int
    alpha: float
    large_alpha: float  # of the generalizing network
    seeds: int
    weight_decay: float  # of the generalizing one
    backbone_steps: int
    max_steps: int


SCALES = {
    "quick": Scale("quadratic", 23, 0.5, 0.8, 3, 1.0, 2000, 100_000),
    "paper": Scale("mlp", 97, 0.5, 0.8, 3, 1.0, 50_000, 100_000),
}


def memorized(scalars: dict[str, jax.Array]) -> jax.Array:
    """Stops a network when all its training rows are right."""
    return scalars["train_accuracy"] >= 1.0


def mixture(
    scale: Literal["quick", "paper"] = "quick",
    *,
    network: str | None = None,
    p: int | None = None,
    alpha: float | None = None,
    seeds: int | None = None,
    speeds: tuple[float, ...] = (10.0, 1.0),
    decays: tuple[float, ...] = (0.0, 0.01),
    margins: tuple[float, float] = (1.0, 2.0),
    learning_rate: float = 0.01,
    backbone_steps: int | None = None,
    max_steps: int | None = None,
    output: Path = Path("results/efficiency_mixture"),
    progress: bool = True,
) -> grokjax.SweepResult:
    """Loss and accuracy of a mixture of a memorizing and a generalizing network.

    The memorizing network is trained on the mixture's training rows, without decay, until all are
    right; the generalizing one on more of the table, with decay, until the rest is right too. Their
    logits are scaled to the mean margins `margins` on the training rows: the generalizing one is
    more efficient. The mixture trains by gradient descent.

    Args:
      scale: quick: p = 23, quadratic networks; paper: p = 97, S1's MLP.
      network: quadratic, mlp, lstm or transformer.
      p: the modulus.
      alpha: the fraction of the table that the mixture is trained on.
      seeds: pairs of networks, with seeds 0, 1, ...
      speeds: values of w_m2, beside w_g2 = 1.
      decays: weight decays of the four scalars.
      margins: of the memorizing and the generalizing network.
      learning_rate: of the mixture; ten times as large, the first step alone memorizes.
      backbone_steps: most training steps of the two networks.
      max_steps: training steps of the mixture.
      output: folder for the dataset, the configuration and the figure.
      progress: show how far the sweeps are, in a terminal.

    Returns:
      One lane for each speed, decay and seed, with the column `w_m2`, and the accuracies of the two
      networks alone.

    Raises:
      ValueError: for an unknown network, or if a network did not train far enough to be mixed.
    """
    setting = override(
        SCALES[scale],
        network=network,
        p=p,
        alpha=alpha,
        seeds=seeds,
        backbone_steps=backbone_steps,
        max_steps=max_steps,
    )
    speeds = check_option("speeds", speeds, tuple[float, ...])
    decays = check_option("decays", decays, tuple[float, ...])
    margins = check_option("margins", margins, tuple[float, float])
    learning_rate = check_option("learning_rate", learning_rate, float)
    model = build_network(setting.network, setting.p, scale)
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    task = tasks.modular_addition(setting.p)
    rate = network_rate(setting.network, scale)
    with Sweeps(running=True) as sweeps:
        pair = backbones(sweeps, model, task, setting, rate, progress)
        # Logits of frozen networks are numbers: looked up, not computed anew in every step.
        table = LogitTable(setting.p)
        mixed = Mixture(table, table)
        logits = [
            normalized(table, model, backbone, pair[0], margin)
            for backbone, margin in zip(pair, margins, strict=True)
        ]
        lanes = grokjax.grid(
            weight_decay=decays,
            seed=range(setting.seeds),
            alpha=setting.alpha,
            learning_rate=learning_rate,
        )
        memorizing, generalizing = ({"logits": values[lanes["seed"]]} for values in logits)
        ones = np.ones(len(lanes["seed"]))
        for speed in speeds:
            sweeps.run(
                grokjax.Recipe(mixed, losses.cross_entropy, optimizers.gradient_descent),
                task,
                lanes,
                columns={"w_m2": speed},
                max_steps=setting.max_steps,
                eval_every=log_spaced(setting.max_steps),
                stop=None,
                initial=mixed.start(memorizing, generalizing, speed * ones, ones),
                keep_params="none",
                progress=progress,
            )
    result = sweeps.joined()
    for name, backbone in zip(("memorizing", "generalizing"), pair, strict=True):
        alone = backbone.final("test_accuracy").values
        result.dataset[f"{name}_test_accuracy"] = "lane", alone[result.dataset.seed.values]
    return sweeps.report(output, draw, print_table, result=result)


def backbones(
    sweeps: Sweeps, model: Model, task: tasks.Task, setting: Scale, rate: float, progress: bool
) -> list[grokjax.SweepResult]:
    """A memorizing and a generalizing network for each seed."""
    recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw)
    kinds: list[tuple[str, float, float, Any]] = [
        ("train", setting.alpha, 0.0, memorized),
        ("test", setting.large_alpha, setting.weight_decay, grokjax.grokked(threshold=1.0)),
    ]
    results = []
    for rows, alpha, decay, stop in kinds:
        lanes = grokjax.grid(
            seed=range(setting.seeds),
            alpha=alpha,
            learning_rate=rate,
            weight_decay=decay,
        )
        result = sweeps.run(
            recipe,
            task,
            lanes,
            kept=False,
            max_steps=setting.backbone_steps,
            eval_every=10,
            stop=stop,
            progress=progress,
        )
        reached = result.final(f"{rows}_accuracy")
        if reached.min() < 0.99:
            raise ValueError(
                f"after {setting.backbone_steps} steps at alpha {alpha:g} a {setting.network} has "
                f"{rows} accuracy {reached.min().item():.3f}; raise backbone_steps or alpha."
            )
        results.append(result)
    return results


def normalized(
    table: LogitTable,
    model: Model,
    backbone: grokjax.SweepResult,
    memorizing: grokjax.SweepResult,
    margin: float,
) -> np.ndarray:
    """Logits of each network for the whole table.

    The mean margin is that on the rows that the memorizing network of the same seed trained on.
    """
    logits = []
    for lane in range(backbone.dataset.sizes["lane"]):
        values = np.asarray(table.tabulate(model, backbone.network(lane).params)["logits"])
        split = memorizing.split(lane)
        flat = values.reshape(len(split.labels), -1)[split.train]
        right = np.arange(len(flat)), split.labels[split.train]
        others = flat.copy()
        others[right] = -np.inf
        logits.append(values * (margin / np.mean(flat[right] - others.max(axis=1))))
    return np.stack(logits)


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure of a run, drawn from its result, as PNG and SVG."""
    from matplotlib.lines import Line2D

    from grokjax import plotting
    from grokjax.plotting import (
        GREY,
        PALETTE,
        TEST,
        TRAIN,
        label_log,
        legend_above,
        over_lanes,
    )

    dataset = result.dataset
    speeds, decays = (list(dict.fromkeys(dataset[k].values)) for k in ("w_m2", "weight_decay"))
    with plotting.in_style():
        figure, axes = plotting.new_figure(
            len(speeds), 2, size=(6.6, 2.2 * len(speeds) + 0.4), sharex=True, squeeze=False
        )
        for row, speed in zip(axes, speeds, strict=True):
            for ax, kind in zip(row, ("accuracy", "loss"), strict=True):
                for i, decay in enumerate(decays):
                    inside = (dataset.w_m2 == speed) & (dataset.weight_decay == decay)
                    if not inside.any():
                        continue  # not begun when the sweep was interrupted
                    lanes = dataset.isel(lane=inside.values)
                    for part, line in (("train", TRAIN), ("test", TEST)):
                        step, middle, low, high = over_lanes(lanes, f"{part}_{kind}")
                        ax.plot(step, middle, color=PALETTE[i], **line)
                        ax.fill_between(step, low, high, color=PALETTE[i], alpha=0.15, linewidth=0)
                ax.set(xscale="log", ylabel=kind)
                label_log(ax.xaxis)
            row[0].set_ylim(-0.03, 1.03)
            row[1].set(yscale="log")
            label_log(row[1].yaxis)
            row[1].set_title(f"$w_{{m2}} = {speed:g}$, $w_{{g2}} = 1$")
        for ax in axes[-1]:
            ax.set_xlabel("step")
        handles = [
            Line2D([], [], color=PALETTE[i], label=f"weight decay {decay:g}")
            for i, decay in enumerate(decays)
        ]
        handles += [
            Line2D([], [], color=GREY, label=k, **v) for k, v in (("train", TRAIN), ("test", TEST))
        ]
        legend_above(axes[0, 0], handles, columns=2)
    return plotting.save(figure, output, "mixture")


def print_table(result: grokjax.SweepResult) -> None:
    """Median over seeds, with the lowest and highest."""
    dataset = result.dataset
    seeds = len(np.unique(dataset.seed))
    table = Table(
        title=f"{dataset.attrs['task']}, alpha {dataset.alpha.values[0]:g}: mixture of frozen "
        f"networks, {seeds} seeds",
        box=box.SIMPLE_HEAD,
    )
    headings = ("w_m2", "decay", "99 % at step", "peak test loss", "last test loss")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for speed in dict.fromkeys(dataset.w_m2.values.tolist()):
        for decay in dict.fromkeys(dataset.weight_decay.values.tolist()):
            inside = (dataset.w_m2 == speed) & (dataset.weight_decay == decay)
            if not inside.any():
                continue  # not begun when the sweep was interrupted
            lanes = result.select(inside)
            loss = lanes.dataset.test_loss.values
            groks = survival.median(lanes.dataset.grokking_step, lanes.dataset.watched_step).value
            table.add_row(
                f"{speed:g}",
                f"{decay:g}",
                f"{groks:,.0f}" if np.isfinite(groks) else "never",
                spread(np.nanmax(loss, axis=1), ".2g"),
                spread(lanes.final("test_loss"), ".2g"),
            )
    Console().print(table)
    for name in ("memorizing", "generalizing"):
        alone = dataset[f"{name}_test_accuracy"].values[:seeds]
        print(f"test accuracy of the {name} network alone: {spread(alone)}")


if __name__ == "__main__":
    run_as_command(mixture)
