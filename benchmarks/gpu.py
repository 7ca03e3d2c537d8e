"""What an accelerator does with sweeps: everything in one command, most important first.

    python benchmarks/gpu.py --minutes 10      # on a machine with a GPU or TPU
    python benchmarks/gpu.py --minutes 1       # without one: the same parts at small sizes

Each part writes a JSON file as soon as it is done, and the same command goes on with the parts that
are missing. A part that the time that is left does not carry is skipped, with a line that says so;
one of several sizes takes the largest that leaves room for the parts after it. In order:

- correctness: splits and initial weights against those of the CPU, bit for bit; the trajectory of
  the loss; grokking steps in float32 (precision "highest"), in TF32 ("high" and "default" on a GPU)
  and in bfloat16, against the CPU's.
- layout: the slots, and the measurements a call, that `slots="auto"` chooses.
- slots: lane-steps a second against slots.
- estimates: measured lane-steps beside those that `compile_ahead.py` worked out of the compiled
  programs, before any device had run them.
- pytorch: the loop of `pytorch.py` beside it, if torch is installed.
- gromov: the sweep of Gromov 2023, figure 4a: 17 alphas, 10 seeds, 3 optimizers.
- doshi: the phase diagram of Doshi et al. 2023 (arXiv 2310.13061): 17 alphas, 17 corrupted
  fractions, 4 weight decays, 2000 steps each. Either is meant to take less than a minute.
- curve: grokking step against alpha of the Transformer of "Grokking Phenomenon Reproduction",
  figure 2a.
- again: the three sweeps once more, with their programs compiled.

"Seconds" of a sweep are those of the whole call, with everything it compiled; that share is shown
beside. Every file says on what it was measured, when, and by what command.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import grokjax
from benchmarks import pytorch
from benchmarks.common import (
    RESULTS,
    NotInstalledError,
    counting_compilations,
    machine,
    needs,
    origin,
    plan_of,
    read_json,
    timed,
    write_json,
)
from benchmarks.compile_ahead import cases
from experiments.alpha_sweep import ALPHAS, deep_variants, variants
from experiments.common import adamw
from experiments.label_corruption import TENTHS
from grokjax import measures, models, tasks, train
from grokjax.command import Bounds, choose, cores, number, print_table, run_as_command, spread
from grokjax.models.protocol import Wrapper
from grokjax.sweep.devices import lane_mesh
from grokjax.sweep.plan import make_plan
from grokjax.sweep.tuning import Trial, choose_layout

ESTIMATES = RESULTS / "compile_ahead_h100.json"
FLOAT32, BFLOAT16 = "highest", "bfloat16"
Scale = Literal["auto", "full", "small", "tiny"]
Found = dict[str, Any]  # "rows" are shown; the rest is kept as it is


class Size(NamedTuple):
    """How large a part is, and how long that takes.

    Attributes:
      seconds: expected, most of it for compiling; without the steps below.
      given: arguments of the part.
      lane_steps: that it trains, about.
      network: whose lane-steps they are.
    """

    seconds: float
    given: dict[str, Any]
    lane_steps: float = 0.0
    network: str = "quadratic_97"


class Part(NamedTuple):
    """A part: a function of what earlier parts found, the seconds left and its size's arguments."""

    run: Callable[..., Found]
    sizes: dict[str, tuple[Size, ...]]  # by scale, the largest one first


class Study(NamedTuple):
    """One call of `run_sweep`."""

    recipe: grokjax.Recipe
    task: tasks.Task
    lanes: dict[str, np.ndarray]
    options: dict[str, Any]


# --------------------------------------------------------------------------------------------
# The sweeps
# --------------------------------------------------------------------------------------------


