"""The ledger of reproductions: what came out when the figures of the sources were run again.

One file a figure, `NAME.json`, beside its picture, `NAME.png`:

- `figure`, `source`, `title`: what it is; `source` is one of `SOURCES`.
- `picture`, `picture_of`: the name of the picture, and the command that drew it, where it is known.
- `claim`: what the source says, or what was asked where there is none.
- `verdict`: how that compares with what came out; it begins with one of `VERDICTS`.
- `runs`: the records that experiments wrote (`record.json` in the folder of their results), each
  with `found`, what it says in prose, of whose numbers each is in the record's tables or options. A
  run from before there were records has no tables; its numbers were written down by hand.
- `notes`: what else a reader should know, such as what was changed after a result had been seen.

    python -m reproductions add NAME results/FOLDER    # takes the record and the picture of a run
    python -m reproductions page                       # writes docs/reproductions.md of all of it
"""

import io
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parent / "docs" / "reproductions.md"
SOURCES = {
    "gromov": "Gromov 2023, *Grokking modular arithmetic* (arXiv 2301.02679)",
    "efficiency": "*Towards understanding grokking phenomenon via model and training efficiency*",
    "reproduction": "*Grokking phenomenon reproduction* (K. Sha, Y. Wu, D. Yue)",
    "literature": "Further literature",
    "grokjax": "Beyond the sources",
}
VERDICTS = ("agrees", "partly", "disagrees", "new", "open")
LARGEST_PICTURE = 200_000  # bytes
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")


def entries(folder: pathlib.Path = HERE) -> dict[str, dict[str, Any]]:
    """The entries of the ledger by name, in the order of the sources and their figures."""
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}
    order = {source: i for i, source in enumerate(SOURCES)}
    return dict(sorted(found.items(), key=lambda item: (order[item[1]["source"]], item[0])))


