"""Does a network that generalizes go back to memorizing when its training set shrinks?

The question of S1, figures 7 and 8: networks that grokked go on training on a small subset of the
rows they were trained on, for several sizes of the subset, networks and weight decays.

    python experiments/efficiency/ungrokking.py                  # quick: p = 23, a minute, 2 cores
    python experiments/efficiency/ungrokking.py --scale paper    # p = 97, S1's networks: for a GPU

Expected: below a critical size test accuracy falls towards chance, in every network and with every
weight decay above 0 alike. At the quick scale Transformer, LSTM and perceptron forget there without
decay too, though less.
"""

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import tyro
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

    networks: tuple[str, ...]
    p: int
    alpha: float
    small: tuple[float, ...]
    decays: tuple[float, ...]
    seeds: int
    weight_decay: float  # while the networks learn to generalize
    parent_steps: int
    max_steps: int
    batch_size: int | None


SCALES = {
    "quick": Scale(
        networks=("transformer", "lstm", "mlp"),
        p=23,
        alpha=0.9,
        small=(0.05, 0.2, 0.4),
        decays=(0.0, 0.3, 1.0),
        seeds=2,
        weight_decay=1.0,
        parent_steps=2000,
        max_steps=400,
        batch_size=None,
    ),
    "paper": Scale(
        networks=("transformer", "lstm", "mlp"),
        p=97,
        alpha=0.7,
        small=(0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4),
        decays=(0.0, 0.1, 0.3, 1.0),
        seeds=3,
        weight_decay=1.0,
        parent_steps=100_000,
        max_steps=50_000,
        batch_size=512,
    ),
}


