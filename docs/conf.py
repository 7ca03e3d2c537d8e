"""How Sphinx builds the site: `pip install -e ".[docs]" && sphinx-build -W -n docs site`."""

import os
import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS / "_ext")]

_project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

project = "grokjax"
author = copyright = _project["authors"][0]["name"]
version = release = _project["version"]
repository = _project["urls"]["Repository"]

extensions = ["myst_nb", "grokjax_site"]
exclude_patterns = ["_ext", "README.md"]
suppress_warnings = ["mystnb.unknown_mime_type"]
show_warning_types = True

# Markdown
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4

# Notebooks run when the site is built, once for each version of their text, and three sweeps are
# trained for their pages. GROKJAX_SITE=quick does neither, which saves some minutes: notebooks are
# shown as they were committed.
quick = os.environ.get("GROKJAX_SITE") == "quick"
nb_execution_mode = "off" if quick else "cache"
nb_execution_cache_path = str(ROOT / ".jupyter_cache")
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_excludepatterns = ["*.md"]
nb_merge_streams = True

# Looks
html_theme = "furo"
html_title = f"grokjax {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": repository,
    "source_branch": "main",
    "source_directory": "docs/",
}
