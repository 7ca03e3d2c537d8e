"""Tables in a terminal of 80 columns, and the numbers in them."""

import contextlib
import contextvars
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table


class TableRecord(NamedTuple):
    """A table that was printed, cell by cell; or a line of text, as a title without a table."""

    title: str
    headings: list[str]
    rows: list[list[str]]


_records: contextvars.ContextVar[list[TableRecord] | None] = contextvars.ContextVar(
    "records", default=None
)


@contextlib.contextmanager
def recorded_tables() -> Iterator[list[TableRecord]]:
    """The tables that are printed in the block, in a list that grows with each."""
    records: list[TableRecord] = []
    token = _records.set(records)
    try:
        yield records
    finally:
        _records.reset(token)


def print_line(text: str) -> None:
    """Prints a line of text about what a table shows, which is recorded with the tables."""
    _record(TableRecord(text, [], []))
    print(text)


def _record(table: TableRecord) -> None:
    records = _records.get()
    if records is not None:
        records.append(table)


def number(x: float, missing: str = "") -> str:
    """A number with the three digits that count: 1,234 and 0.123 and 12.3, never 1e+03.

    Args:
      x: the number.
      missing: what to say instead of NaN and of infinity, such as "never".
    """
    x = float(x)
    if missing and not np.isfinite(x):
        return missing
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
    notes: Iterable[str] = (),
    left: int = 1,
    sections: bool = False,
) -> None:
    """Prints a table that fits a terminal of 80 columns.

    Args:
      title: of the table.
      headings: of the columns; one may have two lines.
      rows: a cell for each column; a float is shown with up to six digits, and what else is no text
        as by `str`.
      notes: lines of text below the table, printed as by `print_line`.
      left: columns that are aligned to the left, from the first on.
      sections: whether a new entry in the first column begins a section.
    """
    headings, rows = list(headings), [list(map(_cell, row)) for row in rows]
    _record(TableRecord(title, headings, rows))
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
        table.add_row(*row)
    Console().print(table)
    for note in notes:
        print_line(note)


def _cell(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
