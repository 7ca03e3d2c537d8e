"""How many rows does modular addition take, and is it a constant times p log p?

The number of training rows at which half of the networks grok, for many moduli p and several
budgets of training steps, in units of `p log p`: what it takes to see each of p residues a few
times if rows are drawn at random. Tian 2025 ("Provable Scaling Laws of Feature Emergence from
Learning Dynamics of Grokking", arXiv 2509.21519) derives that it grows so. The code of that paper
sets the critical fraction of the table to `2.7482 log p / p`, for a network with a square like the
one here, which it trains otherwise: 3000 steps of Adam with rate 1e-3 and decay 1e-4 on cross
entropy. Here it is AdamW with rate 1e-2 and decay 5 on the squared error.

    python experiments/critical_rows.py                   # quick: p to 23, a minute on 2 cores
    python experiments/critical_rows.py --scale medium    # p to 59: ten minutes on busy cores
    python experiments/critical_rows.py --scale paper     # p to 199, width 500: for a GPU

A network that groks at some step has grokked within every larger budget, so one sweep of each p
answers for all of them. Expected: within 500 steps about 2.8 p log p, with no drift over p that can
be told; within half or twice as many a small one, while p alone and p log^2 p drift at every
budget. The constant is one of a budget, and falls by 7 to 10 percent for twice the steps.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts are imported when they are used
import xarray

import grokjax
from grokjax import losses, models, optimizers, plotting, tasks
from grokjax.command import Study, experiment, print_table, run_as_command
from grokjax.critical import transition

TIAN = 2.7482  # `critical_ratio_multiplier` in the code of arXiv 2509.21519
LAWS = {  # rows grow as this
    "p": lambda p: p,
    "p log p": lambda p: p * np.log(p),
    "p log^2 p": lambda p: p * np.log(p) ** 2,
}
MOST = 0.95  # of the table, at most, are trained on


class Fit(NamedTuple):
    """A weighted mean, or line, through estimates of several moduli that also scatter.

    Attributes:
      value: [m], the coefficients.
      low: [m], end of the confidence interval of each.
      high: [m], the other end.
      scatter: standard deviation of the moduli beyond what their own errors explain.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    scatter: float


@experiment(medium={
    "moduli": (11, 13, 17, 19, 23, 29, 31, 37, 47, 59), "seeds": 6,
    "ratios": (2.0, 2.2, 2.4, 2.6, 2.8, 3.0, 3.3, 3.6, 4.0),
}, paper={
    "moduli": (11, 17, 23, 31, 43, 59, 79, 97, 127, 157, 199), "width": 500, "seeds": 20,
    "ratios": tuple(np.geomspace(1.6, 4.2, 16).round(2).tolist()),
    "budgets": (300, 1000, 3000, 10_000), "eval_every": 20,
})  # fmt: skip
def critical_rows(
    study: Study,
    *,
    moduli: tuple[int, ...] = (11, 13, 17, 19, 23),
    width: int = 128,
    ratios: tuple[float, ...] = (2.0, 2.3, 2.6, 2.9, 3.2, 3.6, 4.0),
    seeds: int = 4,
    budgets: tuple[int, ...] = (250, 500, 1000),
    learning_rate: float = 1e-2,
    weight_decay: float = 5.0,
    eval_every: int = 10,
) -> grokjax.SweepResult:
    """The critical number of rows of several moduli and budgets, beside p log p.

    Args:
      ratios: training rows that are tried, in units of p log p; at most 95 % of the table.
      seeds: networks of each p and ratio, each with a seed of its own.
      budgets: training steps within which a network has to grok.

    Returns:
      All networks, with the column `p`.
    """
    addition = {p: tasks.modular_addition(p) for p in moduli}
    with study.sweeps(draw, print_rows) as sweeps:
        for p, task in addition.items():
            model = models.QuadraticMLP(p, width, parameterization="standard")
            rows = np.unique(np.rint(np.multiply(ratios, p * np.log(p))))
            rows = np.repeat(rows[rows <= MOST * p * p], seeds)
            if not rows.size:
                raise ValueError(
                    f"the table of p={p} has only {p * p} rows, too few for any of the ratios "
                    f"{ratios}; leave this p out or add a smaller ratio."
                )
            sweeps.run(
                grokjax.Recipe(model, losses.mse, optimizers.adamw),
                task,
                grokjax.zip_lanes(
                    alpha=rows / p**2,
                    seed=np.arange(len(rows)),
                    learning_rate=learning_rate,
                    weight_decay=weight_decay,
                ),
                title=f"p = {p}",
                columns={"p": p},
                checkpoints=f"p{p}",
                # Who has grokked within the largest budget must have the time to show it.
                max_steps=max(budgets) + (grokjax.grokked().patience - 1) * eval_every,
                eval_every=eval_every,
                keep_params="none",
                then=lambda result: with_budgets(result, budgets),
            )
    return sweeps.result


