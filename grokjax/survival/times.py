"""Grokking times of lanes: curves, medians, probabilities and comparisons of groups."""

import math
import numbers
import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts are imported when they are used: together they take as long as jax
import xarray

from grokjax.checks import check_array, check_confidence, check_integer, check_number, shown

MAX_EMPTY = 1000  # cells of a summary for each lane: more is a mistake, and may not fit in memory
STATISTICS = ("n", "n_grokked", "median", "low", "high", "probability", "p_low", "p_high")


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
    values: Any, steps: Any, threshold: float = 0.99, patience: int = 3, *, ended: Any = False
) -> np.ndarray:
    """First measured step from which `values >= threshold` for `patience` measurements in a row.

    Args:
      values: [..., T], such as an accuracy; NaN where nothing was measured, which sustains nothing.
      steps: [T], the step of each measurement, increasing.
      threshold: what must be reached.
      patience: how many measurements must be at the threshold, the first one included; fewer at
        the end of the record are not enough, unless a rule ended it.
      ended: bool[...], the records that a stop rule ended: values that are at the threshold from
        some step up to the last one that was measured then count as sustained, however few.

    Returns:
      float[...], NaN where it never happened: right-censored at the budget.

    Raises:
      ValueError: if patience is not positive, steps do not increase, or shapes do not fit.
    """
    values = check_array("values", values)
    steps = _check_steps(steps)
    threshold = check_number("threshold", threshold)
    patience = check_integer("patience", patience, at_least=1)
    if values.shape[-1:] != steps.shape:
        raise ValueError(
            f"values of shape {values.shape} need one step for each of the measurements on their "
            f"last axis, got steps of shape {steps.shape}."
        )
    ended = check_array("ended", ended, kinds="b")
    if ended.shape not in ((), values.shape[:-1]):
        raise ValueError(
            f"ended must be one boolean for each record, of shape {values.shape[:-1]}, got shape "
            f"{ended.shape}."
        )
    reached = values >= threshold
    sustained = np.zeros(values.shape, bool)
    if len(steps) >= patience:
        windows = np.lib.stride_tricks.sliding_window_view(reached, patience, axis=-1)
        sustained[..., : len(steps) - patience + 1] = windows.all(axis=-1)
    # From here to the last measurement: what comes after that does not count against it.
    measured = ~np.isnan(values)
    after = np.flip(np.logical_or.accumulate(np.flip(measured, -1), axis=-1), -1)
    held = np.flip(np.logical_and.accumulate(np.flip(reached | ~after, -1), axis=-1), -1)
    sustained |= ended[..., None] & held & after
    if not sustained.size:
        return np.full(values.shape[:-1], np.nan)
    return np.where(sustained.any(axis=-1), steps[sustained.argmax(axis=-1)], np.nan)


def watched_steps(steps: Any, measured: Any, patience: int = 3) -> np.ndarray:
    """Last step at which a grokking of each lane could have been seen: int[L].

    With the patience k this is the step of its k-th last measurement, since a network has to be at
    the threshold for k of them; that of its first one if it has fewer, and 0 if it has none. A lane
    that a stop rule ended is watched up to its last measurement: see `ended` of `first_sustained`.

    Args:
      steps: int[T], the step of each measurement, increasing.
      measured: bool[L, T], which lane was measured when.
      patience: k.

    Raises:
      ValueError: if patience is not positive, steps do not increase, or shapes do not fit.
    """
    steps = _check_steps(steps)
    patience = min(check_integer("patience", patience, at_least=1), 1 + len(steps))
    measured = check_array("measured", measured, kinds="b", shape=("L", len(steps)))
    from_the_end = np.flip(np.cumsum(np.flip(measured, 1), axis=1), 1)
    # One place for each lane: its k-th last measurement, or its first.
    wanted = np.minimum(patience, measured.sum(axis=1, keepdims=True))
    place = measured & (from_the_end == wanted)
    return np.where(place, steps, 0).sum(axis=1, dtype=steps.dtype)


