"""What refilling saves: steps the device executes for each step that lanes use, and wall time.

    python benchmarks/refill.py                      # minutes on two CPU cores
    python benchmarks/refill.py --vectorize True     # lanes side by side, as on a GPU
    python benchmarks/refill.py --of results/architectures    # what it saved in a sweep, at once

A sweep of 15 alphas whose lanes need very different numbers of steps, with several slot counts,
against the same lanes trained the way `vmap` over whole runs would: all for as long as the slowest.
The time is a ratio, the two measured one after the other in one run. `--of` trains nothing: it
reads off a saved result what its lanes used, and `--output` keeps that as JSON.
"""

import json
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import grokjax
from grokjax import losses, optimizers, tasks
from grokjax.command import run_as_command
from grokjax.models import QuadraticMLP


def refill(
    p: int = 23,
    width: int = 128,
    seeds: int = 3,
    max_steps: int = 2000,
    eval_every: int = 20,
    slots: tuple[int, ...] = (1, 4, 16, 64),
    vectorize: bool = False,
    of: tuple[Path, ...] = (),
    budget: int | None = None,
    output: Path | None = None,
) -> None:
    """Executed against used steps for several slot counts, and what lockstep would have cost.

    Args:
      p: the modulus.
      width: hidden units.
      seeds: lanes for each of the 15 alphas.
      max_steps: the budget.
      eval_every: steps between measurements.
      slots: lanes on each device at once.
      vectorize: train them side by side instead of one after another.
      of: folders of saved results to read, together, instead of training.
      budget: steps that each of their lanes might have taken; what the sweeps allowed, without.
      output: folder for `refill.json`, the lanes of `of` and the steps of each way to train them.
    """
    if of:
        return saved(of, budget, output)
    model = QuadraticMLP(p, width, parameterization="standard")
    recipe = grokjax.Recipe(model, losses.mse, optimizers.adamw)
    lanes = grokjax.grid(
        alpha=np.linspace(0.2, 0.9, 15),
        seed=range(seeds),
        learning_rate=1e-2,
        weight_decay=5.0,
    )
    settings = {
        "max_steps": max_steps,
        "eval_every": eval_every,
        "vectorize": vectorize,
        "keep_params": "none",
        "progress": False,
    }
    table = Table(title=f"15 alphas x {seeds} seeds, p={p}, width={width}, vectorize={vectorize}")
    for heading in ("slots", "used", "executed", "executed/used", "programs", "again", "time"):
        table.add_column(heading, justify="right")
    task = tasks.modular_addition(p)
    for count in slots:
        run = lambda count=count, **more: grokjax.run_sweep(
            recipe, task, lanes, slots=count, **(settings | more)
        )
        first = run().dataset.attrs  # compiles
        again, seconds = timed(run)
        used, executed = again.attrs["lane_steps"], again.attrs["slot_steps"]
        table.add_row(
            str(count),
            f"{used:,}",
            f"{executed:,}",
            f"{executed / used:.3f}",
            str(first["compilations"]),
            str(again.attrs["compilations"]),
            f"{seconds:.1f} s",
        )
    # Lockstep: every lane runs as long as the slowest of its batch, which is the whole budget here.
    run(stop=None, max_steps=eval_every)  # compiles
    lockstep, lockstep_seconds = timed(lambda: run(stop=None))
    table.add_row(
        f"{count}, lockstep",
        f"{used:,}",
        f"{lockstep.attrs['slot_steps']:,}",
        f"{lockstep.attrs['slot_steps'] / used:.3f}",
        "",
        "",
        f"{lockstep_seconds:.1f} s, {lockstep_seconds / seconds:.1f} times as long",
    )
    Console(width=110).print(table)


def saved(directories: tuple[Path, ...], budget: int | None, output: Path | None) -> None:
    """The steps that a loop, or a batch that waits for its slowest lane, would have taken."""
    datasets = [grokjax.load_result(directory).dataset for directory in directories]
    steps = np.concatenate([dataset.final_step.values for dataset in datasets])
    allowed = [budget or dataset.attrs["max_steps"] for dataset in datasets]
    if budget is not None and budget < steps.max():
        raise ValueError(f"budget={budget} is less than the {steps.max()} steps that a lane took.")
    whole = sum(n * len(dataset.lane) for n, dataset in zip(allowed, datasets, strict=True))
    used, executed = (
        sum(int(dataset.attrs[name]) for dataset in datasets)
        for name in ("lane_steps", "slot_steps")
    )
    table = Table(title=f"{len(steps)} lanes: {', '.join(map(str, directories))}")
    for heading in ("", "steps", "of those executed"):
        table.add_column(heading, justify="right" if heading else "left")
    ways = {
        "each for its whole budget": whole,
        "all for as long as the slowest": int(len(steps) * steps.max()),
        "used": used,
        "executed": executed,
    }
    for name, count in ways.items():
        table.add_row(name, f"{count:,}", f"{count / executed:.2f}")
    Console(width=110).print(table)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        columns = ("alpha", "seed", "memorization_step", "grokking_step", "final_step", "outcome")
        lanes = [
            {name: dataset[name].values[i].item() for name in columns}
            for dataset in datasets
            for i in range(dataset.sizes["lane"])
        ]
        # NaN, a step that was not reached, is no JSON.
        lanes = [{k: None if v != v else v for k, v in lane.items()} for lane in lanes]
        found = {"steps": ways, "lanes": lanes}
        (output / "refill.json").write_text(json.dumps(found, indent=2) + "\n")


def timed(run):
    start = time.perf_counter()
    return run().dataset, time.perf_counter() - start


if __name__ == "__main__":
    run_as_command(refill)
