"""How does grokking time depend on the fraction of the table trained on, and on the optimizer?

The question of Gromov 2023 ("Grokking modular arithmetic"), figure 4a.

    python experiments/alpha_sweep.py  # quick: p = 23, a minute on two cores
    python experiments/alpha_sweep.py --scale paper  # p = 97, width 500, hours on two cores

and, for a Transformer, an LSTM or a perceptron, of "Grokking Phenomenon Reproduction", figure 2a:

    python experiments/alpha_sweep.py --model mlp  # p = 31, 30 s on two cores
    python experiments/alpha_sweep.py --model transformer --scale paper  # p = 97, for a GPU

Expected: grokking time falls with alpha and diverges at a critical alpha that differs between
optimizers; momentum and AdamW grok sooner, and at smaller alpha, than gradient descent. The
Transformer: within 1e4 steps at alpha 0.8, after more than 1e4 at 0.5, not within 1e5 below 0.3.
"""

from typing import Literal, NamedTuple

import numpy as np

import grokjax
from experiments.common import adamw, gradient_descent, second_report
from grokjax import losses, optimizers, plotting, survival, tasks
from grokjax.command import Study, choose, experiment, print_table, run_as_command

ModelName = Literal["quadratic", "transformer", "lstm", "mlp"]
ALPHAS = tuple(np.linspace(0.2, 0.9, 15).round(2).tolist())
# Of the deeper networks.
DEEP = {
    "quick": {
        "p": 31, "alphas": (0.5, 0.6, 0.7, 0.8), "seeds": 2, "max_steps": 1500, "eval_every": 50,
        "optimizers": ("adamw_strong",),
    },
    "paper": {
        "p": 97, "width": 128, "alphas": ALPHAS, "seeds": 3, "max_steps": 100_000,
        "eval_every": 100, "optimizers": ("adamw", "adamw_strong", "adam"),
    },
}  # fmt: skip


class Variant(NamedTuple):
    """One curve of the figure: a recipe and its hyperparameters."""

    recipe: grokjax.Recipe
    columns: dict[str, float]
    speedup: int = 1  # about how many times sooner it groks than gradient descent


def variants(p: int, width: int) -> dict[str, Variant]:
    """The optimizers of the figure, with the hyperparameters of each."""
    descent, rate = gradient_descent(p, width)
    recipe, columns = adamw(p, width)
    # 1e-4 of the weights a step: a tenth over the thousand steps that grokking takes.
    decay = {"weight_decay": 1e-4 / rate["learning_rate"]}
    return {
        "gradient_descent": Variant(descent, rate),
        "momentum": Variant(*gradient_descent(p, width, 1e5, optimizer=optimizers.momentum)),
        "adamw": Variant(recipe, columns, speedup=5),
        "adam": Variant(recipe, columns | {"weight_decay": 0.0}, speedup=5),
        "gradient_descent_decay": Variant(descent, rate | decay),
        "adamw_dropout": Variant(*adamw(p, width, dropout=0.1), speedup=5),
        "adamw_normalized": Variant(*adamw(p, width, normalize=True), speedup=5),
    }


def deep_variants(name: str, p: int, width: int) -> dict[str, Variant]:
    """Deeper networks under cross entropy and minibatches of 512, with AdamW of three kinds."""
    model = second_report(p, width)[name]
    recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw, batch_size=512)
    plain = {"learning_rate": 1e-3, "weight_decay": 0.1, "warmup": 10}
    return {
        "adamw": Variant(recipe, plain),
        "adamw_strong": Variant(recipe, plain | {"learning_rate": 3e-3, "weight_decay": 1.0}),
        "adam": Variant(recipe, plain | {"weight_decay": 0.0}),
    }


@experiment(paper={
    "p": 97, "width": 500, "alphas": ALPHAS, "max_steps": 3000, "eval_every": 25,
    "optimizers": ("gradient_descent", "momentum", "adamw", "adam", "gradient_descent_decay",
                   "adamw_dropout", "adamw_normalized"),
}, cases={"model": {name: DEEP for name in ("transformer", "lstm", "mlp")}})  # fmt: skip
def alpha_sweep(
    study: Study,
    *,
    model: ModelName = "quadratic",
    optimizers: tuple[str, ...] = ("gradient_descent", "momentum", "adamw"),
    p: int = 23,
    width: int = 128,
    alphas: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.8, 0.9),
    seeds: int = 5,
    max_steps: int = 2000,
    eval_every: int = 20,
    slots: int | None = None,
) -> grokjax.SweepResult:
    """Grokking time against alpha, the fraction of the table trained on, for several optimizers.

    Args:
      model: quadratic is Gromov's network; others have other scales, see `--model mlp --help`.
      optimizers: any of gradient_descent, momentum, adamw, adam, gradient_descent_decay,
        adamw_dropout, adamw_normalized; of the deeper networks adamw, adamw_strong, adam.
      width: hidden units; half of those of a layer of the perceptron.
      eval_every: steps between measurements; a fifth of it for the faster, adaptive optimizers.
      slots: networks on a device at once; chosen by the library when not given.
    """
    task = tasks.modular_addition(p)
    known = variants(p, width) if model == "quadratic" else deep_variants(model, p, width)
    names = choose("optimizer", optimizers, known)
    with study.sweeps(plotting.alpha_sweep_figure, print_steps, running=True) as sweeps:
        for name in names:
            recipe, columns, speedup = known[name]
            sweeps.run(
                recipe, task, grokjax.grid(alpha=alphas, seed=range(seeds), **columns),
                title=name, columns={"optimizer": name},
                checkpoints=name if model == "quadratic" else f"{model}_{name}",
                max_steps=max_steps, eval_every=max(1, eval_every // speedup),
                slots="auto" if slots is None else slots, keep_params="none",
            )  # fmt: skip
    return sweeps.result


def print_steps(result: grokjax.SweepResult) -> None:
    """Median grokking step and fraction grokked, for each optimizer and alpha; and the cost."""
    rows = []
    for (name, alpha), lanes in result.groups("optimizer", "alpha"):
        steps, watched = lanes.dataset.grokking_step, lanes.dataset.watched_step
        row, budget = survival.summary(steps, watched), watched.max().item()
        low, middle, high = (row[name].item() for name in ("low", "median", "high"))
        median = f"{middle:,.0f}" if np.isfinite(middle) else f"> {budget:,.0f}"
        interval = f"{low:,.0f} to {high:,.0f}"
        if np.isinf(high) or low >= budget:  # then only one end was reached
            interval = f"> {min(low, budget):,.0f}"
        grokked = f"{row.n_grokked.item()} of {row.n.item()}"
        share = f"{row.p_low.item():.0%} to {row.p_high.item():.0%}"
        rows.append((name, f"{alpha:.2f}", median, interval, grokked, share))
    cost = result.dataset.attrs
    title = f"{cost['task']}: grokking step, Kaplan-Meier median; 95 % intervals"
    headings = ("optimizer", "alpha", "median", "interval", "grokked", "interval")
    note = (
        f"{result.dataset.sizes['lane']} networks, {cost['lane_steps']:,} training steps in "
        f"{cost['wall_seconds']:.0f} s on {cost['device_count']} x {cost['device']}; "
        f"{cost['slot_steps'] / cost['lane_steps']:.2f} steps executed for each one used, "
        f"{cost['compilations']} programs compiled"
    )
    print_table(title, headings, rows, notes=[note], sections=True)


if __name__ == "__main__":
    run_as_command(alpha_sweep)