def kaplan_meier(grokking_step: Any, watched_step: Any, confidence: float = 0.95) -> Curve:
    """Kaplan-Meier share of lanes that have not grokked, at 0 and at every step where it is known.

    The interval is the log-log one (Greenwood's variance). Its formula is undefined while the
    curve is 1 and once it is 0; Wilson's interval stands in, of the lanes still watched and of all
    lanes that grokked.

    Args:
      grokking_step: [L], NaN for a lane that never grokked.
      watched_step: [L], the last step at which each lane could have been seen to grok.
      confidence: the level of the interval.

    Reference: Kaplan and Meier 1958; Borgan and Liestøl 1990 for the log-log interval.

    Raises:
      ValueError: if there is no lane, a lane grokked after it was watched, or confidence is not
        between 0 and 1.
    """
    confidence = check_confidence(confidence)
    grokking_step, watched_step = check_lanes(grokking_step, watched_step)
    if not len(grokking_step):
        raise ValueError("a Kaplan-Meier curve needs at least one lane, got none.")
    estimate = scipy.stats.ecdf(_censored(grokking_step, watched_step)).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # undefined where filled in below
        interval = estimate.confidence_interval(confidence, method="log-log")
    observed = np.where(np.isnan(grokking_step), watched_step, grokking_step)
    step = np.r_[0.0, estimate.quantiles]
    survival = np.r_[1.0, estimate.probabilities]
    low = np.r_[np.nan, interval.low.probabilities]
    high = np.r_[np.nan, interval.high.probabilities]
    for t in np.flatnonzero(survival == 1):
        low[t], high[t] = _wilson(watched := int(np.sum(observed >= step[t])), watched, confidence)
    if (ended := survival <= 0).any():
        low[ended], high[ended] = _wilson(0, int(np.sum(~np.isnan(grokking_step))), confidence)
    return Curve(step, survival, low, high)


