"""What a run of an experiment leaves beside its figures: its command, origin and numbers."""

import json
import pathlib
import platform
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from grokjax.command.tables import TableRecord
from grokjax.results import environment
from grokjax.results.environment import PACKAGES


def write_record(
    folder: pathlib.Path,
    command: str,
    part: str,
    options: Mapping[str, Any],
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
      options: of the experiment, all of them.
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
        "options": options,
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
    path = folder / "record.json"
    path.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
    return path


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
    words = ["python", _from_here(file or "EXPERIMENT.py")]
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


def _from_here(file: str) -> str:
    """A path from the working directory, where the file lies in it; else the file's name."""
    path = pathlib.Path(file).resolve()
    here = pathlib.Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name
