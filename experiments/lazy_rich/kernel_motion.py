"""When does a network leave the kernel it began with, and what is the new kernel worth?

The question of S2, section 4.1, and of Fort et al. 2020 and Kumar et al. 2024: along training of
the quadratic network, how far has the tangent kernel moved when the training rows are memorized,
and when the network groks? Kernel regression with the kernel of a trained network, its
after-kernel, says what its features alone are worth.

    python experiments/lazy_rich/kernel_motion.py                  # quick: p = 23, 30 s on 2 cores
    python experiments/lazy_rich/kernel_motion.py --scale paper    # p = 97: 20 minutes

Expected at the quick scale, under gradient descent: kernel regression at the start is wrong on
every test row. When the training rows are memorized the parameters have moved by twice their norm,
the kernel's norm has grown 56 times, and the network linearized at its start has lost none of its
test and 8 % of its training loss: memorization is not lazy. The kernel's shape changes little
(centred distance 0.13), its alignment with the answers doubles, and its regression is right on 15 %
of the test rows when the others are memorized, as the network is, and on all when it groks.
"""

import functools
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from rich import box
from rich.console import Console
from rich.table import Table

import grokjax
from experiments.lazy_rich.common import number
from grokjax import kernels, losses, optimizers, tasks
from grokjax.command import Sweeps, check_option, override, run_as_command
from grokjax.models import QuadraticMLP
from grokjax.sweep import log_spaced

CHECKPOINTS = ("start", "memorized", "grokked", "end")


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    width: int
    alpha: float
    rate: float
    seeds: int
    descent_steps: int
    adamw_steps: int


SCALES = {
    "quick": Scale(23, 128, alpha=0.8, rate=1e6, seeds=2, descent_steps=2000, adamw_steps=500),
    "paper": Scale(97, 500, alpha=0.5, rate=2.5e5, seeds=3, descent_steps=8000, adamw_steps=1000),
}


def kernel_motion(
    scale: Literal["quick", "paper"] = "quick",
    *,
    p: int | None = None,
    width: int | None = None,
    alpha: float | None = None,
    rate: float | None = None,
    seeds: int | None = None,
    descent_steps: int | None = None,
    adamw_steps: int | None = None,
    probe: int = 256,
    output: Path = Path("results/lazy_rich_kernel_motion"),
    progress: bool = True,
) -> grokjax.SweepResult:
    """Kernel norm, distance and alignment along training, and after-kernel regression.

    Args:
      scale: quick: p = 23, width 128, a minute on two CPU cores; paper: p = 97, width 500.
      p: the modulus.
      width: hidden units.
      alpha: the fraction of the table trained on.
      rate: the learning rate of gradient descent at p = 97 and width 500; at others the one of the
        same dynamics. AdamW has 1e-2, and weight decay 5.
      seeds: networks of each optimizer, with seeds 0, 1, ...
      descent_steps: training steps of gradient descent.
      adamw_steps: training steps of AdamW.
      probe: random rows of the table on which kernels are compared, the same for all lanes.
      output: folder for the dataset, the configuration and the figures.
      progress: show how far the sweep is, in a terminal.

    Returns:
      One lane for each optimizer and seed. Beside what a sweep measures: `norm_ratio`,
      `distance`, `centred_distance`, `alignment`, `centred_alignment`, `motion`,
      `linear_train_loss` and `linear_test_loss`, all [lane, time]; and at the checkpoints start,
      memorized, grokked and end (NaN if not reached) `regression_accuracy`, `regression_loss`,
      `span_fraction` and `linear_test_accuracy`: [lane, checkpoint]; and `random_span_fraction`,
      that of a random direction.
    """
    setting = override(
        SCALES[scale],
        p=p,
        width=width,
        alpha=alpha,
        rate=rate,
        seeds=seeds,
        descent_steps=descent_steps,
        adamw_steps=adamw_steps,
    )
    probe = check_option("probe", probe, int)
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    task = tasks.modular_addition(setting.p)
    rate = setting.rate * (setting.p / 97) ** 3 * (setting.width / 500)
    families: dict[str, tuple[Any, Any, dict[str, float], int]] = {
        "gradient descent": (
            "mean_field",
            optimizers.gradient_descent,
            {"learning_rate": rate},
            setting.descent_steps,
        ),
        "AdamW": (
            "standard",
            optimizers.adamw,
            {"learning_rate": 1e-2, "weight_decay": 5.0},
            setting.adamw_steps,
        ),
    }
    models = {
        name: QuadraticMLP(setting.p, setting.width, parameterization=family[0])
        for name, family in families.items()
    }
    with Sweeps() as sweeps:
        for name, (_, optimizer, numbers, max_steps) in families.items():
            sweeps.run(
                grokjax.Recipe(models[name], losses.mse, optimizer),
                task,
                grokjax.grid(alpha=[setting.alpha], seed=range(setting.seeds), **numbers),
                title=name,
                columns={"optimizer": name},
                max_steps=max_steps,
                eval_every=log_spaced(max_steps, per_decade=16),
                stop=None,
                keep_params="all",
                then=functools.partial(along_training, models[name], task, probe),
                progress=progress,
            )
    return sweeps.report(output, draw, print_table)


