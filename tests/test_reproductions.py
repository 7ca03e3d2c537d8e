"""The ledger of reproductions, and the page that is generated from it."""

import json
import re

import numpy as np
import pytest

import reproductions
from grokjax import plotting

LEDGER = reproductions.entries()
# Every figure of the three sources, by the entry that has it.
FIGURES = {
    "gromov": ["1", "2", "3", "4a", "4b", "5", "6", "7_to_10"],
    "efficiency": ["1", "2", "4", "5", "6", "7", "9", "section_4_2"],
    "reproduction": [
        *("01", "02", "03", "04", "05", "06", "07", "08", "09"),
        *("3_3_optimizers", "3_3_weight_decay", "section_4"),
    ],
}


def test_the_page_is_the_one_that_the_ledger_makes():
    assert reproductions.PAGE.read_text("utf-8") == reproductions.page()


@pytest.mark.parametrize("source", FIGURES)
def test_every_figure_of_a_source_has_an_entry(source):
    own = {name for name, entry in LEDGER.items() if entry["source"] == source}
    assert own == {f"{source}_{figure}" for figure in FIGURES[source]}


@pytest.mark.parametrize("name", LEDGER)
def test_an_entry_has_a_picture_a_claim_a_verdict_and_runs(name):
    entry = LEDGER[name]
    assert entry["source"] in reproductions.SOURCES
    assert reproductions.verdict(entry) in reproductions.VERDICTS
    assert entry["claim"].endswith((".", "?"))
    assert entry["runs"]
    picture = reproductions.HERE / entry["picture"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size <= reproductions.LARGEST_PICTURE
    for run in entry["runs"]:
        assert re.fullmatch(r"20\d\d-\d\d-\d\d.*", run["date"])
        assert run["command"].startswith("python experiments/")
        assert run["found"].endswith((".", "|"))


@pytest.mark.parametrize("name", LEDGER)
def test_numbers_in_prose_are_those_that_the_run_printed(name):
    for run in LEDGER[name]["runs"]:
        if run["versions"]:
            assert reproductions.untold_numbers(run) == set()


def test_a_number_that_no_table_has_is_found():
    table = {"title": "1,410 steps", "headings": ["alpha"], "rows": [["0.50 (0.4 to 0.6)"]]}
    run = {"command": "python x.py --p 97", "options": {"seeds": 3}, "tables": [table]}
    told = run | {"found": "At 1410 steps and p = 97, 3 seeds: 0.5 (0.4 to 0.6)."}
    assert reproductions.untold_numbers(told) == set()
    assert reproductions.untold_numbers(run | {"found": "0.5, at most 0.7."}) == {"0.7"}


def test_pictures_and_entries_belong_together():
    pictures = {path.name for path in reproductions.HERE.glob("*.png")}
    assert pictures == {entry["picture"] for entry in LEDGER.values()}


# --------------------------------------------------------------------------------------------
# Adding a run
# --------------------------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    figure, ax = plotting.new_figure()
    ax.imshow(np.random.default_rng(0).random((300, 300)))
    plotting.save(figure, folder, "noise")
    record = {
        "command": "python experiments/x.py", "date": "2026-01-01", "hardware": "1 core",
        "versions": {"jax": "1"}, "commit": "abcdefgh", "options": {}, "interrupted": False,
        "tables": [{"title": "t", "headings": ["a", "b"], "rows": [["1", "2\n3"]]}],
        "figures": ["noise.png", "noise.svg"],
    }  # fmt: skip
    (folder / "record.json").write_text(json.dumps(record))
    (tmp_path / "introduction.md").write_text("# Reproductions\n")
    return folder


def test_a_run_is_taken_in_with_its_picture_and_shown_on_the_page(results, tmp_path):
    path = reproductions.add("one", results, folder=tmp_path)
    entry = json.loads(path.read_text())
    assert [run["command"] for run in entry["runs"]] == ["python experiments/x.py"]
    assert (tmp_path / entry["picture"]).read_bytes().startswith(b"\x89PNG")
    text = reproductions.page(tmp_path)
    assert "| 1 | 2<br>3 |" in text
    assert "(1 core, 2026-01-01; jax 1, commit abcdefg)" in text


def test_the_same_command_again_replaces_its_run_and_keeps_what_was_said(results, tmp_path):
    path = reproductions.add("one", results, folder=tmp_path)
    entry = json.loads(path.read_text())
    entry["runs"][0]["found"], entry["claim"] = "It is 1.", "Is it 1?"
    path.write_text(json.dumps(entry))
    record = json.loads((results / "record.json").read_text())
    (results / "record.json").write_text(json.dumps(record | {"date": "2027-01-01"}))
    reproductions.add("one", results, "", folder=tmp_path)
    again = json.loads(path.read_text())
    assert again["claim"] == "Is it 1?"
    assert [(run["found"], run["date"]) for run in again["runs"]] == [("It is 1.", "2027-01-01")]
    (results / "record.json").write_text(json.dumps(record | {"command": "python other.py"}))
    reproductions.add("one", results, "", folder=tmp_path)
    assert len(json.loads(path.read_text())["runs"]) == 2


def test_a_run_that_was_interrupted_or_left_no_record_is_refused(results, tmp_path):
    with pytest.raises(ValueError, match=r"has no record\.json"):
        reproductions.add("one", tmp_path, folder=tmp_path)
    record = json.loads((results / "record.json").read_text())
    (results / "record.json").write_text(json.dumps(record | {"interrupted": True}))
    with pytest.raises(ValueError, match="was interrupted"):
        reproductions.add("one", results, folder=tmp_path)
    assert not (tmp_path / "one.json").exists()
    reproductions.add("one", results, folder=tmp_path, interrupted=True)
    assert "2026-01-01, then interrupted; jax 1" in reproductions.page(tmp_path)


def test_a_picture_is_made_small(results):
    limit = 20_000
    before = (results / "noise.png").stat().st_size
    small = reproductions.small_picture(results / "noise.png", limit)
    assert len(small) <= limit < before
