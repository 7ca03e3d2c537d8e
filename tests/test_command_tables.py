"""Tables in a terminal, and the numbers in them."""

import numpy as np
import pytest

from grokjax import command


def test_a_table_fits_a_terminal_of_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = [("first", 1, "12,345 (1 to 2)"), ("first", 2, ""), ("a name that is long " * 4, 3, "x")]
    command.print_table("title", ("name", "number", "spread"), rows, sections=True)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("12,345 (1 to 2)" in text for text in lines) == 1
    first, second = (next(i for i, x in enumerate(lines) if f" {n} " in x) for n in "23")
    assert not lines[first + 1].strip()  # between sections
    assert second > first + 1


def test_a_table_that_does_not_fit_is_as_wide_as_it_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    cells = [f"{i},560 (2,400 to 3,000)" for i in range(9)]
    headings = ["", *(f"heading {i}" for i in range(9))]
    command.print_table("title", headings, [("a name of several words", *cells)])
    out = capsys.readouterr().out
    assert all(text in out for text in (*cells, *headings, "several"))
    command.print_table("title", ("name", "number"), [("word " * 30, "1"), ("x" * 100, "2")])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80  # folded, and nothing is lost


def test_a_cell_in_brackets_is_text(capsys):
    command.print_table("[a] title", ("[b]", ":c:"), [("loss [mse]", "[/d]")])
    out = capsys.readouterr().out
    assert all(text in out for text in ("[a] title", "[b]", ":c:", "loss [mse]", "[/d]"))


def test_a_title_that_is_wider_than_its_table_stays_a_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    title = "grokking step, median (lowest to highest)"
    command.print_table(title, ("width", "step"), [(32, 100)])
    assert capsys.readouterr().out.splitlines()[0].strip() == title
    command.print_table(f"{title}, " * 3, ("width", "step"), [(32, 100)])
    lines = capsys.readouterr().out.splitlines()
    assert 40 < max(map(len, lines)) <= 80


@pytest.mark.parametrize("row", [("a",), ("a", 1, 2)])
def test_a_row_has_a_cell_for_each_heading(row, capsys):
    from grokjax.command.tables import recorded_tables

    message = rf"rows\[1\] of the table 'title' .* each of the 2 headings, got {len(row)}: \('a'"
    with recorded_tables() as records, pytest.raises(ValueError, match=message):
        command.print_table("title", ("name", "number"), [("b", 2), row])
    assert (records, capsys.readouterr().out) == ([], "")


def test_notes_stand_below_their_table_and_are_recorded_after_it(capsys):
    from grokjax.command.tables import recorded_tables

    with recorded_tables() as records:
        command.print_table("title", ("rate", "seed"), [(0.1, 3)], notes=["one note", "another"])
    assert [record.title for record in records] == ["title", "one note", "another"]
    assert records[0].rows == [["0.1", "3"]]
    assert capsys.readouterr().out.splitlines()[-2:] == ["one note", "another"]


def test_a_cell_shows_a_float_with_six_digits_and_other_things_as_they_are(capsys):
    command.print_table("", ("a", "b", "c"), [(1.0, np.float64(1 / 3), 1234567)])
    assert capsys.readouterr().out.split()[-3:] == ["1", "0.333333", "1234567"]


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (1234.5, "1,234"), (1e6, "1,000,000"), (99.94, "99.9"), (0.12345, "0.123"), (0, "0"),
        (-0.0, "0"), (3e-7, "3.0e-07"), (np.inf, "inf"),
    ],
)  # fmt: skip
def test_a_number_has_the_digits_that_count(x, text):
    assert command.number(x) == text


def test_what_is_no_number_can_have_another_name():
    assert [command.number(x, "never") for x in (np.nan, np.inf, 5)] == ["never", "never", "5"]


def test_a_spread_is_a_median_between_extremes():
    assert command.spread([3.0, 1.0, 2.0]) == "2 (1 to 3)"
    assert command.spread([1000, 3000, 2000], lines=True) == "2,000\n1,000-3,000"
    assert command.spread([0.5, 0.5]) == "0.5"
    assert command.spread([0.123, 0.456], ".1f") == "0.3 (0.1 to 0.5)"
    assert command.spread([np.nan]) == ""


def test_a_spread_says_of_how_many_it_is_when_some_are_missing():
    missing = [np.nan, np.nan]
    assert command.spread([2560, *missing]) == "2,560 (1 of 3)"
    assert command.spread([2400.0, 2700.0, np.nan]) == "2,550 (2,400 to 2,700; 2 of 3)"
    assert command.spread([2560, *missing], lines=True) == "2,560\n1 of 3"
    assert command.spread([2400, 2700, *missing], lines=True) == "2,550\n2,400-2,700\n2 of 4"
    assert command.spread(missing) == ""
