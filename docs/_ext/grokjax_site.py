"""What the site has beyond Sphinx: the reference, the gallery, and files from elsewhere.

    ```{api} grokjax.tasks
    ```

is the reference of a module. A public name without documentation is a warning, and with
`sphinx-build -W` an error.

    ```{gallery}
    ```

is every entry of the ledger of reproductions.
"""

import importlib
import os
import shutil
from pathlib import Path

from cards import cards
from docutils import nodes
from docutils.statemachine import StringList
from links import ELSEWHERE, ROOT, with_links_of_the_site
from reference import reference, sources
from sphinx.application import Sphinx
from sphinx.ext.autodoc.mock import mock
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sweep_pages import write_pages

import reproductions

WITHOUT = ["safetensors", "torch"]  # what `grokjax.pytorch` imports, and the site is built without
logger = logging.getLogger(__name__)


class Markdown(SphinxDirective):
    """A directive that puts Markdown where it stands."""

    def parsed(self, text: list[str], files: list[Path]) -> list[nodes.Node]:
        """The nodes of Markdown that was made of some files."""
        for path in files:
            self.env.note_dependency(str(path))
        parent = nodes.section()
        self.state.nested_parse(StringList(text, self.name), 0, parent, match_titles=True)
        return parent.children


class Api(Markdown):
    """The reference of a module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The nodes of the reference."""
        module = self.arguments[0]
        text, missing = reference(module)
        for name in missing:
            logger.warning("%s has no documentation", name, type="api", subtype="undocumented")
        return self.parsed(text, list(sources(module)))


class Gallery(Markdown):
    """The cards of all entries of the ledger."""

    def run(self) -> list[nodes.Node]:
        """The nodes of the cards."""
        ledger, page = reproductions.HERE, Path(self.env.doc2path("reproductions"))
        pictures = os.path.relpath(ledger, Path(self.env.doc2path(self.env.docname)).parent)
        text = cards(reproductions.entries(), Path(pictures).as_posix(), page.read_text())
        return self.parsed(text, [page, *ledger.glob("*.json"), *ledger.glob("*.png")])


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    file = f"{page}.ipynb" if page.startswith("notebooks/") else f"docs/{page}.md"
    if page in ELSEWHERE:
        file = ELSEWHERE[page]
        source[0] = (ROOT / file).read_text()
        app.env.note_dependency(str(ROOT / file))
    source[0] = with_links_of_the_site(source[0], file, app.config.repository)


def _copy_notebooks(app: Sphinx) -> None:
    copies = Path(app.srcdir) / "notebooks"
    copies.mkdir(exist_ok=True)
    originals = {path.name: path for path in (ROOT / "notebooks").glob("*.ipynb")}
    for copy in copies.iterdir():
        if copy.suffix == ".ipynb" and copy.name not in originals:
            copy.unlink()
    for name, original in originals.items():
        copy = copies / name
        if not copy.exists() or copy.read_bytes() != original.read_bytes():
            shutil.copyfile(original, copy)


def _train_sweeps(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.name == "html" and not app.config.quick:
        write_pages(Path(app.outdir) / "pages")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    with mock(WITHOUT):
        importlib.import_module("grokjax.pytorch")
    app.add_config_value("repository", "", "env")
    app.add_config_value("quick", False, "")
    app.add_directive("api", Api)
    app.add_directive("gallery", Gallery)
    app.connect("builder-inited", _copy_notebooks)
    app.connect("source-read", _read)
    app.connect("build-finished", _train_sweeps)
    return {"parallel_read_safe": True}