def gromov(
    p: int, width: int, alphas: Iterable[float], seeds: int, max_steps: int, eval_every: int
) -> dict[str, Study]:
    """Three optimizers against alpha; the adaptive one is measured more often."""
    studies = {}
    for name in ("gradient_descent", "momentum", "adamw"):
        recipe, columns, speedup = variants(p, width)[name]
        lanes = grokjax.grid(alpha=alphas, seed=range(seeds), **columns)
        options = {"max_steps": max_steps, "eval_every": max(1, eval_every // speedup)}
        studies[name] = Study(recipe, tasks.modular_addition(p), lanes, options)
    return studies


def doshi(
    p: int, width: int, tenths: Iterable[float], decays: Iterable[float], max_steps: int
) -> dict[str, Study]:
    """Phases of networks with corrupted labels: all of them in one call."""
    recipe, columns = adamw(p, width, measures=(measures.corruption,))
    columns = columns | {"weight_decay": decays, "label_noise": tenths, "alpha": tenths}
    options = {"max_steps": max_steps, "eval_every": max_steps, "stop": None}
    lanes = grokjax.grid(**columns, seed=0)
    return {"adamw": Study(recipe, tasks.modular_addition(p), lanes, options)}


def curve(
    model: str, p: int, width: int, alphas: Iterable[float], seeds: int, max_steps: int,
    eval_every: int,
) -> dict[str, Study]:  # fmt: skip
    """A deeper network against alpha."""
    recipe, columns, _ = deep_variants(model, p, width)["adamw"]
    lanes = grokjax.grid(alpha=alphas, seed=range(seeds), **columns)
    options = {"max_steps": max_steps, "eval_every": eval_every}
    return {"adamw": Study(recipe, tasks.modular_addition(p), lanes, options)}


STUDIES = {"gromov": gromov, "doshi": doshi, "curve": curve}


# --------------------------------------------------------------------------------------------
# The parts
# --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Bfloat16(Wrapper):
    """A model that computes in bfloat16; its parameters stay float32, and so do its logits."""

    model: Any

    def init(self, key: jax.Array, tokens: jax.Array) -> Any:
        """Parameters of the model inside."""
        return self.model.init(key, tokens)

    def apply(
        self, params: Any, tokens: jax.Array, *, key: jax.Array | None = None, **numbers: Any
    ) -> jax.Array:
        """Logits of the model inside."""
        half = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), params)
        return jnp.float32(self.model.apply(half, tokens, key=key, **numbers))


def starts(*, p: int, width: int, alphas: Iterable[float], seeds: int, **_: Any) -> Found:
    """Splits, and initial weights of the quadratic network and of a Transformer, lanes first."""
    task, found = tasks.modular_addition(p), {}
    recipe, columns = adamw(p, width)
    lanes = train.lanes(recipe, task, grokjax.grid(alpha=alphas, seed=range(seeds), **columns))
    for model in (recipe.model, models.Transformer(p)):
        recipe = dataclasses.replace(recipe, model=model)
        begin = lambda lane, recipe=recipe: train.init_lane(recipe, task, lane)
        state = jax.device_get(jax.jit(jax.vmap(begin))(lanes))
        leaves = [leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(state.params)]
        found[type(model).__name__] = np.concatenate(leaves, axis=1)
        found["order"] = state.order
    return found


def trained(
    precision: str, *, p: int, width: int, alphas: Iterable[float], seeds: int, max_steps: int,
    eval_every: int, **_: Any,
) -> Found:  # fmt: skip
    """The training loss of lanes, [L, T], and their grokking steps, [L]."""
    recipe, columns = adamw(p, width)
    if precision == BFLOAT16:
        recipe = dataclasses.replace(recipe, model=Bfloat16(recipe.model))
    else:
        recipe = dataclasses.replace(recipe, precision=precision)
    dataset = grokjax.run_sweep(
        recipe, tasks.modular_addition(p), grokjax.grid(alpha=alphas, seed=range(seeds), **columns),
        max_steps=max_steps, eval_every=eval_every, keep_params="none", progress=False,
    ).dataset  # fmt: skip
    return {"loss": dataset.train_loss.values, "steps": dataset.grokking_step.values}


