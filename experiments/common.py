"""What experiments of all kinds share: cells of a table."""

from typing import Any

import numpy as np


def spread(values: Any, form: str = ".3g") -> str:
    """The median, and the lowest and highest if they differ; nothing of nothing but NaN."""
    values = np.asarray(values)
    values = values[~np.isnan(values)]
    if not values.size:
        return ""
    low, middle, high = (format(f(values), form) for f in (np.min, np.median, np.max))
    return middle if low == high else f"{middle} ({low} to {high})"


def cells(values: Any, name: Any, row: Any) -> dict[str, np.ndarray]:
    """The values of lanes by name, and then by row: float[rows, n], rows in increasing order.

    Args:
      values: [L].
      name: [L], what each lane is called.
      row: [L], numbers.

    Returns:
      Names in the order of the lanes. NaN where a row has fewer lanes than another one of its name.
    """
    values, name, row = (np.asarray(x) for x in (values, name, row))
    table = {}
    for one in dict.fromkeys(name.tolist()):
        each = [values[(name == one) & (row == number)] for number in np.unique(row)]
        table[one] = np.full((len(each), max(map(len, each))), np.nan)
        for cell, found in zip(table[one], each, strict=True):
            cell[: len(found)] = found
    return table
