"""Do a Transformer, an LSTM and a multilayer perceptron grok, and how does alpha change it?

The question of S1, figures 1 to 3, and of S2, figures 1 to 4: accuracy and loss of each network
against the step, under AdamW with minibatches, on several fractions of the table.

    python experiments/architectures/curves.py                  # quick: p = 31, minutes on 2 cores
    python experiments/architectures/curves.py --scale paper    # p = 97, 1e5 steps: for a GPU

    # S2 figures 1 and 2b,c; figure 3; figure 4
    ... --scale paper --networks transformer --alphas 0.33 0.5 0.8
    ... --scale paper --networks lstm mlp --alphas 0.5
    # S1 figures 1, 2, 3
    ... --scale paper --networks transformer_s1 lstm_s1 mlp_s1 --alphas 0.5
    ... --scale paper --networks transformer_s1 transformer_power lstm_s1 --alphas 0.3 0.5 0.7

Expected of S2's Transformer: all training rows right within 1e3 steps; at alpha 0.5, 99 % of the
others after 1e4 steps, at 0.8 within 1e4; the training loss falls steadily, the test loss rises
before it falls; the delay grows steeply as alpha falls. LSTM and perceptron: a smaller delay. Of
S1's: the Transformer's two accuracies rise together at first and then the test accuracy waits,
which of the networks here only `transformer_power`, with the five tokens of Power et al., was seen
to do; the LSTM memorizes a little later with more data and groks much sooner. At quick scale, 2500
steps of strong decay, test accuracy gets to 85 to 97 % at alpha 0.6 and 94 to 100 % at 0.8, and
only the perceptron holds it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import tyro
import xarray
from rich import box
from rich.console import Console
from rich.table import Table

import grokjax
from grokjax import losses, measures, optimizers, tasks
from grokjax.command import Sweeps, choose, override, run_as_command
from grokjax.models import LSTM, MLP, Model, Transformer


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    networks: tuple[str, ...]
    alphas: tuple[float, ...]
    seeds: int
    learning_rate: float
    weight_decay: float
    max_steps: int
    eval_every: int


SCALES = {
    "quick": Scale(
        p=31,
        networks=("transformer", "lstm", "mlp"),
        alphas=(0.6, 0.8),
        seeds=1,
        learning_rate=3e-3,
        weight_decay=1.0,
        max_steps=2500,
        eval_every=50,
    ),
    "paper": Scale(
        p=97,
        networks=("transformer", "lstm", "mlp", "transformer_s1", "lstm_s1", "mlp_s1"),
        alphas=(0.3, 0.33, 0.5, 0.6, 0.7, 0.8),
        seeds=3,
        learning_rate=1e-3,
        weight_decay=0.1,
        max_steps=100_000,
        eval_every=100,
    ),
}


def build_networks(p: int) -> dict[str, Model]:
    """The networks of S2, those of S1's sizes, and the five-token Transformer of Power et al."""
    return {
        "transformer": Transformer(p),
        "lstm": LSTM(p),
        "mlp": MLP(p),
        "transformer_s1": Transformer(p, norm="pre", readout="last", vocabulary=p),
        "lstm_s1": LSTM(p, width=144, embedding=128, vocabulary=p),
        "mlp_s1": MLP(p, hidden=(448, 448), embedding=128, vocabulary=p),
        "transformer_power": Transformer(p, norm="pre", equation=True, vocabulary=p),
    }


def curves(
    scale: Literal["quick", "paper"] = "quick",
    *,
    networks: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="NAME ...")] = None,
    p: int | None = None,
    alphas: tuple[float, ...] | None = None,
    seeds: int | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    max_steps: int | None = None,
    eval_every: int | None = None,
    batch_size: int = 512,
    to_the_end: bool = False,
    output: Path = Path("results/architectures"),
    checkpoints: Path | None = None,
    progress: bool = True,
) -> grokjax.SweepResult:
    """Accuracy and loss of the networks of S1 and S2 against the step.

    Args:
      scale: quick: p = 31, minutes on two CPU cores; paper: p = 97, for a GPU.
      networks: any of transformer, lstm, mlp (S2), transformer_s1, lstm_s1, mlp_s1 (S1's sizes),
        transformer_power (five tokens).
      p: the modulus.
      alphas: fractions of the table to train on.
      seeds: networks of each, with seeds 0, 1, ...
      learning_rate: of AdamW, after a warmup of 10 steps.
      weight_decay: of AdamW.
      max_steps: training steps after which a network that has not grokked is given up (censored).
      eval_every: steps between measurements.
      batch_size: rows of a step; half of the training rows where that is less.
      to_the_end: train all networks for max_steps, also those that have grokked.
      output: folder for the dataset, the configuration and the figures.
      checkpoints: folder to keep checkpoints in; the same command goes on from them after an
        interruption, and trains only what is new when seeds or alphas are added.
      progress: show how far the sweep is, in a terminal.

    Returns:
      One lane for each network, with the column `network`.
    """
    setting = override(
        SCALES[scale],
        networks=networks,
        p=p,
        alphas=alphas,
        seeds=seeds,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        max_steps=max_steps,
        eval_every=eval_every,
    )
    known = build_networks(setting.p)
    names = choose("network", setting.networks, known)
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    task = tasks.modular_addition(setting.p)
    lanes = grokjax.grid(
        alpha=setting.alphas,
        seed=range(setting.seeds),
        learning_rate=setting.learning_rate,
        weight_decay=setting.weight_decay,
        warmup=10,
    )
    with Sweeps(running=True) as sweeps:
        for name in names:
            recipe = grokjax.Recipe(
                known[name],
                losses.cross_entropy,
                optimizers.adamw,
                batch_size=batch_size,
                measures=(measures.mirrored,),
            )
            sweeps.run(
                recipe,
                task,
                lanes,
                title=name,
                columns={"network": name},
                max_steps=setting.max_steps,
                eval_every=setting.eval_every,
                stop=None if to_the_end else grokjax.grokked(),
                directory=None if checkpoints is None else checkpoints / name,
                keep_params="none",
                progress=progress,
            )
    return sweeps.report(output, draw, print_table)


