"""Tables in a terminal of 80 columns, and the numbers in them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table


def number(x: float) -> str:
    """A number with the three digits that count: 1,234 and 0.123 and 12.3, never 1e+03."""
    x = float(x)
    if abs(x) >= 100 or not np.isfinite(x):
        return f"{x:,.0f}"
    return f"{x + 0.0:.3g}" if abs(x) >= 1e-4 or not x else f"{x:.1e}"


def spread(values: Any, form: str = "", *, lines: bool = False) -> str:
    """The median, and the lowest and highest if they differ; nothing of nothing but NaN.

    Args:
      values: numbers; NaN is left out.
      form: of a number, as in `format`; by default `number`.
      lines: the lowest and highest on a line of their own, for narrow columns.
    """
    values = np.asarray(values)
    values = values[~np.isnan(values)]
    if not values.size:
        return ""
    shown = (lambda x: format(x, form)) if form else number
    low, middle, high = (shown(f(values)) for f in (np.min, np.median, np.max))
    if low == high:
        return middle
    return f"{middle}\n{low}-{high}" if lines else f"{middle} ({low} to {high})"


def print_table(
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    left: int = 1,
    sections: bool = False,
) -> None:
    """Prints a table that fits a terminal of 80 columns.

    Args:
      title: of the table.
      headings: of the columns; one may have two lines.
      rows: a cell for each column; what is no text is shown as by `str`.
      left: columns that are aligned to the left, from the first on.
      sections: whether a new entry in the first column begins a section.
    """
    table = Table(
        title=title, box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False
    )
    for i, heading in enumerate(headings):
        justify = "left" if i < left else "right"
        table.add_column(heading, justify=justify, no_wrap=i >= left, overflow="fold")
    before = None
    for row in rows:
        if sections and before is not None and row[0] != before:
            table.add_section()
        before = row[0]
        table.add_row(*map(str, row))
    Console().print(table)
