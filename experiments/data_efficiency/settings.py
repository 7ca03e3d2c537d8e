"""Which regularizers and optimizers generalize from the least data?

The questions of figure 4 of the first report, "Towards Understanding Grokking Phenomenon via Model
and Training Efficiency" (`--family regularizers`), and of section 3.3 of the second, "Grokking
Phenomenon Reproduction" by Sha, Wu and Yue (`--family optimizers`): the best test accuracy within
the budget against alpha, for nine settings each of a Transformer under cross entropy.

    python experiments/data_efficiency/settings.py  # quick: p = 17, 3 minutes on 2 cores
    python experiments/data_efficiency/settings.py --scale medium  # p = 31: 38 to 65 minutes, busy
    python experiments/data_efficiency/settings.py --scale paper  # p = 97, for a GPU

The medium scale was chosen on the optimizers' baseline alone, AdamW with dropout and decay, which
generalizes between an alpha of 0.5 and 0.6 there. At paper scale a family is 189 networks of 1e5
steps, of 30 ms of a Xeon core with minibatches, and 500 ms times alpha in full batch: 420 core
hours for the regularizers, of which 300 are full batch.

Expected of the regularizers (first report): decay to zero is best and decay to the start good;
every noise, of minibatches, dropout, updates or weights, helps; full-batch Adam is worst; the
learning rate must be tuned. Of the optimizers (second report): the baseline generalizes from an
alpha of 0.33, a tenth of its learning rate not even at 0.6; without dropout little changes;
gradient descent is worst, and L2 makes it worse; RMSprop and minibatch Adam need 0.5, full-batch
Adam more than 0.7. In the 1000 steps of the quick scale only AdamW with its decay generalizes. At
medium scale the baseline generalizes from 0.65, with dropout or without, and nothing without its
decay does. Above chance at 0.85, at 8 to 17 %, are Adam with dropout, also in full batch, noise on
the weights, small minibatches, RMSprop, and gradient descent at the higher rate.
"""

from typing import Any, Literal, NamedTuple

import numpy as np

import grokjax
from experiments.common import cells, mean_interval, transformer
from grokjax import losses, models, optimizers, plotting, tasks
from grokjax.command import Study, choose, experiment, print_table, run_as_command, spread


class Setting(NamedTuple):
    """One panel of a figure: a recipe and its hyperparameters."""

    title: str
    recipe: grokjax.Recipe
    columns: dict[str, float]


def build_settings(
    model: models.Model, rate: float, decay: float, small_batch: int
) -> dict[str, dict[str, Setting]]:
    """The nine settings of each family, by name; those of the regularizers in the report's order.

    Adam means (0.9, 0.98) without decay; where no batch is named it is `min(512, n_train / 2)`.
    Noise is 0.01, on updates in units of the learning rate. The second report does not print its
    settings. The decay of RMSprop is 0.99, torch's default, which its authors run.
    """
    adamw, nesterov = optimizers.adamw, optimizers.nesterov
    noisy_updates = optimizers.with_update_noise(optimizers.adam)
    low, high = {"learning_rate": rate / 10}, {"learning_rate": rate * 10}

    def setting(
        title: str, optimizer: Any, columns: dict[str, float], batch: int | None = 512,
        network: models.Model = model,
    ) -> Setting:  # fmt: skip
        recipe = grokjax.Recipe(network, losses.cross_entropy, optimizer, batch_size=batch)
        return Setting(title, recipe, columns)

    # What is zero is given too, so that settings of one recipe share their compiled programs.
    plain = {"learning_rate": rate, "weight_decay": 0.0, "dropout": 0.0}
    decayed = plain | {"weight_decay": decay}
    full = {"learning_rate": rate, "update_noise": 0.0, "dropout": 0.0}
    noise = full | {"update_noise": 0.01}
    weight_noise = plain | {"weight_noise": 0.01}
    noisy_model = models.with_weight_noise(model)
    regularizers = {
        "full_batch": setting("full batch", noisy_updates, full, None),
        "small_batch": setting(f"batch {small_batch}", adamw, plain, small_batch),
        "update_noise": setting("full batch, update noise", noisy_updates, noise, None),
        "dropout": setting("dropout 0.1", adamw, plain | {"dropout": 0.1}),
        "decay_to_zero": setting(f"decay {decay:g} to zero", adamw, decayed),
        "decay_to_start": setting(f"decay {decay:g} to start", optimizers.adamw_to_init, decayed),
        "low_rate": setting(f"learning rate {rate / 10:g}", adamw, plain | low),
        "adam": setting(f"learning rate {rate:g}", adamw, plain),
        "weight_noise": setting("weight noise", adamw, weight_noise, network=noisy_model),
    }
    undecayed = {"learning_rate": rate, "dropout": 0.1}
    plain, baseline = plain | undecayed, decayed | undecayed
    l2 = f"Nesterov, rate {rate:g}, L2 {decay:g}"
    optimizer_settings = {
        "baseline": setting("AdamW", adamw, baseline),
        "low_rate": setting(f"AdamW, rate {rate / 10:g}", adamw, baseline | low),
        "no_dropout": setting("AdamW, no dropout", adamw, baseline | {"dropout": 0.0}),
        "nesterov": setting(f"Nesterov, rate {rate:g}", nesterov, plain),
        "nesterov_high_rate": setting(f"Nesterov, rate {rate * 10:g}", nesterov, plain | high),
        "nesterov_l2": setting(l2, nesterov, baseline),
        "adam": setting("Adam", adamw, plain),
        "adam_full_batch": setting("Adam, full batch", optimizers.adam, undecayed, None),
        "rmsprop": setting("RMSprop", optimizers.rmsprop, undecayed | {"decay": 0.99}),
    }
    return {"regularizers": regularizers, "optimizers": optimizer_settings}


