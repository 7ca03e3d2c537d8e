"""Checks of arguments at the public edge: one wording for all of them."""

import math
import operator
from typing import Any


def check_integer(
    name: str,
    value: Any,
    *,
    at_least: float = -math.inf,
    below: float = math.inf,
    otherwise: str = "",
) -> int:
    """`value` as a Python int: anything that Python takes for an index, except booleans.

    Args:
      name: of the argument, for the message.
      value: what was given.
      at_least: the smallest integer allowed.
      below: the smallest integer that is too large.
      otherwise: what is allowed beside integers, for the message, as "None for the full batch".

    Raises:
      ValueError: for anything else; the message names the argument, what is allowed and the value.

    Example:
      >>> check_integer("batch_size", 0, at_least=1, otherwise="None for the full batch")
      Traceback (most recent call last):
      ValueError: batch_size must be a positive integer, or None for the full batch, got 0.
    """
    try:
        number = math.nan if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = math.nan
    if not at_least <= number < below:  # NaN fails too
        positive = at_least == 1
        allowed = "a positive integer" if positive else "an integer"
        bounds = [] if positive or at_least == -math.inf else [f"of at least {at_least}"]
        bounds += [f"below {below}"] if below < math.inf else []
        allowed += f" {' and '.join(bounds)}" if bounds else ""
        allowed += f", or {otherwise}" if otherwise else ""
        raise ValueError(f"{name} must be {allowed}, got {value!r}.")
    return int(number)