def findings(dataset: xarray.Dataset) -> xarray.Dataset:
    """The numbers of the figures, one for every lane.

    "The rise" of the test loss is its highest value over its lowest one before it. The accuracies
    on mirrored and other test rows are those when the network has memorized.
    """
    test = dataset.test_loss
    before = xarray.where(dataset.step <= dataset.step[test.argmax("time")], test, np.nan)
    memorized = (dataset.step == dataset.memorization_step).argmax("time")
    then = dataset.isel(time=memorized).where(dataset.memorization_step.notnull())
    return xarray.Dataset(
        {
            "memorization step": dataset.memorization_step,
            "grokking step": dataset.grokking_step,
            "rise of the test loss": test.max("time") / before.min("time"),
            "mirrored accuracy": then.mirrored_accuracy,
            "unmirrored accuracy": then.unmirrored_accuracy,
            "best test accuracy": dataset.test_accuracy.max("time"),
        }
    ).reset_coords(drop=True)


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure of a run, drawn from its result, as PNG and SVG."""
    from grokjax import plotting

    names = list(dict.fromkeys(result.dataset.network.values.tolist()))
    size = (7.5, 2.4 * len(names) + 0.4)
    figure, axes = plotting.new_figure(len(names), 2, size=size, squeeze=False)
    for (left, right), name in zip(axes, names, strict=True):
        plotting.accuracy_curves(result, left, network=name)
        plotting.loss_curves(result, right, network=name)
        left.set_ylabel(f"{name.replace('_', ' ')}: accuracy")
    return plotting.save(figure, output, "curves")


def print_table(result: grokjax.SweepResult) -> None:
    """Median over seeds of every network and alpha, with the lowest and highest."""
    dataset = result.dataset
    numbers = findings(dataset)
    decay = dataset.weight_decay.values[0]
    title = (
        f"{dataset.attrs['task']}, AdamW with weight decay {decay:g}: median, range over seeds.\n"
        "mirror: % right when memorized, of the test rows (n, m) for which\n"
        "(m, n) is trained on; other: of all other test rows"
    )
    narrow: Any = {"padding": (0, 1), "collapse_padding": True, "pad_edge": False}
    table = Table(title=title, box=box.SIMPLE_HEAD, **narrow)
    headings = ("network", "alpha", "memorized", "grokked", "loss\nrises")
    for heading in (*headings, "mirror", "other", "best\ntest"):
        justify = "left" if heading == "network" else "right"
        table.add_column(heading, justify=justify, no_wrap=True)
    for name in dict.fromkeys(dataset.network.values.tolist()):
        for alpha in np.unique(dataset.alpha):
            chosen = ((dataset.network == name) & (dataset.alpha == alpha)).values
            if not chosen.any():
                continue  # not begun when the sweep was interrupted
            row, lanes = numbers.isel(lane=chosen), dataset.isel(lane=chosen)
            budget = lanes.watched_step.max().item()
            table.add_row(
                name.replace("_", "\n"),
                f"{alpha:g}",
                _range(row["memorization step"].values, ",.0f", budget),
                _range(row["grokking step"].values, ",.0f", budget),
                _range(row["rise of the test loss"].values, ".1f"),
                _percent(row["mirrored accuracy"].values),
                _percent(row["unmirrored accuracy"].values),
                f"{row['best test accuracy'].median().item():.0%}",
            )
        table.add_section()
    Console().print(table)


def _percent(values: np.ndarray) -> str:
    """A range of percentages, of the networks that have any."""
    known = 100 * values[~np.isnan(values)]
    return _range(known, ".0f") if known.size else ""


def _range(values: np.ndarray, form: str, budget: float = np.inf) -> str:
    """The median, and below it lowest and highest; NaN stands for later than it was watched."""
    known = np.where(np.isnan(values), np.inf, values)
    cell = lambda x: format(x, form) if np.isfinite(x) else f">{budget:,.0f}"
    middle, low, high = np.median(known), known.min(), known.max()
    return cell(middle) if low == high else f"{cell(middle)}\n{cell(low)}-{cell(high)}"


if __name__ == "__main__":
    run_as_command(curves)