@experiment("data_efficiency", medium={
    "p": 31, "alphas": (0.45, 0.55, 0.65, 0.75, 0.85), "seeds": 3, "max_steps": 10_000,
    "eval_every": 100, "learning_rate": 3e-3, "weight_decay": 0.3, "small_batch": 64,
}, paper={
    "p": 97, "alphas": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), "seeds": 3, "max_steps": 100_000,
    "eval_every": 100, "learning_rate": 1e-3, "weight_decay": 0.1, "small_batch": 128,
})  # fmt: skip
def settings(
    study: Study,
    *,
    family: Literal["regularizers", "optimizers"] = "regularizers",
    names: tuple[str, ...] | None = None,
    p: int = 17,
    alphas: tuple[float, ...] = (0.5, 0.65, 0.8),
    seeds: int = 2,
    max_steps: int = 1000,
    eval_every: int = 50,
    learning_rate: float = 1e-2,
    weight_decay: float = 1.0,
    small_batch: int = 32,
) -> grokjax.SweepResult:
    """Best test accuracy within the budget against alpha, for each value of the column `setting`.

    Args:
      family: regularizers: figure 4 of the first report; optimizers: section 3.3 of the second.
      names: some of the settings of the family, such as full_batch or adam; by default all.
      max_steps: training steps of each; one that answers every test row right stops sooner.
      learning_rate: of all settings but those with another one in their name.
      weight_decay: of the settings that have one.
      small_batch: rows of a small minibatch.
    """
    model = transformer(p, study.scale)
    known = build_settings(model, learning_rate, weight_decay, small_batch)[family]
    names = choose("setting", tuple(known) if names is None else names, known)
    with study.sweeps(draw, print_best, part=family) as sweeps:
        for name in names:
            title, recipe, columns = known[name]
            sweeps.run(
                recipe, tasks.modular_addition(p),
                grokjax.grid(alpha=alphas, seed=range(seeds), warmup=10, **columns),
                title=title, columns={"setting": title}, checkpoints=f"{family}/{name}",
                max_steps=max_steps, eval_every=eval_every, keep_params="none",
                stop=grokjax.grokked(threshold=1.0, patience=1),  # no accuracy is better
            )  # fmt: skip
    return sweeps.result


def best_accuracies(result: grokjax.SweepResult) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The alphas, and the best test accuracy after the first step, by setting: [alphas, seeds]."""
    trained = result.dataset.test_accuracy.where(result.dataset.step > 0)
    return cells(trained.max("time"), "setting", "alpha")


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """The best accuracies against alpha, a panel for each setting."""
    return plotting.data_efficiency(*best_accuracies(result), chance=result.dataset.attrs["chance"])


def order(best: dict[str, np.ndarray]) -> dict[str, tuple[float, float, float]]:
    """The settings from best to worst: mean accuracy over alpha and seeds, and its 95 % interval.

    The interval is that of the means of the seeds, and NaN for a single seed.
    """
    found = {name: mean_interval(each.mean(axis=0)) for name, each in best.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1][0]))


def print_best(result: grokjax.SweepResult) -> None:
    """Best test accuracies by alpha, and the settings in the order of their means."""
    alphas, best = best_accuracies(result)
    rows = [
        (name, *(spread(100 * row, ".0f", lines=True) for row in accuracies))
        for name, accuracies in best.items()
    ]
    title = f"{result.dataset.attrs['task']}: best test accuracy (%),\nmedian, lowest to highest"
    print_table(title, ("setting", *(f"alpha\n{alpha:g}" for alpha in alphas)), rows)
    whole = {name: each for name, each in best.items() if not np.isnan(each).any()}
    rows = []
    for name, (mean, low, high) in order(whole).items():
        interval = f"{100 * max(low, 0):.1f} to {100 * min(high, 1):.1f}"  # no accuracy is outside
        rows.append((name, f"{100 * mean:.1f}", "" if np.isnan(low) else interval))
    title = f"best first: mean (%) over alpha and {len(np.unique(result.dataset.seed))} seeds"
    print_table(title, ("setting", "mean", "95 % interval"), rows)


if __name__ == "__main__":
    run_as_command(settings)
