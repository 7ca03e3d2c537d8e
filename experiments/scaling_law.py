"""Is the grokking step a power law of data, weight decay, learning rate and width?

    grokking step ~ rows^a decay^b rate^c width^d

A study of 2026 (openreview.net/forum?id=Qh29Wjs8oo) reports a = -2.04, b = -0.64, c = -0.50 and
d = -0.27. Here they are fitted to two-layer networks with AdamW, in all combinations of the four.
Networks that had not grokked when their training ended are censored: all that is known of their
step is that it comes later, which an accelerated failure time model takes into account. A second
fit leaves them out, as is usual.

    python experiments/scaling_law.py                   # quick: p = 23, 72 networks, a minute
    python experiments/scaling_law.py --scale medium    # p = 29: 480 networks, 14 minutes, busy
    python experiments/scaling_law.py --scale paper     # p = 97: 3,000 networks, for a GPU

The times are those of two cores, and the fit needs lifelines (`pip install "grokjax[survival]"`).

Expected: networks grok sooner with more rows, more decay and a higher rate. Rows matter more than
published, with an exponent below -4, and a wider network groks later rather than sooner. It is no
single law: decay and width matter several times as much with few rows as with many. Without the
networks that had not grokked, the exponents of rows and of decay come out a quarter to a half
closer to 0, and networks are predicted to grok soon at settings at which none did.
"""

import importlib.util
from collections.abc import Iterable
from typing import Any

import numpy as np

import grokjax
from experiments.common import adamw
from grokjax import plotting, survival, tasks
from grokjax.command import Positive, Study, experiment, number, print_table, run_as_command
from grokjax.survival import PowerLaw

# The columns of the law, with the exponents of the study of 2026.
PUBLISHED = {"rows": -2.04, "weight_decay": -0.64, "learning_rate": -0.50, "width": -0.27}
LABELS = {"rows": "training rows"} | {name: name.replace("_", " ") for name in list(PUBLISHED)[1:]}
DISTRIBUTIONS = ("log-normal", "log-logistic", "Weibull")
FITTED: Any = {"color": "#0072B2", "linewidth": 1.6, "zorder": 3}
DROPPED: Any = {"color": "#D55E00", "linewidth": 1.3, "linestyle": (0, (4, 1.5)), "zorder": 2}
PAPER: Any = {"color": "#777777", "linewidth": 1, "linestyle": (0, (1, 1.5)), "zorder": 1}


@experiment(medium={
    "p": 29, "widths": (48, 96, 192, 384), "alphas": (0.45, 0.5, 0.6, 0.7, 0.8),
    "weight_decays": (0.25, 0.5, 1, 2), "seeds": 2,
}, paper={
    "p": 97, "widths": (128, 256, 512, 1024, 2048), "alphas": (0.25, 0.3, 0.4, 0.55, 0.75),
    "weight_decays": (0.25, 0.5, 1, 2), "learning_rates": (1e-3, 2e-3, 4e-3, 8e-3, 16e-3),
    "seeds": 6, "max_steps": 20_000, "eval_every": 20,
})  # fmt: skip
def scaling_law(
    study: Study,
    *,
    p: int = 23,
    widths: tuple[int, ...] = (64, 192),
    alphas: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8),
    weight_decays: tuple[Positive, ...] = (0.25, 0.7, 2),
    learning_rates: tuple[Positive, ...] = (1e-3, 3e-3, 1e-2),
    seeds: int = 1,
    max_steps: int = 1500,
    eval_every: int = 5,
) -> grokjax.SweepResult:
    """Grokking steps over a factorial design, and the power law that fits them best.

    Args:
      weight_decays: of AdamW, in the standard parameterization.
      learning_rates: of AdamW.
      seeds: networks for each combination; every network of a width has a seed of its own, so that
        all are independent of each other.
      max_steps: training steps after which a network that has not grokked is censored.

    Returns:
      All networks, with the columns `width` and `rows`, how many rows each was trained on.
    """
    if importlib.util.find_spec("lifelines") is None:  # told now rather than after the training
        raise ValueError('the fit needs lifelines; pip install "grokjax[survival]" installs it.')
    if max(map(len, (widths, alphas, weight_decays, learning_rates))) < 2:
        raise ValueError(
            "a power law needs widths, alphas, weight_decays or learning_rates of two values or "
            f"more, got one of each: widths={widths}."
        )
    task = tasks.modular_addition(p)
    lanes = grokjax.grid(
        alpha=np.repeat(alphas, seeds), weight_decay=weight_decays, learning_rate=learning_rates
    )
    each = np.arange(len(lanes["alpha"]))
    rows = lambda dataset: [tasks.num_train_rows(task, alpha) for alpha in dataset.alpha.values]
    with study.sweeps({"scaling_law": draw, "diagnostics": draw_diagnostics}, print_law) as sweeps:
        for i, width in enumerate(widths):
            recipe, _ = adamw(p, width)
            sweeps.run(
                recipe, task, lanes | {"seed": i * len(each) + each}, title=f"width {width}",
                columns={"width": width, "rows": rows}, checkpoints=f"width_{width}",
                max_steps=max_steps, eval_every=eval_every, keep_params="none",
            )  # fmt: skip
    return sweeps.result


