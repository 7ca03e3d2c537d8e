"""How cost grows: time of a lane-step and memory against p, width, alpha and lanes.

    python benchmarks/growth.py              # minutes on two CPU cores
    python benchmarks/growth.py --quick      # tiny sizes, where what a call costs blurs all powers

The exponents were written down before anything was measured, in `PREDICTED`. Then one variable
changes at a time, around a middle, and the exponent is the slope of a least-squares line through
the logarithms, with its 95 % interval. Fractions alpha are those that training rows are padded to,
so that no row is padding. The network is Gromov's with AdamW on the full batch.

- time: seconds of a lane-step as the platform trains lanes, a measurement every 20 steps included;
  the sizes are timed in turn.
- memory: what the compiled program of lanes side by side takes, by XLA's own account; nothing runs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.stats

import grokjax
from benchmarks.common import plan_of, record
from experiments.common import adamw
from grokjax import tasks
from grokjax.command import number, print_table, run_as_command
from grokjax.sweep import devices, programs
from grokjax.sweep.plan import Plan
from grokjax.sweep.tuning import Trial

STEPS = 20  # between measurements


class Prediction(NamedTuple):
    """An exponent, and why."""

    exponent: float
    reason: str


# Written before the first run. K is the width.
PREDICTED = {
    ("time", "p"): Prediction(3, "alpha p^2 rows, and K p products for each"),
    ("time", "width"): Prediction(1, "every product has K as one of its sides"),
    ("time", "alpha"): Prediction(1, "every product has the training rows as one of its sides"),
    ("time", "lanes"): Prediction(0, "one after another, a lane costs what it costs alone"),
    ("memory", "p"): Prediction(2.2, "hidden layers of alpha p^2 K, a few tables of p^3 logits"),
    ("memory", "width"): Prediction(0.8, "hidden layers and state have K, logits do not"),
    ("memory", "alpha"): Prediction(0.7, "rows of a step; the state and the measurement have none"),
    ("memory", "lanes"): Prediction(1, "lanes share the task's table and nothing else"),
}
MIDDLE = {"p": 47, "width": 128, "alpha": 0.5, "lanes": 4}
SIZES = {
    "p": (31, 37, 47, 59, 73),
    "width": (64, 96, 128, 192, 256),
    "alpha": (0.25, 0.375, 0.5, 0.625, 0.75),
    "lanes": (1, 2, 4, 8),
}
QUICK_MIDDLE = {"p": 13, "width": 32, "alpha": 0.5, "lanes": 2}
QUICK_SIZES = {
    "p": (11, 13, 17),
    "width": (16, 32, 64),
    "alpha": (0.25, 0.5, 0.75),
    "lanes": (1, 2, 4),
}


class Fit(NamedTuple):
    """An exponent with its 95 % interval, and the ratio of what grew to what was predicted to."""

    exponent: float
    low: float
    high: float
    growth: float


def growth(quick: bool = False, repeats: int = 4, output: Path | None = None) -> dict[str, Any]:
    """Exponents of time and memory in p, width, alpha and lanes: predicted, and fitted.

    Args:
      quick: tiny sizes.
      repeats: how often each size is timed, all of them in turn.
      output: a JSON file for the figures.
    """
    middle, sizes = (QUICK_MIDDLE, QUICK_SIZES) if quick else (MIDDLE, SIZES)
    points = {tuple(middle.items()): trial_of(**middle)}
    for variable, values in sizes.items():
        for value in values:
            at = middle | {variable: value}
            points.setdefault(tuple(at.items()), trial_of(**at))
    memory = {at: program_bytes(trial.plan) for at, trial in points.items()}
    seconds: dict[Any, list[float]] = {at: [] for at in points}
    for _ in range(repeats):
        for at, trial in points.items():
            seconds[at].append(lane_step_seconds(trial))
    costs = {
        "time": seconds,
        "memory": {at: [found] for at, found in memory.items()},
    }
    rows, ratios, found = [], {}, {}
    for (quantity, variable), predicted in PREDICTED.items():
        ats = [tuple((middle | {variable: value}).items()) for value in sizes[variable]]
        measured = [costs[quantity][at] for at in ats]
        fit = fitted(sizes[variable], measured, predicted.exponent)
        ends = f"{sizes[variable][0]:g} to {sizes[variable][-1]:g}"
        interval = f"{fit.low:.2f} to {fit.high:.2f}" if fit.low < fit.high else ""
        rows.append(
            (quantity, variable, ends, f"{predicted.exponent:g}", f"{fit.exponent:.2f}", interval)
        )
        ratios[f"{quantity}, {variable} {ends}: growth / predicted"] = fit.growth
        found[f"{quantity}, {variable}"] = {
            "sizes": sizes[variable], "costs": measured, "predicted": predicted.exponent,
            "reason": predicted.reason, **fit._asdict(),
        }  # fmt: skip
    fixed = ", ".join(f"{name} {value:g}" for name, value in middle.items())
    at = tuple(middle.items())
    print_table(
        f"exponents around {fixed}, AdamW, {jax.devices()[0].device_kind}:\n"
        f"{number(1e6 * np.median(seconds[at]))} microseconds a lane-step, "
        f"{number(memory[at] / 2**20)} MiB there",
        ("", "against", "sizes", "predicted", "fitted", "95 %"),
        rows,
        left=2,
        sections=True,
    )
    record(output, ratios, exponents=found)
    return found


def trial_of(p: int, width: int, alpha: float, lanes: int) -> Trial:
    """A sweep of these sizes, all of its lanes on one device at once."""
    recipe, columns = adamw(p, width)
    table = grokjax.grid(alpha=alpha, seed=range(lanes), **columns)
    plan = plan_of(recipe, tasks.modular_addition(p), table, 100 * STEPS, STEPS)
    return Trial(plan, devices.lane_mesh(jax.devices()[:1]))


def lane_step_seconds(trial: Trial) -> float:
    """Seconds of a lane-step, side by side on an accelerator, else one after another."""
    lanes = len(trial.plan)
    vectorize = trial.mesh.devices.flat[0].platform != "cpu"
    return trial.seconds(lanes, vectorize, [lanes], STEPS)[0] / lanes / STEPS


def program_bytes(plan: Plan) -> int:
    """What the program that trains all lanes side by side takes of a device's memory."""
    mesh, lanes = devices.lane_mesh(jax.devices()[:1]), len(plan)
    state = devices.put(mesh, devices.empty_slots(plan, mesh, lanes))
    order = np.arange(lanes, dtype=np.int32)
    seats = (order, np.array([lanes], np.int32), np.zeros((lanes, 1), np.int32))
    program = programs.train_side_by_side.lower(
        plan.recipe, plan.task, plan.stop, mesh, state, *seats, np.int32(plan.max_steps),
        np.int32(STEPS), rows=devices.whole_tiles(mesh, int(plan.rows.max())),
        window=devices.shuffle_window(plan), steps=STEPS,
    )  # fmt: skip
    return devices.program_bytes(program.compile())


def fitted(sizes: Sequence[float], costs: Sequence[Sequence[float]], predicted: float) -> Fit:
    """The slope of a line through the logarithms, with its 95 % interval by Student's t.

    Args:
      sizes: [n].
      costs: [n], one or several measurements each.
      predicted: exponent, for the growth from the first to the last size over that predicted.
    """
    middle = np.array([np.median(several) for several in costs])
    logs = np.log(np.asarray(sizes, float)), np.log(middle)
    line = scipy.stats.linregress(*logs)
    half = float(line.stderr * scipy.stats.t.ppf(0.975, len(middle) - 2))
    expected = (sizes[-1] / sizes[0]) ** predicted
    slope = float(line.slope)
    return Fit(slope, slope - half, slope + half, float(middle[-1] / middle[0] / expected))


if __name__ == "__main__":
    run_as_command(growth)
