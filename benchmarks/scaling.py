"""Lane-steps a second against devices, beside the model of docs/scaling.md.

    python benchmarks/scaling.py            # simulated devices: one for each CPU core, and more

Every device count runs in a process of its own (the number of simulated devices is fixed at start),
all of them in turn, several times. On a machine with accelerators, `--platform gpu` uses theirs.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

import grokjax
from benchmarks.common import in_turns, record
from grokjax import losses, optimizers, tasks
from grokjax.command import cores, print_table, run_as_command
from grokjax.models import QuadraticMLP


def scaling(
    devices: tuple[int, ...] = (1, 2, 4),
    p: int = 23,
    width: int = 128,
    lanes: int = 32,
    steps: int = 200,
    repeats: int = 3,
    platform: str = "cpu",
    measure: bool = False,
    output: Path | None = None,
) -> None:
    """Lane-steps a second for several numbers of devices, and what the model expects.

    Args:
      devices: numbers of devices to try.
      p: the modulus.
      width: hidden units.
      lanes: lanes of the sweep.
      steps: training steps of every lane.
      repeats: how often each is timed, in turn; the median is shown.
      platform: cpu simulates the devices; any other uses those there are.
      measure: run once on the first number of devices and print the seconds (used internally).
      output: a JSON file for the figures.
    """
    if measure:
        return print(json.dumps(seconds(devices[0], p, width, lanes, steps)))
    command = [sys.executable, __file__, "--measure", "--p", p, "--width", width]
    command += ["--lanes", lanes, "--steps", steps, "--platform", platform]
    times = {count: [] for count in devices}
    for _ in range(repeats):
        for count in devices:
            child = [*map(str, command), "--devices", str(count)]
            simulated = {"JAX_NUM_CPU_DEVICES": str(count)} if platform == "cpu" else {}
            out = subprocess.run(
                child, check=True, capture_output=True, text=True, env=os.environ | simulated
            )
            times[count].append(json.loads(out.stdout.splitlines()[-1]))
    base = np.array(times[devices[0]])
    parallel = cores() if platform == "cpu" else len(jax.devices())
    rows, ratios = [], {}
    for count in devices:
        ratio = float(np.median(base / np.array(times[count])))
        expected = model(count, parallel, lanes) / model(devices[0], parallel, lanes)
        rate = lanes * steps / np.median(times[count])
        rows.append((count, f"{rate:,.0f}", f"{ratio:.2f}", f"{expected:.2f}"))
        if count != devices[0]:
            ratios[f"speed with {count} devices / with {devices[0]}"] = ratio
            ratios[f"the same / as the model has it, {count} devices"] = ratio / expected
    print_table(
        f"{lanes} lanes, p={p}, width={width}, {steps} steps each",
        ("devices", "lane-steps/s", "against one", "model"),
        rows,
        left=0,
    )
    record(output, ratios, seconds=times)


def model(devices: int, parallel: int, lanes: int) -> float:
    """Relative speed: the devices that run at once, times how evenly the lanes fill them."""
    return min(devices, parallel) * lanes / devices / -(-lanes // devices)


def seconds(count: int, p: int, width: int, lanes: int, steps: int) -> float:
    """Seconds of a sweep whose programs are compiled."""
    recipe = grokjax.Recipe(QuadraticMLP(p, width), losses.mse, optimizers.gradient_descent)
    columns = grokjax.grid(seed=range(lanes), learning_rate=10.0)
    run = lambda: grokjax.run_sweep(
        recipe, tasks.modular_addition(p), columns, max_steps=steps, eval_every=50, stop=None,
        devices=jax.devices()[:count], keep_params="none", progress=False,
    )  # fmt: skip
    return float(in_turns({"sweep": run}, 1)["sweep"][0])


if __name__ == "__main__":
    run_as_command(scaling)
