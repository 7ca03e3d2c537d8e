"""Checks of the fields of models, which are frozen: bad ones are refused where a model is made."""

from typing import Any

from grokjax.checks import check_integer, check_number


def set_fields(model: Any, **values: Any) -> None:
    """Gives fields the form that the code uses, so that equal models are equal and hash equal."""
    for name, value in values.items():
        object.__setattr__(model, name, value)


def check_counts(model: Any, **least: int) -> None:
    """Fields that have to be integers of at least so much; NumPy's become Python's.

    Raises:
      ValueError: for a field that is not.
    """
    for name, smallest in least.items():
        set_fields(model, **{name: check_integer(name, getattr(model, name), at_least=smallest)})


def check_dropout(model: Any) -> None:
    """The field `dropout`, a probability below 1.

    Raises:
      ValueError: outside [0, 1).
    """
    set_fields(model, dropout=check_number("dropout", model.dropout, at_least=0, below=1))
