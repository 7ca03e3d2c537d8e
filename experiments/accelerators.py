"""Does anything make networks grok sooner than a tuned AdamW?

Grokfast (Lee et al. 2024), OrthoGrad and StableMax (Prieto et al. 2025) and Muon (Jordan et al.
2024; for grokking Tveit et al. 2025) are each reported to speed grokking up: Grokfast 50 times,
Muon by a third. They were compared with a baseline that was not tuned. Here each method, AdamW
among them, is tuned by the same number of trials of three numbers: learning rate, weight decay, and
its own. Then networks with fresh seeds are trained at the tuned and at the published numbers of
every method, on the same task, network and budget.

    python experiments/accelerators.py                   # quick: p = 23, two minutes on 2 cores
    python experiments/accelerators.py --scale medium    # 600 networks: 17 minutes, busy
    python experiments/accelerators.py --scale paper     # p = 97: 9,120 networks, for a GPU

The network is Gromov's, with a square, and the loss cross entropy, which StableMax changes. The
published numbers are those of the authors' code for modular addition, where there is one: they
belong to other networks, so "as published" is what somebody gets who takes a method off the shelf.

Expected: tuning AdamW makes it grok ten times sooner or more than as published, and as much sooner
than every other method as published, most of which do not grok within the budget. Tuned alike, none
is faster than AdamW: Grokfast comes near, StableMax takes about twice the steps and Muon more, and
with OrthoGrad most of these networks only memorize. Time is counted in steps; one of Muon or
Grokfast-MA takes longer than one of AdamW.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import optax
import scipy  # its parts are imported when they are used

import grokjax
from grokjax import losses, models, optimizers, plotting, survival, tasks
from grokjax.command import Share, Study, choose, experiment, number, print_table, run_as_command

BASELINE = "AdamW"
NO_DECAY = "Adam, no decay"
TUNING_SEED = 1_000_000  # of the first network that tunes: no network of the comparison has it
MOMENTA = ("b1", "beta")  # their distance to 1 is what is drawn on a logarithmic scale


def add_l2(l2: optimizers.Scalar = 0.0) -> optax.GradientTransformation:
    """Decay in the gradient, `gradient += l2 * params`, as torch's Adam has it."""
    return optax.add_decayed_weights(l2)


def muon(
    learning_rate: optimizers.Scalar,
    weight_decay: optimizers.Scalar = 0.01,
    beta: optimizers.Scalar = 0.95,
) -> optax.GradientTransformation:
    """Muon on both layers of `QuadraticMLP`; the first is one matrix [2 p, width].

    Reference: Jordan et al. 2024, as `optax.contrib.muon`.
    """
    matrices = {
        "w1": optax.contrib.MuonDimensionNumbers(reduction_axis=(0, 1), output_axis=2),
        "w2": optax.contrib.MuonDimensionNumbers(reduction_axis=0, output_axis=1),
    }
    return optax.contrib.muon(
        learning_rate, beta=beta, weight_decay=weight_decay, muon_weight_dimension_numbers=matrices
    )


class Method(NamedTuple):
    """A way to train, and the numbers that it is tried with.

    Attributes:
      optimizer: of hyperparameters.
      published: hyperparameters of those who proposed it, or of their code.
      box: what is tuned, from the lowest to the highest.
      loss: that is minimized.
    """

    optimizer: optimizers.Optimizer
    published: Mapping[str, float]
    box: Mapping[str, tuple[float, float]]
    loss: Any = losses.cross_entropy


