"""All benchmarks, one after another, and one table of ratios.

    python -m benchmarks                      # quick sizes: two minutes on two CPU cores
    python -m benchmarks --scale full         # the sizes that README.md speaks of
    python -m benchmarks --scale full --keep  # and what came out is the new last record

Each runs in a process of its own. What cannot run here is said in one line. Beside every ratio is
the last one that was kept, at this scale, on this kind of machine, in `benchmarks/results`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from benchmarks.common import RESULTS, machine, origin, read_json, write_json
from grokjax.command import choose, number, print_table, run_as_command

HERE = Path(__file__).parent
# The options of each at the two scales; at full scale most have their defaults.
OPTIONS = {
    "pytorch": {
        "quick": "--networks quadratic_23 --lanes 1 --steps 20 --repeats 3",
        "full": "",
    },
    "refill": {
        "quick": "--p 13 --width 48 --seeds 1 --max-steps 1000 --slots 4 --repeats 2",
        "full": "",
    },
    "load": {
        "quick": "--lanes 1 10 --p 11 --width 48 --steps 100 --repeats 2",
        "full": "--steps 500 --lanes 1 10 100",
    },
    "checkpoint": {
        "quick": "--p 23 --width 128 --lanes 8 --steps 100 --interval 0.2 --repeats 1",
        "full": "",
    },
    "scaling": {
        "quick": "--devices 1 2 --p 11 --width 48 --lanes 8 --steps 100 --repeats 1",
        "full": "",
    },
    "growth": {"quick": "--quick --repeats 2", "full": ""},
    "compile_ahead": {
        "quick": "--target h100 --networks quadratic_23",
        "full": "--target h100",
    },
    "gpu": {"quick": "--scale tiny --minutes 3", "full": "--minutes 10"},
}


def benchmarks(
    scale: Literal["quick", "full"] = "quick",
    only: tuple[str, ...] = (),
    keep: bool = False,
) -> dict[str, dict[str, float]]:
    """The ratios of all benchmarks, beside the last ones.

    Args:
      scale: quick to see that they run, full for figures that mean something.
      only: any of pytorch, refill, load, checkpoint, scaling, growth, compile_ahead, gpu; all of
        them by default.
      keep: write the ratios to `benchmarks/results`, as the last ones of this machine.

    Returns:
      The ratios, by benchmark.
    """
    names = choose("benchmark", only or tuple(OPTIONS), OPTIONS)
    path = RESULTS / f"ratios_{scale}_{machine()}.json"
    last = read_json(path).get("ratios", {})
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            ratios, complaint = ratios_of(name, OPTIONS[name][scale].split(), Path(folder) / name)
            if ratios:
                found[name] = ratios
            if complaint:
                print(f"{name}: {complaint}")
    print_table(
        f"ratios, {scale} sizes, {machine()}",
        ("", "what is compared", "ratio", "last"),
        [
            (name, what, number(ratio), number(before) if before else "")
            for name, ratios in found.items()
            for what, ratio in ratios.items()
            for before in [last.get(name, {}).get(what)]
        ],
        left=2,
        sections=True,
    )
    if keep:
        write_json(path, {"ratios": last | found, "origin": origin()})
    return found


def ratios_of(name: str, options: list[str], output: Path) -> tuple[dict[str, float], str]:
    """The ratios of a benchmark that runs in a process of its own, and why there are none."""
    files = output if name == "gpu" else output.with_suffix(".json")
    command = [sys.executable, str(HERE / f"{name}.py"), *options, "--output", str(files)]
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment)
    lines = done.stderr.strip().splitlines()
    complaint = lines[-1].removeprefix("error: ") if done.returncode and lines else ""
    if name == "gpu":  # a file for each of its parts
        parts = [read_json(path).get("ratios", {}) for path in sorted(output.glob("*.json"))]
        return {what: ratio for part in parts for what, ratio in part.items()}, complaint
    found = read_json(files)
    if name == "compile_ahead":  # memory against what `sweep.tuning` expects
        found["ratios"] = {
            f"{program}: memory / predicted": numbers["memory_bytes"] / numbers["predicted_bytes"]
            for program, numbers in found.get("programs", {}).items()
            if "predicted_bytes" in numbers
        }
    return found.get("ratios", {}), complaint


if __name__ == "__main__":
    run_as_command(benchmarks)