def along_training(
    model: QuadraticMLP, task: tasks.Task, probe: int, result: grokjax.SweepResult
) -> grokjax.SweepResult:
    """A sweep that kept its parameters at all measurements, with all kernel measures of them."""
    assert result.params is not None
    dataset, params = result.dataset, result.params
    generator = np.random.default_rng(0)
    chosen = np.sort(generator.choice(task.num_rows, size=min(probe, task.num_rows), replace=False))
    tokens = np.asarray(task.tokens)[chosen]
    answers = kernels.label_kernel(task.labels[chosen])

    @jax.jit
    def measures(
        params: Any, initial: Any, train: jax.Array, answers: jax.Array
    ) -> dict[str, jax.Array]:
        now, at_start = (kernels.quadratic_trace(model, x, tokens) for x in (params, initial))
        lazy = losses.mse(kernels.linearized(model, params, initial, task.tokens), task.labels)
        return {
            "norm_ratio": kernels.norm_ratio(now, at_start),
            "distance": kernels.distance(now, at_start),
            "centred_distance": kernels.distance(now, at_start, centred=True),
            "alignment": kernels.alignment(now, answers),
            "centred_alignment": kernels.alignment(now, answers, centred=True),
            "motion": kernels.relative_motion(params, initial),
            "linear_train_loss": grokjax.measures.masked_mean(lazy, train),
            "linear_test_loss": grokjax.measures.masked_mean(lazy, ~train),
        }

    @jax.jit
    def trace(params: Any) -> jax.Array:
        return kernels.quadratic_trace(model, params, task.tokens)

    @jax.jit
    def inside(params: Any, initial: Any, tokens: jax.Array) -> jax.Array:
        return kernels.span_fraction(model, params, initial, tokens, iterations=100)

    curves, points, random = [], [], []
    for lane in range(dataset.sizes["lane"]):
        split = result.split(lane, task)
        at = lambda time, lane=lane: {name: leaf[lane, time] for name, leaf in params.items()}
        initial = at(0)
        rows = [
            measures(at(t), initial, split.train, answers) for t in range(dataset.sizes["time"])
        ]
        curves.append({name: [float(row[name]) for row in rows] for name in rows[0]})
        tokens_trained = jnp.asarray(task.tokens)[split.train]
        keys = jax.random.split(jax.random.key(lane), len(initial))
        anywhere = {
            name: leaf + jax.random.normal(key, leaf.shape)
            for key, (name, leaf) in zip(keys, initial.items(), strict=True)
        }
        random.append(float(inside(anywhere, initial, tokens_trained)))
        for step in checkpoint_steps(dataset.isel(lane=lane)):
            if np.isnan(step):
                points.append([np.nan] * 5)
                continue
            now = at(int(np.flatnonzero(dataset.step.values == step)[0]))
            after = kernels.regression(trace(now), task.labels, split.train)
            span = inside(now, initial, tokens_trained)
            logits = kernels.linearized(model, now, initial, task.tokens)
            right = jnp.argmax(logits, axis=1) == task.labels
            linear = grokjax.measures.masked_mean(right, split.test)
            points.append([step, after.test_accuracy, after.test_loss, float(span), float(linear)])
    names = ("checkpoint_step", "regression_accuracy", "regression_loss")
    names += ("span_fraction", "linear_test_accuracy")
    table = np.array(points).reshape(dataset.sizes["lane"], len(CHECKPOINTS), len(names))
    variables: dict[str, Any] = {
        name: (("lane", "time"), [lane[name] for lane in curves]) for name in curves[0]
    }
    variables |= {name: (("lane", "checkpoint"), table[..., i]) for i, name in enumerate(names)}
    variables["random_span_fraction"] = ("lane", random)
    variables["checkpoint"] = list(CHECKPOINTS)
    return grokjax.SweepResult(dataset.assign(variables))