def on_cpu(given: Mapping[str, Any]) -> Found:
    """What `starts` and `trained` give on the CPU, in a process that sees nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cpu.npz"
        command = [sys.executable, __file__, "--reference", str(path), json.dumps(given)]
        environment = os.environ | {"JAX_PLATFORMS": "cpu"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise ValueError(f"the same on the CPU failed: {done.stderr.strip()[-300:]}")
        with np.load(path) as saved:
            return dict(saved)


def correctness(known: Mapping[str, Found], left: float, **given: Any) -> Found:
    """The same lanes here and on the CPU; grokking steps at several precisions."""
    there, begun = on_cpu(given), starts(**given)
    rows: list[tuple[str, str]] = []
    found: Found = {"rows": rows, "ratios": {}, "grokking_steps": {"cpu": there["steps"]}}
    differ = int((begun.pop("order") != there["order"]).sum())
    found["rows_split_differently"] = differ
    rows.append(("rows that are split differently", f"{differ:,} of {there['order'].size:,}"))
    for name, weights in begun.items():
        bits, most = (weights != there[name]).mean(), np.abs(weights - there[name]).max()
        found[f"initial_weights_{name}"] = {"differ": bits, "largest": most}
        text = "bit for bit" if not bits else f"{bits:.2%} differ, by {number(most)} at most"
        rows.append((f"initial weights, {name}", text))
    for precision in given["precisions"]:
        here = trained(precision, **given)
        found["grokking_steps"][precision] = here["steps"]
        both = np.isfinite(here["steps"]) & np.isfinite(there["steps"])
        ratios = here["steps"][both] / there["steps"][both]
        if precision == FLOAT32:
            found["loss_differs"] = apart = relative(here["loss"], there["loss"])
            ends = (apart[: max(1, len(apart) // 10)], apart)
            early, all_of_it = (number(float(np.nanmax(part))) for part in ends)
            rows.append(("loss differs by, first tenth; ever", f"{early}; {all_of_it}"))
        grokked = [int(np.isfinite(lanes["steps"]).sum()) for lanes in (here, there)]
        text = f"{grokked[0]} grok of {len(both)}, on the CPU {grokked[1]}"
        text = f"{spread(ratios, '.2f')}; {text}" if len(ratios) else text
        rows.append((f"grokking step / CPU's, {precision}", text))
        if len(ratios):
            found["ratios"][f"grokking step, {precision} / CPU"] = float(np.median(ratios))
    return found


def relative(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The largest relative difference over lanes, at every step that both were measured at."""
    steps = min(here.shape[1], there.shape[1])
    apart = np.abs(here[:, :steps] / there[:, :steps] - 1)
    measured = np.isfinite(apart).any(axis=0)
    return np.nanmax(apart[:, measured], axis=0)


def layout(known: Mapping[str, Found], left: float, **studies: Any) -> Found:
    """What the library chooses for the first sweep of each study, and how long choosing takes."""
    rows: list[tuple[str, str]] = []
    found: Found = {"rows": rows, "layouts": {}}
    for name, given in studies.items():
        plan = plan_for(name, given)
        trial, chunk = Trial(plan, lane_mesh()), int(np.median(np.diff(plan.measure_at)))
        steps = len(plan) * plan.max_steps
        with counting_compilations() as compiled:
            chosen, seconds = timed(choose_layout, trial, "auto", "auto", steps, chunk)
        found["layouts"][name] = {
            **chosen._asdict(), "seconds": seconds, "lane_bytes": trial.lane_bytes,
            "fitting": trial.fitting, **compiled.figures(),
        }  # fmt: skip
        way = "side by side" if chosen.vectorize else "one after another"
        text = f"{chosen.slots} slots, {way}, {chosen.measurements} measurements a call"
        rows.append((f'{name}: slots="auto"', f"{text}; chosen in {number(seconds)} s"))
    return found


def plan_for(name: str, given: Mapping[str, Any]) -> Any:
    """The plan of the first sweep of a study."""
    first = next(iter(STUDIES[name](**given).values()))
    options = {"stop": grokjax.grokked(), "initial": None, "keep_params": "none"} | first.options
    return make_plan(first.recipe, first.task, first.lanes, **options)


def slots(
    known: Mapping[str, Found], left: float, *, networks: tuple[str, ...], most: int, steps: int,
    seconds: float,
) -> Found:  # fmt: skip
    """Lane-steps a second for 1, 2, 4, ... slots a device, as far as so many seconds go.

    Side by side on an accelerator, else one after another.
    """
    mesh, start = lane_mesh(), time.perf_counter()
    side_by_side = mesh.devices.flat[0].platform != "cpu"
    rows: list[tuple[str, str]] = []
    found: Found = {"rows": rows, "rates": {}, "by_slots": {}}
    for place, name in enumerate(networks, 1):
        trial, rates, count = trial_of(name, most * mesh.size, steps), {}, 1
        until = start + min(left, seconds) * place / len(networks)
        last = 0.0
        while count <= min(most, trial.fitting) and time.perf_counter() + 1.5 * last < until:
            (taken,), last = timed(trial.seconds, count, side_by_side, [count], steps)
            rates[count] = count * mesh.size * steps / taken
            count *= 2
        found["by_slots"][name] = rates
        found["rates"][name] = max(rates.values(), default=0.0)
        each = [f"{count}: {number(rate)}" for count, rate in rates.items()]
        rows.append((f"{name}, lane-steps/s by slots", ", ".join(each)))
    return found