def columns_of(result: grokjax.SweepResult) -> dict[str, np.ndarray]:
    """The columns of the law that vary: [L] each."""
    columns = {name: result.dataset[name].values for name in PUBLISHED}
    return {name: column for name, column in columns.items() if len(np.unique(column)) > 1}


def fit(result: grokjax.SweepResult, distribution: str, names: Iterable[str]) -> PowerLaw:
    """The power law of some columns, of all networks."""
    step, watched = result.dataset.grokking_step, result.dataset.watched_step
    columns: dict[str, Any] = {name: result.dataset[name] for name in names}
    return survival.power_law(step, watched, distribution=distribution, **columns)


def fits(result: grokjax.SweepResult) -> tuple[PowerLaw, PowerLaw, list[PowerLaw]]:
    """The best law of all networks, the same without the censored ones, and all that were tried.

    The best is the one of the distribution with the lowest Akaike's criterion.
    """
    names = list(columns_of(result))
    tried = [fit(result, distribution, names) for distribution in DISTRIBUTIONS]
    best = min(tried, key=lambda law: law.aic)
    grokked = result.select(result.dataset.grokking_step.notnull().values)
    return best, fit(grokked, best.distribution, names), tried


def observed(result: grokjax.SweepResult) -> tuple[np.ndarray, np.ndarray]:
    """When each network grokked, NaN where it had not; and when it did or was last watched."""
    step, watched = (result.dataset[name].values for name in ("grokking_step", "watched_step"))
    return step, np.where(np.isnan(step), watched, step)


def halves(
    result: grokjax.SweepResult, name: str, distribution: str
) -> tuple[PowerLaw | None, PowerLaw | None]:
    """The law of the networks with the lower values of a column, and of those with the higher ones.

    None where too few grokked, or the column has less than three values.
    """
    column = result.dataset[name].values
    levels = np.unique(column)
    if len(levels) < 3:
        return None, None
    half = (len(levels) + 1) // 2
    low, high = column <= levels[half - 1], column >= levels[-half]

    names = list(columns_of(result))

    def law_of(part: np.ndarray) -> PowerLaw | None:
        try:
            return fit(result.select(part), distribution, names)
        except ValueError:
            return None

    return law_of(low), law_of(high)


def exponent(law: PowerLaw | None, name: str) -> str:
    """An exponent with its interval, as text; nothing of no law."""
    if law is None:
        return ""
    value, low, high = law.exponents[name]
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """The law along each column: medians of what is observed, and the lines of the fits."""
    law, dropped, _ = fits(result)
    columns = columns_of(result)
    step, seen = observed(result)
    medians = law.median(**columns)
    figure, axes = plotting.new_figure(1, len(columns), size=(7.4, 2.9), sharey=True, squeeze=False)
    for ax, (name, column) in zip(axes[0], columns.items(), strict=True):
        # Steps as they would be if all other columns were at their centres.
        others_apart = law.median(**law.centres | {name: column}) / medians
        for level in np.unique(column):
            here = column == level
            adjusted = (others_apart * step)[here], (others_apart * seen)[here]
            _draw_median(ax, level, survival.median(*adjusted))
        line = np.geomspace(column.min() / 1.1, column.max() * 1.1, 50)
        steps = lambda one, name=name, line=line: one.median(**law.centres | {name: line})
        ax.plot(line, steps(law), label="fit of all networks, censored", **FITTED)
        ax.plot(line, steps(dropped), label="fit of grokked networks only", **DROPPED)
        published = law.constant * (line / law.centres[name]) ** PUBLISHED[name]
        ax.plot(line, published, label="published exponent", **PAPER)
        ax.set(xscale="log", yscale="log", xlabel=LABELS[name])
        levels = np.unique(column)
        crowded = len(levels) > 4
        ax.set_xticks(
            levels, ["" if crowded and i % 2 else number(x) for i, x in enumerate(levels)]
        )
        ax.set_xticks([], minor=True)
        ax.set_title(f"exponent {exponent(law, name)}".replace(" (", "\n("), size=8)
    plotting.label_log(axes[0, 0].yaxis)
    axes[0, 0].set_ylabel("grokking step,\nother columns at their centres")
    plotting.legend_outside(figure)
    return figure


def _draw_median(ax: Any, place: float, median: survival.Estimate) -> None:
    """A Kaplan-Meier median with its interval; an arrow where it has no upper end."""
    key: Any = {"color": "black", "zorder": 4}
    if np.isfinite(median.high):
        ax.plot([place, place], [median.low, median.high], linewidth=1, **key)
    else:
        ends = {"xy": (place, 2.5 * median.low), "xytext": (place, median.low)}
        ax.annotate("", arrowprops={"arrowstyle": "->", "linewidth": 1}, zorder=4, **ends)
    if np.isfinite(median.value):
        label = "observed median, 95 % interval"
        ax.plot(place, median.value, "o", markersize=3.5, label=label, **key)