COMMON = {"learning_rate": (1e-3, 1e-1), "weight_decay": (0.3, 10.0)}
FAST = {"learning_rate": (1e-2, 1.0)}  # below it these do not fit their training rows in time
B1 = {"b1": (0.5, 0.99)}
LAMB = {"lamb": (0.1, 10.0)}
# Lee et al. train with torch's Adam, whose decay is in the gradient, not AdamW.
GROKFAST = {"learning_rate": 1e-3, "weight_decay": 0.0}
METHODS = {
    "AdamW": Method(
        optimizers.adamw, {"learning_rate": 1e-3, "weight_decay": 1.0, "b1": 0.9}, COMMON | B1
    ),
    "Grokfast-EMA": Method(
        optimizers.chain(optimizers.grokfast_ema_filter, add_l2, optimizers.adamw),
        GROKFAST | {"l2": 0.005, "lamb": 2.0}, COMMON | LAMB,
    ),
    "Grokfast-MA": Method(
        optimizers.chain(optimizers.grokfast_ma_filter(100), add_l2, optimizers.adamw),
        GROKFAST | {"l2": 0.01, "lamb": 5.0}, COMMON | LAMB,
    ),
    "OrthoGrad": Method(
        optimizers.chain(optimizers.orthograd_filter, optimizers.adamw),
        {"learning_rate": 1e-2, "weight_decay": 0.0, "b1": 0.9, "b2": 0.99},
        FAST | {"weight_decay": (1e-3, 1.0)} | B1,  # it is proposed without decay
    ),
    "StableMax": Method(
        optimizers.adamw,
        {"learning_rate": 1e-2, "weight_decay": 0.0, "b1": 0.9, "b2": 0.999}, COMMON | B1,
        loss=losses.stablemax_cross_entropy,
    ),
    "Muon": Method(
        muon, {"learning_rate": 2e-2, "weight_decay": 1e-2, "beta": 0.95},
        COMMON | FAST | {"beta": (0.5, 0.99)},
    ),
}  # fmt: skip


class Compared(NamedTuple):
    """Networks of one method in one stage of the comparison, beside three baselines.

    Attributes:
      steps: [n] at which they grokked, NaN for never.
      median: of them.
      sooner: how many times sooner they grok than each baseline; see `times_sooner`.
      hazard: ratio of their hazard to that of the tuned AdamW.
      p_value: of the log-rank test that they grok as fast as it.
      holm: the same after Holm's correction for all tuned methods; NaN for others.
    """

    steps: np.ndarray
    median: survival.Estimate
    sooner: Mapping[tuple[str, str], survival.Estimate]
    hazard: survival.Estimate
    p_value: float
    holm: float


# What a method is compared with, and the heading of that column.
BASELINES = {
    (NO_DECAY, "published"): "Adam, no\ndecay",
    (BASELINE, "published"): "AdamW as\npublished",
    (BASELINE, "tuned"): "AdamW\ntuned",
}


# The task of each scale is one on which AdamW as published memorizes first and groks in the end.
@experiment(medium={
    "alpha": 0.65, "trials": 16, "tuning_seeds": 3, "seeds": 24, "tuning_steps": 800,
    "max_steps": 2500, "eval_every": 5,
}, paper={
    "p": 97, "width": 500, "alpha": 0.4, "trials": 200, "tuning_seeds": 5, "seeds": 240,
    "tuning_steps": 5000, "max_steps": 20_000, "eval_every": 5,
})  # fmt: skip
def accelerators(
    study: Study,
    *,
    p: int = 23,
    width: int = 128,
    alpha: Share = 0.7,
    methods: tuple[str, ...] = tuple(METHODS),
    trials: int = 8,
    tuning_seeds: int = 2,
    seeds: int = 6,
    tuning_steps: int = 300,
    max_steps: int = 1500,
    eval_every: int = 10,
) -> grokjax.SweepResult:
    """Grokking steps of accelerators and of AdamW, each tuned in the same way, on fresh seeds.

    Args:
      methods: which ones; AdamW is always among them.
      trials: points, each of three hyperparameters, that each method is tuned with.
      tuning_seeds: networks of each trial, with seeds of their own.
      seeds: networks of each method in the comparison, with seeds 0, 1, ...
      tuning_steps: training steps of the networks that tune.
      max_steps: training steps of the networks that are compared.

    Returns:
      All networks. The column `stage` is "tuning", "tuned" or "published".
    """
    names = dict.fromkeys((BASELINE, *choose("method", methods, METHODS)))
    task = tasks.modular_addition(p)
    model = models.QuadraticMLP(p, width, parameterization="standard")
    with study.sweeps(draw, print_comparison) as sweeps:

        def run(name: str, method: Method, stage: str, steps: int, **lanes: Any) -> Any:
            return sweeps.run(
                grokjax.Recipe(model, method.loss, method.optimizer), task,
                grokjax.zip_lanes(alpha=alpha, **lanes),
                title=f"{name}, {stage}", columns={"method": name, "stage": stage},
                checkpoints=f"{name.replace(', ', '_').replace(' ', '_')}_{stage}",
                max_steps=steps, eval_every=eval_every, keep_params="none",
            )  # fmt: skip

        fresh = np.arange(seeds)
        for name in names:
            method = METHODS[name]
            drawn = draws(method.box, trials)
            each = {key: np.repeat(values, tuning_seeds) for key, values in drawn.items()}
            seed = np.tile(TUNING_SEED + np.arange(tuning_seeds), trials)
            tuning = run(name, method, "tuning", tuning_steps, seed=seed, **each)
            chosen = best_trial(tuning, tuple(method.box), tuning_steps)
            run(name, method, "tuned", max_steps, seed=fresh, **chosen)
            run(name, method, "published", max_steps, seed=fresh, **method.published)
        without = {**METHODS[BASELINE].published, "weight_decay": 0.0}
        run(NO_DECAY, METHODS[BASELINE], "published", max_steps, seed=fresh, **without)
    return sweeps.result