def trial_of(name: str, lanes: int, steps: int) -> Trial:
    """A trial of a network of `compile_ahead.py`, measured every so many steps."""
    case = cases()[name]
    columns = grokjax.grid(alpha=0.5, seed=range(lanes), learning_rate=1e-3, weight_decay=1.0)
    return Trial(plan_of(case.recipe, case.task, columns, 100 * steps, steps), lane_mesh())


def estimates(known: Mapping[str, Found], left: float, *, networks: Iterable[str]) -> Found:
    """Microseconds of a lane-step as compiled ahead for an H100, and as measured."""
    ahead = read_json(ESTIMATES)
    rows: list[tuple[str, str]] = []
    found: Found = {"rows": rows, "rates": {}, "ratios": {}, "microseconds": {}}
    for name in networks:
        trial, count = trial_of(name, ahead["slots"] * lane_mesh().size, 20), ahead["slots"]
        seconds = trial.seconds(count, True, [count], 20)[0] / 20 / count
        estimate = ahead["programs"][f"train_{name}"]["lane_step_microseconds"]
        found["rates"][name] = trial.mesh.size / seconds
        found["microseconds"][name] = {"measured": 1e6 * seconds, "estimated": estimate}
        if trial.mesh.devices.flat[0].platform != "cpu":
            ratio = 1e6 * seconds / estimate
            found["ratios"][f"lane-step, {name}: measured / estimated for an H100"] = ratio
        text = f"{number(1e6 * seconds)}, estimated {number(estimate)}"
        rows.append((f"{name}, {count} slots, µs a lane-step", text))
    return found


def beside_pytorch(
    known: Mapping[str, Found], left: float, *, networks: tuple[str, ...], lanes: tuple[int, ...],
    **given: Any,
) -> Found:  # fmt: skip
    """Lane-steps against those of PyTorch, each in a process of its own."""
    needs("torch", pytorch.REMEDY)
    rows: list[tuple[str, str]] = []
    found: Found = {"rows": rows, "ratios": {}}
    for network in networks:
        found[network] = figures = pytorch.compared(network, lanes, threads=cores(), **given)
        for label, ratios in figures["ratios"].items():
            rows.append((f"{network}, {label}", f"{spread(ratios, '.1f')} times as fast"))
            found["ratios"][f"{network}, {label}: times as fast as PyTorch"] = np.median(ratios)
    return found


def sweep(known: Mapping[str, Found], left: float, *, study: str, **given: Any) -> Found:
    """A study's sweeps, one call each: seconds, lane-steps a second, slots."""
    # The slots that were chosen for this study's sizes, if they were; else it chooses itself.
    chosen = known.get("layout", {}).get("layouts", {}).get(study, {}).get("slots", "auto")
    rows: list[tuple[str, str]] = []
    found: Found = {"rows": rows, "sweeps": {}, "study": study, "given": given}
    begin = time.perf_counter()
    for name, one in STUDIES[study](**given).items():
        start = time.perf_counter()
        with counting_compilations() as compiled:
            dataset = grokjax.run_sweep(
                one.recipe, one.task, one.lanes, slots=chosen, keep_params="none", progress=False,
                **one.options,
            ).dataset  # fmt: skip
        seconds, costs = time.perf_counter() - start, dataset.attrs
        grokked = int((dataset.outcome == "grokked").sum())
        found["sweeps"][name] = {
            "lanes": dataset.sizes["lane"], "grokked": grokked, "seconds": seconds,
            **compiled.figures(),
            **{key: costs[key] for key in ("wall_seconds", "lane_steps", "slot_steps", "slots")},
            "vectorize": costs["vectorize"],
            "lane_steps_per_second": costs["lane_steps"] / costs["wall_seconds"],
        }  # fmt: skip
        rows.append(
            (
                f"{name}: {dataset.sizes['lane']} networks, {grokked} grok",
                f"{number(seconds)} s, {number(sum(compiled.seconds))} s of it to compile",
            )
        )
        rate = number(costs["lane_steps"] / costs["wall_seconds"])
        executed = costs["slot_steps"] / costs["lane_steps"]
        rows.append(
            (
                f"{costs['lane_steps']:,} lane-steps, {executed:.2f} executed a step",
                f"{rate} lane-steps/s, slots: {costs['slots']}",
            )
        )
    found["seconds_of_all"] = time.perf_counter() - begin
    rows.append(("all of it", f"{number(found['seconds_of_all'])} s"))
    return found


