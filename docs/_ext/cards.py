"""The gallery as Markdown: the entries of the ledger of reproductions, as cards."""

from typing import Any

import reproductions


def cards(entries: dict[str, dict[str, Any]], pictures: str, page: str = "") -> list[str]:
    """The Markdown of a gallery: a heading for each source, and under it a card for each entry.

    Args:
      entries: of the ledger, by name, in order: `figure`, `source`, `title`, `verdict`, `runs`,
        and perhaps `picture`, the name of a file.
      pictures: the folder of the pictures, as seen from the page.
      page: the Markdown of the page of reproductions, to link to an entry's section.
    """
    if not entries:
        return ["There is no entry in the ledger yet."]
    lines, source = [], None
    for entry in entries.values():
        if entry["source"] != source:
            lines += ["::::", ""] if source else []
            source = entry["source"]
            lines += [f"## {reproductions.SOURCES[source]}", "", "::::{container} gallery", ""]
        lines += [*card(entry, pictures, page), ""]
    return [*lines, "::::"]


def card(entry: dict[str, Any], pictures: str, page: str) -> list[str]:
    """The Markdown of one entry: its picture, what it is, its command and its verdict."""
    lines = [":::{container} card", ""]
    if picture := entry.get("picture"):
        lines += [f"![{entry['figure']}: {entry['title']}]({pictures}/{picture})", ""]
    else:
        lines += ["No picture: it was not run, or it is a table.", ""]
    name = f"{entry['figure']}: {entry['title']}"
    linked = f"\n### {name}\n" in page
    lines += [f"[{name}](/reproductions.md#{reproductions.anchor(entry)})" if linked else name, ""]
    if entry["runs"]:
        lines += ["```sh", entry["runs"][0]["command"], "```", ""]
    word = reproductions.verdict(entry)
    return [*lines, f"**{word}**{entry['verdict'].removeprefix(word)}", "", ":::"]
