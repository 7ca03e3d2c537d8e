"""The site: pages whose code runs, a reference of every public name, the gallery, and links."""

import ast
import contextlib
import io
import json
import re
import sys
import types
from pathlib import Path

import pytest
from test_house import assert_same_text

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

import cards
import links
import reference

import reproductions

BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.M | re.S)
MISTAKES = DOCS / "first_minutes.md"
RUN = [DOCS / f"{name}.md" for name in ("quickstart", "inside")]
RUN += sorted(path for path in (DOCS / "guides").glob("*.md") if path.stem not in {"index"})


def blocks(page: Path) -> list[tuple[str, str]]:
    """The Python of a page, and what it says that is printed."""
    text = page.read_text()
    found = BLOCK.findall(text)
    assert found
    assert len(found) == text.count("```python")
    return found


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_code_of_a_page_prints_what_is_shown(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if page.stem == "devices":  # there are four already
        monkeypatch.setattr("jax.config.update", lambda *args: None)
    namespace = {"__name__": "document"}
    for code, shown in blocks(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, page.name, "exec"), namespace)
        assert_same_text(printed.getvalue(), shown)


def test_the_first_page_shows_what_the_readme_shows():
    (code, shown), *_ = blocks(ROOT / "README.md")
    (on_the_site, shown_there), *more = blocks(DOCS / "index.md")
    assert not more
    statements = {ast.dump(node) for node in ast.parse(code).body}
    assert statements >= {
        ast.dump(node)
        for node in ast.parse(on_the_site).body
        if not isinstance(node, ast.ImportFrom)  # README imports one part more
    }
    assert shown.startswith(shown_there)


def test_twenty_mistakes_are_answered_with_what_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "document"}
    (begin, _), *mistakes = blocks(MISTAKES)
    exec(compile(begin, MISTAKES.name, "exec"), namespace)
    assert len(mistakes) == 20
    for code, shown in mistakes:
        with pytest.raises(ValueError) as error:  # noqa: PT011  compared as a whole below
            exec(compile(code, MISTAKES.name, "exec"), namespace)
        pieces = [re.escape(" ".join(piece.split())) for piece in shown.split("...")]
        pattern = r"\s?.*".join(pieces)
        assert re.fullmatch(pattern, " ".join(str(error.value).split())), str(error.value)


# --------------------------------------------------------------------------------------------
# The reference
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", reference.modules())
def test_every_public_name_is_documented_on_its_page(module):
    if module == "grokjax.pytorch":
        pytest.importorskip("torch", reason="torch is not installed")
    page = DOCS / "api" / f"{module.split('.')[-1]}.md"
    assert f"```{{api}} {module}\n" in page.read_text()
    text, missing = reference.reference(module)
    assert not missing
    shown = "\n".join(text)
    for name in reference.public_names(module):
        assert re.search(rf"^:+\{{py:\w+\}} {name}\b|[`.]{name}[`>]", shown, re.M), name


def test_what_is_public_and_says_nothing_is_missing(monkeypatch):
    module = types.ModuleType("grokjax.silent", "A module.")
    module.__file__ = __file__
    module.spoken = lambda p: p
    module.spoken.__doc__ = "The modulus."
    module.silent = lambda p: p
    module.__all__ = ["silent", "spoken"]
    monkeypatch.setitem(sys.modules, "grokjax.silent", module)
    text, missing = reference.reference("grokjax.silent")
    assert missing == ["grokjax.silent.silent"]
    assert ":::::{py:function} spoken(p)" in text


def test_docstrings_become_markdown_with_sections_code_and_links():
    docstring = """A sum, as `tasks.modular_addition` has it:
    n + m

Args:
  p: the modulus, and what
    it is for.

Returns:
  A `task`.

Example:
  >>> 1 + 1
  2
"""
    text = "\n".join(reference.markdown(docstring, "grokjax.tasks"))
    assert (
        "{py:obj}`tasks.modular_addition <grokjax.tasks.modular_addition>` has it:\n\n    n" in text
    )
    assert "**Args**\n\n- `p`: the modulus, and what\n  it is for.\n" in text
    assert "**Returns**\n\nA `task`." in text
    assert "```python\n>>> 1 + 1\n2\n```" in text