def again(known: Mapping[str, Found], left: float) -> Found:
    """The sweeps once more, as far as time allows."""
    rows: list[tuple[str, str]] = []
    found: Found = {"rows": rows}
    begin = time.perf_counter()
    for name in STUDIES:
        before = known.get(name, {})
        if not before or before["seconds_of_all"] > left - (time.perf_counter() - begin):
            rows.append((name, "no time for it, or it has not run yet"))
            continue
        found[name] = more = sweep(known, left, study=name, **before["given"])
        compiling = sum(one["compile_seconds"] for one in more["sweeps"].values())
        text = f"{number(more['seconds_of_all'])} s, {number(compiling)} s of it to compile"
        rows.append((name, f"{text}, before {number(before['seconds_of_all'])} s"))
    return found


# --------------------------------------------------------------------------------------------
# Their sizes. Seconds are guesses: of two CPU cores for the small ones, else of one H100.
# --------------------------------------------------------------------------------------------

PRECISIONS = (FLOAT32, "high", "default", BFLOAT16)
PAPER = {"p": 97, "width": 500}
FIGURE_4A = {**PAPER, "alphas": TENTHS, "seeds": 10, "max_steps": 3000, "eval_every": 25}
DIAGRAM = {**PAPER, "tenths": TENTHS, "decays": (0, 5, 15, 20), "max_steps": 2000}
FIGURE_2A = {
    "model": "transformer", "p": 97, "width": 128, "alphas": ALPHAS, "seeds": 3,
    "max_steps": 100_000, "eval_every": 100,
}  # fmt: skip
SMALL_4A = {
    "p": 23, "width": 128, "alphas": (0.4, 0.6, 0.8), "seeds": 2, "max_steps": 1000,
    "eval_every": 20,
}  # fmt: skip
SMALL_DIAGRAM = {"p": 23, "width": 128, "tenths": (0.3, 0.6), "decays": (0, 5), "max_steps": 200}
SMALL_2A = {
    "model": "transformer", "p": 13, "width": 32, "alphas": (0.6, 0.8), "seeds": 1,
    "max_steps": 200, "eval_every": 50,
}  # fmt: skip
TINY_4A = {
    "p": 5, "width": 8, "alphas": (0.6, 0.8), "seeds": 1, "max_steps": 40, "eval_every": 20,
}  # fmt: skip
TINY_CORRECTNESS = {
    "p": 11, "width": 48, "alphas": (0.7, 0.85), "seeds": 1, "max_steps": 400, "eval_every": 20,
    "precisions": (FLOAT32, BFLOAT16),
}  # fmt: skip
TINY_DIAGRAM = {"p": 5, "width": 8, "tenths": (0.3, 0.6), "decays": (0,), "max_steps": 20}
TINY_2A = {
    "model": "mlp", "p": 5, "width": 8, "alphas": (0.6,), "seeds": 1, "max_steps": 10,
    "eval_every": 5,
}  # fmt: skip
AS_LONG = {"alphas": (0.4, 0.6), "max_steps": 1000, "eval_every": 5, "precisions": PRECISIONS}

