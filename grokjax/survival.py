"""Survival: grokking times are censored data, because a lane that has not grokked yet still may.

A lane is a pair of numbers: `grokking_step`, NaN if it never grokked, and `final_step`, how long it
was watched. A lane that diverged was watched until it diverged: for the Kaplan-Meier curve it is
censored at its final step, for the probability of grokking it counts as not grokked.

    from grokjax import survival
    survival.median(dataset.grokking_step, dataset.final_step)
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
import xarray


class Curve(NamedTuple):
    """Share of the lanes that have not grokked after `step`, and its confidence interval: [T]."""

    step: np.ndarray
    survival: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Estimate(NamedTuple):
    """A number and its confidence interval."""

    value: float
    low: float
    high: float


def first_sustained(
    values: Any, steps: Any, threshold: float = 0.99, patience: int = 3
) -> np.ndarray:
    """First measured step from which `values >= threshold` for `patience` measurements in a row.

    Args:
      values: [..., T], such as an accuracy; NaN where nothing was measured, which sustains nothing.
      steps: [T], the step of each measurement.
      threshold: what must be reached.
      patience: how many measurements must be at the threshold, the first one included; fewer at
        the end of the record are not enough.

    Returns:
      float[...], NaN where it never happened: right-censored at the budget.

    Raises:
      ValueError: if patience is not positive, or values and steps differ in length.
    """
    values, steps = np.asarray(values), np.asarray(steps)
    if patience < 1:
        raise ValueError(f"patience must be at least 1 measurement, got {patience}.")
    if steps.ndim != 1 or values.shape[-1:] != steps.shape:
        raise ValueError(
            f"values of shape {values.shape} need one step for each of the measurements on their "
            f"last axis, got steps of shape {steps.shape}."
        )
    if len(steps) < patience:
        return np.full(values.shape[:-1], np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(values >= threshold, patience, axis=-1)
    sustained = windows.all(axis=-1)
    return np.where(sustained.any(axis=-1), steps[sustained.argmax(axis=-1)], np.nan)


def kaplan_meier(grokking_step: Any, final_step: Any, confidence: float = 0.95) -> Curve:
    """Kaplan-Meier share of lanes that have not grokked, at 0 and at every step where it is known.

    The interval is the log-log one (Greenwood's variance). Its formula is undefined while the
    curve is 1 and once it is 0; Wilson's interval stands in, of the lanes still watched and of all
    lanes that grokked.

    Args:
      grokking_step: [L], NaN for a lane that never grokked.
      final_step: [L], the last step at which each lane was watched.
      confidence: the level of the interval.

    Reference: Kaplan and Meier 1958; Borgan and Liestøl 1990 for the log-log interval.

    Raises:
      ValueError: if there is no lane, or a lane grokked after its final step.
    """
    grokking_step, final_step = _lanes(grokking_step, final_step)
    if not len(grokking_step):
        raise ValueError("a Kaplan-Meier curve needs at least one lane, got none.")
    estimate = scipy.stats.ecdf(_censored(grokking_step, final_step)).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # undefined where filled in below
        interval = estimate.confidence_interval(confidence, method="log-log")
    observed = np.where(np.isnan(grokking_step), final_step, grokking_step)
    step = np.r_[0.0, estimate.quantiles]
    survival = np.r_[1.0, estimate.probabilities]
    low = np.r_[np.nan, interval.low.probabilities]
    high = np.r_[np.nan, interval.high.probabilities]
    for t in np.flatnonzero(survival == 1):
        low[t], high[t] = _wilson(watched := int(np.sum(observed >= step[t])), watched, confidence)
    if (ended := survival <= 0).any():
        low[ended], high[ended] = _wilson(0, int(np.sum(~np.isnan(grokking_step))), confidence)
    return Curve(step, survival, low, high)


def median(grokking_step: Any, final_step: Any, confidence: float = 0.95) -> Estimate:
    """Median grokking step: the first step by which the Kaplan-Meier curve is at or below one half.

    The interval holds the steps at which one half is inside the curve's own interval. The median
    is inf when fewer than half of the lanes grokked, and so is an upper end that was not reached;
    a lower end that was not reached is the last step watched. Without censoring this is the
    ordinary median of an odd number of lanes, and the lower of the middle two of an even number.

    Reference: Brookmeyer and Crowley 1982.

    Raises:
      ValueError: as `kaplan_meier`.
    """
    curve = kaplan_meier(grokking_step, final_step, confidence)
    return Estimate(
        _first_at_or_below_half(curve.step, curve.survival, np.inf),
        _first_at_or_below_half(curve.step, curve.low, curve.step[-1]),
        _first_at_or_below_half(curve.step, curve.high, np.inf),
    )


def grokking_probability(grokking_step: Any, confidence: float = 0.95) -> Estimate:
    """Share of lanes that grokked within their budget, with its Wilson interval.

    Args:
      grokking_step: [L], NaN for a lane that never grokked, whatever stopped it.
      confidence: the level of the interval.

    Raises:
      ValueError: if there is no lane.
    """
    grokked = ~np.isnan(np.asarray(grokking_step, dtype=float).ravel())
    if not len(grokked):
        raise ValueError("a probability of grokking needs at least one lane, got none.")
    return Estimate(float(grokked.mean()), *_wilson(int(grokked.sum()), len(grokked), confidence))


def log_rank(grokking_step: Any, final_step: Any, group: Any) -> float:
    """p-value of the log-rank test that two groups of lanes grok equally fast; 1 if none grokked.

    Args:
      grokking_step: [L], NaN for a lane that never grokked.
      final_step: [L].
      group: [L], which of two groups each lane belongs to: any two different values.

    Raises:
      ValueError: if there are not exactly two groups.
    """
    grokking_step, final_step = _lanes(grokking_step, final_step)
    group = np.asarray(group)
    names = np.unique(group)
    if group.shape != grokking_step.shape or len(names) != 2:
        raise ValueError(
            f"the log-rank test compares two groups, got group of shape {group.shape} with the "
            f"values {names.tolist()}; select two of them first."
        )
    first, second = (_censored(grokking_step[group == g], final_step[group == g]) for g in names)
    with np.errstate(invalid="ignore", divide="ignore"):  # no event: 0 / 0
        p_value = float(scipy.stats.logrank(first, second).pvalue)
    return 1.0 if np.isnan(p_value) else p_value


def summary(
    grokking_step: Any, final_step: Any, confidence: float = 0.95, **groups: Any
) -> xarray.Dataset:
    """Censored statistics of every group of lanes: a small table, one dimension for each column.

    Args:
      grokking_step: [L], NaN for a lane that never grokked.
      final_step: [L].
      confidence: the level of both intervals.
      **groups: columns [L] that name the groups, such as `alpha=dataset.alpha`.

    Returns:
      A dataset with the dimensions `groups` and the variables n, n_grokked; median, low, high in
      steps (as in `median`); probability, p_low, p_high (as in `grokking_probability`). Groups that
      hold no lane have n = 0 and NaN. `.to_dataframe()` prints it as rows.

    Example:
      survival.summary(ds.grokking_step, ds.final_step, optimizer=ds.optimizer, alpha=ds.alpha)

    Raises:
      ValueError: if a column does not have one value for each lane.
    """
    grokking_step, final_step = _lanes(grokking_step, final_step)
    columns = {name: np.asarray(column) for name, column in groups.items()}
    for name, column in columns.items():
        if column.shape != grokking_step.shape:
            raise ValueError(
                f"column {name!r} has shape {column.shape} for {len(grokking_step)} lanes; give "
                "one value for each lane."
            )
    values = {name: np.unique(column) for name, column in columns.items()}
    shape = tuple(len(v) for v in values.values())
    names = ("n", "n_grokked", "median", "low", "high", "probability", "p_low", "p_high")
    table = {name: np.zeros(shape, int) for name in names[:2]}
    table |= {name: np.full(shape, np.nan) for name in names[2:]}
    for cell in np.ndindex(shape):
        inside = np.ones(len(grokking_step), bool)
        for (name, column), i in zip(columns.items(), cell, strict=True):
            inside &= column == values[name][i]
        if not inside.any():
            continue
        steps, ends = grokking_step[inside], final_step[inside]
        row = (inside.sum(), np.sum(~np.isnan(steps)), *median(steps, ends, confidence))
        row += grokking_probability(steps, confidence)
        for name, value in zip(names, row, strict=True):
            table[name][cell] = value
    dataset = xarray.Dataset({k: (tuple(columns), v) for k, v in table.items()}, coords=values)
    for name in ("median", "low", "high"):
        dataset[name].attrs["units"] = "steps"
    return dataset.assign_attrs(confidence=confidence)


def _lanes(grokking_step: Any, final_step: Any) -> tuple[np.ndarray, np.ndarray]:
    grokking_step = np.asarray(grokking_step, dtype=float)
    final_step = np.asarray(final_step, dtype=float)
    if grokking_step.ndim != 1 or grokking_step.shape != final_step.shape:
        raise ValueError(
            "grokking_step and final_step need one value for each lane, got shapes "
            f"{grokking_step.shape} and {final_step.shape}."
        )
    wrong = ~(final_step >= 0) | (grokking_step > final_step)
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(
            f"lane {i} has grokking_step={grokking_step[i]} and final_step={final_step[i]}; a lane "
            "groks (or is NaN) no later than its final step, which is a number of at least 0."
        )
    return grokking_step, final_step


def _censored(grokking_step: np.ndarray, final_step: np.ndarray) -> scipy.stats.CensoredData:
    grokked = ~np.isnan(grokking_step)
    return scipy.stats.CensoredData(uncensored=grokking_step[grokked], right=final_step[~grokked])


def _wilson(count: int, total: int, confidence: float) -> tuple[float, float]:
    interval = scipy.stats.binomtest(count, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def _first_at_or_below_half(step: np.ndarray, values: np.ndarray, otherwise: float) -> float:
    reached = values <= 0.5
    return float(step[reached.argmax()] if reached.any() else otherwise)
