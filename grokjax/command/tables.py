"""Tables in a terminal, of 80 columns where that is enough, and the numbers in them."""

import contextlib
import contextvars
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from grokjax.checks import shown


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
      values: numbers. NaN is a missing one: of how many values the others are is said as well.
      form: of a number, as in `format`; by default `number`.
      lines: what follows the median on lines of its own, for narrow columns.

    Example:
      >>> spread([2400.0, 2700.0, np.nan])
      '2,550 (2,400 to 2,700; 2 of 3)'
      >>> spread([np.nan, 2560.0, np.nan])
      '2,560 (1 of 3)'
    """
    values = np.asarray(values)
    known = values[~np.isnan(values)]
    if not known.size:
        return ""
    written = (lambda x: format(x, form)) if form else number
    low, middle, high = (written(f(known)) for f in (np.min, np.median, np.max))
    more = [] if low == high else [f"{low}-{high}" if lines else f"{low} to {high}"]
    more += [f"{known.size} of {values.size}"] if known.size < values.size else []
    if lines:
        return "\n".join([middle, *more])
    return f"{middle} ({'; '.join(more)})" if more else middle


def print_table(
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    notes: Iterable[str] = (),
    left: int = 1,
    sections: bool = False,
) -> None:
    """Prints a table: as wide as the terminal at most, unless something had to be cut for that.

    Where no terminal is known, it has 80 columns. The first columns wrap to fit; a table that is
    still wider is printed as wide as it is, so that every cell is whole.

    Args:
      title: of the table. It stands above the middle; a longer one has the terminal's width.
      headings: of the columns; one may have two lines.
      rows: a cell for each column; a float is shown with up to six digits, and what else is no text
        as by `str`.
      notes: lines of text below the table, printed as by `print_line`.
      left: columns that are aligned to the left, from the first on.
      sections: whether a new entry in the first column begins a section.

    Raises:
      ValueError: for a row that has not one cell for each heading; nothing is printed then.
    """
    headings, rows = list(map(_cell, headings)), [list(map(_cell, row)) for row in rows]
    for i, row in enumerate(rows):
        if len(row) != len(headings):
            raise ValueError(
                f"rows[{i}] of the table {title!r} must have a cell for each of the "
                f"{len(headings)} headings, got {len(row)}: {shown(tuple(row))}."
            )
    _record(TableRecord(title, headings, rows))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)
    for i, heading in enumerate(headings):
        justify = "left" if i < left else "right"
        table.add_column(heading, justify=justify, no_wrap=i >= left, overflow="fold")
    before = None
    for row in rows:
        if sections and before is not None and row[0] != before:
            table.add_section()
        before = row[0]
        table.add_row(*row)
    # Text in brackets is text here, and no markup that rich would take out.
    width = Console().width
    endless = Console(width=100_000, markup=False, emoji=False)
    whole = Measurement.get(endless, endless.options, table).maximum
    spare = 0  # what columns that wrap can give, where words of up to 12 letters are not broken
    for column in list(zip(headings, *rows, strict=True))[:left]:
        lines = [line for cell in column for line in cell.splitlines()]
        words = [word for line in lines for word in line.split()]
        narrowest = min(12, max(map(cell_len, words), default=0))
        spare += max(0, max(map(cell_len, lines), default=0) - narrowest)
    console = Console(width=max(width, whole - spare), markup=False, emoji=False)
    if title:
        longest = max(map(cell_len, title.splitlines()))
        above = min(width, max(whole, longest))
        console.print(Text(title, style="table.title"), width=above, justify="center")
    console.print(table)
    for note in notes:
        print_line(note)


def _cell(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
