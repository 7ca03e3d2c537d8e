"""Does grokking need the memorizing circuit to learn faster, and does it need weight decay?

The question of figure 5 of the technical report "Towards Understanding Grokking Phenomenon via
Model and Training Efficiency": a network that memorizes and one that generalizes, both trained
before and frozen, are mixed by two weights, each a product of two scalars that train:
`logits = w_m1 w_m2 memorizing + w_g1 w_g2 generalizing`, from w_m1 = w_g1 = 0. The scalars w_m2
and w_g2 set the speeds.

    python experiments/efficiency/mixture.py                  # quick: p = 23, a minute on 2 cores
    python experiments/efficiency/mixture.py --scale paper    # p = 97, perceptrons: for a GPU

Expected: with (w_m2, w_g2) = (10, 1) the test loss rises while the training loss falls, and falls
once that is near zero: grokking. With (1, 1) both fall together. The source does not say whether
the scalars decay: both are run. Without decay nothing takes the memorizing network away again.
"""

import jax
import numpy as np

import grokjax
from experiments.common import Network, about, networks_for
from grokjax import losses, models, optimizers, plotting, survival, tasks
from grokjax.command import Study, experiment, number, print_table, run_as_command, spread


def memorized(scalars: dict[str, jax.Array]) -> jax.Array:
    """Stops a network when all its training rows are right."""
    return scalars["train_accuracy"] >= 1.0


# Alpha, by default that of the mixture; weight decay; when to stop; the rows to be right then.
BACKBONES = {
    "memorizing": (None, 0.0, memorized, "train"),
    "generalizing": (0.8, 1.0, grokjax.grokked(threshold=1.0), "test"),
}


@experiment("efficiency_mixture", paper={"network": "mlp", "p": 97, "backbone_steps": 50_000})
def mixture(
    study: Study,
    *,
    network: Network = "quadratic",
    p: int = 23,
    alpha: float = 0.5,
    seeds: int = 3,
    speeds: tuple[float, ...] = (10.0, 1.0),
    decays: tuple[float, ...] = (0.0, 0.01),
    margins: tuple[float, float] = (1.0, 2.0),
    learning_rate: float = 0.01,
    backbone_steps: int = 2000,
    max_steps: int = 100_000,
) -> grokjax.SweepResult:
    """Loss and accuracy of a mixture of a memorizing and a generalizing network.

    The memorizing network is trained on the mixture's training rows, without decay, until all are
    right; the generalizing one on more of the table, with decay, until the rest is right too. Their
    logits are scaled to the mean margins `margins` on the training rows: the generalizing one is
    more efficient. The mixture trains by gradient descent.

    Args:
      network: which one, both times.
      alpha: the fraction of the table that the mixture is trained on.
      seeds: pairs of networks, with seeds 0, 1, ...
      speeds: values of w_m2, beside w_g2 = 1.
      decays: weight decays of the four scalars.
      margins: of the memorizing and the generalizing network.
      learning_rate: of the mixture; ten times as large, the first step alone memorizes.
      backbone_steps: most training steps of the two networks.
      max_steps: training steps of the mixture.

    Returns:
      One lane for each speed, decay and seed, with the accuracies of the two networks alone.

    Raises:
      ValueError: if a network did not train far enough to be mixed.
    """
    model, rate = networks_for(p, study.scale)[network]
    task = tasks.modular_addition(p)
    pair: dict[str, grokjax.SweepResult] = {}

    def with_backbones(result: grokjax.SweepResult) -> grokjax.SweepResult:
        for name, backbone in pair.items():
            alone = backbone.final("test_accuracy").values[result.dataset.seed.values]
            result.dataset[f"{name}_test_accuracy"] = "lane", alone
        return result

    with study.sweeps(draw, print_losses, running=True) as sweeps:
        for name, (fraction, decay, stop, part) in BACKBONES.items():
            fraction = fraction or alpha
            columns = {"alpha": fraction, "learning_rate": rate, "weight_decay": decay}
            pair[name] = sweeps.run(
                grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw), task,
                grokjax.grid(seed=range(seeds), **columns), checkpoints=name, kept=False,
                max_steps=backbone_steps, eval_every=10, stop=stop,
            )  # fmt: skip
            reached = pair[name].final(f"{part}_accuracy").min().item()
            if reached < 0.99:
                raise ValueError(
                    f"after {backbone_steps} steps at alpha {fraction:g} a {network} has {part} "
                    f"accuracy {reached:.3f}; raise backbone_steps or alpha."
                )
        # Logits of frozen networks are numbers: looked up, not computed anew in every step.
        table = models.LogitTable(p)
        mixed = models.Mixture(table, table)
        fixed = {"alpha": alpha, "learning_rate": learning_rate}
        lanes = grokjax.grid(weight_decay=decays, seed=range(seeds), **fixed)
        splits = [pair["memorizing"].split(seed) for seed in range(seeds)]
        memorizing, generalizing = (
            {"logits": normalized(table, backbone, splits, margin)[lanes["seed"]]}
            for backbone, margin in zip(pair.values(), margins, strict=True)
        )
        ones = np.ones(len(lanes["seed"]))
        for speed in speeds:
            sweeps.run(
                grokjax.Recipe(mixed, losses.cross_entropy, optimizers.gradient_descent), task,
                lanes, columns={"w_m2": speed}, checkpoints=f"speed{speed:g}",
                max_steps=max_steps, eval_every=grokjax.log_spaced(max_steps), stop=None,
                initial=mixed.start(memorizing, generalizing, speed * ones, ones),
                keep_params="none", then=with_backbones,
            )  # fmt: skip
    return sweeps.result


