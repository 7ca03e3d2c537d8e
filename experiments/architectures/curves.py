"""Do a Transformer, an LSTM and a multilayer perceptron grok, and how does alpha change it?

The question of figures 1 to 3 of the first report, "Towards Understanding Grokking Phenomenon via
Model and Training Efficiency", and of figures 1 to 4 of the second, "Grokking Phenomenon
Reproduction" by Sha, Wu and Yue: accuracy and loss of each network against the step, under AdamW
with minibatches, on several fractions of the table.

    python experiments/architectures/curves.py                  # quick: p = 31, minutes on 2 cores
    python experiments/architectures/curves.py --scale paper    # p = 97, 1e5 steps: for a GPU

    # Second report: figures 1 and 2b,c; figures 3 and 4
    ... --scale paper --networks transformer --alphas 0.33 0.5 0.8
    ... --scale paper --networks lstm mlp --alphas 0.5
    # First report: figure 1; figures 2 and 3
    ... --scale paper --networks transformer_s1 lstm_s1 mlp_s1 --alphas 0.5
    ... --scale paper --networks transformer_s1 transformer_power lstm_s1 --alphas 0.3 0.5 0.7

Expected of the second report's Transformer: all training rows right within 1e3 steps; 99 % of the
others at alpha 0.5 after 1e4 steps, at 0.8 within 1e4; the training loss falls steadily, the test
loss rises before it falls; the delay grows steeply as alpha falls. LSTM and perceptron: a smaller
delay. Of the first report's networks: the Transformer's two accuracies rise together at first and
then the test accuracy waits, which of the networks here only `transformer_power`, with the five
tokens of Power et al. 2022, was seen to do; the LSTM memorizes a little later with more data and
groks much sooner. At quick scale, 2500 steps of strong decay, test accuracy gets to 85 to 97 % at
alpha 0.6 and 94 to 100 % at 0.8, and only the perceptron holds it.
"""

import numpy as np
import xarray

import grokjax
from experiments.common import first_report, second_report
from grokjax import losses, measures, models, optimizers, plotting, tasks
from grokjax.command import Study, choose, experiment, print_table, run_as_command, spread


def build_networks(p: int) -> dict[str, models.Model]:
    """The networks of the second report; those of the sizes of the first; Power et al.'s."""
    return {
        **second_report(p),
        **{f"{name}_s1": model for name, model in first_report(p).items()},
        "transformer_power": models.Transformer(p, norm="pre", equation=True, vocabulary=p),
    }


@experiment("architectures", paper={
    "networks": ("transformer", "lstm", "mlp", "transformer_s1", "lstm_s1", "mlp_s1"),
    "p": 97, "alphas": (0.3, 0.33, 0.5, 0.6, 0.7, 0.8), "seeds": 3, "learning_rate": 1e-3,
    "weight_decay": 0.1, "max_steps": 100_000, "eval_every": 100,
})  # fmt: skip
def curves(
    study: Study,
    *,
    networks: tuple[str, ...] = ("transformer", "lstm", "mlp"),
    p: int = 31,
    alphas: tuple[float, ...] = (0.6, 0.8),
    seeds: int = 1,
    learning_rate: float = 3e-3,
    weight_decay: float = 1.0,
    max_steps: int = 2500,
    eval_every: int = 50,
    batch_size: int = 512,
    to_the_end: bool = False,
) -> grokjax.SweepResult:
    """Accuracy and loss against the step, of networks that are told apart by the column `network`.

    Args:
      networks: any of transformer, lstm, mlp (second report), transformer_s1, lstm_s1, mlp_s1
        (sizes of the first), transformer_power (five tokens).
      learning_rate: of AdamW, after a warmup of 10 steps.
      batch_size: rows of a step; half of the training rows where that is less.
      to_the_end: train all networks for max_steps, also those that have grokked.
    """
    known = build_networks(p)
    names = choose("network", networks, known)
    columns = {"learning_rate": learning_rate, "weight_decay": weight_decay, "warmup": 10}
    minibatches = {"batch_size": batch_size, "measures": (measures.mirrored,)}
    with study.sweeps(draw, print_findings, running=True) as sweeps:
        for name in names:
            sweeps.run(
                grokjax.Recipe(known[name], losses.cross_entropy, optimizers.adamw, **minibatches),
                tasks.modular_addition(p), grokjax.grid(alpha=alphas, seed=range(seeds), **columns),
                title=name, columns={"network": name}, checkpoints=name,
                max_steps=max_steps, eval_every=eval_every,
                stop=None if to_the_end else grokjax.grokked(), keep_params="none",
            )  # fmt: skip
    return sweeps.result


