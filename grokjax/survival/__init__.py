"""Survival: grokking times are censored data, because a lane that has not grokked yet still may.

A lane is a pair of numbers: `grokking_step`, NaN if it never grokked, and `watched_step`, the last
step at which it could have been seen to grok. A lane that diverged was watched until then: for the
Kaplan-Meier curve it is censored, for the probability of grokking it counts as not grokked.

    from grokjax import survival
    survival.median(dataset.grokking_step, dataset.watched_step)

Why not its final step: a network counts as grokked only if it stays at the threshold for `patience`
measurements. One that reaches it within the last `patience - 1` measurements cannot show that it
stays, so it is recorded as never grokked, although it was at the threshold. To censor it at its
final step would claim that it had not grokked by then, and make grokking look later than it is,
wherever lanes of different budgets are pooled. It was watched up to its `patience`-th last
measurement (`watched_steps`): every grokking up to there is seen, and none after it.
"""

from grokjax.survival.law import PowerLaw, power_law
from grokjax.survival.times import (
    Curve,
    Estimate,
    first_sustained,
    grokking_probability,
    hazard_ratio,
    kaplan_meier,
    log_rank,
    median,
    summary,
    watched_steps,
)

__all__ = [
    "Curve",
    "Estimate",
    "PowerLaw",
    "first_sustained",
    "grokking_probability",
    "hazard_ratio",
    "kaplan_meier",
    "log_rank",
    "median",
    "power_law",
    "summary",
    "watched_steps",
]


def __dir__() -> list[str]:
    return __all__
