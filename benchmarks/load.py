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
import time

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

import grokjax
from grokjax import losses, optimizers, tasks
from grokjax.command import run_as_command
from grokjax.models import QuadraticMLP
from grokjax.sweep.devices import Devices, empty_slots
from grokjax.sweep.plan import make_plan
from grokjax.sweep.schedule import Schedule


def load(
    lanes: tuple[int, ...] = (1, 10, 100, 1000),
    p: int = 23,
    width: int = 128,
    steps: int = 200,
    eval_every: int = 20,
    slots: int = 8,
    repeats: int = 3,
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
    """
    recipe = grokjax.Recipe(QuadraticMLP(p, width), losses.mse, optimizers.gradient_descent)
    task = tasks.modular_addition(p)
    table = Table(title=f"p={p}, width={width}, {steps} steps a lane, measured every {eval_every}")
    for heading in (
        "lanes", "lanes/s", "lane-steps/s", "calls", "sweep/calls alone", "per call", "peak memory"
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for count in lanes:
        columns = grokjax.grid(seed=range(count), learning_rate=10.0)
        sweep = lambda steps, columns=columns: grokjax.run_sweep(
            recipe, task, columns, max_steps=steps, eval_every=eval_every, stop=None,
            slots=slots, vectorize=False, keep_params="none", progress=False,
        )  # fmt: skip
        alone = lambda steps, columns=columns: calls_alone(
            make_plan(
                recipe, task, columns, max_steps=steps, eval_every=eval_every, stop=None,
                initial=None, keep_params="none",
            ),
            slots,
        )  # fmt: skip
        calls = alone(steps)
        sweep(steps)  # compiles
        rounds = np.array(
            [[timed(run, n) for n in (steps, 2 * steps) for run in (sweep, alone)]
             for _ in range(repeats)]
        )  # fmt: skip
        short, short_alone, long, long_alone = rounds.T
        seconds = np.median(short)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        table.add_row(
            f"{count:,}",
            f"{count / seconds:,.1f}",
            f"{count * steps / seconds:,.0f}",
            str(calls),
            f"{np.median(short / short_alone):.3f}",
            f"{np.median((long - short) / (long_alone - short_alone)):.3f}",
            f"{peak:,.0f} MiB",
        )
    Console(width=110).print(table)


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


def timed(run, steps: int) -> float:
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start


if __name__ == "__main__":
    run_as_command(load)
