"""How large must the weights be to memorize, or to generalize, as the training set grows?

The question of figure 6 of the technical report "Towards Understanding Grokking Phenomenon via
Model and Training Efficiency": parameter norm against the logit of the right class on training
rows, for networks that memorize and networks that generalize, over alpha. Networks memorize because
their labels are random. Networks that generalize have grokked on most of the table, and go on
training, with true labels, on the same fractions of it; those that forget the rest are left out.

    python experiments/efficiency/norms.py                  # quick: p = 23, a minute on 2 cores
    python experiments/efficiency/norms.py --scale paper    # p = 97, perceptrons: for a GPU

Expected: the norm that memorization needs for a given logit grows with the training set, that of
generalization does not, so that the two cross at a critical size. Regularizers of several
strengths trace each curve.
"""

import functools
from typing import Literal

import jax.numpy as jnp
import numpy as np
import xarray

import grokjax
from experiments.common import mean_interval
from experiments.efficiency.common import Network, networks_for
from grokjax import losses, measures, optimizers, plotting, tasks
from grokjax.command import Study, experiment, number, print_table, run_as_command

DECAYS = {
    ("quick", "l2"): (3e-5, 1e-4, 3e-4, 1e-3),
    ("quick", "adamw"): (0.2, 0.4, 0.8, 1.6),
    ("paper", "l2"): (1e-6, 1e-5, 1e-4, 1e-3),
    ("paper", "adamw"): (0.03, 0.1, 0.3, 1.0, 3.0),
}
KINDS = {"memorizing": "o-", "generalizing": "s:"}  # and how they are drawn


def correct_logit(network: measures.Network) -> measures.Scalars:
    """Mean over the training rows of the trained answer's logit, less the mean of all classes.

    The source does not subtract the mean, which no softmax sees.
    """
    logits, split = network.logits, network.split
    right = jnp.take_along_axis(logits, split.labels[:, None], axis=1)[:, 0]
    return {"correct_logit": measures.masked_mean(right - logits.mean(axis=1), split.train)}