def findings(result: grokjax.SweepResult) -> xarray.Dataset:
    """The numbers of the figures, one for every lane.

    "The rise" of the test loss is its highest value over its lowest one before it. The accuracies
    on mirrored and other test rows are those when the network has memorized.
    """
    dataset = result.dataset
    test = dataset.test_loss
    before = test.where(dataset.step <= dataset.step[test.argmax("time")])
    memorized = (dataset.step == dataset.memorization_step).argmax("time")
    then = dataset.isel(time=memorized).where(dataset.memorization_step.notnull())
    numbers = {
        "memorization step": dataset.memorization_step,
        "grokking step": dataset.grokking_step,
        "rise of the test loss": test.max("time") / before.min("time"),
        "mirrored accuracy": then.mirrored_accuracy,
        "unmirrored accuracy": then.unmirrored_accuracy,
        "best test accuracy": dataset.test_accuracy.max("time"),
    }
    return xarray.Dataset(numbers).reset_coords(drop=True)


def titled(name: str) -> str:
    """The name of a network, and below it the source if there are several of its kind."""
    kind, _, source = name.partition("_")
    return kind + {"s1": "\n(first report)", "power": "\n(Power et al.)"}.get(source, "")


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """Accuracy and loss against the step, a row for each network and a colour for each alpha."""
    groups, colours = result.groups("network"), plotting.colours_by(result, "alpha")
    size = (7.5, 2.2 * len(groups) + 0.6)
    figure, axes = plotting.new_figure(len(groups), 2, size=size, sharex=True, squeeze=False)
    for (left, right), (name, lanes) in zip(axes, groups, strict=True):
        plotting.accuracy_curves(lanes, left, by=colours, legend=False)
        plotting.loss_curves(lanes, right, by=colours, legend=False)
        left.set_ylabel(f"{titled(name)}\naccuracy")
    for ax in axes[:-1].flat:
        ax.set_xlabel("")
    plotting.legend_outside(figure, colours=colours)
    return figure


def print_findings(result: grokjax.SweepResult) -> None:
    """Median over seeds of every network and alpha, with the lowest and highest."""

    def steps(values: xarray.DataArray, budget: float) -> str:
        """NaN stands for later than it was watched."""
        return spread(values.fillna(np.inf), lines=True).replace("inf", f">{budget:,.0f}")

    rows = []
    for (name, alpha), lanes in result.groups("network", "alpha"):
        *reached, rise, mirrored, other, best = findings(lanes).values()
        budget = lanes.dataset.watched_step.max().item()
        cells = [steps(values, budget) for values in reached]
        cells.append(spread(rise, ",.1f", lines=True))
        cells += [spread(100 * part, ".0f", lines=True) for part in (mirrored, other)]
        rows.append((titled(name), alpha, *cells, f"{best.median().item():.0%}"))
    title = (
        f"{result.dataset.attrs['task']}, AdamW with weight decay "
        f"{result.dataset.weight_decay.values[0]:g}: median, range over seeds.\n"
        "mirror: % right when memorized, of the test rows (n, m) for which\n"
        "(m, n) is trained on; other: of all other test rows"
    )
    numbers = ("memorized", "grokked", "loss\nrises", "mirror", "other", "best\ntest")
    print_table(title, ("network", "alpha", *numbers), rows, sections=True)


if __name__ == "__main__":
    run_as_command(curves)
