"""What the host costs: sweeps of 1 to 1,000 lanes against their device calls alone, and memory.

    python benchmarks/load.py                          # minutes on two CPU cores
    python benchmarks/load.py --lanes 10000 --steps 20 --p 5 --width 8    # bounded memory

For each number of lanes a sweep is timed against the calls it makes, dispatched back to back and
read once at the end, in turn, several times: the ratio is what reading, recording, retiring and
refilling cost the device. Both are compiled before. "per call" compares what twice the steps cost
more, so that starting a sweep, which happens once, does not count. Times are ratios; rates are of
this machine.
"""

import resource
from pathlib import Path

import jax
import numpy as np

import grokjax
from benchmarks.common import in_turns, plan_of, record
from grokjax import losses, optimizers, tasks
from grokjax.command import print_table, run_as_command
from grokjax.models import QuadraticMLP
from grokjax.sweep.devices import Devices, empty_slots
from grokjax.sweep.schedule import Schedule


def load(
    lanes: tuple[int, ...] = (1, 10, 100, 1000),
    p: int = 23,
    width: int = 128,
    steps: int = 200,
    eval_every: int = 20,
    slots: int = 8,
    repeats: int = 3,
    output: Path | None = None,
) -> None:
    """Lanes a second, and the time of a sweep over that of its device calls.

    Args:
      lanes: numbers of lanes to try.
      p: the modulus.
      width: hidden units.
      steps: training steps of every lane.
      eval_every: steps between measurements.
      slots: lanes on each device at once.
      repeats: how often each is timed; the median ratio is shown.
      output: a JSON file for the figures.
    """
    recipe = grokjax.Recipe(QuadraticMLP(p, width), losses.mse, optimizers.gradient_descent)
    task = tasks.modular_addition(p)
    rows, ratios = [], {}
    for count in lanes:
        columns = grokjax.grid(seed=range(count), learning_rate=10.0)
        sweep = lambda steps, columns=columns: grokjax.run_sweep(
            recipe, task, columns, max_steps=steps, eval_every=eval_every, stop=None,
            slots=slots, vectorize=False, keep_params="none", progress=False,
        )  # fmt: skip
        alone = lambda steps, columns=columns: calls_alone(
            plan_of(recipe, task, columns, steps, eval_every), slots
        )
        calls = alone(steps)
        runs = {"sweep": sweep, "alone": alone}
        ways = {
            (name, n): lambda run=run, n=n: run(n)
            for n in (steps, 2 * steps)
            for name, run in runs.items()
        }
        seconds = in_turns(ways, repeats)
        short, long = seconds["sweep", steps], seconds["sweep", 2 * steps]
        short_alone, long_alone = seconds["alone", steps], seconds["alone", 2 * steps]
        whole = float(np.median(short / short_alone))
        per_call = float(np.median((long - short) / (long_alone - short_alone)))
        ratios[f"sweep / its calls alone, lanes: {count}"] = whole
        ratios[f"each call of a sweep / alone, lanes: {count}"] = per_call
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append(
            (
                f"{count:,}",
                f"{count / np.median(short):,.1f}",
                f"{count * steps / np.median(short):,.0f}",
                calls,
                f"{whole:.3f}",
                f"{per_call:.3f}",
                f"{peak:,.0f} MiB",
            )
        )
    print_table(
        f"p={p}, width={width}, {steps} steps a lane, measured every {eval_every}",
        (
            "lanes", "lanes/s", "lane-steps/s", "calls", "sweep /\ncalls alone", "per call",
            "peak\nmemory",
        ),
        rows,
        left=0,
    )  # fmt: skip
    record(output, ratios)


def calls_alone(plan, slots) -> int:
    """The device calls of a sweep without anybody reading their reports; returns their number."""
    mesh = grokjax.lane_mesh()
    slots = min(slots, -(-len(plan) // mesh.size))
    num_train = plan.table.lanes.num_train
    schedule = Schedule.of(plan.rows, num_train, plan.measure_at, mesh.size, slots)
    devices = Devices(plan, mesh, slots, vectorize=False)
    devices.set_state(empty_slots(plan, mesh, slots))
    calls = 0
    while schedule.queue or schedule.running:
        fresh, _ = schedule.admit()
        if fresh:
            devices.admit(fresh)
            calls += 1
        for call in schedule.calls(False):
            devices.train(call)
            calls += 1
        for lane in schedule.occupant[schedule.occupant >= 0].tolist():
            if schedule.measured[lane] == len(plan.measure_at):
                schedule.release(lane)
    jax.block_until_ready(devices.state)
    return calls


if __name__ == "__main__":
    run_as_command(load)
