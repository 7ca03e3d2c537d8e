"""How large must the weights be to memorize, or to generalize, as the training set grows?

The question of figure 6 of the technical report "Towards Understanding Grokking Phenomenon via
Model and Training Efficiency": parameter norm against the logit of the right class on training
rows, for networks that memorize and networks that generalize, over alpha. Networks memorize because
their labels are random. Networks that generalize have grokked on most of the table, and go on
training, with true labels, on the same fractions of it; those that forget the rest are left out.

    python experiments/efficiency/norms.py                  # quick: p = 23, a minute on 2 cores
    python experiments/efficiency/norms.py --scale paper    # p = 97, perceptrons: for a GPU

Expected: the norm that memorization needs for a given logit grows with the training set, that of
generalization does not, so that the two cross at a critical size. Several decays trace each curve.
"""

import jax.numpy as jnp
import numpy as np
import xarray

import grokjax
from experiments.common import Network, mean_interval, networks_for
from grokjax import losses, measures, optimizers, plotting, tasks
from grokjax.command import Study, experiment, number, print_table, run_as_command

KINDS = {"memorizing": "o-", "generalizing": "s:"}  # and how they are drawn


def correct_logit(network: measures.Network) -> measures.Scalars:
    """Mean over the training rows of the trained answer's logit, less the mean of all classes.

    The source does not subtract the mean, which no softmax sees.
    """
    logits, split = network.logits, network.split
    right = jnp.take_along_axis(logits, split.labels[:, None], axis=1)[:, 0]
    return {"correct_logit": measures.masked_mean(right - logits.mean(axis=1), split.train)}


@experiment("efficiency_norms", paper={
    "network": "mlp", "p": 97, "alphas": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), "seeds": 5,
    "decays": (0.03, 0.1, 0.3, 1.0, 3.0), "max_steps": 50_000,
})  # fmt: skip
def norms(
    study: Study,
    *,
    network: Network = "quadratic",
    p: int = 23,
    alphas: tuple[float, ...] = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8),
    decays: tuple[float, ...] = (0.2, 0.4, 0.8, 1.6),
    seeds: int = 3,
    max_steps: int = 1000,
) -> grokjax.SweepResult:
    """Parameter norm against the logit of the right class, over alpha and weight decay.

    Networks that can only memorize have a `label_noise` of 1.

    Args:
      decays: weight decays of AdamW, which trace the curve of each alpha.
      max_steps: training steps of each, in which it has to grok first, and then its norm to settle.
    """
    task = tasks.modular_addition(p)
    for alpha in alphas:
        tasks.num_train_rows(task, alpha)  # refused now rather than after the parents
    model, rate = networks_for(p, study.scale)[network]
    columns = {"alpha": alphas, "weight_decay": decays, "seed": range(seeds), "learning_rate": rate}
    measured = (measures.weight_norms, correct_logit)
    recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw, measures=measured)
    with study.sweeps(draw, print_norms) as sweeps:
        parents = sweeps.run(
            grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw), task,
            grokjax.grid(**columns | {"alpha": max(alphas), "weight_decay": 1.0}),
            checkpoints="parents", kept=False,
            max_steps=max_steps, eval_every=max(1, max_steps // 100),
        )  # fmt: skip
        for kind, noise in zip(KINDS, (1.0, 0.0), strict=True):
            lanes = grokjax.grid(label_noise=noise, **columns)
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

    The logarithm of the norm is linear in the logit between networks of a curve; NaN outside.
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


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """Norm against logit for every network, and the norm at one logit over alpha."""
    logit = middle_logit(result)
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


def print_norms(result: grokjax.SweepResult) -> None:
    """Norm at a fixed logit for each kind and alpha, with its interval over seeds."""
    dataset, logit = result.dataset, middle_logit(result)
    values, size = norm_at(result, logit), dataset.attrs["rows"]
    rows = []
    for alpha in values.alpha.values:
        cells = map(interval_text, values.sel(alpha=alpha).values)
        rows.append((f"{alpha:.2f}", f"{round(alpha * size):,}", *cells))
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
    notes.append(f"{still} of {true} networks with true labels still generalize")
    at = f"norm at a logit of {logit:.3g}, mean over seeds and its 95 % interval"
    print_table(f"{dataset.attrs['task']}: {at}", ("alpha", "rows", *KINDS), rows, notes=notes)


def crossing(values: xarray.DataArray) -> float:
    """The alpha at which memorization needs the mean norm of generalization; NaN if at none."""
    memorizing = values.sel(kind="memorizing").mean("seed")
    level = values.sel(kind="generalizing").mean()
    if not memorizing.min() < level < memorizing.max():
        return np.nan
    memorizing = memorizing.dropna("alpha")
    return float(np.interp(level, memorizing.values, memorizing.alpha.values))


def growth(values: xarray.DataArray) -> np.ndarray:
    """Exponents of the norm in training rows, of each seed with two: slopes on log axes."""
    exponents = []
    for _, row in values.groupby("seed"):
        row = row.squeeze("seed").dropna("alpha")
        if row.size > 1:
            exponents.append(np.polyfit(np.log(row.alpha), np.log(row), 1)[0])
    return np.array(exponents)


if __name__ == "__main__":
    run_as_command(norms)
