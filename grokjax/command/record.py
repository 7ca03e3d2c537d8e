"""What a run of an experiment leaves beside its figures, and where an earlier run's files go."""

import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from grokjax.command.tables import TableRecord
from grokjax.results import environment
from grokjax.results.environment import PACKAGES

# What a report writes into its folder, beside the figures that its record names.
RESULT, RECORD = "results.nc", "record.json"
WRITTEN = (RESULT, "config.json", "params.nc", "report.html")


def write_record(
    folder: pathlib.Path,
    command: str,
    part: str,
    asked: Mapping[str, Any],
    attributes: Mapping[str, Any],
    tables: Sequence[TableRecord],
    figures: Sequence[pathlib.Path],
) -> pathlib.Path:
    """The path of `record.json`: where the numbers of a run came from, and the numbers.

    `python -m reproductions add` copies it into the repository's ledger of reproductions.

    Args:
      folder: of the run's results, where the record is written.
      command: that repeats the run.
      part: of the run, where it has several reports.
      asked: what the run was asked for: "experiment", "scale", and all of the "options".
      attributes: of the run's dataset. What they say of versions, device and date is about the
        networks, which may be older than this process.
      tables: that the run has printed.
      figures: that it has drawn.
    """
    here = environment()
    origin = here | {name: value for name, value in attributes.items() if name in here}
    versions = {name: origin[name] for name in (*PACKAGES, "python")}
    record = {
        "command": command,
        "part": part,
        **asked,
        "date": str(origin["date"]),
        "hardware": hardware(origin),
        "commit": origin["git_commit"],
        "versions": versions,
        "interrupted": bool(attributes.get("interrupted", False)),
        "tables": [table._asdict() for table in tables],
        "figures": [path.name for path in figures],
    }
    if "wall_seconds" in attributes:
        record["wall_seconds"] = round(float(attributes["wall_seconds"]), 1)
    path = folder / RECORD
    path.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
    return path


def holds_another_run(
    folder: pathlib.Path, asked: Mapping[str, Any], interrupted: bool = False
) -> bool:
    """Whether a folder has a report that this run may not replace.

    It is one on something else than what this run was asked for, one without a record that says
    what it is on, or a whole one where this run was interrupted.
    """
    if not any((folder / name).exists() for name in (RESULT, RECORD)):
        return False
    record = _read(folder)
    if "options" not in record:
        return not (folder / "sweep.json").exists()  # else they are the checkpoints of this run
    text = lambda value: json.dumps(value, default=str, sort_keys=True)
    differs = any(text(record.get(name, value)) != text(value) for name, value in asked.items())
    return differs or (interrupted and not record.get("interrupted", False))


def check_can_set_aside(folder: pathlib.Path) -> None:
    """That `set_aside` could move the files of a folder.

    Raises:
      ValueError: if it could not, as far as permissions tell.
    """
    beside = folder.resolve().parent
    for place in (folder, beside):
        if not os.access(place, os.W_OK | os.X_OK):
            raise ValueError(
                f"{folder} has the results of an earlier run with other options, which cannot be "
                f"moved into a folder of their own, because {place} cannot be written to; choose "
                "another output, or move them."
            )


def set_aside(folder: pathlib.Path) -> pathlib.Path:
    """Moves what an earlier report wrote into a new folder beside this one, which is returned.

    It has the date of the earlier run in its name. Checkpoints and files of others stay.
    """
    record = _read(folder)
    dates = re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", str(record.get("date")))
    if not dates:
        written = max((folder / x).stat().st_mtime for x in os.listdir(folder))
        dates = [datetime.datetime.fromtimestamp(written).isoformat(timespec="seconds")]
    own = folder if folder.name not in ("", "..") else folder.resolve()
    name = f"{own.name}_{dates[-1].replace(':', '-')}"
    aside, count = own.with_name(name), 1
    while aside.exists():
        count += 1
        aside = own.with_name(f"{name}_{count}")
    aside.mkdir()
    figures = [pathlib.Path(figure).name for figure in record.get("figures", ())]
    for file in (*WRITTEN, *figures, RECORD):  # the record last: it says what the others are
        if (folder / file).exists():
            shutil.move(folder / file, aside / file)
    return aside


def _read(folder: pathlib.Path) -> dict[str, Any]:
    """The record in a folder; nothing where there is none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def hardware(origin: Mapping[str, Any]) -> str:
    """How many devices of which kind: "2 cores, AMD EPYC 7B13" or "1 NVIDIA H100"."""
    count, device = origin["device_count"], origin["device"]
    if origin["platform"] != "cpu":
        return f"{count} {device}"
    return f"{count} core{'s' * (count != 1)}, {processor()}"


def processor() -> str:
    """The name of this machine's processor, or its architecture where that is not told."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    names = [line.partition(":")[2] for line in text.splitlines() if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or platform.machine()


def command_line(file: str | None, scale: str, options: Mapping[str, Any]) -> str:
    """The command that runs an experiment.

    Args:
      file: of the experiment.
      scale: as given.
      options: that differ from those of the scale.
    """
    words = ["python", from_here(file or "EXPERIMENT.py")]
    if scale != "quick":
        words += ["--scale", scale]
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple):
            words += [f"--{flag}", *map(_word, value)]
        else:
            words += [f"--{flag}", _word(value)]
    return shlex.join(words)


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def from_here(file: str) -> str:
    """A path from the working directory, where the file lies in it; else the file's name."""
    path = pathlib.Path(file).resolve()
    here = pathlib.Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name
