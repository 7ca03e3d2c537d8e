"""Does making a network lazier create grokking, and making it richer remove it?

The question of Kumar et al. 2024 (section 6 and equation 7), on modular addition: gradient descent
without any regularization trains `a (f(theta) - f(theta_0))` at the learning rate `rate / a^2`,
which is the same speed in function space for every a. Large a is kernel regression with the initial
features, small a is feature learning from the start.

    python experiments/lazy_rich/laziness.py                  # quick: 40 s on 2 cores
    python experiments/lazy_rich/laziness.py --scale paper    # the source's rate: hours

Expected at the quick scale: the lazier, the longer between memorization and grokking: T_gen / T_mem
is 1.15 at a = 0.3, 1.26 at 1, 1.5 at 3 and 2.4 at 10. The test loss rises first, by 1, 5, 12 and
26 %, towards the 1.37 times its start of kernel regression with the initial features, which is
wrong on every test row. Yet every a groks, after a motion of more than the initial norm: making a
network lazier delays the rich phase, and does not replace it.
"""

import functools
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import xarray
from rich import box
from rich.console import Console
from rich.table import Table

import grokjax
from experiments.lazy_rich.common import number
from grokjax import kernels, losses, optimizers, survival, tasks
from grokjax.checks import check_number
from grokjax.command import Sweeps, override, run_as_command
from grokjax.models import QuadraticMLP
from grokjax.sweep import log_spaced


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    width: int
    alpha: float
    laziness: tuple[float, ...]
    rate: float
    seeds: int
    max_steps: int


SCALES = {
    "quick": Scale(23, 100, 0.9, (0.3, 1.0, 3.0, 10.0), 1000.0, 2, 80_000),
    "paper": Scale(23, 100, 0.9, (0.1, 0.3, 1.0, 3.0, 10.0, 30.0), 100.0, 3, 2_000_000),
}


def laziness(
    scale: Literal["quick", "paper"] = "quick",
    *,
    p: int | None = None,
    width: int | None = None,
    alpha: float | None = None,
    laziness: tuple[float, ...] | None = None,
    rate: float | None = None,
    seeds: int | None = None,
    max_steps: int | None = None,
    output: Path = Path("results/lazy_rich_laziness"),
    progress: bool = True,
) -> grokjax.SweepResult:
    """Memorization and grokking steps, parameter motion and kernel distance against laziness.

    Args:
      scale: quick: four values of laziness, a minute on two CPU cores; paper: six, hours.
      p: the modulus.
      width: hidden units.
      alpha: the fraction of the table trained on.
      laziness: the factors a on the centred output.
      rate: the learning rate at a = 1.
      seeds: networks of each, with seeds 0, 1, ...
      max_steps: the budget of each.
      output: folder for the dataset, the configuration and the figures.
      progress: show how far the sweep is, in a terminal.

    Returns:
      One lane for each laziness and seed; beside what a sweep measures, `motion` and
      `kernel_distance` at the lane's end, `train_half` and `test_half`, the first steps at which
      the losses are at half of their start for good, and `kernel_test_loss` and
      `kernel_test_accuracy` of kernel regression with the initial features.
    """
    setting = override(
        SCALES[scale],
        p=p,
        width=width,
        alpha=alpha,
        laziness=laziness,
        rate=rate,
        seeds=seeds,
        max_steps=max_steps,
    )
    for factor in setting.laziness:
        check_number("laziness", factor, above=0)
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    model = QuadraticMLP(setting.p, setting.width)
    recipe = grokjax.Recipe(kernels.Centred(model), losses.mse, optimizers.gradient_descent)
    task = tasks.modular_addition(setting.p)
    columns = grokjax.grid(
        logit_scale=setting.laziness, seed=range(setting.seeds), alpha=[setting.alpha]
    )
    columns["learning_rate"] = setting.rate / columns["logit_scale"] ** 2
    with Sweeps() as sweeps:
        sweeps.run(
            recipe,
            task,
            columns,
            max_steps=setting.max_steps,
            eval_every=log_spaced(setting.max_steps, per_decade=50),
            then=functools.partial(lazy_measures, model, task, setting.rate),
            progress=progress,
        )
    return sweeps.report(output, draw, print_table)