def draws(box: Mapping[str, tuple[float, float]], trials: int) -> dict[str, np.ndarray]:
    """Hyperparameters to try, by name: [trials] each, the same points of the unit cube for any box.

    The first points of Halton's sequence, which fill the cube more evenly than random ones; uniform
    in the logarithm, momenta in that of their distance to 1.
    """
    points = scipy.stats.qmc.Halton(len(box), scramble=False).random(trials + 1)[1:].T
    drawn = {}
    for (name, ends), point in zip(box.items(), points, strict=True):
        low, high = np.log([1 - end if name in MOMENTA else end for end in ends])
        value = np.exp(low + (high - low) * point)
        drawn[name] = 1 - value if name in MOMENTA else value
    return drawn


def restricted_mean(steps: Any, budget: int) -> float:
    """Mean grokking step where a network that never grokked counts as one that took the budget."""
    return float(np.where(np.isnan(steps), budget, steps).mean())


def best_trial(tuning: grokjax.SweepResult, names: tuple[str, ...], budget: int) -> dict:
    """The hyperparameters of the trial whose networks have the lowest restricted mean."""
    each = [lanes.dataset for _, lanes in tuning.groups("learning_rate")]
    best = min(each, key=lambda lanes: restricted_mean(lanes.grokking_step.values, budget))
    return {name: best[name].values[0].item() for name in names}


def holm(p_values: Any) -> np.ndarray:
    """p-values corrected for their number: [n], those of Holm's step-down procedure.

    `max over j <= i of min(1, (n - j) p_j)`, for p-values in increasing order from j = 0 on.

    Reference: Holm 1979.
    """
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values)
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(
        np.minimum(1, np.arange(len(p_values), 0, -1) * p_values[order])
    )
    return corrected


def times_sooner(steps: Any, others: Any, watched: float) -> survival.Estimate:
    """Ratio of the others' median grokking step to these networks', with a bootstrap interval.

    inf where fewer than half of the others grokked, 0 where fewer than half of these did, NaN where
    both; the end of the interval that is known is then a bound, since those that never grokked
    would have taken at least `watched` steps.

    Args:
      steps: [n], NaN for never.
      others: [m], likewise.
      watched: the step up to which all of them were watched.
    """
    rng = np.random.default_rng(0)

    def medians(values: Any) -> tuple[float, np.ndarray]:
        values = np.nan_to_num(np.asarray(values, float), nan=np.inf)
        middle = (len(values) - 1) // 2
        again = rng.choice(values, (4000, len(values)))
        return np.sort(values)[middle], np.sort(again, axis=1)[:, middle]

    (own, owns), (other, theirs) = medians(steps), medians(others)
    low = np.quantile(np.minimum(theirs, watched) / owns, 0.025, method="lower")
    high = np.quantile(theirs / np.minimum(owns, watched), 0.975, method="higher")
    with np.errstate(invalid="ignore"):
        return survival.Estimate(float(np.divide(other, own)), float(low), float(high))


