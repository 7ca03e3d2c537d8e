"""What the benchmarks share: timing in turns, and records of what came out, with where it did.

Times depend on the machine and on what else it does. What is kept are ratios of times that were
measured side by side in one run; on an accelerator, times as well.
"""

import importlib.util
import json
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import grokjax
from grokjax.command import cores
from grokjax.results import environment
from grokjax.sweep.plan import Plan, make_plan

RESULTS = Path(__file__).parent / "results"


def timed(run: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What a function returns, and the seconds until the devices have computed it."""
    start = time.perf_counter()
    value = jax.block_until_ready(run(*arguments))
    return value, time.perf_counter() - start


def in_turns(runs: Mapping[Any, Callable[[], Any]], repeats: int) -> dict[Any, np.ndarray]:
    """Seconds of several functions, one after another and all of them again: float[repeats] each.

    Each is called once before, so that what is compiled, or read from a disk, does not count.
    """
    for run in runs.values():
        run()
    turns = [[timed(run)[1] for run in runs.values()] for _ in range(repeats)]
    return dict(zip(runs, np.array(turns).T, strict=True))


class Compiled(NamedTuple):
    """What compiling took: programs, and the seconds of each; those of a cache count too."""

    seconds: list[float]

    def figures(self) -> dict[str, float]:
        """Their number and all of their seconds."""
        return {"programs": len(self.seconds), "compile_seconds": round(sum(self.seconds), 2)}


@contextmanager
def counting_compilations() -> Iterator[Compiled]:
    """Counts the programs that are compiled in the block."""
    found = Compiled([])

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            found.seconds.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def plan_of(
    recipe: grokjax.Recipe, task: Any, lanes: Mapping[str, Any], steps: int, eval_every: int
) -> Plan:
    """The plan of a sweep that trains all lanes to the end and keeps nothing of them."""
    return make_plan(
        recipe, task, lanes, max_steps=steps, eval_every=eval_every, stop=None, initial=None,
        keep_params="none",
    )  # fmt: skip


class NotInstalledError(ValueError):
    """What a benchmark needs and this environment does not have."""


def needs(package: str, remedy: str) -> None:
    """Refuses to go on without a package.

    Raises:
      NotInstalledError: if it is not there.
    """
    if importlib.util.find_spec(package) is None:
        raise NotInstalledError(f"{package} is not installed; {remedy}.")


def machine() -> str:
    """What this runs on, as a name for files: "2_cpu_cores", "nvidia_h100_80gb_hbm3"."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return f"{cores()}_cpu_cores"
    return re.sub(r"\W+", "_", device.device_kind.lower()).strip("_")


def origin() -> dict[str, Any]:
    """Versions, device, commit, date, and the command: of this process."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    try:
        names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:  # not on Linux
        names = []
    cpu = f"{cores()} cores of {(*names, platform.processor())[0]}"
    return {**environment(), "cpu": cpu, "command": shlex.join(words)}


def record(output: Path | None, ratios: Mapping[str, float], **figures: Any) -> None:
    """Writes ratios and what they come from, if there is a file to write them to."""
    if output is not None:
        rounded = {name: float(f"{ratio:.3g}") for name, ratio in ratios.items()}
        write_json(output, {"ratios": rounded, **figures, "origin": origin()})


def write_json(path: Path, found: Mapping[str, Any]) -> None:
    """Writes a JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_text(json.dumps(found, indent=1, default=_plain) + "\n")
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """What is in a JSON file; nothing if there is none, or a broken one."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy and JAX as those of Python; NaN, which is no JSON, is null."""
    array = np.asarray(value)
    finite = np.isfinite(array) if array.dtype.kind == "f" else np.True_
    return np.where(finite, array, None).tolist()
