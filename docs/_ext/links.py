"""Links of pages to files of the repository, as they hold on the site.

Pages are read on the web page of the repository too, so they link to its files as these lie there.
On the site a link to a file that is no page of it leads to the repository instead.
"""

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
#: Pages of the site whose text is a file elsewhere in the repository.
ELSEWHERE = {
    "benchmarks": "benchmarks/README.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
}
LINK = re.compile(r"(!\[[^\]]*)?\]\((?!\w+:|[#/])([^)\s#]+)(#[^)\s]*)?\)")


def with_links_of_the_site(text: str, file: str, repository: str) -> str:
    """Markdown whose links to files of the repository lead to pages of the site, or back there.

    Args:
      text: the Markdown.
      file: where it lies in the repository, such as "docs/guides/rows.md".
      repository: the address of the repository.
    """

    def link(found: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(file), found[2]))
        anchor = found[3] or ""
        if found[1] or not (ROOT / target).exists():
            return found[0]  # a picture, which Sphinx copies; what is missing, it reports
        if page := page_of(target):
            return f"]({page}{anchor})"
        kind = "tree" if (ROOT / target).is_dir() else "blob"
        return f"]({repository}/{kind}/main/{target}{anchor})"

    return LINK.sub(link, text)


def page_of(file: str) -> str | None:
    """The page that shows a file of the repository, from the root of the site's sources."""
    for page, shown in {"index": "README.md", **ELSEWHERE}.items():
        if file == shown:
            return f"/{page}.md"
    if file.startswith("docs/") and file.endswith(".md"):
        return file.removeprefix("docs")
    return f"/{file}" if re.fullmatch(r"notebooks/\w+\.ipynb", file) else None
