"""What `gpu.py` measures: its parts, each a function that takes what earlier ones found.

Every part returns rows for the table, ratios, and what else is to be kept.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import grokjax
from benchmarks import pytorch
from benchmarks.common import RESULTS, counting_compilations, needs, plan_of, read_json, timed
from benchmarks.compile_ahead import cases
from experiments.alpha_sweep import deep_variants, variants
from experiments.common import adamw
from grokjax import measures, models, tasks, train
from grokjax.command import cores, number, spread
from grokjax.models.protocol import Wrapper
from grokjax.sweep.devices import lane_mesh
from grokjax.sweep.plan import make_plan
from grokjax.sweep.tuning import Trial, choose_layout

ESTIMATES = RESULTS / "compile_ahead_h100.json"
FLOAT32, BFLOAT16 = "highest", "bfloat16"
Found = dict[str, Any]  # "rows" are shown; the rest is kept as it is


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
        script = str(Path(__file__).with_name("gpu.py"))
        command = [sys.executable, script, "--reference", str(path), json.dumps(given)]
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
            **chosen._asdict(), "seconds": seconds, "program_bytes": trial.program_bytes,
            **compiled.figures(),
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
        while count <= most and time.perf_counter() + 1.5 * last < until:
            (taken,), last = timed(trial.seconds, count, side_by_side, [count], steps)
            rates[count] = count * mesh.size * steps / taken
            count *= 2
            if count > trial.fitting(side_by_side):
                break
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