# --------------------------------------------------------------------------------------------
# The gallery
# --------------------------------------------------------------------------------------------


def entry(**fields: object) -> dict:
    run = {
        "command": "python experiments/alpha_sweep.py",
        "date": "2026-11-25",
        "hardware": "a CPU",
    }
    given = {"source": "gromov", "title": "alpha", "verdict": "agrees: it falls", "runs": [run]}
    return {"figure": "figure 1", "claim": "It falls.", **given, **fields}


def test_the_gallery_has_picture_command_and_verdict_under_its_source(tmp_path):
    for name, fields in {
        "a": {"picture": "a.png"},
        "b": {"figure": "figure 2", "runs": []},
        "c": {"source": "grokjax", "figure": "figure 3", "verdict": "new: it rises"},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(entry(**fields)))
    made = cards.cards(reproductions.entries(tmp_path), "../pictures", "\n### figure 1: alpha\n")
    text = "\n".join(made)
    first, second, third = text.split(":::{container} card")[1:]
    assert "![figure 1: alpha](../pictures/a.png)" in first
    assert "```sh\npython experiments/alpha_sweep.py\n```" in first
    assert "(/reproductions.md#figure-1-alpha)" in first
    assert "**agrees**: it falls" in first
    assert "No picture" in second
    assert "```" not in second
    assert "**new**: it rises" in third
    headings = [line for line in made if line.startswith("## ")]
    assert headings == [f"## {reproductions.SOURCES[source]}" for source in ("gromov", "grokjax")]
    assert text.count("::::{container} gallery") == len([x for x in made if x == "::::"]) == 2


def test_a_gallery_of_an_empty_ledger_says_so(tmp_path):
    assert cards.cards(reproductions.entries(tmp_path), ".") == [
        "There is no entry in the ledger yet."
    ]


# --------------------------------------------------------------------------------------------
# Links
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "on_the_site"),
    [
        ("[x](../docs/scaling.md#several-machines)", "[x](/scaling.md#several-machines)"),
        ("[x](../README.md)", "[x](/index.md)"),
        ("[x](../benchmarks/README.md)", "[x](/benchmarks.md)"),
        ("[x](../notebooks/01_quickstart.ipynb)", "[x](/notebooks/01_quickstart.ipynb)"),
        ("[`x`](../grokjax/losses.py)", "[`x`](REPOSITORY/blob/main/grokjax/losses.py)"),
        ("[x](../experiments)", "[x](REPOSITORY/tree/main/experiments)"),
        ("![x](figures/alpha_sweep.png)", "![x](figures/alpha_sweep.png)"),
        ("[x](https://xarray.dev)", "[x](https://xarray.dev)"),
        ("[x](#a-heading)", "[x](#a-heading)"),
        ("[x](no_such_page.md)", "[x](no_such_page.md)"),
    ],
)
def test_links_to_files_lead_to_pages_of_the_site_or_to_the_repository(link, on_the_site):
    assert links.with_links_of_the_site(link, "docs/page.md", "REPOSITORY") == on_the_site


@pytest.mark.parametrize("page", sorted((DOCS / "guides").glob("*.md")), ids=lambda page: page.stem)
def test_guides_link_to_files_that_exist(page):
    for target in re.findall(r"\]\((?!\w+:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_notebooks_begin_with_a_badge_that_opens_them_in_colab(path):
    first = "".join(json.loads(path.read_text())["cells"][0]["source"])
    address = (
        f"https://colab.research.google.com/github/grokjax/grokjax/blob/main/notebooks/{path.name}"
    )
    assert f"]({address})\n" in first