def add(
    name: str,
    results: pathlib.Path,
    figure: str | None = None,
    folder: pathlib.Path = HERE,
    *,
    interrupted: bool = False,
) -> pathlib.Path:
    """The file of an entry, which has taken in the record of a run and its picture.

    The record takes the place of an earlier one of the same command and part, with what was said.

    Args:
      name: of the entry; a new one is begun where there is none.
      results: the folder of a run.
      figure: the name of a figure there, without suffix; by default its first one. "" for none.
      folder: of the ledger.
      interrupted: take in a run that was interrupted too; the page then says so.

    Raises:
      ValueError: for a folder without a record, or of an interrupted run where that is not asked
        for.
    """
    written = results / "record.json"
    if not written.is_file():
        raise ValueError(
            f"{results} has no record.json; run an experiment with --output {results}."
        )
    record = json.loads(written.read_text("utf-8"))
    if record["interrupted"] and not interrupted:
        raise ValueError(
            f"the run in {results} was interrupted; the same command goes on from it, and "
            "--interrupted takes it in as it is."
        )
    path = folder / f"{name}.json"
    empty = {"figure": name, "source": "grokjax", "title": "", "claim": "", "verdict": "open"}
    entry = json.loads(path.read_text("utf-8")) if path.is_file() else empty
    pictures = [x for x in record.pop("figures") if x.endswith(".png")]
    runs = entry.setdefault("runs", [])
    of = lambda run: (run["command"], run.get("part", ""))
    place = [i for i, run in enumerate(runs) if of(run) == of(record)]
    kept = {"found": runs[place[0]]["found"] if place else ""}
    begin = place[0] if place else len(runs)
    runs[begin : begin + 1] = [kept | record]
    if figure != "" and pictures:
        chosen = f"{figure}.png" if figure else pictures[0]
        (folder / f"{name}.png").write_bytes(small_picture(results / chosen))
        entry["picture"], entry["picture_of"] = f"{name}.png", record["command"]
    path.write_text(json.dumps(entry, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def small_picture(path: pathlib.Path, limit: int = LARGEST_PICTURE) -> bytes:
    """A picture as PNG of at most so many bytes, with fewer colours and then fewer pixels."""
    from PIL import Image  # matplotlib brings it along

    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    while True:
        stream = io.BytesIO()
        picture.quantize(128, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        if len(stream.getvalue()) <= limit:
            return stream.getvalue()
        picture = picture.resize([round(0.9 * x) for x in picture.size], Image.Resampling.LANCZOS)


def untold_numbers(run: dict[str, Any]) -> set[str]:
    """Numbers in what is said of a run that are neither in its tables nor in its options."""
    told: set[str] = set(_numbers(json.dumps([run["tables"], run.get("options", {})])))
    told |= set(_numbers(run["command"]))
    return set(_numbers(run["found"])) - told


def _numbers(text: str) -> Iterator[str]:
    """Numbers of a text, as one of them is written wherever it stands: 1,410 and 1410 are one."""
    for found in _NUMBER.findall(text):
        number = found.replace(",", "")
        yield f"{float(number):g}" if len(number) < 8 else number


def verdict(entry: dict[str, Any]) -> str:
    """The first word of an entry's verdict."""
    return re.split(r"\W", entry["verdict"])[0]


def anchor(entry: dict[str, Any]) -> str:
    """Where the page has an entry: its heading as GitHub and Sphinx make an address of it."""
    heading = f"{entry['figure']}: {entry['title']}".lower()
    return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


def page(folder: pathlib.Path = HERE) -> str:
    """The page of all entries: an overview, and for each figure its picture and numbers."""
    ledger = entries(folder)
    parts = [(folder / "introduction.md").read_text("utf-8").rstrip()]
    for source, title in SOURCES.items():
        chosen = {name: entry for name, entry in ledger.items() if entry["source"] == source}
        if not chosen:
            continue
        parts += [f"## {title}", _overview(chosen)]
        parts += map(_section, chosen.values())
    return "\n\n".join(parts) + "\n"


def _overview(chosen: dict[str, dict[str, Any]]) -> str:
    rows = [
        f"| [{entry['figure']}](#{anchor(entry)}) | {entry['title']} | {_scales(entry)} | "
        f"{verdict(entry)} |"
        for entry in chosen.values()
    ]
    return "\n".join(["| figure | what | run at | verdict |", "|---|---|---|---|", *rows])


def _scales(entry: dict[str, Any]) -> str:
    """At which scales an entry was run."""
    scales = [re.search(r"--scale (\w+)", run["command"]) for run in entry["runs"]]
    names = {match.group(1) if match else "quick" for match in scales}
    return ", ".join(scale for scale in ("paper", "medium", "quick") if scale in names)


def _section(entry: dict[str, Any]) -> str:
    lines = [f"### {entry['figure']}: {entry['title']}"]
    if entry.get("picture"):
        lines.append(f"![{entry['figure']}: {entry['title']}](../reproductions/{entry['picture']})")
        if len(entry["runs"]) > 1 and "picture_of" in entry:
            lines.append(f"The picture is of `{entry['picture_of']}`.")
    asked = "Question" if entry["source"] == "grokjax" else "Claim"
    lines.append(f"**{asked}.** {entry['claim']}")
    lines += [_run(run) for run in entry["runs"]]
    words = entry["verdict"].rstrip(".")
    lines.append(f"**Verdict.** {words[0].upper()}{words[1:]}.")
    if entry.get("notes"):
        lines.append(entry["notes"])
    return "\n\n".join(lines)


def _run(run: dict[str, Any]) -> str:
    where = f"{run['hardware']}, {run['date'][:10]}"
    if run.get("wall_seconds"):
        where += f", {_duration(run['wall_seconds'])} of training"
    if run.get("interrupted"):
        where += ", then interrupted"
    versions = run.get("versions", {})
    if versions:
        where += f"; jax {versions['jax']}, commit {run['commit'][:7]}"
    else:
        where += "; written down by hand"
    lines = [f"**Found** by `{run['command']}` ({where}). {run['found']}"]
    for table in run["tables"]:
        if not table["headings"]:
            lines.append(f"*{table['title'][0].upper()}{table['title'][1:]}.*")
            continue
        rows = [table["headings"], ["---"] * len(table["headings"]), *table["rows"]]
        cells = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
        title = f"<details><summary>{table['title'] or 'Table'}</summary>"
        lines.append("\n".join([title, "", *cells, "", "</details>"]))
    return "\n\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes"