def normalized(
    table: models.LogitTable, backbone: grokjax.SweepResult, splits: list, margin: float
) -> np.ndarray:
    """Logits of each network for the whole table, of this mean margin on its training rows."""
    logits = []
    for lane, split in enumerate(splits):
        network = backbone.network(lane)
        values = np.asarray(table.tabulate(network.model, network.params)["logits"])
        trained = values.reshape(-1, values.shape[-1])[split.train]
        right = np.eye(values.shape[-1], dtype=bool)[split.labels[split.train]]
        margins = trained[right] - np.where(right, -np.inf, trained).max(axis=1)
        logits.append(values * (margin / margins.mean()))
    return np.stack(logits)


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """Accuracy and loss against the step, a row for each speed."""
    groups, colours = result.groups("w_m2"), plotting.colours_by(result, "weight_decay")
    alpha = result.dataset.alpha.values[0]
    size = (6.6, 2.2 * len(groups) + 0.6)
    figure, axes = plotting.new_figure(len(groups), 2, size=size, sharex=True, squeeze=False)
    for row, (speed, lanes) in zip(axes, groups, strict=True):
        plotting.accuracy_curves(lanes, row[0], by=colours, legend=False)
        plotting.loss_curves(lanes, row[1], by=colours, legend=False)
        for ax in row:
            ax.set_title(rf"$w_{{m2}} = {speed:g}$, $w_{{g2}} = 1$, $\alpha = {alpha:g}$")
    for ax in axes[:-1].flat:
        ax.set_xlabel("")
    plotting.legend_outside(figure, colours=colours)
    return figure


def print_losses(result: grokjax.SweepResult) -> None:
    """Grokking step and test losses: median over seeds, with the lowest and highest."""
    rows, seeds = [], result.groups("seed")
    for (speed, decay), lanes in result.groups("w_m2", "weight_decay"):
        groks = survival.median(lanes.dataset.grokking_step, lanes.dataset.watched_step).value
        peak, last = lanes.dataset.test_loss.max("time"), lanes.final("test_loss")
        rows.append((speed, decay, number(groks, "never"), spread(peak), spread(last)))
    alone = {x: [y.dataset[f"{x}_test_accuracy"].values[0] for _, y in seeds] for x in BACKBONES}
    title = f"{about(result)}: mixture of frozen networks, {len(seeds)} seeds"
    headings = ("w_m2", "decay", "99 % at step", "peak test loss", "last test loss")
    notes = [f"test accuracy of the {x} network alone: {spread(y)}" for x, y in alone.items()]
    print_table(title, headings, rows, notes=notes, sections=True)


if __name__ == "__main__":
    run_as_command(mixture)