PARTS: dict[str, Part] = {
    "correctness": Part(
        correctness,
        {
            "full": (Size(100, {**PAPER, "seeds": 4, **AS_LONG}),),
            "small": (Size(15, {"p": 23, "width": 128, "seeds": 2, **AS_LONG, "eval_every": 20}),),
            "tiny": (Size(10, TINY_CORRECTNESS),),
        },
    ),
    "layout": Part(
        layout,
        {
            "full": (Size(120, {"gromov": FIGURE_4A, "doshi": DIAGRAM}),),
            "small": (Size(5, {"gromov": SMALL_4A, "doshi": SMALL_DIAGRAM}),),
            "tiny": (Size(3, {"gromov": TINY_4A}),),
        },
    ),
    "slots": Part(
        slots,
        {
            "full": (
                Size(
                    90,
                    {
                        "networks": ("quadratic_23", "quadratic_97"), "most": 512, "steps": 20,
                        "seconds": 80,
                    },
                ),
            ),
            "small": (
                Size(5, {"networks": ("quadratic_23",), "most": 8, "steps": 20, "seconds": 5}),
            ),
            "tiny": (
                Size(3, {"networks": ("quadratic_23",), "most": 2, "steps": 1, "seconds": 3}),
            ),
        },
    ),
    "estimates": Part(
        estimates,
        {
            "full": (
                Size(
                    240,
                    {
                        "networks": (
                            "quadratic_23", "quadratic_97", "transformer_97", "lstm_97", "mlp_97"
                        )
                    },
                ),
                Size(30, {"networks": ("quadratic_23", "quadratic_97")}),
            ),
            "small": (Size(5, {"networks": ("quadratic_23",)}),),
            "tiny": (Size(3, {"networks": ("quadratic_23",)}),),
        },
    ),
    "pytorch": Part(
        beside_pytorch,
        {
            "full": (
                Size(
                    90,
                    {
                        "networks": ("quadratic_97", "transformer_97"), "lanes": (1, 64),
                        "steps": 100, "repeats": 5,
                    },
                ),
            ),
            "small": (
                Size(
                    30, {"networks": ("quadratic_23",), "lanes": (1,), "steps": 100, "repeats": 5}
                ),
            ),
            "tiny": (
                Size(20, {"networks": ("quadratic_23",), "lanes": (1,), "steps": 5, "repeats": 2}),
            ),
        },
    ),
    "gromov": Part(
        sweep,
        {
            "full": (
                Size(60, {"study": "gromov", **FIGURE_4A}, 5.4e5),
                Size(60, {"study": "gromov", **FIGURE_4A, "seeds": 3}, 1.6e5),
            ),
            "small": (Size(12, {"study": "gromov", **SMALL_4A}),),
            "tiny": (Size(8, {"study": "gromov", **TINY_4A}),),
        },
    ),
    "doshi": Part(
        sweep,
        {
            "full": (
                Size(40, {"study": "doshi", **DIAGRAM}, 2.3e6),
                Size(40, {"study": "doshi", **DIAGRAM, "tenths": TENTHS[::2]}, 6.5e5),
                Size(40, {"study": "doshi", **DIAGRAM, "tenths": TENTHS[::4]}, 2e5),
            ),
            "small": (Size(6, {"study": "doshi", **SMALL_DIAGRAM}),),
            "tiny": (Size(4, {"study": "doshi", **TINY_DIAGRAM}),),
        },
    ),
    "curve": Part(
        sweep,
        {
            "full": (
                Size(150, {"study": "curve", **FIGURE_2A}, 1.6e6, "transformer_97"),
                Size(
                    120,
                    {"study": "curve", **FIGURE_2A, "seeds": 1, "alphas": ALPHAS[6:]},
                    1e5,
                    "transformer_97",
                ),
            ),
            "small": (Size(12, {"study": "curve", **SMALL_2A}),),
            "tiny": (Size(8, {"study": "curve", **TINY_2A}),),
        },
    ),
    "again": Part(
        again, {"full": (Size(60, {}),), "small": (Size(5, {}),), "tiny": (Size(3, {}),)}
    ),
}  # fmt: skip
# Lane-steps a second where none were measured: two thirds of the estimates for an H100.
GUESSED = {"quadratic_97": 2e4, "transformer_97": 1.2e4}


# --------------------------------------------------------------------------------------------
# The command
# --------------------------------------------------------------------------------------------


