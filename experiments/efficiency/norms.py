"""How large must the weights be to memorize, or to generalize, as the training set grows?

The question of S1, figure 6: parameter norm against the logit of the right class on training rows,
for networks that memorize and networks that generalize, over alpha. Networks memorize because
their labels are random. Networks that generalize have grokked on most of the table, and go on
training, with true labels, on the same fractions of it; those that forget the rest are left out.

    python experiments/efficiency/norms.py                  # quick: p = 23, a minute on 2 cores
    python experiments/efficiency/norms.py --scale paper    # p = 97, S1's MLP: for a GPU

Expected: the norm that memorization needs for a given logit grows with the training set, that of
generalization does not, so that the two cross at a critical size. Regularizers of several
strengths trace each curve.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.stats
import xarray
from rich import box
from rich.console import Console
from rich.table import Table

import grokjax
from experiments.efficiency.common import learning_rate
from experiments.efficiency.common import network as build_network
from grokjax import losses, measures, optimizers, tasks
from grokjax.command import Sweeps, check_option, override, run_as_command


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    network: str
    p: int
    alphas: tuple[float, ...]
    decays: dict[str, tuple[float, ...]]
    seeds: int
    parent_steps: int  # in which networks have to grok
    max_steps: int


SCALES = {
    "quick": Scale(
        network="quadratic",
        p=23,
        alphas=(0.1, 0.2, 0.3, 0.45, 0.6, 0.8),
        decays={"l2": (3e-5, 1e-4, 3e-4, 1e-3), "adamw": (0.2, 0.4, 0.8, 1.6)},
        seeds=3,
        parent_steps=1000,
        max_steps=1000,
    ),
    "paper": Scale(
        network="mlp",
        p=97,
        alphas=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
        decays={"l2": (1e-6, 1e-5, 1e-4, 1e-3), "adamw": (0.03, 0.1, 0.3, 1.0, 3.0)},
        seeds=5,
        parent_steps=50_000,
        max_steps=50_000,
    ),
}
KINDS = ("memorizing", "generalizing")


def correct_logit(network: measures.Network) -> measures.Scalars:
    """Mean over the training rows of the trained answer's logit, less the mean of all classes.

    Differs: S1 does not subtract the mean, which no softmax sees.
    """
    logits, split = network.logits, network.split
    right = jnp.take_along_axis(logits, split.labels[:, None], axis=1)[:, 0]
    return {"correct_logit": measures.masked_mean(right - logits.mean(axis=1), split.train)}


def norms(
    scale: Literal["quick", "paper"] = "quick",
    *,
    network: str | None = None,
    p: int | None = None,
    alphas: tuple[float, ...] | None = None,
    regularizer: Literal["l2", "adamw"] = "adamw",
    decays: tuple[float, ...] | None = None,
    seeds: int | None = None,
    max_steps: int | None = None,
    logit: float | None = None,
    output: Path = Path("results/efficiency_norms"),
    checkpoints: Path | None = None,
    progress: bool = True,
) -> grokjax.SweepResult:
    """Parameter norm against the logit of the right class, over alpha and weight decay.

    Args:
      scale: quick: p = 23, quadratic networks; paper: p = 97, S1's MLP.
      network: quadratic, mlp, lstm or transformer.
      p: the modulus.
      alphas: fractions of the table to train on.
      regularizer: adamw decays apart from the gradient, as in the source; l2 adds
        `decay / 2 ||params||^2` to the loss, whose minimum is the smallest norm for its loss.
      decays: strengths of the regularizer, which trace the curve of each alpha.
      seeds: networks of each kind, alpha and decay.
      max_steps: training steps of each, long enough for the norm to settle; and most steps in which
        networks have to grok before.
      logit: the one to compare norms at; by default a middle one that most curves reach.
      output: folder for the dataset, the configuration and the figure.
      checkpoints: folder to keep checkpoints in.
      progress: show how far the sweep is, in a terminal.

    Returns:
      One lane for each; `label_noise` is 1 for those that can only memorize.
    """
    if decays is not None:
        decays = check_option("decays", decays, tuple[float, ...])
    if logit is not None:
        logit = check_option("logit", logit, float)
    setting = override(
        SCALES[scale],
        network=network,
        p=p,
        alphas=alphas,
        seeds=seeds,
        max_steps=max_steps,
        parent_steps=max_steps,
        decays={regularizer: decays} if decays else None,
    )
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    task = tasks.modular_addition(setting.p)
    model = build_network(setting.network, setting.p, scale)
    rate = learning_rate(setting.network, scale)
    seeds_and_rate = {"seed": range(setting.seeds), "learning_rate": rate}
    for alpha in setting.alphas:
        tasks.num_train_rows(task, alpha)  # refused now rather than after the parents
    l2 = regularizer == "l2"
    recipe = grokjax.Recipe(
        model,
        losses.cross_entropy,
        optimizers.adam if l2 else optimizers.adamw,
        penalty=losses.l2 if l2 else None,
        measures=(measures.weight_norms, correct_logit),
    )
    with Sweeps() as sweeps:
        parents = sweeps.run(
            grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw),
            task,
            grokjax.grid(alpha=max(setting.alphas), weight_decay=1.0, **seeds_and_rate),
            kept=False,
            max_steps=setting.parent_steps,
            eval_every=max(1, setting.parent_steps // 100),
            directory=None if checkpoints is None else checkpoints / "parents",
            progress=progress,
        )
        for kind, noise in zip(KINDS, (1.0, 0.0), strict=True):
            lanes = grokjax.grid(
                label_noise=noise,
                alpha=setting.alphas,
                **{"l2" if l2 else "weight_decay": setting.decays[regularizer]},
                **seeds_and_rate,
            )
            sweeps.run(
                recipe,
                task,
                lanes,
                title=kind,
                max_steps=setting.max_steps,
                eval_every=max(1, setting.max_steps // 20),
                stop=None,
                initial=None if noise else parents.branch(lanes, ["seed"]),
                keep_params="none",
                directory=None if checkpoints is None else checkpoints / kind,
                progress=progress,
            )
    result = sweeps.joined()
    if logit is None:
        logit = middle_logit(result)
    return sweeps.report(
        output,
        lambda result, folder: draw(result, folder, logit),
        lambda result: print_table(result, logit),
        result=result,
    )


def groups(result: grokjax.SweepResult) -> dict[str, np.ndarray]:
    """bool[L]: networks that memorized random labels, and those that generalized from true ones.

    Networks that did neither by the end are in no group.
    """
    random = result.dataset.label_noise.values == 1
    fits = result.final("train_accuracy").values >= 0.99
    return {
        "memorizing": random & fits,
        "generalizing": ~random & fits & (result.final("test_accuracy").values >= 0.99),
    }


def middle_logit(result: grokjax.SweepResult) -> float:
    """A logit inside the range of as many curves as possible."""
    candidates = np.linspace(1.0, 20.0, 77)
    reached = [np.isfinite(norm_at(result, x)).sum().item() for x in candidates]
    best = np.flatnonzero(np.array(reached) == max(reached))
    return float(candidates[best[len(best) // 2]])


def norm_at(result: grokjax.SweepResult, logit: float) -> xarray.DataArray:
    """The norm at a given logit of each curve: [kind, alpha, seed].

    A curve joins the networks of all weight decays, with the logarithm of the norm linear in the
    logit between two of them; NaN outside of its range.
    """
    dataset = result.dataset
    alphas, seeds = np.unique(dataset.alpha), np.unique(dataset.seed)
    norm, reached = result.final("norm").values, result.final("correct_logit").values
    values = np.full((len(KINDS), len(alphas), len(seeds)), np.nan)
    for i, inside in enumerate(groups(result).values()):
        for j, alpha in enumerate(alphas):
            for k, seed in enumerate(seeds):
                curve = inside & (dataset.alpha.values == alpha) & (dataset.seed.values == seed)
                x, y = reached[curve], np.log(norm[curve])
                if x.size and x.min() <= logit <= x.max():
                    order = np.argsort(x)
                    values[i, j, k] = np.exp(np.interp(logit, x[order], y[order]))
    coords = {"kind": list(KINDS), "alpha": alphas, "seed": seeds}
    return xarray.DataArray(values, coords, tuple(coords))


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean over seeds and its interval by Student's t; NaN for the interval of fewer than two."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return (values.mean() if len(values) else np.nan), np.nan, np.nan
    half = scipy.stats.t.ppf((1 + confidence) / 2, len(values) - 1) * scipy.stats.sem(values)
    return values.mean(), values.mean() - half, values.mean() + half


def draw(result: grokjax.SweepResult, output: Path, logit: float | None = None) -> list[Path]:
    """The figure of a run, drawn from its result, as PNG and SVG."""
    from matplotlib.lines import Line2D

    from grokjax import plotting
    from grokjax.plotting import ALPHA, GREY, colour_scale, label_log, legend_above

    dataset = result.dataset
    logit = middle_logit(result) if logit is None else logit
    norm, reached = result.final("norm").values, result.final("correct_logit").values
    markers = {"memorizing": "o", "generalizing": "s"}
    with plotting.in_style():
        figure, (left, right) = plotting.new_figure(1, 2, size=(7.2, 3.2))
        colours = colour_scale(dataset.alpha.values)
        for kind, inside in groups(result).items():
            filled = "full" if kind == "memorizing" else "none"
            for alpha in np.unique(dataset.alpha):
                here = inside & (dataset.alpha.values == alpha)
                left.plot(
                    norm[here], reached[here], markers[kind], color=colours.to_rgba(alpha),
                    markersize=3.5, fillstyle=filled,
                )  # fmt: skip
        left.axhline(logit, color=GREY, linewidth=0.8, linestyle=(0, (3, 2)))
        left.set(xlabel="parameter norm", ylabel="logit of the right class", xscale="log")
        label_log(left.xaxis)
        legend_above(
            left,
            [
                Line2D([], [], color=GREY, linestyle="none", marker="o", label="random labels"),
                Line2D(
                    [], [], color=GREY, linestyle="none", marker="s", fillstyle="none",
                    label="true labels, grokked",
                ),
            ],
            columns=2,
        )  # fmt: skip
        figure.colorbar(colours, ax=left, label=ALPHA, pad=0.02, aspect=30)
        values = norm_at(result, logit)
        for i, kind in enumerate(KINDS):
            rows = np.array([mean_interval(row) for row in values.sel(kind=kind).values])
            there = np.isfinite(rows[:, 0])
            x = values.alpha.values[there]
            mean, low, high = rows[there].T
            colour = plotting.PALETTE[i]
            right.plot(x, mean, markers[kind] + "-", color=colour, markersize=4, label=kind)
            right.vlines(x, low, high, color=colour, linewidth=1)
        right.set(xlabel=ALPHA, ylabel=f"norm at a logit of {logit:.3g}", ylim=(0, None))
        legend_above(right)
    return plotting.save(figure, output, "norms")


def print_table(result: grokjax.SweepResult, logit: float) -> None:
    """Norm at a fixed logit for each kind and alpha, with its interval over seeds."""
    dataset, values = result.dataset, norm_at(result, logit)
    table = Table(
        title=f"{dataset.attrs['task']}: norm at a logit of {logit:.3g}, mean over seeds and its "
        "95 % interval",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("alpha", "rows", *KINDS):
        table.add_column(heading, justify="right", no_wrap=True)
    for alpha in values.alpha.values:
        cells = [mean_interval(values.sel(kind=kind, alpha=alpha).values) for kind in KINDS]
        table.add_row(
            f"{alpha:.2f}",
            f"{round(alpha * dataset.attrs['rows']):,}",
            *(f"{m:.3g} ({low:.3g} to {high:.3g})" if m == m else "" for m, low, high in cells),
        )
    Console().print(table)
    if values.notnull().any("seed").all("kind").any():
        print(f"memorizing and generalizing need the same norm at alpha = {crossing(values):.2f}")
    for kind in KINDS:
        if (change := growth(values.sel(kind=kind))) is not None:
            mean, low, high = mean_interval(change)
            print(
                f"{kind}: norm ~ rows^e with e = {mean:.2f} ({low:.2f} to {high:.2f}), "
                f"{len(change)} seeds"
            )
    counts = {kind: inside.sum() for kind, inside in groups(result).items()}
    of_true_labels = (dataset.label_noise.values == 0).sum()
    print(
        f"{counts['generalizing']} of {of_true_labels} networks with true labels still generalize"
    )


def crossing(values: xarray.DataArray) -> float:
    """The alpha at which memorization needs the mean norm of generalization, between two points.

    NaN if one of them needs more at every alpha.
    """
    memorizing = values.sel(kind="memorizing").mean("seed").dropna("alpha")
    level = values.sel(kind="generalizing").mean().item()
    if not memorizing.min() < level < memorizing.max():
        return np.nan
    return float(np.interp(level, memorizing.values, memorizing.alpha.values))


def growth(values: xarray.DataArray) -> np.ndarray | None:
    """Exponent of the norm in the size of the training set, for each seed: a line on log axes."""
    exponents = []
    for row in values.transpose("seed", "alpha").values:
        there = np.isfinite(row)
        if there.sum() > 1:
            x, y = np.log(values.alpha.values[there]), np.log(row[there])
            exponents.append(np.polyfit(x, y, 1)[0])
    return np.array(exponents) if exponents else None


if __name__ == "__main__":
    run_as_command(norms)
