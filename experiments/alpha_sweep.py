"""How does grokking time depend on the fraction of the table trained on, and on the optimizer?

The question of Gromov 2023, figure 4a.

    python experiments/alpha_sweep.py                 # quick: p = 23, a minute on two cores
    python experiments/alpha_sweep.py --scale paper   # p = 97, width 500, hours on two cores

and, for a Transformer, an LSTM or a multilayer perceptron, that of S2, figure 2a:

    python experiments/alpha_sweep.py --model mlp                          # p = 31, 30 s
    python experiments/alpha_sweep.py --model transformer --scale paper    # p = 97, for a GPU

Expected: grokking time falls with alpha and diverges at a critical alpha that differs between
optimizers; momentum and AdamW grok sooner, and at smaller alpha, than gradient descent. S2's
Transformer: within 1e4 steps at alpha 0.8, after more than 1e4 at 0.5, not within 1e5 below 0.3.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

import grokjax
from grokjax import losses, optimizers, survival, tasks
from grokjax.command import Sweeps, choose, override, run_as_command
from grokjax.models import LSTM, MLP, Model, QuadraticMLP, Transformer
from grokjax.train import Recipe

ModelName = Literal["quadratic", "transformer", "lstm", "mlp"]


class Variant(NamedTuple):
    """One curve of the figure: a recipe and its hyperparameters."""

    recipe: Recipe
    columns: dict[str, float]
    speedup: int = 1  # about how many times sooner it groks than gradient descent


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    width: int
    alphas: tuple[float, ...]
    seeds: int
    max_steps: int
    eval_every: int
    optimizers: tuple[str, ...]


ALPHAS = tuple(np.linspace(0.2, 0.9, 15).round(2).tolist())
SCALES = {
    "quick": Scale(
        p=23,
        width=128,
        alphas=(0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.8, 0.9),
        seeds=5,
        max_steps=2000,
        eval_every=20,
        optimizers=("gradient_descent", "momentum", "adamw"),
    ),
    "paper": Scale(
        p=97,
        width=500,
        alphas=ALPHAS,
        seeds=5,
        max_steps=3000,
        eval_every=25,
        optimizers=(
            "gradient_descent",
            "momentum",
            "adamw",
            "adam",
            "gradient_descent_decay",
            "adamw_dropout",
            "adamw_normalized",
        ),
    ),
}
# Of the deeper networks; their width is S2's.
DEEP_SCALES = {
    "quick": Scale(
        p=31,
        width=128,
        alphas=(0.5, 0.6, 0.7, 0.8),
        seeds=2,
        max_steps=1500,
        eval_every=50,
        optimizers=("adamw_strong",),
    ),
    "paper": Scale(
        p=97,
        width=128,
        alphas=ALPHAS,
        seeds=3,
        max_steps=100_000,
        eval_every=100,
        optimizers=("adamw", "adamw_strong", "adam"),
    ),
}


def variants(p: int, width: int) -> dict[str, Variant]:
    """The optimizers of the figure, with the hyperparameters of each.

    The learning rate of gradient descent keeps the dynamics fixed across p and width; 1e6 at
    p = 97, width 500 groks after about a thousand steps.
    """
    mean_field = QuadraticMLP(p, width)
    standard = QuadraticMLP(p, width, parameterization="standard")
    rate = 1e6 * (p / 97) ** 3 * (width / 500)
    adamw = {"learning_rate": 1e-2, "weight_decay": 5.0}
    return {
        "gradient_descent": Variant(
            Recipe(mean_field, losses.mse, optimizers.gradient_descent), {"learning_rate": rate}
        ),
        "momentum": Variant(
            Recipe(mean_field, losses.mse, optimizers.momentum), {"learning_rate": rate / 10}
        ),
        "adamw": Variant(
            Recipe(standard, losses.mse, optimizers.adamw),
            adamw,
            speedup=5,
        ),
        "adam": Variant(
            Recipe(standard, losses.mse, optimizers.adamw),
            adamw | {"weight_decay": 0.0},
            speedup=5,
        ),
        "gradient_descent_decay": Variant(
            # 1e-4 of the weights a step: a tenth over the thousand steps that grokking takes.
            Recipe(mean_field, losses.mse, optimizers.gradient_descent),
            {"learning_rate": rate, "weight_decay": 1e-4 / rate},
        ),
        "adamw_dropout": Variant(
            Recipe(dataclasses.replace(standard, dropout=0.1), losses.mse, optimizers.adamw),
            adamw,
            speedup=5,
        ),
        "adamw_normalized": Variant(
            Recipe(dataclasses.replace(standard, normalize=True), losses.mse, optimizers.adamw),
            adamw,
            speedup=5,
        ),
    }


def deep_variants(name: str, p: int, width: int) -> dict[str, Variant]:
    """S2's networks under cross entropy and minibatches of 512, with its AdamW and two others."""
    networks: dict[str, Model] = {
        "transformer": Transformer(p, width=width),
        "lstm": LSTM(p, width=width),
        "mlp": MLP(p, hidden=(2 * width, 2 * width)),
    }
    recipe = Recipe(networks[name], losses.cross_entropy, optimizers.adamw, batch_size=512)
    adamw = {"learning_rate": 1e-3, "weight_decay": 0.1, "warmup": 10}
    return {
        "adamw": Variant(recipe, adamw),
        "adamw_strong": Variant(recipe, adamw | {"learning_rate": 3e-3, "weight_decay": 1.0}),
        "adam": Variant(recipe, adamw | {"weight_decay": 0.0}),
    }