def lazy_measures(
    model: QuadraticMLP, task: tasks.Task, rate: float, result: grokjax.SweepResult
) -> grokjax.SweepResult:
    """The result with what tells a lazy lane from a rich one: [lane] each."""
    assert result.params is not None
    dataset = result.dataset
    trace = jax.jit(lambda params: kernels.quadratic_trace(model, params, task.tokens))
    rows: dict[str, list[float]] = {
        name: []
        for name in ("motion", "kernel_distance", "kernel_test_loss", "kernel_test_accuracy")
    }
    for lane in range(dataset.sizes["lane"]):
        params, initial = (
            {name: leaf[lane] for name, leaf in result.params[kind].items()}
            for kind in ("trained", "initial")
        )
        at_start = trace(initial)
        rows["motion"].append(float(kernels.relative_motion(params, initial)))
        rows["kernel_distance"].append(float(kernels.distance(trace(params), at_start)))
        lazy = kernels.regression(at_start, task.labels, result.split(lane).train)
        rows["kernel_test_loss"].append(lazy.test_loss)
        rows["kernel_test_accuracy"].append(lazy.test_accuracy)
    for name in ("train", "test"):
        loss = dataset[f"{name}_loss"].values
        # Of lanes that have retired what is missing stays as it was.
        below = (loss <= 0.5 * loss[:, :1]) | np.isnan(loss)
        forever = np.logical_and.accumulate(below[:, ::-1], axis=1)[:, ::-1] & ~np.isnan(loss)
        first = dataset.step.values[forever.argmax(axis=1)]
        rows[f"{name}_half"] = np.where(forever.any(axis=1), first, np.nan).tolist()
    dataset = dataset.assign({name: ("lane", values) for name, values in rows.items()})
    dataset.attrs["rate"] = rate
    return grokjax.SweepResult(dataset, result.params)