def with_budgets(result: grokjax.SweepResult, budgets: tuple[int, ...]) -> grokjax.SweepResult:
    """The result with its budgets as an attribute, "250 500 1000"."""
    dataset = result.dataset.assign_attrs(budgets=" ".join(map(str, sorted(budgets))))
    return dataclasses.replace(result, dataset=dataset)


def critical_ratios(result: grokjax.SweepResult) -> xarray.Dataset:
    """The critical rows over p log p of every modulus and budget: [p, budget].

    The variables `ratio`, `low` and `high`, the 95 % likelihood interval of `transition`; `error`,
    the standard error of the logarithm that it amounts to; and `n`, the number of networks. Where
    networks of one outcome only were seen, there is but a bound, and ratio and error are NaN.
    """
    budgets = [int(budget) for budget in result.dataset.attrs["budgets"].split()]
    groups = result.groups("p")
    found = np.full((4, len(groups), len(budgets)), np.nan)
    for row, (p, lanes) in enumerate(groups):
        steps, alpha = lanes.dataset.grokking_step.values, lanes.dataset.alpha.values
        unit = np.log(p) / p  # the alpha of p log p rows
        for column, budget in enumerate(budgets):
            value, low, high, _ = transition(alpha, steps <= budget)
            ends = low / unit, high / unit
            error = np.log(high / low) / 2 / scipy.stats.norm.ppf(0.975) if low > 0 else np.nan
            whole = low > 0 and high < 1
            point = (value / unit, error) if whole else (np.nan, np.nan)
            found[:, row, column] = (point[0], *ends, point[1])
    dims = ("p", "budget")
    names = ("ratio", "low", "high", "error")
    return xarray.Dataset(
        {name: (dims, values) for name, values in zip(names, found, strict=True)}
        | {"n": ("p", [lanes.dataset.sizes["lane"] for _, lanes in groups])},
        {"p": [p for p, _ in groups], "budget": budgets},
    )


def fit(values: Any, errors: Any, columns: Any, confidence: float = 0.95) -> Fit | None:
    """Coefficients of `values` on `columns`, weighted by errors and a scatter of their own.

    The scatter is the one at which the weighted sum of squares is as expected (Paule and Mandel
    1982), the intervals are Student's t (Knapp and Hartung 2003): for few moduli, none of which is
    trusted beyond how far they agree.

    Args:
      values: [n].
      errors: [n], their standard errors.
      columns: [n, m].
      confidence: the level of the intervals.

    Returns:
      The fit, or None for fewer values than it takes to tell an error.
    """
    values, errors, columns = (np.asarray(x, float) for x in (values, errors, columns))
    known = np.isfinite(values) & np.isfinite(errors)
    values, errors, columns = values[known], errors[known], columns[known]
    free = len(values) - columns.shape[1]
    if free < 1:
        return None

    def solve(variance: float) -> tuple[np.ndarray, np.ndarray, float]:
        weights = 1 / (errors**2 + variance)
        inverse = np.linalg.inv(columns.T @ (weights[:, None] * columns))
        found = inverse @ (columns.T @ (weights * values))
        return found, inverse, float(weights @ (values - columns @ found) ** 2)

    excess = lambda variance: solve(variance)[2] - free
    variance, most = 0.0, 100 * float(np.var(values)) + 1e-12
    if excess(0.0) > 0:
        variance = float(scipy.optimize.brentq(excess, 0.0, most))
    found, inverse, squares = solve(variance)
    half = scipy.stats.t.ppf((1 + confidence) / 2, free) * np.sqrt(
        np.diag(inverse) * max(1.0, squares / free)
    )
    return Fit(found, found - half, found + half, float(np.sqrt(variance)))


def constant(table: xarray.Dataset, law: str = "p log p") -> Fit | None:
    """The constant of a law, of one budget, with its interval; the scatter is relative to it."""
    found = fit(_logarithm(table, law), table.error, np.ones((table.sizes["p"], 1)))
    if found is None:
        return None
    return Fit(np.exp(found.value), np.exp(found.low), np.exp(found.high), found.scatter)


def drift(table: xarray.Dataset, law: str) -> Fit | None:
    """The exponent b of `rows = c law(p) p^b`, of one budget: 0 if the law holds."""
    log_p = np.log(table.p.values)
    found = fit(_logarithm(table, law), table.error, np.stack([log_p**0, log_p - log_p.mean()], 1))
    if found is None:
        return None
    return Fit(found.value[1:], found.low[1:], found.high[1:], found.scatter)


def _logarithm(table: xarray.Dataset, law: str) -> np.ndarray:
    """The logarithm of critical rows over what a law says, without its constant."""
    p = table.p.values.astype(float)
    return np.log(table.ratio.values * LAWS["p log p"](p) / LAWS[law](p))