def last_watched(result: grokjax.SweepResult) -> float:
    """The last step at which a network of the comparison could have been seen to grok."""
    dataset = result.dataset
    # A network that grokked is watched on, to the end, which those that did not are not.
    steps = dataset.grokking_step.fillna(dataset.watched_step)
    return float(steps.where(dataset.stage != "tuning").max())


def compare(result: grokjax.SweepResult) -> dict[tuple[str, str], Compared]:
    """What came out of the comparison, by method and stage: "published" or "tuned".

    A network that diverged counts as one that was watched to the end and did not grok: for a
    method that is to be relied on it is a failure, not a loss of sight.
    """
    dataset = result.dataset.isel(lane=result.dataset.stage.values != "tuning")
    watched = last_watched(result)
    steps = {
        (method, stage): dataset.grokking_step.values[
            (dataset.method.values == method) & (dataset.stage.values == stage)
        ]
        for stage in ("published", "tuned")
        for method in dict.fromkeys(dataset.method.values.tolist())
    }
    steps = {key: values for key, values in steps.items() if values.size}
    base = (BASELINE, "tuned")
    found = {}
    for key, values in steps.items():
        both = np.r_[steps[base], values]
        second = np.repeat([False, True], [len(steps[base]), len(values)])
        data = both, np.full(len(both), watched), second
        found[key] = values, survival.hazard_ratio(*data), survival.log_rank(*data)
    tuned = [key for key in steps if key[1] == "tuned" and key != base]
    corrected = dict(zip(tuned, holm([found[key][2] for key in tuned]), strict=True))
    return {
        key: Compared(
            values,
            survival.median(values, np.full(len(values), watched)),
            {other: times_sooner(values, steps[other], watched) for other in BASELINES},
            hazard,
            p_value,
            corrected.get(key, np.nan),
        )
        for key, (values, hazard, p_value) in found.items()
    }


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """The share that has grokked over steps, as published and tuned; and what is gained."""
    compared = compare(result)
    watched = last_watched(result)
    names = list(dict.fromkeys(method for method, _ in compared))
    coloured = [name for name in names if name != NO_DECAY]
    colours: dict[str, str] = dict(zip(coloured, plotting.PALETTE, strict=False))
    colours[NO_DECAY] = plotting.GREY
    figure, (*panels, right) = plotting.new_figure(1, 3, size=(9.6, 3.2), width_ratios=(4, 4, 4))
    for ax, stage, title in zip(
        panels, ("published", "tuned"), ("hyperparameters as published", "tuned alike"), strict=True
    ):
        for name in names:
            if (name, stage) not in compared:
                continue
            steps = compared[name, stage].steps
            curve = survival.kaplan_meier(steps, np.full(len(steps), watched))
            at, share = np.r_[curve.step, watched], 1 - np.r_[curve.survival, curve.survival[-1]]
            ax.step(at, share, where="post", color=colours[name], linewidth=1.4)
        ax.set(title=title, xscale="log", ylim=(-0.03, 1.03), xlabel="training step")
    first = np.nanmin([np.nanmin(np.r_[x.steps, watched]) for x in compared.values()])
    for ax in panels:
        ax.set_xlim(0.7 * first, watched)
        plotting.label_log(ax.xaxis)
    panels[0].set_ylabel("share of networks that have grokked")
    panels[1].tick_params(labelleft=False)
    for place, name in enumerate(names):
        for stage, filled, shift in (("published", False, 0.16), ("tuned", True, -0.16)):
            if (name, stage) not in compared or (name, stage) == (BASELINE, "tuned"):
                continue
            value, low, high = compared[name, stage].sooner[BASELINE, "tuned"]
            if np.isnan(value):
                continue
            marker = "<" if value == 0 else ">" if np.isinf(value) else "o"
            at = high if value == 0 else low if np.isinf(value) else value
            look: Any = {"color": colours[name], "markerfacecolor": None if filled else "white"}
            if marker == "o":
                right.plot((low, high), (place + shift,) * 2, color=colours[name], linewidth=1.2)
            right.plot(at, place + shift, marker=marker, markersize=5, linestyle="none", **look)
    right.axvline(1, color=plotting.GREY, linewidth=0.8)
    right.set(
        xscale="log", yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5),
        xlabel="times sooner than AdamW tuned, by the median",
    )  # fmt: skip
    right.set_yticklabels(names)
    for label, name in zip(right.get_yticklabels(), names, strict=True):
        label.set_color(colours[name])
    plotting.label_log(right.xaxis)
    grey: Any = {"color": plotting.GREY, "linestyle": "none", "markersize": 5}
    right.plot([], [], marker="o", markerfacecolor="white", label="as published", **grey)
    right.plot([], [], marker="o", label="tuned", **grey)
    right.plot([], [], marker="<", label="only a bound", **grey)
    plotting.legend_above(right, columns=3)
    return figure