def gpu(
    minutes: Annotated[float, Bounds(above=0)] = 10,
    scale: Scale = "auto",
    parts: tuple[str, ...] = (),
    output: Path | None = None,
    reference: tuple[Path, str] | None = None,
) -> dict[str, Found]:
    """All parts that there is time for, each in a file of its own.

    Args:
      minutes: for all of them; a part is begun only if it is expected to end in time.
      scale: sizes: full on an accelerator, small on a CPU, tiny to see that it works; auto goes by
        the platform.
      parts: any of correctness, layout, slots, estimates, pytorch, gromov, doshi, curve, again; all
        of them by default.
      output: a folder for a JSON file of each part; by default one named after the device, in
        `benchmarks/results`. A part that has its file there is not run again.
      reference: where to write what the CPU gives, and of what (used internally).

    Returns:
      What was found, by part; earlier calls included.

    Raises:
      ValueError: if a part failed, after all of the others.
    """
    if reference is not None:
        path, given = reference[0], json.loads(reference[1])
        np.savez(path, **starts(**given), **trained(FLOAT32, **given))
        return {}
    names = choose("part", parts or tuple(PARTS), PARTS)
    if scale == "auto":
        scale = "small" if jax.default_backend() == "cpu" else "full"
    folder = RESULTS / f"gpu_{machine()}" if output is None else output
    print(f"{jax.devices()[0].device_kind}: {scale} sizes, at most {minutes:g} min, in {folder}")
    known = {name: found for name in PARTS if (found := earlier(folder / f"{name}.json", scale))}
    until, failed = time.perf_counter() + 60 * minutes, []
    for place, name in enumerate(names):
        if name in known:
            print(f"{name}: done before")
            continue
        left = until - time.perf_counter()
        later = [PARTS[other].sizes[scale] for other in names[place + 1 :] if other not in known]
        size = fitting(PARTS[name].sizes[scale], later, left, known)
        if size is None:
            least = min(expected(size, known) for size in PARTS[name].sizes[scale])
            print(
                f"{name}: skipped, it takes about {least:.0f} s and {max(left, 0):.0f} s are left"
            )
            continue
        start = time.perf_counter()
        try:
            found = PARTS[name].run(known, left, **size.given)
        except KeyboardInterrupt as interruption:
            show(known, scale)
            raise KeyboardInterrupt(
                f"interrupted in part {name}; the same command goes on with it."
            ) from interruption
        except NotInstalledError as error:
            print(f"{name}: skipped, {error}")
            continue
        except Exception as error:
            failed.append(name)
            print(f"{name}: failed with {type(error).__name__}: {error}")
            continue
        seconds = round(time.perf_counter() - start, 1)
        known[name] = found | {
            "part": name, "scale": scale, "seconds": seconds, "expected": expected(size, known),
            "size": size.given, "origin": origin(),
        }  # fmt: skip
        write_json(folder / f"{name}.json", known[name])
        print(f"{name}: {seconds} s")
    show(known, scale)
    if failed:
        raise ValueError(f"parts that failed: {', '.join(failed)}; the same command tries again.")
    return known


def earlier(path: Path, scale: str) -> Found:
    """What a part found before, at this scale and on this kind of device; nothing otherwise."""
    found = read_json(path)
    same = found.get("scale") == scale
    return found if same and found["origin"]["device"] == jax.devices()[0].device_kind else {}


def expected(size: Size, known: Mapping[str, Found]) -> float:
    """Seconds that a part of this size takes, by the fastest lane-steps that were measured."""
    rates = [found.get("rates", {}).get(size.network, 0) for found in known.values()]
    return size.seconds + size.lane_steps / (max(rates, default=0) or GUESSED[size.network])


def fitting(
    sizes: Iterable[Size], later: Iterable[Iterable[Size]], left: float, known: Mapping[str, Found]
) -> Size | None:
    """The largest size that leaves room for the smallest ones of later parts; else the smallest.

    None if not even that fits the time that is left.
    """
    fits = [size for size in sizes if expected(size, known) <= left]
    room = left - sum(min(expected(size, known) for size in sizes) for sizes in later)
    return next((size for size in fits if expected(size, known) <= room), (fits or [None])[-1])


def show(known: Mapping[str, Found], scale: str) -> None:
    """One table of all parts."""
    if not known:
        return
    where = next(iter(known.values()))["origin"]
    print_table(
        f"{where['device_count']} x {where['device']}, {scale} sizes, jax {where['jax']}, "
        f"{where['date'][:10]}",
        ("part", "", ""),
        [(name, *row) for name, found in known.items() for row in found["rows"]],
        left=3,
        sections=True,
    )


if __name__ == "__main__":
    run_as_command(gpu)