def budget_of(table: xarray.Dataset, value: float) -> float:
    """The budget at which the constant has a value, between those measured; NaN if outside."""
    fits = [constant(table.sel(budget=budget)) for budget in table.budget.values]
    known = [(b, x.value[0]) for b, x in zip(table.budget.values, fits, strict=True) if x]
    if not known:
        return np.nan
    budgets, constants = np.log(np.array(known, float)).T
    falling = np.argsort(constants)
    curve = constants[falling], budgets[falling]
    return float(np.exp(np.interp(np.log(value), *curve, left=np.nan, right=np.nan)))


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """The critical rows over p, and in units of p log p."""
    table = critical_ratios(result)
    figure, (left, right) = plotting.new_figure(1, 2, size=(8.4, 3.4))
    p = np.geomspace(0.9 * table.p.values.min(), 1.1 * table.p.values.max(), 100)
    unit = LAWS["p log p"]
    for i, budget in enumerate(table.budget.values):
        one = table.sel(budget=budget)
        look: Any = {"color": plotting.PALETTE[i % 7]}
        mark: Any = look | {"marker": plotting.MARKERS[i % 8], "markersize": 4, "linestyle": "none"}
        label = f"{budget:,} steps"
        if found := constant(one):
            value, low, high = (x[0] for x in found[:3])
            label += f": {value:.2f} ({low:.2f} to {high:.2f})"
            left.plot(p, value * unit(p), linewidth=1, **look)
            right.axhline(value, linewidth=1, **look)
            right.axhspan(low, high, alpha=0.15, linewidth=0, **look)
        shift = one.p * (1 + 0.012 * (i - (table.sizes["budget"] - 1) / 2))
        known = one.ratio.notnull().values
        for ax, scale in ((left, unit(one.p.values.astype(float))), (right, 1.0)):
            ends = (one.low.values * scale)[known], (one.high.values * scale)[known]
            ax.vlines(shift[known], *ends, linewidth=1, **look)
            ax.plot(shift, one.ratio.values * scale, **mark, label=label)
    line: Any = {"color": plotting.GREY, "linestyle": (0, (5, 2)), "linewidth": 1}
    left.plot(p, TIAN * unit(p), **line)
    right.axhline(TIAN, label=f"Tian 2025: {TIAN}", **line)
    left.set(xscale="log", yscale="log", ylabel="critical training rows, 95 % interval")
    right.set(xscale="log", ylabel="critical rows / (p log p)")
    for ax in (left, right):
        ax.set(xlabel="p", xlim=(p[0], p[-1]))
        plotting.label_log(ax.xaxis)
    plotting.label_log(left.yaxis)
    handles, labels = right.get_legend_handles_labels()
    left.legend(handles, labels, title="rows = c p log p, c within", loc="upper left")
    return figure


def print_rows(result: grokjax.SweepResult) -> None:
    """Each modulus; the constant of each budget; and what is left of p after other laws."""
    table = critical_ratios(result)
    budgets = table.budget.values

    def cell(p: int, budget: int) -> str:
        one = table.sel(p=p, budget=budget)
        ratio, low, high = (one[name].item() for name in ("ratio", "low", "high"))
        if np.isfinite(ratio):
            return f"{ratio:.2f} ({low:.2f}-{high:.2f})"
        return f"above {low:.2f}" if low > 0 else f"below {high:.2f}"

    print_table(
        "critical rows / (p log p), 95 %, within a budget of steps",
        ("p", "networks", *(f"{budget:,}" for budget in budgets)),
        [
            (p, table.n.sel(p=p).item(), *(cell(p, budget) for budget in budgets))
            for p in table.p.values
        ],
    )
    rows = []
    for budget in budgets:
        if found := constant(table.sel(budget=budget)):
            value, low, high = (x[0] for x in found[:3])
            holds = "yes" if low <= TIAN <= high else "no"
            rows.append(
                (
                    f"{budget:,}", int(table.ratio.sel(budget=budget).notnull().sum()),
                    f"{value:.3f} ({low:.3f}-{high:.3f})", f"{found.scatter:.1%}", holds,
                )
            )  # fmt: skip
    print_table(
        "the constant of p log p, 95 %, and the scatter of moduli beyond their errors",
        ("steps", "moduli", "constant", "scatter", f"{TIAN} inside"),
        rows,
    )
    at = budget_of(table, TIAN)
    where = f"within {at:,.0f} steps" if np.isfinite(at) else "within none of these budgets"
    print_table(
        "exponent of p that is left: rows = c law(p) p^b; b is 0 if the law holds, 95 %",
        ("steps", *(f"b after {law}" for law in LAWS)),
        [
            (
                f"{budget:,}",
                *(
                    f"{x.value[0]:+.2f} ({x.low[0]:+.2f} to {x.high[0]:+.2f})" if x else ""
                    for x in (drift(table.sel(budget=budget), law) for law in LAWS)
                ),
            )
            for budget in budgets
        ],
        notes=[f"The constant of Tian's code, {TIAN}, is the one here {where}."],
    )


if __name__ == "__main__":
    run_as_command(critical_rows)
