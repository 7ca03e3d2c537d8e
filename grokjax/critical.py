"""The critical alpha: the data fraction at which half of the networks grok, found adaptively."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts are imported when they are used: together they take as long as jax
import xarray

from grokjax.checks import (
    check_array,
    check_confidence,
    check_integer,
    check_mapping,
    check_number,
    check_path,
    shown,
)
from grokjax.survival import grokking_probability
from grokjax.sweep import SweepInterrupted, run_sweep
from grokjax.tasks import Task, check_task
from grokjax.train import Recipe, StopFn, grokked, zip_lanes

GRID = 401  # places of the transition that are compared at once
SCALES = np.geomspace(1e-4, 1.0, 49)  # of the logistic curve, in alpha
OPTIONS = ("slots", "vectorize", "devices", "checkpoint_every", "progress", "observe")


class SearchInterrupted(KeyboardInterrupt):
    """A search that was interrupted by Ctrl-C, SIGTERM or SIGHUP, with what it had found by then.

    Attributes:
      result: what `critical_alpha` would return after the rounds that were finished, with the
        attribute `interrupted`, 1. Before any round is finished, `critical_alpha` is NaN within an
        interval from 0 to 1, and `alpha` and `round` are empty.
    """

    def __init__(self, message: str, result: xarray.Dataset):
        super().__init__(message)
        self.result = result


class Transition(NamedTuple):
    """Where and how sharply the probability of grokking rises with alpha.

    Attributes:
      alpha: at which it is one half.
      low: end of the confidence interval; 0 if even the lanes of least data grokked.
      high: the other end; 1 if the lanes of most data did not grok.
      scale: of the logistic curve: the probability goes from 12 % to 88 % within 4 of it. The
        smallest that is compared, 1e-4, where no lane tells.
    """

    alpha: float
    low: float
    high: float
    scale: float


def transition(alpha: Any, grokked: Any, confidence: float = 0.95) -> Transition:
    """The alpha at which half of the lanes grok, by logistic regression.

        P(grok | alpha) = 1 / (1 + exp(-(alpha - critical) / scale))

    with the likelihood-ratio interval of `critical`: all places that no scale makes less likely
    than the best one by more than `exp(chi2 / 2)`, for the quantile `confidence` of the chi-square
    distribution with one degree of freedom. Unlike Wald's interval it also stands where all lanes
    below some alpha failed and all above succeeded: any place between the two is then equally good,
    and the estimate is the middle.

    Args:
      alpha: [L], the data fraction of each lane.
      grokked: bool[L], whether the lane grokked; lanes are independent, so of different seeds.
      confidence: the level of the interval.

    Raises:
      ValueError: if there is no lane, an alpha outside (0, 1), or an outcome that is neither.

    Reference: Venzon and Moolgavkar 1988, for the interval.
    """
    alpha = check_array("alpha", alpha, shape=("L",), kinds="iuf", finite=True).astype(float)
    grokked = check_array("grokked", grokked, shape=("L",))
    if alpha.shape != grokked.shape or not alpha.size:
        raise ValueError(
            "a transition needs alpha and grokked of at least one lane, got shapes "
            f"{alpha.shape} and {grokked.shape}."
        )
    if not ((alpha > 0) & (alpha < 1)).all():
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha.min()} to {alpha.max()}.")
    if not np.isin(grokked, (0, 1)).all():
        raise ValueError(
            "grokked must be true or false for each lane, as dataset.grokking_step.notnull() is, "
            f"got {shown(grokked[~np.isin(grokked, (0, 1))][0])}."
        )
    confidence, grokked = check_confidence(confidence), grokked.astype(bool)
    places, cells = np.unique(alpha, return_inverse=True)
    successes = np.bincount(cells, grokked, len(places))
    failures = np.bincount(cells, ~grokked, len(places))
    within = scipy.stats.chi2.ppf(confidence, 1) / 2

    low, high = 0.0, 1.0
    for _ in range(2):  # then closer
        grid = np.linspace(low, high, GRID)
        z = (places - grid[:, None, None]) / SCALES[:, None]  # [GRID, scales, places]
        likelihood = scipy.special.log_expit(z) @ successes + scipy.special.log_expit(-z) @ failures
        profile = likelihood.max(axis=1)
        inside = np.flatnonzero(profile >= profile.max() - within)
        step = grid[1] - grid[0]
        low = max(0.0, float(grid[inside[0]] - step))
        high = min(1.0, float(grid[inside[-1]] + step))
    best = np.flatnonzero(profile >= profile.max() - 1e-2)
    middle = (best[0] + best[-1]) // 2
    return Transition(
        float(grid[best].mean()), low, high, float(SCALES[likelihood[middle].argmax()])
    )


def critical_alpha(
    recipe: Recipe,
    task: Task,
    columns: Mapping[str, float] | None = None,
    *,
    max_steps: int,
    eval_every: int | Sequence[int],
    tolerance: float = 0.02,
    bracket: tuple[float, float] = (0.1, 0.9),
    alphas: int = 5,
    seeds: int = 4,
    max_lanes: int = 400,
    first_seed: int = 0,
    confidence: float = 0.95,
    stop: StopFn | None = grokked(),  # noqa: B008  a frozen dataclass
    directory: str | os.PathLike | None = None,
    **options: Any,
) -> xarray.Dataset:
    """The alpha at which half of the networks grok within `max_steps`, to a given accuracy.

    Rounds of sweeps: the first one spreads lanes over `bracket`, each further one over the interval
    that the lanes so far leave (see `transition`), until it is no longer than `tolerance`. Every
    lane has a seed of its own, and so its own split and initial weights: lanes are independent.

    A network groks if the stop rule ended it, whatever that rule is, without that it diverged; or
    if its test accuracy stayed at the threshold (`grokking_step`). Grokking is censored: a network
    that has not grokked within the budget still may, so a critical alpha is one "within `max_steps`
    steps" and falls with the budget.

    Args:
      recipe: what the networks share.
      task: what they learn.
      columns: hyperparameters, one value each, as `{"learning_rate": 1e-2}`.
      max_steps: the budget of each network.
      eval_every: steps between measurements, as in `run_sweep`.
      tolerance: of the interval's length; one row of the table is the least that makes sense.
      bracket: where the first round looks. If the transition is not inside, the interval reaches
        from there to 0 or 1, and so do the rounds that follow.
      alphas: how many a round tries.
      seeds: networks of each.
      max_lanes: no round begins that would need more lanes than that in all.
      first_seed: of the first lane; the others count on from there.
      confidence: the level of all intervals.
      stop: when a network counts as grokked, and stops.
      directory: a folder in which every round is a sweep with a folder of its own; the same call
        goes on there after an interruption.
      **options: of `run_sweep`: slots, vectorize, devices, checkpoint_every, progress, observe.

    Returns:
      A dataset with `critical_alpha`, `low`, `high` and `scale` (see `Transition`); along `alpha`,
      those tried, `n`, `n_grokked`, `fraction` and its Wilson interval `p_low`, `p_high`; along
      `round` (1, 2, ...) the `lanes` so far and the `estimate`, `round_low` and `round_high` they
      gave.
      Attributes: the budget, the task, the recipe, and whether the tolerance was `reached`.

    Raises:
      ValueError: for a bracket, tolerance or counts that make no search, and as `run_sweep`.
      SearchInterrupted: on Ctrl-C, SIGTERM or SIGHUP, with what the finished rounds say as its
        `result`.

    Example:
      critical_alpha(recipe, task, {"learning_rate": 1e-2}, max_steps=2000, eval_every=20)
    """
    task = check_task(task)
    low, high = _check_bracket(bracket)
    tolerance = check_number("tolerance", tolerance, above=0, below=1)
    alphas = check_integer("alphas", alphas, at_least=2)
    seeds = check_integer("seeds", seeds, at_least=1)
    max_lanes = check_integer("max_lanes", max_lanes)
    if max_lanes < alphas * seeds:
        raise ValueError(
            f"max_lanes={max_lanes} is less than one round, alphas * seeds = {alphas * seeds}."
        )
    first_seed = check_integer("first_seed", first_seed, at_least=0)
    confidence = check_confidence(confidence)
    fixed = _check_columns({} if columns is None else columns)
    folder = None if directory is None else check_path("directory", directory)
    if unknown := [name for name in options if name not in OPTIONS]:
        raise ValueError(
            f"{unknown[0]!r} is no option of critical_alpha; those of run_sweep that it takes are "
            f"{', '.join(OPTIONS)}."
        )

    rows = task.num_rows if task.table_rows is None else task.table_rows
    tried, success, rounds = np.empty(0), np.empty(0, bool), []
    now, interruption, reached = Transition(math.nan, 0.0, 1.0, math.nan), None, False
    while True:
        chosen = _spread(low, high, alphas, rows, first=not rounds)
        lanes = zip_lanes(
            **fixed,
            alpha=np.repeat(chosen, seeds),
            seed=first_seed + len(tried) + np.arange(len(chosen) * seeds),
        )
        try:
            result = run_sweep(
                recipe,
                task,
                lanes,
                max_steps=max_steps,
                eval_every=eval_every,
                stop=stop,
                keep_params="none",
                directory=None if folder is None else folder / f"round_{len(rounds):02d}",
                **options,
            )
        except SweepInterrupted as error:
            interruption, result = error, error.result
        # Of an unfinished round those that grok are finished first: it would count too many.
        if "interrupted" not in result.dataset.attrs:
            tried = np.append(tried, lanes["alpha"])
            success = np.append(success, _has_grokked(result.dataset))
            now = transition(tried, success, confidence)
            rounds.append((len(tried), now.alpha, now.low, now.high))
            low, high = now.low, now.high
            reached = high - low <= tolerance
        if interruption or reached or len(tried) + alphas * seeds > max_lanes:
            break
    attributes = {k: result.dataset.attrs[k] for k in ("recipe", "task", "rows", "max_steps")}
    dataset = _dataset(tried, success, now, rounds, confidence).assign_attrs(
        attributes | fixed, tolerance=tolerance, reached=int(reached), confidence=confidence
    )
    if interruption is not None:
        remedy = "with directory= it could go on"
        if folder is not None:
            remedy = f"the same call with directory={str(folder)!r} goes on"
        raise SearchInterrupted(
            f"the search was interrupted after {len(rounds)} finished rounds; {remedy}.",
            dataset.assign_attrs(interrupted=1),
        ) from interruption
    return dataset


def _check_bracket(bracket: Any) -> tuple[float, float]:
    ends = check_array("bracket", bracket, shape=(2,), kinds="iuf")
    low, high = ends.astype(float).tolist()
    if not 0 < low < high < 1:
        raise ValueError(
            f"bracket must be two fractions between 0 and 1, low < high, got {shown(bracket)}."
        )
    return low, high


def _check_columns(columns: Any) -> dict[str, float]:
    """The hyperparameters of a search, one number each."""
    check_mapping("columns", columns, '{"learning_rate": 1e-2}')
    for name, instead in (("alpha", "bracket"), ("seed", "first_seed")):
        if name in columns:
            raise ValueError(
                f"columns must not have {name!r}, which the search chooses; use {instead}= for it, "
                f"got {shown(columns)}."
            )
    # Infinity is a batch size; where it is not allowed, `run_sweep` says so.
    return {
        name: math.inf
        if isinstance(x, float) and x == math.inf
        else check_number(f"columns[{name!r}]", x)
        for name, x in columns.items()
    }


def _has_grokked(dataset: xarray.Dataset) -> np.ndarray:
    """bool[L]: what `critical_alpha` counts as grokked."""
    ended = dataset.stopped & (dataset.outcome != "diverged")
    return (ended | dataset.grokking_step.notnull()).values


def _spread(low: float, high: float, alphas: int, rows: int, first: bool) -> np.ndarray:
    """Different alphas, evenly over an interval; each a whole number of rows."""
    # Later rounds leave the ends out: there the outcome is all but known.
    shares = np.linspace(0, 1, alphas) if first else (np.arange(alphas) + 0.5) / alphas
    count = np.rint((low + (high - low) * shares) * rows)
    return np.unique(np.clip(count, 1, rows - 1)) / rows


def _dataset(
    alpha: np.ndarray,
    success: np.ndarray,
    now: Transition,
    rounds: Sequence[tuple[float, ...]],
    confidence: float,
) -> xarray.Dataset:
    places, cells = np.unique(alpha, return_inverse=True)
    steps = np.where(success, 0.0, np.nan)  # only whether they are there is of interest
    shares = [grokking_probability(steps[cells == i], confidence) for i in range(len(places))]
    value, p_low, p_high = np.reshape(shares, (-1, 3)).T
    lanes, estimate, round_low, round_high = np.reshape(rounds, (-1, 4)).T
    return xarray.Dataset(
        {
            "critical_alpha": now.alpha,
            "low": now.low,
            "high": now.high,
            "scale": now.scale,
            "n": ("alpha", np.bincount(cells)),
            "n_grokked": ("alpha", np.bincount(cells, success).astype(int)),
            "fraction": ("alpha", value),
            "p_low": ("alpha", p_low),
            "p_high": ("alpha", p_high),
            "lanes": ("round", lanes.astype(int)),
            "estimate": ("round", estimate),
            "round_low": ("round", round_low),
            "round_high": ("round", round_high),
        },
        {"alpha": places, "round": np.arange(1, len(rounds) + 1)},
    )