def ungrokking(
    scale: Literal["quick", "paper"] = "quick",
    *,
    networks: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="NAME ...")] = None,
    p: int | None = None,
    alpha: float | None = None,
    small: tuple[float, ...] | None = None,
    decays: tuple[float, ...] | None = None,
    seeds: int | None = None,
    parent_steps: int | None = None,
    max_steps: int | None = None,
    output: Path = Path("results/efficiency_ungrokking"),
    checkpoints: Path | None = None,
    progress: bool = True,
) -> grokjax.SweepResult:
    """Test accuracy of networks that grokked, while they train on a subset of their rows.

    The training sets of one seed are nested in alpha, so those of `small` are subsets. The test
    rows are all others, also those that the network saw before. AdamW's averages start anew.

    Args:
      scale: quick: p = 23, small networks; paper: p = 97, S1's networks, minibatches.
      networks: any of quadratic, mlp, lstm, transformer.
      p: the modulus.
      alpha: the fraction of the table that the networks learn to generalize from.
      small: fractions to go on with, each less than alpha.
      decays: weight decays to go on with; 0 is none.
      seeds: networks of each kind; those that have not grokked are left out.
      parent_steps: most steps in which they have to grok.
      max_steps: steps they go on for.
      output: folder for the dataset, the configuration and the figure.
      checkpoints: folder to keep checkpoints in.
      progress: show how far the sweeps are, in a terminal.

    Returns:
      One lane for each network, seed, fraction and decay, with the column `network`.

    Raises:
      ValueError: for an unknown network, a fraction that is not small, or if no network grokked.
    """
    setting = override(
        SCALES[scale],
        networks=networks,
        p=p,
        alpha=alpha,
        small=small,
        decays=decays,
        seeds=seeds,
        parent_steps=parent_steps,
        max_steps=max_steps,
    )
    if max(setting.small) >= setting.alpha:
        raise ValueError(
            f"small={max(setting.small):g} is no subset of alpha={setting.alpha:g}; use less."
        )
    models = {name: build_network(name, setting.p, scale) for name in setting.networks}
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    task = tasks.modular_addition(setting.p)
    for small_alpha in setting.small:
        tasks.num_train_rows(task, small_alpha)  # refused now rather than after the parents
    with Sweeps() as sweeps:
        for name, model in models.items():
            recipe = grokjax.Recipe(
                model, losses.cross_entropy, optimizers.adamw, batch_size=setting.batch_size
            )
            columns = {"learning_rate": learning_rate(name, scale), "warmup": 10}
            folder = None if checkpoints is None else checkpoints / name
            parents = sweeps.run(
                recipe,
                task,
                grokjax.grid(
                    alpha=setting.alpha,
                    seed=range(setting.seeds),
                    weight_decay=setting.weight_decay,
                    **columns,
                ),
                title=f"{name}, learning to generalize",
                kept=False,
                max_steps=setting.parent_steps,
                eval_every=max(1, setting.parent_steps // 100),
                directory=None if folder is None else folder / "parents",
                progress=progress,
            )
            grokked = parents.dataset.grokking_step.notnull().values
            if not grokked.any():
                print(f"{name}: none of {len(grokked)} grokked, left out; raise parent_steps")
                continue
            lanes = grokjax.grid(
                alpha=setting.small,
                weight_decay=setting.decays,
                seed=parents.dataset.seed.values[grokked],
                **columns,
            )
            sweeps.run(
                recipe,
                task,
                lanes,
                title=f"{name}, of {grokked.sum()} that grokked",
                columns={"network": name},
                max_steps=setting.max_steps,
                eval_every=max(1, setting.max_steps // 50),
                stop=None,
                initial=parents.branch(lanes, ["seed"]),
                keep_params="none",
                directory=None if folder is None else folder / "branches",
                progress=progress,
            )
    if not sweeps.results:
        raise ValueError("no network grokked; raise parent_steps or alpha.")
    return sweeps.report(output, draw, print_table)


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure of a run, drawn from its result, as PNG and SVG."""
    from grokjax import plotting
    from grokjax.plotting import GREY, over_lanes

    dataset = result.dataset
    names = list(dict.fromkeys(dataset.network.values.tolist()))
    decays, alphas = np.unique(dataset.weight_decay), np.unique(dataset.alpha)
    rows = dataset.attrs["rows"]
    chance = dataset.attrs["chance"]
    with plotting.in_style():
        figure, axes = plotting.new_figure(
            2, len(names), size=(2.5 * len(names) + 0.3, 4.4), sharey=True, squeeze=False
        )
        for (above, below), name in zip(axes.T, names, strict=True):
            lanes = result.select(dataset.network == name)
            for i, decay in enumerate(decays):
                colour = plotting.PALETTE[i % len(plotting.PALETTE)]
                chosen = lanes.select(lanes.dataset.weight_decay == decay)
                here, last = chosen.dataset, chosen.final("test_accuracy").values
                label = f"weight decay {decay:g}"
                places = np.unique(here.alpha)
                middle = [np.median(last[here.alpha.values == alpha]) for alpha in places]
                above.plot(places * rows, middle, "-", color=colour, label=label)
                above.plot(
                    here.alpha * rows, last, "o", color=colour, markersize=3.5, markeredgewidth=0,
                    alpha=0.6,
                )  # fmt: skip
                smallest = here.isel(lane=here.alpha.values == alphas[0])
                if smallest.sizes["lane"]:  # else they were interrupted
                    step, middle, low, high = over_lanes(smallest, "test_accuracy")
                    below.plot(step, middle, color=colour)
                    below.fill_between(step, low, high, color=colour, alpha=0.18, linewidth=0)
            for ax in (above, below):
                ax.axhline(chance, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
                ax.set_ylim(-0.03, 1.03)
            above.set(xlabel="training rows", title=name)
            below.set(xlabel="step after the cut")
            below.set_title(f"{round(alphas[0] * rows):,} rows", fontsize=8)
        axes[0, 0].set_ylabel("final test accuracy")
        axes[1, 0].set_ylabel("test accuracy")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(decays))
    return plotting.save(figure, output, "ungrokking")


def print_table(result: grokjax.SweepResult) -> None:
    """Median final test accuracy for each network, decay and fraction."""
    dataset = result.dataset
    alphas = np.unique(dataset.alpha)
    table = Table(
        title=f"{dataset.attrs['task']}: test accuracy {dataset.attrs['max_steps']} steps after "
        f"the cut, chance {dataset.attrs['chance']:.3f}",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("network", no_wrap=True)
    table.add_column("decay", justify="right")
    for alpha in alphas:
        heading = f"{round(alpha * dataset.attrs['rows']):,} rows"
        table.add_column(heading, justify="right", no_wrap=True)
    last = result.final("test_accuracy").values
    for name in dict.fromkeys(dataset.network.values.tolist()):
        for decay in np.unique(dataset.weight_decay):
            here = (dataset.network.values == name) & (dataset.weight_decay.values == decay)
            ends = [last[here & (dataset.alpha.values == alpha)] for alpha in alphas]
            cells = [f"{np.median(end):.2f}" if end.size else "" for end in ends]
            table.add_row(name, f"{decay:g}", *cells)
        table.add_section()
    Console().print(table)
    first = dataset.test_accuracy.values[:, 0]
    print(f"test accuracy at the cut: {spread(first, '.3f')}")


if __name__ == "__main__":
    run_as_command(ungrokking)