def draw_diagnostics(result: grokjax.SweepResult) -> "plotting.Figure":
    """What is observed against what both fits say of the same networks, and their residuals."""
    law, dropped, _ = fits(result)
    columns = columns_of(result)
    step, seen = observed(result)
    grokked = ~np.isnan(step)
    figure, axes = plotting.new_figure(1, 3, size=(7.4, 3.1))
    titles = ("fit of all networks, censored", "fit of grokked networks only")
    for ax, one, title in zip(axes, (law, dropped), titles, strict=False):
        medians = one.median(**columns)
        ends = [min(medians.min(), seen.min()) / 1.2, max(medians.max(), seen.max()) * 1.2]
        mark = {"linestyle": "none", "markersize": 3, "alpha": 0.7}
        ax.plot(medians[grokked], seen[grokked], "o", color="#009E73", label="grokked", **mark)
        ax.plot(
            medians[~grokked], seen[~grokked], "^", color="black", markerfacecolor="none",
            label="not grokked by then", **mark,
        )  # fmt: skip
        ax.plot(ends, ends, color=plotting.GREY, linewidth=1, zorder=0)
        ax.set(xscale="log", yscale="log", title=title, xlabel="fitted median step")
        plotting.label_log(ax.xaxis)
        plotting.label_log(ax.yaxis)
    axes[0].set_ylabel("observed step")
    for one, line, label in ((law, FITTED, titles[0]), (dropped, DROPPED, titles[1])):
        residual = one.cumulative_hazard(seen, **columns)
        curve = survival.kaplan_meier(np.where(grokked, residual, np.nan), residual)
        there = (curve.step > 0) & (curve.survival > 0)
        hazard = -np.log(curve.survival[there])
        axes[2].plot(curve.step[there], hazard, label=label, **line)
        with np.errstate(divide="ignore"):
            band = -np.log(curve.high[there]), -np.log(curve.low[there])
        colour = line["color"]
        axes[2].fill_between(curve.step[there], *band, color=colour, alpha=0.2, linewidth=0)
    ends = [0.01, 10]
    axes[2].plot(ends, ends, color=plotting.GREY, linewidth=1, zorder=0, label="perfect fit")
    axes[2].set(
        xscale="log", yscale="log", xlim=ends, ylim=ends, title="residuals",
        xlabel="Cox-Snell residual", ylabel="its cumulative hazard",
    )  # fmt: skip
    plotting.legend_outside(figure)
    return figure


def print_law(result: grokjax.SweepResult) -> None:
    """The exponents, what is predicted with and without the censored networks, and how it fits."""
    law, dropped, tried = fits(result)
    columns = columns_of(result)
    step, _ = observed(result)
    censored = np.isnan(step)
    last = int(result.dataset.watched_step.max())  # when one could have been seen to grok
    print_table(
        f"{result.dataset.attrs['task']}: exponents of the grokking step, {law.distribution}, 95 % "
        f"intervals; {len(step)} networks, {censored.sum()} of them censored",
        ("", "censored fit", "grokked only", "published"),
        [
            (LABELS[name], exponent(law, name), exponent(dropped, name), f"{PUBLISHED[name]:.2f}")
            for name in columns
        ],
    )
    medians = law.median(**columns)
    hardest = {name: column[medians.argmax()] for name, column in columns.items()}
    there = np.all([column == hardest[name] for name, column in columns.items()], axis=0)
    among = f"{(~censored[there]).sum()} of {there.sum()} by {last:,}"
    both = (law, dropped)
    predicted = [f"{-np.expm1(-one.cumulative_hazard(last, **columns)).sum():.0f}" for one in both]
    within = [(one.median(**columns)[censored] <= last).sum() for one in both]
    centre, corner = (
        [number(float(one.median(**place))) for one in both] for place in (law.centres, hardest)
    )
    print_table(
        "What the fits say",
        ("", "observed", "censored fit", "grokked only"),
        [
            (f"networks that grok by step {last:,}", (~censored).sum(), *predicted),
            ("censored, yet median is earlier", f"of {censored.sum()}", *within),
            ("median step at the centre", "", *centre),
            ("median step at the slowest corner", among, *corner),
        ],
    )
    print_table(
        "Exponents by distribution",
        ("", "AIC", *(LABELS[name].replace(" ", "\n") for name in columns), "scale"),
        [
            (
                one.distribution,
                f"{one.aic:,.1f}",
                *(f"{one.exponents[name].value:.2f}" for name in columns),
                f"{one.scale:.2f}",
            )
            for one in tried
        ],
    )
    laws = {name: halves(result, name, law.distribution) for name in columns}
    print_table(
        "Is it a power law? Exponents among the lower and the higher values of each column",
        ("", "lower half", "higher half"),
        [(LABELS[name], *(exponent(half, name) for half in laws[name])) for name in columns],
    )
    if "rows" in laws:
        print_table(
            "Is it one law? Exponents with fewer and with more training rows",
            ("", "fewer rows", "more rows"),
            [(LABELS[name], *(exponent(half, name) for half in laws["rows"])) for name in columns],
        )


if __name__ == "__main__":
    run_as_command(scaling_law)
