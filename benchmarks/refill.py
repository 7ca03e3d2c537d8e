"""What refilling saves: steps the device executes for each step that lanes use, and wall time.

    python benchmarks/refill.py                      # minutes on two CPU cores
    python benchmarks/refill.py --vectorize True     # lanes side by side, as on a GPU
    python benchmarks/refill.py --of results/architectures    # what it saved in a sweep, at once

A sweep of 15 alphas whose lanes need very different numbers of steps, with several slot counts,
against the same lanes without refilling, where every lane takes its whole budget: in a sweep that
never stops, and in one device call, `jax.jit(jax.vmap(run))` of `train.trajectory` over all of
them. All have one device; they are compiled before, timed in turn, and compared as ratios. What
compiling took is shown beside. `--of` trains nothing: it reads off a saved result what its lanes
used, and `--output` keeps that as JSON.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import grokjax
from benchmarks.common import counting_compilations, in_turns, record, write_json
from experiments.common import adamw
from grokjax import tasks, train
from grokjax.command import number, print_table, run_as_command, spread


def refill(
    p: int = 23,
    width: int = 128,
    seeds: int = 3,
    max_steps: int = 2000,
    eval_every: int = 20,
    slots: tuple[int, ...] = (1, 4, 16, 64),
    vectorize: bool = False,
    repeats: int = 3,
    of: tuple[Path, ...] = (),
    budget: int | None = None,
    output: Path | None = None,
) -> None:
    """Executed against used steps for several slot counts, and what the whole budget would cost.

    Args:
      p: the modulus.
      width: hidden units.
      seeds: lanes for each of the 15 alphas.
      max_steps: the budget.
      eval_every: steps between measurements.
      slots: lanes on the device at once.
      vectorize: train them side by side instead of one after another.
      repeats: how often each is timed, in turn.
      of: folders of saved results to read, together, instead of training.
      budget: steps that each of their lanes might have taken; what the sweeps allowed, without.
      output: a JSON file for the figures; of `of`, the lanes and the steps of each way to train.
    """
    if of:
        return saved(of, budget, output)
    (recipe, columns), task = adamw(p, width), tasks.modular_addition(p)
    lanes = grokjax.grid(alpha=np.linspace(0.2, 0.9, 15), seed=range(seeds), **columns)
    stacked = train.lanes(recipe, task, lanes)
    rows = int(stacked.num_train.max())
    attributes: dict[str, dict[str, Any]] = {}

    def sweep(name: str, **options: Any) -> None:
        attributes[name] = grokjax.run_sweep(
            recipe, task, lanes, max_steps=max_steps, eval_every=eval_every, vectorize=vectorize,
            devices=jax.devices()[:1], keep_params="none", progress=False, **options,
        ).dataset.attrs  # fmt: skip

    run = lambda lane: train.trajectory(
        recipe, task, lane, max_steps=max_steps, eval_every=eval_every, rows=rows
    )
    all_of_them = jax.jit(jax.vmap(run))
    asked: dict[str, dict[str, Any]] = {f"refilled, {n} slots": {"slots": n} for n in slots}
    asked["no refill, a sweep"] = {"slots": slots[-1], "stop": None}
    ways: dict[str, Callable[[], Any]] = {
        name: functools.partial(sweep, name, **options) for name, options in asked.items()
    }
    ways["no refill, one call"] = lambda: all_of_them(stacked)
    compiling = {}
    for name, way in ways.items():
        with counting_compilations() as compiled:
            jax.block_until_ready(way())
        compiling[name] = compiled.figures()
    seconds = in_turns(ways, repeats)
    count = len(stacked.num_train)
    best = min(list(ways)[: len(slots)], key=lambda name: np.median(seconds[name]))
    used = attributes[f"refilled, {slots[0]} slots"]["lane_steps"]
    shown, ratios = [], {}
    for name in ways:
        executed = attributes.get(name, {}).get("slot_steps", count * max_steps)
        ratio = seconds[name] / seconds[best]
        shown.append(
            (
                name, f"{executed:,}", f"{executed / used:.3f}",
                number(np.median(seconds[name])), spread(ratio, ".2f", lines=True),
                compiling[name]["programs"], number(compiling[name]["compile_seconds"]),
            )
        )  # fmt: skip
        if name not in attributes or attributes[name]["stop"] == "None":
            ratios[f"{name} / refilled, seconds"] = np.median(ratio)
            ratios[f"{name} / refilled, steps"] = executed / used
    print_table(
        f"15 alphas x {seeds} seeds, p={p}, width={width}, vectorize={vectorize}:\n{used:,} steps "
        f"are used; {repeats} turns, times the fastest refilled",
        ("", "executed", "/used", "s", "times", "pro-\ngrams", "compiled\nin s"),
        shown,
    )
    record(output, ratios, lane_steps=used, compiling=compiling, seconds=seconds)


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
    ways = {
        "each for its whole budget": whole,
        "all for as long as the slowest": int(len(steps) * steps.max()),
        "used": used,
        "executed": executed,
    }
    print_table(
        f"{len(steps)} lanes: {', '.join(map(str, directories))}",
        ("", "steps", "of those executed"),
        [(name, f"{count:,}", f"{count / executed:.2f}") for name, count in ways.items()],
    )
    if output is not None:
        columns = ("alpha", "seed", "memorization_step", "grokking_step", "final_step", "outcome")
        lanes = [
            {name: dataset[name].values[i].item() for name in columns}
            for dataset in datasets
            for i in range(dataset.sizes["lane"])
        ]
        # NaN, a step that was not reached, is no JSON.
        lanes = [{k: None if v != v else v for k, v in lane.items()} for lane in lanes]
        write_json(output, {"steps": ways, "lanes": lanes})


if __name__ == "__main__":
    run_as_command(refill)