@experiment(
    "efficiency_norms",
    paper={
        "network": "mlp", "p": 97, "alphas": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), "seeds": 5,
        "max_steps": 50_000,
    },
)  # fmt: skip
def norms(
    study: Study,
    *,
    network: Network = "quadratic",
    p: int = 23,
    alphas: tuple[float, ...] = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8),
    regularizer: Literal["l2", "adamw"] = "adamw",
    decays: tuple[float, ...] | None = None,
    seeds: int = 3,
    max_steps: int = 1000,
    logit: float | None = None,
) -> grokjax.SweepResult:
    """Parameter norm against the logit of the right class, over alpha and weight decay.

    Args:
      network: which one.
      regularizer: adamw decays apart from the gradient, as in the source; l2 adds
        `decay / 2 ||params||^2` to the loss, whose minimum is the smallest norm for its loss.
      decays: strengths of the regularizer, which trace the curve of each alpha; by default 0.2 to
        1.6 for adamw and 3e-5 to 1e-3 for l2, and at scale paper 0.03 to 3 and 1e-6 to 1e-3.
      max_steps: training steps of each, long enough for the norm to settle; and most steps in which
        networks have to grok before.
      logit: the one to compare norms at; by default a middle one that most curves reach.

    Returns:
      One lane for each; `label_noise` is 1 for those that can only memorize.
    """
    task = tasks.modular_addition(p)
    for alpha in alphas:
        tasks.num_train_rows(task, alpha)  # refused now rather than after the parents
    model, rate = networks_for(p, study.scale)[network]
    seeds_and_rate = {"seed": range(seeds), "learning_rate": rate}
    decays = DECAYS[study.scale, regularizer] if decays is None else decays
    l2 = regularizer == "l2"
    strengths = {"l2" if l2 else "weight_decay": decays}
    recipe = grokjax.Recipe(
        model,
        losses.cross_entropy,
        optimizers.adam if l2 else optimizers.adamw,
        penalty=losses.l2 if l2 else None,
        measures=(measures.weight_norms, correct_logit),
    )
    figure, table = (functools.partial(show, logit=logit) for show in (draw, print_norms))
    with study.sweeps(figure, table) as sweeps:
        parents = sweeps.run(
            grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw), task,
            grokjax.grid(alpha=max(alphas), weight_decay=1.0, **seeds_and_rate),
            checkpoints="parents", kept=False,
            max_steps=max_steps, eval_every=max(1, max_steps // 100),
        )  # fmt: skip
        for kind, noise in zip(KINDS, (1.0, 0.0), strict=True):
            lanes = grokjax.grid(label_noise=noise, alpha=alphas, **strengths, **seeds_and_rate)
            sweeps.run(
                recipe, task, lanes,
                title=kind, checkpoints=kind,
                max_steps=max_steps, eval_every=max(1, max_steps // 20), stop=None,
                initial=None if noise else parents.branch(lanes, ["seed"]), keep_params="none",
            )  # fmt: skip
    return sweeps.result


def curves(result: grokjax.SweepResult) -> dict[tuple, tuple[np.ndarray, np.ndarray]]:
    """By kind, alpha and seed: increasing logits of the networks of all decays, and their norms.

    Networks with random labels that did not memorize them by the end are left out, and networks
    with true ones that do not generalize.
    """
    found = {}
    for (noise, alpha, seed), lanes in result.groups("label_noise", "alpha", "seed"):
        good = lanes.final("train_accuracy").values >= 0.99
        good &= (noise == 1) | (lanes.final("test_accuracy").values >= 0.99)
        if good.any():
            reached, norm = (lanes.final(k).values[good] for k in ("correct_logit", "norm"))
            order = np.argsort(reached)
            kind = "memorizing" if noise == 1 else "generalizing"
            found[kind, alpha, seed] = reached[order], norm[order]
    return found


def middle_logit(result: grokjax.SweepResult) -> float:
    """A logit inside the range of as many curves as possible."""
    candidates = np.linspace(1.0, 20.0, 77)
    inside = [(x[0] <= candidates) & (candidates <= x[-1]) for x, _ in curves(result).values()]
    count = np.sum(inside, axis=0)
    best = np.flatnonzero(count == count.max())
    return float(candidates[best[len(best) // 2]])


def norm_at(result: grokjax.SweepResult, logit: float) -> xarray.DataArray:
    """The norm at a given logit of each curve: [kind, alpha, seed].

    The logarithm of the norm is linear in the logit between two networks of a curve; NaN outside of
    its range.
    """
    alphas, seeds = np.unique(result.dataset.alpha), np.unique(result.dataset.seed)
    coords = {"kind": list(KINDS), "alpha": alphas, "seed": seeds}
    values = xarray.DataArray(np.nan, coords, tuple(coords))
    for place, (x, norm) in curves(result).items():
        if x[0] <= logit <= x[-1]:
            values.loc[place] = np.exp(np.interp(logit, x, np.log(norm)))
    return values


def interval_text(values: np.ndarray) -> str:
    """Mean over seeds and its interval, of those there are."""
    mean, low, high = mean_interval(values)
    if np.isnan(low):
        return "" if np.isnan(mean) else number(mean)
    return f"{number(mean)} ({number(low)} to {number(high)})"


def draw(result: grokjax.SweepResult, logit: float | None = None) -> "plotting.Figure":
    """Norm against logit for every network, and the norm at one logit over alpha."""
    logit = middle_logit(result) if logit is None else logit
    values, colours = norm_at(result, logit), plotting.colours_by(result, "alpha")
    figure, (left, right) = plotting.new_figure(1, 2, size=(7.2, 3.4))
    thin = {"markersize": 3.5, "linewidth": 0.6}
    for (kind, alpha, _), (x, norm) in curves(result).items():
        left.plot(norm, x, KINDS[kind], color=colours.of(alpha), **thin)
    for i, (kind, line) in enumerate(KINDS.items()):
        left.plot([], [], line, color=plotting.GREY, label=kind, **thin)
        mean, low, high = np.transpose([mean_interval(x) for x in values.sel(kind=kind).values])
        there, colour = np.isfinite(mean), plotting.PALETTE[i]
        right.plot(values.alpha[there], mean[there], line, color=colour, label=kind, markersize=4)
        right.vlines(values.alpha, low, high, color=colour, linewidth=1)
    left.axhline(logit, color=plotting.GREY, linestyle="--", label="where norms are compared")
    left.set(xlabel="parameter norm", ylabel="logit of the right class", xscale="log")
    plotting.label_log(left.xaxis)
    right.set(xlabel=plotting.ALPHA, ylabel=f"norm at a logit of {logit:.3g}", ylim=(0, None))
    right.plot([], [], color=plotting.GREY, label="mean of seeds, 95 % interval")
    for ax in (left, right):
        plotting.legend_above(ax)
    colours.bar(figure, left)
    return figure


def print_norms(result: grokjax.SweepResult, logit: float | None = None) -> None:
    """Norm at a fixed logit for each kind and alpha, with its interval over seeds."""
    dataset = result.dataset
    logit = middle_logit(result) if logit is None else logit
    values, size = norm_at(result, logit), dataset.attrs["rows"]
    rows = [
        (
            f"{alpha:.2f}",
            f"{round(alpha * size):,}",
            *map(interval_text, values.sel(alpha=alpha).values),
        )
        for alpha in values.alpha.values
    ]
    notes = []
    if np.isfinite(alpha := crossing(values)):
        notes.append(f"memorizing and generalizing need the same norm at alpha = {alpha:.2f}")
    for kind in KINDS:
        exponents = growth(values.sel(kind=kind))
        if exponents.size:
            text = interval_text(exponents)
            notes.append(f"{kind}: norm ~ rows^e with e = {text}, {exponents.size} seeds")
    still = sum(len(x) for (kind, *_), (x, _) in curves(result).items() if kind == "generalizing")
    true = int((dataset.label_noise == 0).sum())
    print_table(
        f"{dataset.attrs['task']}: norm at a logit of {logit:.3g}, mean over seeds and its 95 % "
        "interval",
        ("alpha", "rows", *KINDS),
        rows,
        notes=[*notes, f"{still} of {true} networks with true labels still generalize"],
    )


def crossing(values: xarray.DataArray) -> float:
    """The alpha at which memorization needs the mean norm of generalization, between two points.

    NaN if one of them needs more at every alpha.
    """
    memorizing = values.sel(kind="memorizing").mean("seed")
    level = values.sel(kind="generalizing").mean()
    if not memorizing.min() < level < memorizing.max():
        return np.nan
    memorizing = memorizing.dropna("alpha")
    return float(np.interp(level, memorizing.values, memorizing.alpha.values))


def growth(values: xarray.DataArray) -> np.ndarray:
    """Exponents of the norm in the size of the training set: of each seed, a line on log axes.

    Seeds that have fewer than two norms are left out.
    """
    exponents = []
    for _, row in values.groupby("seed"):
        row = row.squeeze("seed").dropna("alpha")
        if row.size > 1:
            exponents.append(np.polyfit(np.log(row.alpha), np.log(row), 1)[0])
    return np.array(exponents)


if __name__ == "__main__":
    run_as_command(norms)