def checkpoint_steps(lane: xarray.Dataset) -> list[float]:
    """The steps of the checkpoints of a lane; NaN for one that was not reached."""
    return [
        0.0,
        float(lane.memorization_step),
        float(lane.grokking_step),
        float(lane.step[-1]),
    ]


def at_checkpoints(dataset: xarray.Dataset) -> xarray.Dataset:
    """All kernel measures at the checkpoints: [lane, checkpoint]."""
    step = dataset.checkpoint_step
    names = (
        "norm_ratio",
        "distance",
        "centred_distance",
        "alignment",
        "centred_alignment",
        "motion",
    )
    names += ("linear_train_loss", "linear_test_loss", "train_loss", "test_loss", "test_accuracy")
    picked = {name: dataset[name].where(dataset.step == step).max("time") for name in names}
    kept = ("checkpoint_step", "regression_accuracy", "regression_loss", "span_fraction")
    kept += ("linear_test_accuracy", "random_span_fraction")
    picked |= {name: dataset[name] for name in kept}
    return xarray.Dataset(picked)


LABELS = {
    "train_accuracy": "training",
    "test_accuracy": "test",
    "distance": "kernel distance",
    "centred_distance": "kernel distance, centred",
    "centred_alignment": "alignment with answers, centred",
    "norm_ratio": r"$\|K_t\| / \|K_0\|$",
    "motion": r"$\|\theta_t - \theta_0\| / \|\theta_0\|$",
    "train_loss": "training",
    "test_loss": "test",
    "linear_train_loss": "training, linearized",
    "linear_test_loss": "test, linearized",
}
PANELS = {
    "accuracy": ("train_accuracy", "test_accuracy"),
    "distance and alignment": ("distance", "centred_distance", "centred_alignment"),
    "ratio": ("norm_ratio", "motion"),
    "loss / initial loss": ("train_loss", "test_loss", "linear_train_loss", "linear_test_loss"),
}


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure of a run, drawn from its result, as PNG and SVG."""
    from grokjax import plotting

    with plotting.in_style():
        return plotting.save(_figure(result.dataset), output, "kernel_motion")


def _figure(dataset: xarray.Dataset) -> Any:
    """Accuracies, kernels and losses of both optimizers."""
    from grokjax import plotting

    optimizers = list(dict.fromkeys(dataset.optimizer.values.tolist()))
    figure, axes = plotting.new_figure(
        len(optimizers), len(PANELS), size=(11.0, 2.5 * len(optimizers) + 0.3), squeeze=False
    )
    for i, (row, optimizer) in enumerate(zip(axes, optimizers, strict=True)):
        lanes = dataset.isel(lane=dataset.optimizer.values == optimizer)
        lanes = lanes.isel(time=lanes.train_loss.notnull().any("lane").values)
        _draw_row(row, lanes)
        row[0].set_ylabel(f"{optimizer}\naccuracy")
        for ax in row:
            if i < len(optimizers) - 1:
                ax.set_xlabel("")
            if i > 0:
                ax.get_legend().remove()
    return figure


def _draw_row(row: np.ndarray, lanes: xarray.Dataset) -> None:
    """One optimizer: medians over seeds in bands, and the two steps as vertical lines."""
    from grokjax import plotting

    start = lanes.test_loss.isel(time=0)
    losses = {name: lanes[name] / start for name in PANELS["loss / initial loss"]}
    shown = lanes.assign(losses)
    for name, label in LABELS.items():
        shown[name].attrs["long_name"] = label
    for ax, (ylabel, names) in zip(row, PANELS.items(), strict=True):
        log = ylabel in ("ratio", "loss / initial loss")
        plotting.curves(shown, names, ax, ylabel=ylabel, yscale="log" if log else "linear")
        for i, line in enumerate(ax.lines[: len(names)]):
            dashed = names[i].startswith(("train", "linear_train"))
            line.set(linestyle=(0, (3, 1.5)) if dashed else "-", linewidth=1.2)
        if not log:
            ax.set_ylim(-0.03, 1.05)
        for name, style in (("memorization_step", (0, (1, 1.5))), ("grokking_step", (0, (5, 2)))):
            step = float(lanes[name].median())
            if np.isfinite(step):
                ax.axvline(step, color="0.6", linewidth=0.8, linestyle=style, zorder=0)
        columns = 1 if len(names) < 4 else 2
        ax.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, fontsize=7.5,
            frameon=False, columnspacing=1.0, handlelength=1.6, borderaxespad=0.2,
        )  # fmt: skip
    after = lanes.regression_accuracy.median("lane")
    step = lanes.checkpoint_step.median("lane")
    row[0].plot(
        step, after, "D", color=plotting.PALETTE[2], markersize=5, label="after-kernel, test"
    )
    row[0].legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=1, fontsize=7.5, frameon=False,
        handlelength=1.6, borderaxespad=0.2,
    )  # fmt: skip
    row[3].set_ylim(1e-3, 4)


def print_table(result: grokjax.SweepResult) -> None:
    """Medians over seeds at the checkpoints of each optimizer."""
    dataset, table = result.dataset, at_checkpoints(result.dataset)
    p = int(dataset.attrs["task"].split()[-1])
    rows = {
        "step": ("checkpoint_step", 1),
        "test accuracy": ("test_accuracy", 1),
        "after-kernel: test accuracy": ("regression_accuracy", 1),
        "after-kernel: test loss x p": ("regression_loss", p),
        "motion of the parameters": ("motion", 1),
        "norm of the kernel, of its start": ("norm_ratio", 1),
        "distance of the kernel": ("distance", 1),
        "distance, centred": ("centred_distance", 1),
        "alignment with answers, centred": ("centred_alignment", 1),
        "motion in the span of gradients": ("span_fraction", 1),
        "linearized: training loss x p": ("linear_train_loss", p),
        "linearized: test loss x p": ("linear_test_loss", p),
    }
    for optimizer in dict.fromkeys(dataset.optimizer.values.tolist()):
        lanes = table.isel(lane=dataset.optimizer.values == optimizer)
        printed = Table(
            title=f"{optimizer}, p = {p}, alpha {dataset.alpha.values[0]:g}: medians of "
            f"{lanes.sizes['lane']} seeds",
            box=box.SIMPLE_HEAD,
        )
        for heading in ("", *CHECKPOINTS):
            printed.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        for heading, (name, factor) in rows.items():
            values = factor * lanes[name].median("lane").sel(checkpoint=list(CHECKPOINTS)).values
            printed.add_row(heading, *("" if np.isnan(x) else number(x) for x in values))
        Console().print(printed)
        random = float(lanes.random_span_fraction.median())
        print(f"a random direction is inside the span to {random:.3f}")


if __name__ == "__main__":
    run_as_command(kernel_motion)