def ratio(x: survival.Estimate) -> str:
    """A ratio with its interval, or the bound that is known of it."""
    value, low, high = (number(float(f"{end:.2g}")) for end in x)
    if np.isnan(x.value):
        return "neither half"
    if x.value == 0:
        return f"< {high}"
    return f"> {low}" if np.isinf(x.value) else f"{value} ({low}-{high})"


def print_comparison(result: grokjax.SweepResult) -> None:
    """Medians, how many times sooner, hazard ratios with tests, and what the tuning chose."""
    compared = compare(result)
    dataset = result.dataset
    print_table(
        f"{dataset.attrs['task']}, alpha {dataset.alpha.values[0]:g}: grokking step, 95 %",
        ("method", "numbers", "grokked", "median", "interval"),
        [
            (
                *key,
                f"{np.sum(~np.isnan(x.steps))} of {len(x.steps)}",
                number(x.median.value) if np.isfinite(x.median.value) else "",
                f"{number(x.median.low)} to "
                + (number(x.median.high) if np.isfinite(x.median.high) else "never"),
            )
            for key, x in compared.items()
        ],
        left=2,
    )
    print_table(
        "how many times sooner than each baseline (ratio of medians, 95 % bootstrap)",
        ("method", "numbers", *BASELINES.values()),
        [
            (*key, *("" if other == key else ratio(x.sooner[other]) for other in BASELINES))
            for key, x in compared.items()
        ],
        left=2,
    )
    print_table(
        "against AdamW tuned: hazard ratio, 95 % (above 1: groks sooner), log-rank test",
        ("method, tuned", "hazard ratio", "p-value", "Holm"),
        [
            (method, ratio(x.hazard), f"{x.p_value:.2g}", f"{x.holm:.2g}")
            for (method, stage), x in compared.items()
            if stage == "tuned" and method != BASELINE
        ],
    )
    rows = []
    for method, lanes in result.select(dataset.stage.values == "tuned").groups("method"):
        box = METHODS[method].box
        values = {name: lanes.dataset[name].values[0] for name in box}
        own = next(name for name in box if name not in COMMON)
        tuning = dataset.isel(
            lane=(dataset.method.values == method) & (dataset.stage.values == "tuning")
        )
        good = int((tuning.grokking_step.notnull()).sum())
        rows.append(
            (
                method, number(values["learning_rate"]), number(values["weight_decay"]),
                f"{own} {number(values[own])}", f"{good} of {tuning.sizes['lane']}",
            )
        )  # fmt: skip
    print_table(
        "what the tuning chose, and how many of the networks of all its trials grokked",
        ("method", "learning rate", "decay", "its own", "grokked"),
        rows,
    )


if __name__ == "__main__":
    run_as_command(accelerators)
