"""Checks of the fields of models: bad ones are refused where the model is made."""

from collections.abc import Iterable
from typing import Any

from grokjax.checks import check_integer


def check_counts(model: Any, **least: int) -> None:
    """Fields that have to be integers of at least so much; NumPy's become Python's.

    Raises:
      ValueError: for a field that is not.
    """
    for name, smallest in least.items():
        value = check_integer(name, getattr(model, name), at_least=smallest)
        object.__setattr__(model, name, value)


def check_widths(model: Any, name: str) -> None:
    """A field that has to be positive integers, one for each layer; lists become tuples.

    Raises:
      ValueError: for anything else, or no layer at all.
    """
    widths = getattr(model, name)
    if not isinstance(widths, Iterable) or isinstance(widths, str) or not (widths := [*widths]):
        raise ValueError(
            f"{name} must be positive integers, one for each layer, such as (256, 256), got "
            f"{getattr(model, name)!r}."
        )
    checked = [check_integer(f"{name}[{i}]", w, at_least=1) for i, w in enumerate(widths)]
    object.__setattr__(model, name, tuple(checked))


def check_choice(model: Any, name: str, *choices: str) -> None:
    """A field that has to be one of a few words.

    Raises:
      ValueError: for another value.
    """
    if getattr(model, name) not in choices:
        allowed = " or ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f"{name} must be {allowed}, got {getattr(model, name)!r}.")


def check_dropout(model: Any) -> None:
    """The field `dropout`, a probability below 1.

    Raises:
      ValueError: outside [0, 1).
    """
    if not 0 <= model.dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {model.dropout!r}.")
