"""What checkpoints cost: the same sweep with and without, in turn, in one run.

    python benchmarks/checkpoint.py                 # two minutes on two CPU cores

The interval is far shorter than the default of 60 s, so that a short run has several checkpoints;
the cost of one checkpoint, over the default interval, is what a long sweep pays.
"""

import itertools
import tempfile
from pathlib import Path

import numpy as np

import grokjax
from benchmarks.common import in_turns, record
from grokjax import losses, optimizers, tasks
from grokjax.command import run_as_command
from grokjax.models import QuadraticMLP
from grokjax.sweep import loop


def checkpoint(
    p: int = 97,
    width: int = 500,
    lanes: int = 16,
    steps: int = 60,
    interval: float = 5.0,
    repeats: int = 3,
    output: Path | None = None,
) -> None:
    """Seconds of a checkpoint, and its share of the time at the default interval.

    Args:
      p: the modulus.
      width: hidden units.
      lanes: lanes of the sweep, all on the devices at once.
      steps: training steps of every lane.
      interval: seconds between checkpoints.
      repeats: how often each is timed.
      output: a JSON file for the figures.
    """
    recipe = grokjax.Recipe(QuadraticMLP(p, width), losses.mse, optimizers.adam)
    task = tasks.modular_addition(p)
    columns = grokjax.grid(seed=range(lanes), learning_rate=1e-3)
    counts: list[int] = []
    original = loop.checkpoint

    def counted(*arguments):
        counts[-1] += 1
        original(*arguments)

    def run(directory: Path | None) -> None:
        counts.append(0)
        grokjax.run_sweep(
            recipe, task, columns, max_steps=steps, eval_every=10, stop=None, slots=lanes,
            directory=directory, checkpoint_every=interval, keep_params="none", progress=False,
        )  # fmt: skip

    loop.checkpoint = counted
    try:
        with tempfile.TemporaryDirectory() as folder:
            fresh = (Path(folder) / str(turn) for turn in itertools.count())
            ways = {"without": lambda: run(None), "within": lambda: run(next(fresh))}
            seconds = in_turns(ways, repeats)
    finally:
        loop.checkpoint = original
    times = np.maximum(counts[3::2], 1)  # of the turns; before, each way was called once
    ratio = np.median(seconds["within"] / seconds["without"])
    cost = np.median((seconds["within"] - seconds["without"]) / times)
    print(
        f"{lanes} lanes at p={p}, width={width}: {np.median(times):.0f} checkpoints, {ratio:.3f} "
        f"times as long, {cost:.2f} s each (opening and closing the directory included): "
        f"{cost / 60:.1%} of the time at one a minute"
    )
    ratios = {
        "a sweep with checkpoints / without": ratio,
        "a minute with one checkpoint / without": 1 + cost / 60,
    }
    record(output, ratios, checkpoints=times, seconds=seconds)


if __name__ == "__main__":
    run_as_command(checkpoint)