def median(grokking_step: Any, watched_step: Any, confidence: float = 0.95) -> Estimate:
    """Median grokking step: the first step by which the Kaplan-Meier curve is at or below one half.

    The interval holds the steps at which one half is inside the curve's own interval. The median
    is inf when fewer than half of the lanes grokked, and so is an upper end that was not reached;
    a lower end that was not reached is the last step watched. Without censoring this is the
    ordinary median of an odd number of lanes, and the lower of the middle two of an even number.

    Reference: Brookmeyer and Crowley 1982.

    Raises:
      ValueError: as `kaplan_meier`.
    """
    curve = kaplan_meier(grokking_step, watched_step, confidence)
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
      ValueError: if there is no lane, or confidence is not between 0 and 1.
    """
    confidence = check_confidence(confidence)
    grokked = ~np.isnan(_steps("grokking_step", grokking_step))
    if not len(grokked):
        raise ValueError("a probability of grokking needs at least one lane, got none.")
    return Estimate(float(grokked.mean()), *_wilson(int(grokked.sum()), len(grokked), confidence))


def log_rank(grokking_step: Any, watched_step: Any, group: Any) -> float:
    """p-value of the log-rank test that two groups of lanes grok equally fast; 1 if none grokked.

    Args:
      grokking_step: [L], NaN for a lane that never grokked.
      watched_step: [L], the last step at which each lane could have been seen to grok.
      group: [L], which of two groups each lane belongs to: any two different values, NaN among
        them, which lanes that have no such column share.

    Raises:
      ValueError: if there are not exactly two groups, of numbers or of text.

    Reference: Mantel 1966.
    """
    grokking_step, watched_step = check_lanes(grokking_step, watched_step)
    cells = _two_groups("the log-rank test", group, len(grokking_step))
    first, second = (
        _censored(grokking_step[cells == cell], watched_step[cells == cell]) for cell in (0, 1)
    )
    with np.errstate(invalid="ignore", divide="ignore"):  # no event: 0 / 0
        p_value = float(scipy.stats.logrank(first, second).pvalue)
    return 1.0 if np.isnan(p_value) else p_value


def hazard_ratio(
    grokking_step: Any, watched_step: Any, group: Any, confidence: float = 0.95
) -> Estimate:
    """How many times as likely a lane of the second group is to grok next as one of the first.

    The ratio of the two hazards by Cox's partial likelihood, with Efron's product for lanes that
    grok at the same step. Above 1 if the second group groks sooner; it is the one of the greater
    value: True of booleans, the later word in the alphabet. The likelihood-ratio interval also
    stands where every lane of one group grokked before any of the other: the ratio is then inf or
    0, and one end of the interval is known. NaN, between 0 and inf, if no lane tells.

    Args:
      grokking_step: [L], NaN for a lane that never grokked.
      watched_step: [L], the last step at which each lane could have been seen to grok.
      group: [L], which of two groups each lane belongs to, as in `log_rank`.
      confidence: the level of the interval.

    Raises:
      ValueError: as `log_rank`, and if confidence is not between 0 and 1.

    Example:
      >>> from grokjax import survival
      >>> ratio = survival.hazard_ratio([40, 20, 50, 30], [80] * 4, [False, True, False, True])
      >>> ratio.value, round(ratio.low, 2), ratio.high
      (inf, 0.9, inf)

    Reference: Cox 1972; Efron 1977.
    """
    confidence = check_confidence(confidence)
    grokking_step, watched_step = check_lanes(grokking_step, watched_step)
    second = _two_groups("the hazard ratio", group, len(grokking_step)) == 1
    grokked = ~np.isnan(grokking_step)
    observed = np.where(grokked, grokking_step, watched_step)
    # How many of each group could have been the next to grok, once for every lane that did. Of
    # several at the same step the k-th one finds the share k / n of them gone.
    able = [np.empty((0, 2))]
    for step in np.unique(grokking_step[grokked]):
        now, waiting = grokking_step == step, observed >= step
        gone = np.arange(now.sum())[:, None] / now.sum()
        of_each = lambda lanes: np.array([(lanes & ~second).sum(), (lanes & second).sum()])
        able.append(of_each(waiting) - gone * of_each(now))
    others, own = np.concatenate(able).T
    events = int((grokked & second).sum())
    with np.errstate(divide="ignore"):
        odds = np.log(own) - np.log(others)  # that it was one of the second group, at the ratio 1

    def slope(log_ratio: float) -> float:
        return events - float(scipy.special.expit(log_ratio + odds).sum())

    def likelihood(log_ratio: float) -> float:
        # Per lane: log(ratio / (others + own * ratio)) or log(1 / ...), without what is constant.
        known = np.isfinite(odds)
        certain = int((odds == np.inf).sum())
        return log_ratio * (events - certain) - float(
            np.logaddexp(0, log_ratio + odds[known]).sum()
        )

    far = 40.0  # as a logarithm: nothing that could be observed is as unequal
    if not np.isfinite(odds).any():
        return Estimate(np.nan, 0.0, np.inf)
    if slope(far) >= -1e-9:
        best = far
    elif slope(-far) <= 1e-9:
        best = -far
    else:
        best = scipy.optimize.brentq(slope, -far, far)
    lowest = likelihood(best) - scipy.stats.chi2.ppf(confidence, 1) / 2
    above = lambda log_ratio: likelihood(log_ratio) - lowest
    low = scipy.optimize.brentq(above, -far, best) if above(-far) < 0 else -np.inf
    high = scipy.optimize.brentq(above, best, far) if above(far) < 0 else np.inf
    value = {far: np.inf, -far: 0.0}.get(best, math.exp(best))
    return Estimate(value, math.exp(low), math.exp(high))


def summary(
    grokking_step: Any, watched_step: Any, confidence: float = 0.95, **groups: Any
) -> xarray.Dataset:
    """Censored statistics of every group of lanes: a small table, one dimension for each column.

    Args:
      grokking_step: [L], NaN for a lane that never grokked.
      watched_step: [L], the last step at which each lane could have been seen to grok.
      confidence: the level of both intervals.
      **groups: columns [L] that name the groups, such as `alpha=dataset.alpha`. Lanes that have no
        value there, which is NaN, are a group of their own, the last one.

    Returns:
      A dataset with the dimensions `groups` and the variables n, n_grokked; median, low, high in
      steps (as in `median`); probability, p_low, p_high (as in `grokking_probability`). Groups that
      hold no lane have n = 0 and NaN. `.to_dataframe()` prints it as rows.

    Example:
      >>> from grokjax import survival
      >>> table = survival.summary([40, 60, 50, float("nan")], [80] * 4, alpha=[0.5, 0.5, 0.5, 0.3])
      >>> table["median"].values.tolist(), table.n_grokked.values.tolist()
      ([inf, 50.0], [0, 3])

    Raises:
      ValueError: if a column does not have one value for each lane, mixes numbers and text, or has
        the name of a statistic; if the groups have far more combinations than there are lanes.
    """
    confidence = check_confidence(confidence)
    grokking_step, watched_step = check_lanes(grokking_step, watched_step)
    lanes = len(grokking_step)
    values, places = {}, []
    for name, column in groups.items():
        if name in STATISTICS:
            raise ValueError(
                f"{name!r} is a statistic of the summary and cannot be a group too; give the "
                f"column another name, such as {name}_group=..."
            )
        values[name], place = _groups(f"column {name!r}", column, lanes)
        places.append(place)
    shape = tuple(len(v) for v in values.values())
    if math.prod(shape) > MAX_EMPTY * max(1, lanes):
        raise ValueError(
            f"the columns {list(groups)} have {math.prod(shape):,} combinations for {lanes} lanes; "
            "name fewer of them."
        )
    table: dict[str, np.ndarray] = {name: np.zeros(shape, int) for name in STATISTICS[:2]}
    table |= {name: np.full(shape, np.nan) for name in STATISTICS[2:]}
    cells = np.array(places, dtype=int).reshape(len(places), lanes).T
    for cell in np.unique(cells, axis=0) if lanes else ():
        inside = (cells == cell).all(axis=1)
        steps = grokking_step[inside]
        row = (inside.sum(), np.sum(~np.isnan(steps)))
        row += (*median(steps, watched_step[inside], confidence),)
        row += (*grokking_probability(steps, confidence),)
        for name, value in zip(STATISTICS, row, strict=True):
            table[name][tuple(cell)] = value
    dataset = xarray.Dataset({k: (tuple(groups), v) for k, v in table.items()}, coords=values)
    for name in ("median", "low", "high"):
        dataset[name].attrs["units"] = "steps"
    return dataset.assign_attrs(confidence=confidence)


def _groups(name: str, column: Any, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """The different values of a column, in order, and the place of each lane among them."""
    try:
        values = np.asarray(column)
        if values.dtype.kind == "O":
            kinds = {_kind(value) for value in values.flat}
            known = {"text": str, "number": float}
            values = values.astype(known.get(kinds.pop(), object) if len(kinds) == 1 else object)
        elif values.dtype.kind == "V":  # bfloat16 and its like
            values = values.astype(float)
    except (OverflowError, TypeError, ValueError):
        values = np.empty((), object)
    if values.dtype.kind not in "biufU" or values.shape != (lanes,):
        raise ValueError(
            f"{name} must be numbers or text, not both, one for each of the {lanes} lanes, got "
            f"shape {list(values.shape)}: {shown(column)}."
        )
    return np.unique(values, return_inverse=True)  # NaN is one value there


def _two_groups(what: str, group: Any, lanes: int) -> np.ndarray:
    """The place of each lane among the two groups: 0 or 1."""
    names, cells = _groups("group", group, lanes)
    if len(names) != 2:
        raise ValueError(
            f"{what} compares two groups, got the {len(names)} {shown(names.tolist())} in group; "
            "select two of them first."
        )
    return cells


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, numbers.Real) else "other"


def _check_steps(steps: Any) -> np.ndarray:
    steps = check_array("steps", steps, kinds="iuf", shape=("T",))
    if not (np.diff(steps) > 0).all():  # NaN fails too
        raise ValueError(
            f"steps must increase from one measurement to the next, got {shown(steps)}."
        )
    return steps


def _steps(name: str, values: Any) -> np.ndarray:
    return check_array(name, values, kinds="iuf", shape=("L",)).astype(float)


def check_lanes(grokking_step: Any, watched_step: Any) -> tuple[np.ndarray, np.ndarray]:
    """The steps of lanes, as floats: [L] each.

    Raises:
      ValueError: for shapes that differ, steps that are negative or infinite, and a lane that
        grokked after it was watched.
    """
    grokking_step = _steps("grokking_step", grokking_step)
    watched_step = _steps("watched_step", watched_step)
    if grokking_step.shape != watched_step.shape:
        raise ValueError(
            "grokking_step and watched_step must have one value for each lane, got shapes "
            f"{grokking_step.shape} and {watched_step.shape}."
        )
    grokked = ~np.isnan(grokking_step)
    wrong = ~(watched_step >= 0) | (grokking_step > watched_step) | (grokking_step < 0)
    wrong |= np.isinf(np.where(grokked, grokking_step, watched_step))
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(
            f"lane {i} has grokking_step={grokking_step[i]} and watched_step={watched_step[i]}; "
            "both must be finite and at least 0, and a lane groks (or is NaN) no later than it was "
            "watched."
        )
    return grokking_step, watched_step


def _censored(grokking_step: np.ndarray, watched_step: np.ndarray) -> Any:
    grokked = ~np.isnan(grokking_step)
    return scipy.stats.CensoredData(uncensored=grokking_step[grokked], right=watched_step[~grokked])


def _wilson(count: int, total: int, confidence: float) -> tuple[float, float]:
    interval = scipy.stats.binomtest(count, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def _first_at_or_below_half(step: np.ndarray, values: np.ndarray, otherwise: float) -> float:
    reached = values <= 0.5
    return float(step[reached.argmax()] if reached.any() else otherwise)