def alpha_sweep(
    scale: Literal["quick", "paper"] = "quick",
    *,
    model: ModelName = "quadratic",
    optimizers: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="NAME ...")] = None,
    p: int | None = None,
    width: int | None = None,
    alphas: tuple[float, ...] | None = None,
    seeds: int | None = None,
    max_steps: int | None = None,
    eval_every: int | None = None,
    slots: int | None = None,
    output: Path = Path("results/alpha_sweep"),
    checkpoints: Path | None = None,
    progress: bool = True,
) -> grokjax.SweepResult:
    """Grokking time against alpha, the fraction of the table trained on, for several optimizers.

    Args:
      scale: quick: p = 23, width 128, minutes on two CPU cores; paper: p = 97, width 500, hours.
      model: quadratic is Gromov's network; the others are S2's, for which quick is p = 31.
      optimizers: any of gradient_descent, momentum, adamw, adam, gradient_descent_decay,
        adamw_dropout, adamw_normalized; of the deeper networks adamw, adamw_strong, adam.
      p: the modulus.
      width: hidden units; half of those of a layer of the perceptron.
      alphas: fractions of the table to train on.
      seeds: networks for each optimizer and alpha, with seeds 0, 1, ...
      max_steps: training steps after which a network that has not grokked is given up (censored).
      eval_every: steps between measurements; a fifth of it for the faster, adaptive optimizers.
      slots: networks on a device at once; chosen by the library when not given.
      output: folder for the dataset, the configuration and the figures.
      checkpoints: folder to keep checkpoints in; the same command goes on from them after an
        interruption, and trains only what is new when seeds or alphas are added.
      progress: show how far the sweep is, in a terminal.
    """
    setting = override(
        (SCALES if model == "quadratic" else DEEP_SCALES)[scale],
        p=p,
        width=width,
        alphas=alphas,
        seeds=seeds,
        max_steps=max_steps,
        eval_every=eval_every,
        optimizers=optimizers,
    )
    task = tasks.modular_addition(setting.p)
    if model == "quadratic":
        known = variants(setting.p, setting.width)
    else:
        known = deep_variants(model, setting.p, setting.width)
    names = choose("optimizer", setting.optimizers, known)
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    with Sweeps(running=True) as sweeps:
        for name in names:
            recipe, columns, speedup = known[name]
            folder = name if model == "quadratic" else f"{model}_{name}"
            sweeps.run(
                recipe,
                task,
                grokjax.grid(alpha=setting.alphas, seed=range(setting.seeds), **columns),
                title=name,
                columns={"optimizer": name},
                max_steps=setting.max_steps,
                eval_every=max(1, setting.eval_every // speedup),
                slots="auto" if slots is None else slots,
                directory=None if checkpoints is None else checkpoints / folder,
                keep_params="none",
                progress=progress,
            )
    return sweeps.report(output, draw, print_table)


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure of a sweep, drawn from its result, as PNG and SVG."""
    from grokjax import plotting

    return plotting.save(plotting.alpha_sweep_figure(result), output, "alpha_sweep")


def print_table(result: grokjax.SweepResult) -> None:
    """Median grokking step and fraction grokked, for each optimizer and alpha; and the cost."""
    dataset = result.dataset
    summary = survival.summary(
        dataset.grokking_step,
        dataset.watched_step,
        optimizer=dataset.optimizer,
        alpha=dataset.alpha,
    )
    title = f"{dataset.attrs['task']}: grokking step, Kaplan-Meier median; 95 % intervals"
    # Narrow gaps: the longest name fits a terminal of 80 columns.
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("optimizer", "alpha", "median", "interval", "grokked", "interval "):
        left = heading == "optimizer"
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for name in dict.fromkeys(dataset.optimizer.values.tolist()):
        for alpha in summary.alpha.values.tolist():
            row = summary.sel(optimizer=name, alpha=alpha)
            if not row.n.item():
                continue  # not begun when the sweep was interrupted
            cell = (dataset.optimizer == name) & (dataset.alpha == alpha)
            budget = dataset.watched_step.where(cell).max()
            table.add_row(
                name,
                f"{alpha:.2f}",
                _steps(row["median"].item(), budget.item()),
                _interval(row.low.item(), row.high.item(), budget.item()),
                f"{row.n_grokked.item()} of {row.n.item()}",
                f"{row.p_low.item():.0%} to {row.p_high.item():.0%}",
            )
        table.add_section()
    Console().print(table)
    cost = dataset.attrs
    print(
        f"{dataset.sizes['lane']} networks, {cost['lane_steps']:,} training steps in "
        f"{cost['wall_seconds']:.0f} s on {cost['device_count']} x {cost['device']}; "
        f"{cost['slot_steps'] / cost['lane_steps']:.2f} steps executed for each one used, "
        f"{cost['compilations']} programs compiled"
    )


def _steps(value: float, budget: float) -> str:
    """A number of steps; beyond the budget when it was not reached."""
    return f"{value:,.0f}" if np.isfinite(value) else f"> {budget:,.0f}"


def _interval(low: float, high: float, budget: float) -> str:
    """An interval of steps; one end alone when the other was not reached."""
    if low >= budget:
        return _steps(np.inf, budget)
    return f"> {low:,.0f}" if np.isinf(high) else f"{low:,.0f} to {high:,.0f}"


if __name__ == "__main__":
    run_as_command(alpha_sweep)