def medians(dataset: xarray.Dataset) -> xarray.Dataset:
    """By laziness: medians over seeds, of steps that were not reached inf, and the two delays.

    `delay` is grokking step / memorization step, `loss_delay` the ratio of the steps at which test
    and training loss are at half of their start.
    """
    values = np.unique(dataset.logit_scale)
    rows = []
    for a in values:
        lanes = dataset.isel(lane=dataset.logit_scale.values == a)
        memorized, grokked = (
            survival.median(lanes[name].values, lanes.watched_step.values).value
            for name in ("memorization_step", "grokking_step")
        )
        train, test = (
            float(np.median(np.nan_to_num(lanes[name].values, nan=np.inf)))
            for name in ("train_half", "test_half")
        )
        row = {"memorization": memorized, "grokking": grokked, "train_half": train}
        row |= {"test_half": test}
        row["delay"] = grokked / memorized if np.isfinite(memorized) else np.nan
        row["loss_delay"] = test / train if np.isfinite(train) else np.nan
        row["peak"] = float((lanes.test_loss.max("time") / lanes.test_loss.isel(time=0)).median())
        row |= {name: float(lanes[name].median()) for name in ("motion", "kernel_distance")}
        rows.append(row)
    table = {name: ("logit_scale", [row[name] for row in rows]) for name in rows[0]}
    return xarray.Dataset(table, {"logit_scale": values})


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The figure of a run, drawn from its result, as PNG and SVG."""
    from grokjax import plotting

    with plotting.in_style():
        return plotting.save(_figure(result.dataset), output, "laziness")


def _figure(dataset: xarray.Dataset) -> Any:
    """Losses and accuracies of every laziness, and the delays."""
    from grokjax import plotting
    from grokjax.plotting import colour_scale, label_log

    values = np.unique(dataset.logit_scale)
    colours = colour_scale(np.log10(values))
    figure, (left, middle, right) = plotting.new_figure(1, 3, size=(9.6, 3.0))
    train, test = {"linestyle": (0, (3, 1.5)), "linewidth": 1.0}, {"linewidth": 1.4}
    for a in values:
        lane = dataset.isel(lane=int((dataset.logit_scale.values == a).argmax()))
        colour = colours.to_rgba(np.log10(a))
        for ax, kind, factor in (
            (left, "loss", 1 / float(lane.test_loss.isel(time=0))),
            (middle, "accuracy", 1.0),
        ):
            ax.plot(dataset.step, factor * lane[f"train_{kind}"], color=colour, **train)
            line = ax.plot(dataset.step, factor * lane[f"test_{kind}"], color=colour, **test)
            line[0].set_label(f"$a$ = {a:g}")
    left.set(ylabel="loss / initial loss: test solid, train dashed", yscale="log")
    left.set_ylim(bottom=1e-2)
    middle.set(ylabel="accuracy: test solid, train dashed", ylim=(-0.03, 1.03))
    for ax in (left, middle):
        ax.set(xscale="log", xlabel="step")
        label_log(ax.xaxis)
    label_log(left.yaxis)
    middle.legend(frameon=False, fontsize=8, loc="upper left", handlelength=1.2)
    _draw_steps(right, dataset)
    label_log(right.xaxis)
    label_log(right.yaxis)
    return figure


def _draw_steps(ax, dataset: xarray.Dataset) -> None:
    """Memorization and grokking steps of every lane, and their medians."""
    from grokjax.plotting import PALETTE

    table = medians(dataset)
    kinds = (("memorization", PALETTE[0], "s", 0.94), ("grokking", PALETTE[1], "o", 1.06))
    for name, colour, marker, shift in kinds:
        step = dataset[f"{name}_step"]
        x = dataset.logit_scale.values * shift
        ax.plot(x, step, marker, color=colour, markersize=3, markeredgewidth=0, alpha=0.4)
        censored = step.isnull().values
        ax.plot(
            x[censored], dataset.watched_step.values[censored], "^", color=colour,
            fillstyle="none", markersize=5, markeredgewidth=1,
        )  # fmt: skip
        middle = table[name].where(np.isfinite(table[name]))
        ax.plot(
            table.logit_scale * shift, middle, marker=marker, color=colour, markersize=5,
            linewidth=1.4, label=name, markeredgecolor="white", markeredgewidth=0.6,
        )  # fmt: skip
    ax.set(
        xscale="log", yscale="log", xlabel="laziness $a$", ylabel="step (triangles: not reached)"
    )
    ax.legend(frameon=False, fontsize=8)


def print_table(result: grokjax.SweepResult) -> None:
    """Medians over seeds for each laziness."""
    dataset, table = result.dataset, medians(result.dataset)
    printed = Table(
        title=f"{dataset.attrs['task']}, alpha {dataset.alpha.values[0]:g}, gradient descent, rate "
        f"{dataset.attrs['rate']:g} / a^2: medians of {len(np.unique(dataset.seed))} seeds",
        box=box.SIMPLE_HEAD,
    )
    headings = {
        "a": None,
        "T_mem": "memorization",
        "T_gen": "grokking",
        "T_gen\n/ T_mem": "delay",
        "half test\n/ train loss": "loss_delay",
        "peak loss\n/ initial": "peak",
        "motion": "motion",
        "kernel\ndistance": "kernel_distance",
    }
    for heading in headings:
        printed.add_column(heading, justify="right")
    for i, a in enumerate(table.logit_scale.values):
        cells = [table[name].values[i] for name in headings.values() if name]
        printed.add_row(f"{a:g}", *(number(x) if np.isfinite(x) else "not yet" for x in cells))
    Console().print(printed)
    print(
        f"kernel regression with the initial features: test accuracy "
        f"{dataset.kernel_test_accuracy.mean().item():.3f}, test loss / initial "
        f"{(dataset.kernel_test_loss / dataset.test_loss.isel(time=0)).mean().item():.3f}"
    )


if __name__ == "__main__":
    run_as_command(laziness)
