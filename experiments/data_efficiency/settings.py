"""Which regularizers and optimizers generalize from the least data?

The questions of S1's figure 4 (`--family regularizers`) and S2's section 3.3 (`--family
optimizers`): the best test accuracy within the budget against the fraction of the table trained on,
for nine settings each of a Transformer under cross entropy.

    python experiments/data_efficiency/settings.py                 # quick: p = 17
    python experiments/data_efficiency/settings.py --scale paper   # p = 97, for a GPU

At paper scale a step of one network takes 30 ms of a CPU core with minibatches, and 500 ms times
alpha in full batch; a family is 189 networks of 1e5 steps: 420 core hours for the regularizers, of
which 300 are full batch.

Expected of the regularizers (S1): decay to zero is best and decay to the start good; every noise,
of minibatches, dropout, updates or weights, helps; full-batch Adam is worst; the learning rate
must be tuned. Of the optimizers (S2): the baseline generalizes from alpha 0.33, a tenth of its
learning rate not even at 0.6; without dropout little changes; gradient descent is worst, and L2
makes it worse; RMSprop and minibatch Adam need 0.5, full-batch Adam more than 0.7.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import grokjax
from experiments.common import cells, spread
from grokjax import losses, models, optimizers, tasks
from grokjax.command import Sweeps, choose, override, run_as_command


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    model: dict[str, Any]  # of the Transformer
    alphas: tuple[float, ...]
    seeds: int
    max_steps: int
    eval_every: int
    learning_rate: float
    weight_decay: float
    small_batch: int


SCALES = {
    "quick": Scale(
        p=17,
        model={"layers": 1, "width": 32, "vocabulary": 17},
        alphas=(0.5, 0.65, 0.8),
        seeds=2,
        max_steps=1000,
        eval_every=50,
        learning_rate=1e-2,
        weight_decay=1.0,
        small_batch=32,
    ),
    "paper": Scale(
        p=97,
        model={},
        alphas=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
        seeds=3,
        max_steps=100_000,
        eval_every=100,
        learning_rate=1e-3,
        weight_decay=0.1,
        small_batch=128,
    ),
}


WARMUP = 10  # steps, of every setting


class Setting(NamedTuple):
    """One panel of a figure: a recipe and its hyperparameters."""

    title: str
    recipe: grokjax.Recipe
    columns: dict[str, float]


def regularizers(scale: Scale) -> dict[str, Setting]:
    """The nine settings of S1's figure 4, in its order.

    Adam means (0.9, 0.98) without decay; where no batch is named it is `min(512, n_train / 2)`.
    Noise is 0.01, on updates in units of the learning rate.
    """
    model = models.Transformer(scale.p, **scale.model)
    noisy_model = models.with_weight_noise(model)
    rate, decay, batch = scale.learning_rate, scale.weight_decay, scale.small_batch
    adamw, noisy_updates = optimizers.adamw, optimizers.with_update_noise(optimizers.adam)
    # What is zero is given too, so that settings of one recipe share their compiled programs.
    plain = {"learning_rate": rate, "weight_decay": 0.0, "dropout": 0.0}
    full = {"learning_rate": rate, "update_noise": 0.0, "dropout": 0.0}
    return {
        "full_batch": Setting("full batch", _recipe(model, noisy_updates, None), full),
        "small_batch": Setting(f"batch {batch}", _recipe(model, adamw, batch), plain),
        "update_noise": Setting(
            "full batch, update noise",
            _recipe(model, noisy_updates, None),
            full | {"update_noise": 0.01},
        ),
        "dropout": Setting("dropout 0.1", _recipe(model, adamw), plain | {"dropout": 0.1}),
        "decay_to_zero": Setting(
            f"decay {decay:g} to zero", _recipe(model, adamw), plain | {"weight_decay": decay}
        ),
        "decay_to_start": Setting(
            f"decay {decay:g} to start",
            _recipe(model, optimizers.adamw_to_init),
            plain | {"weight_decay": decay},
        ),
        "low_rate": Setting(
            f"learning rate {rate / 10:g}",
            _recipe(model, adamw),
            plain | {"learning_rate": rate / 10},
        ),
        "adam": Setting(f"learning rate {rate:g}", _recipe(model, adamw), plain),
        "weight_noise": Setting(
            "weight noise", _recipe(noisy_model, adamw), plain | {"weight_noise": 0.01}
        ),
    }


def optimizer_settings(scale: Scale) -> dict[str, Setting]:
    """The nine settings of S2's section 3.3; all but the third with dropout 0.1.

    S2 does not print them. The decay of RMSprop is 0.99, torch's default, which its authors run.
    """
    model = models.Transformer(scale.p, **scale.model)
    rate, decay = scale.learning_rate, {"weight_decay": scale.weight_decay}
    adamw, nesterov = _recipe(model, optimizers.adamw), _recipe(model, optimizers.nesterov)
    full, rmsprop = _recipe(model, optimizers.adam, None), _recipe(model, optimizers.rmsprop)
    plain = {"learning_rate": rate, "weight_decay": 0.0, "dropout": 0.1}
    baseline = plain | decay
    smooth = {"learning_rate": rate, "dropout": 0.1}
    return {
        "baseline": Setting("AdamW", adamw, baseline),
        "low_rate": Setting(
            f"AdamW, rate {rate / 10:g}", adamw, baseline | {"learning_rate": rate / 10}
        ),
        "no_dropout": Setting("AdamW, no dropout", adamw, baseline | {"dropout": 0.0}),
        "nesterov": Setting(f"Nesterov, rate {rate:g}", nesterov, plain),
        "nesterov_high_rate": Setting(
            f"Nesterov, rate {10 * rate:g}", nesterov, plain | {"learning_rate": 10 * rate}
        ),
        "nesterov_l2": Setting(
            f"Nesterov, rate {rate:g}, L2 {scale.weight_decay:g}", nesterov, baseline
        ),
        "adam": Setting("Adam", adamw, plain),
        "adam_full_batch": Setting("Adam, full batch", full, smooth),
        "rmsprop": Setting("RMSprop", rmsprop, smooth | {"decay": 0.99}),
    }


FAMILIES = {"regularizers": regularizers, "optimizers": optimizer_settings}


def settings(
    scale: Literal["quick", "paper"] = "quick",
    *,
    family: Literal["regularizers", "optimizers"] = "regularizers",
    names: tuple[str, ...] | None = None,
    p: int | None = None,
    alphas: tuple[float, ...] | None = None,
    seeds: int | None = None,
    max_steps: int | None = None,
    eval_every: int | None = None,
    output: Path = Path("results/data_efficiency"),
    checkpoints: Path | None = None,
    progress: bool = True,
) -> grokjax.SweepResult:
    """Best test accuracy within the budget against alpha, for nine settings of a Transformer.

    Args:
      scale: quick: p = 17 and one narrow layer, a minute or two on two CPU cores; paper: p = 97 and
        the Transformer of the sources.
      family: regularizers: S1's figure 4; optimizers: S2's section 3.3.
      names: some of the settings of the family alone, such as full_batch or decay_to_zero.
      p: the modulus.
      alphas: fractions of the table to train on.
      seeds: networks of each setting and alpha, with seeds 0, 1, ...
      max_steps: training steps of each; one that answers every test row right stops sooner.
      eval_every: steps between measurements.
      output: folder for the dataset, the configuration and the figures, by family.
      checkpoints: folder to keep checkpoints in; the same command goes on from them after an
        interruption.
      progress: show how far the sweeps are, in a terminal.

    Returns:
      One lane for each network, with the column `setting`.
    """
    chosen = override(
        SCALES[scale],
        p=p,
        alphas=alphas,
        seeds=seeds,
        max_steps=max_steps,
        eval_every=eval_every,
    )
    known = FAMILIES[family](chosen)
    names = choose("setting", tuple(known) if names is None else names, known)
    output = output / family
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    task = tasks.modular_addition(chosen.p)
    with Sweeps() as sweeps:
        for name in names:
            title, recipe, columns = known[name]
            sweeps.run(
                recipe,
                task,
                grokjax.grid(
                    alpha=chosen.alphas, seed=range(chosen.seeds), warmup=WARMUP, **columns
                ),
                title=title,
                columns={"setting": title},
                max_steps=chosen.max_steps,
                eval_every=chosen.eval_every,
                stop=grokjax.grokked(threshold=1.0, patience=1),  # no accuracy is better
                directory=None if checkpoints is None else checkpoints / family / name,
                keep_params="none",
                progress=progress,
            )
    return sweeps.report(output, draw, print_table)


def best_accuracies(result: grokjax.SweepResult) -> dict[str, np.ndarray]:
    """Best measured test accuracy, by setting: [alphas, seeds]."""
    dataset = result.dataset
    return cells(dataset.test_accuracy.max("time"), dataset.setting, dataset.alpha)


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure of a run, drawn from its result, as PNG and SVG."""
    from grokjax import plotting

    figure = plotting.data_efficiency(np.unique(result.dataset.alpha), best_accuracies(result))
    return plotting.save(figure, output, "data_efficiency")


def print_table(result: grokjax.SweepResult) -> None:
    """Median over seeds of the best test accuracy, with the lowest and highest."""
    alphas = np.unique(result.dataset.alpha)
    table = Table(
        title=f"{result.dataset.attrs['task']}: best test accuracy (%), median (lowest to highest)",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("setting")
    for alpha in alphas:
        table.add_column(f"alpha {alpha:g}", justify="right", no_wrap=True)
    table.add_column("mean", justify="right")
    for name, best in best_accuracies(result).items():
        mean = "" if np.isnan(best).any() else f"{100 * best.mean():.1f}"
        table.add_row(name, *(spread(100 * row, ".0f") for row in best), mean)
    Console().print(table)


def _recipe(model: Any, optimizer: Any, batch_size: int | None = 512) -> grokjax.Recipe:
    return grokjax.Recipe(model, losses.cross_entropy, optimizer, batch_size=batch_size)


if __name__ == "__main__":
    run_as_command(settings)
