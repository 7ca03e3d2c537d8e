"""What checkpoints cost: the same sweep with and without, in turn, in one run.

    python benchmarks/checkpoint.py                 # two minutes on two CPU cores

The interval is far shorter than the default of 60 s, so that a short run has several checkpoints;
the cost of one checkpoint, over the default interval, is what a long sweep pays.
"""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

import grokjax
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
) -> None:
    """Seconds of a checkpoint, and its share of the time at the default interval.

    Args:
      p: the modulus.
      width: hidden units.
      lanes: lanes of the sweep, all on the devices at once.
      steps: training steps of every lane.
      interval: seconds between checkpoints.
      repeats: how often each is timed.
    """
    recipe = grokjax.Recipe(QuadraticMLP(p, width), losses.mse, optimizers.adam)
    task = tasks.modular_addition(p)
    columns = grokjax.grid(seed=range(lanes), learning_rate=1e-3)
    count = [0]
    original = loop.checkpoint

    def counted(*arguments):
        count[0] += 1
        original(*arguments)

    loop.checkpoint = counted
    folder = Path(tempfile.mkdtemp())

    def run(directory):
        start = time.perf_counter()
        grokjax.run_sweep(
            recipe, task, columns, max_steps=steps, eval_every=10, stop=None, slots=lanes,
            directory=directory, checkpoint_every=interval, keep_params="none", progress=False,
        )  # fmt: skip
        return time.perf_counter() - start

    run(None)
    pairs = []
    for turn in range(repeats):
        count[0] = 0
        without, within = run(None), run(folder / str(turn))
        pairs.append((within / without, (within - without) / max(1, count[0]), count[0]))
    ratio, cost, times = np.median(pairs, axis=0)
    shutil.rmtree(folder)
    print(
        f"{lanes} lanes at p={p}, width={width}: {times:.0f} checkpoints, {ratio:.3f} times as "
        f"long, {cost:.2f} s each (opening and closing the directory included): "
        f"{cost / 60:.1%} of the time at one a minute"
    )


if __name__ == "__main__":
    run_as_command(checkpoint)
