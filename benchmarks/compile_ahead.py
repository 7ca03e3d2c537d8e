"""What the compilers for GPUs and TPUs make of a sweep, on a machine that has neither.

    python benchmarks/compile_ahead.py --target h100        # one H100
    python benchmarks/compile_ahead.py --target v5e-4       # four chips of a TPU v5e
    python benchmarks/compile_ahead.py --target v5e-256     # 256 of them

XLA's compilers run anywhere; only what they produce does not. Each target needs an environment of
its own, beside grokjax:

    pip install libtpu                                                           # v5e-4, v5e-256
    pip install jax-cuda12-plugin==J jax-cuda12-pjrt==J nvidia-cuda-nvcc-cu12 \
        nvidia-cuda-runtime-cu12 nvidia-cuda-cupti-cu12 nvidia-nvjitlink-cu12    # h100; J: jax's

For every program of a sweep the table says how long it took to compile; of the loop over training
steps: kernels, scatters, sorts, the trip count, and choices between whole arrays of parameters;
collective operations; the memory of a device, and what `sweep.tuning` predicts of it from the
program for half of the slots. The last column is a lane-step by the roofline: the kernels' bytes
over the memory's bandwidth or the operations over the peak rate, whichever takes longer, and the
launches. No device has run it.
"""

import itertools
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

TARGETS = {"h100": ("cuda", "1x1x1"), "v5e-4": ("tpu", "2x2"), "v5e-256": ("tpu", "16x16")}
Target = Literal["h100", "v5e-4", "v5e-256"]


class Machine(NamedTuple):
    """A chip as its maker describes it."""

    bandwidth: float  # bytes a second
    peak: float  # operations a second in matrix products, at JAX's default precision
    launch: float  # seconds a kernel takes to start, in a loop that is known to the compiler


MACHINES = {"cuda": Machine(3.35e12, 495e12, 1e-6), "tpu": Machine(0.82e12, 197e12, 0.0)}
SLOTS = 16
COLLECTIVE = r"(?:all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)[-.(]"
FREE = {"parameter", "get-tuple-element", "tuple", "constant", "bitcast", "after-all", "iota"}
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s64": 8, "u64": 8, "f64": 8}


def environment(target: str) -> None:
    """The variables that a compiler wants to see before JAX is imported."""
    if TARGETS[target][0] == "tpu":
        os.environ["TPU_SKIP_MDS_QUERY"] = "1"
        os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"  # it compiles only, and no chip is in use
    else:
        os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
        os.environ["XLA_FLAGS"] = "--xla_gpu_autotune_level=0"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # it cannot load what was compiled ahead


def topology(target: str) -> Any:
    """The devices of a target, of which there is only a description.

    Raises:
      ValueError: if what it takes to compile for them is not installed.
    """
    from jax.experimental import topologies

    platform, shape = TARGETS[target]
    try:
        if platform == "tpu":
            return topologies.get_topology_desc(topology_name=f"v5e:{shape}", platform="tpu")
        config = (Path(__file__).parent / "targets" / f"{target}.txtpb").read_text()
        return topologies.get_topology_desc(
            topology_name=target, platform="cuda", topology=shape, target_config=config
        )
    except Exception as error:
        packages = "libtpu" if platform == "tpu" else "jax-cuda12-plugin and its companions"
        raise ValueError(
            f"to compile for {target} install {packages}, see the top of this file "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})."
        ) from error


class Case(NamedTuple):
    """A network, its recipe and how it is trained."""

    recipe: Any
    task: Any
    steps: int = 20


def cases() -> dict[str, Case]:
    """The quadratic network at two sizes, and three networks with minibatches of 512 at p = 97."""
    import grokjax
    from grokjax import losses, models, optimizers, tasks

    found = {}
    for p, width in ((23, 128), (97, 500)):
        model = models.QuadraticMLP(p, width, parameterization="standard")
        recipe = grokjax.Recipe(model, losses.mse, optimizers.adamw)
        found[f"quadratic_{p}"] = Case(recipe, tasks.modular_addition(p))
    for name, model in (
        ("transformer", models.Transformer(97)),
        ("lstm", models.LSTM(97)),
        ("mlp", models.MLP(97)),
    ):
        recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw, batch_size=512)
        found[f"{name}_97"] = Case(recipe, tasks.modular_addition(97))
    return found


def lowered(
    case: Case, mesh: Any, slots: int = SLOTS
) -> tuple[dict[str, Any], list[tuple[int, ...]]]:
    """The programs of a sweep, lowered for a mesh; and the shapes of stacked arrays."""
    import jax
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    import grokjax
    from grokjax.sweep import devices, programs
    from grokjax.sweep.plan import make_plan

    lanes = grokjax.grid(
        alpha=0.5, seed=range(slots * mesh.size), learning_rate=1e-3, weight_decay=1.0
    )
    plan = make_plan(
        case.recipe, case.task, lanes, max_steps=100 * case.steps, eval_every=case.steps,
        stop=grokjax.grokked(), initial=None, keep_params="final",
    )  # fmt: skip

    def on_mesh(tree: Any, *, whole: bool = False) -> Any:
        sharding = NamedSharding(mesh, PartitionSpec() if whole else PartitionSpec("lanes"))
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(np.shape(x), np.asarray(x).dtype, sharding=sharding),
            tree,
        )

    state = on_mesh(devices.empty_slots(plan, mesh, slots))
    task, number = on_mesh(plan.task, whole=True), on_mesh(np.int32(0), whole=True)
    places = slots * mesh.size
    order, count = on_mesh(np.zeros(places, np.int32)), on_mesh(np.zeros(mesh.size, np.int32))
    targets = on_mesh(np.zeros((places, 4), np.int32))
    shared, seats = (plan.recipe, task), (mesh, state, order, count)
    found = {
        "admit": programs.admit.lower(*shared, *seats, on_mesh(plan.table.lanes), None),
        "measure": programs.measure.lower(
            *shared, plan.stop, *seats, on_mesh(np.zeros(places, bool))
        ),
        "train": programs.train_side_by_side.lower(
            *shared, plan.stop, *seats, targets, number, number,
            rows=devices.whole_tiles(mesh, int(plan.rows.max())),
            window=devices.shuffle_window(plan), steps=case.steps,
        ),
        "take": programs.take.lower(mesh, state.params, on_mesh(np.zeros(mesh.size, np.int32))),
    }  # fmt: skip
    shapes = [(slots, *leaf.shape[1:]) for leaf in jax.tree.leaves(state.params)]
    return found, shapes


def predicted_bytes(case: Case, mesh: Any) -> int:
    """What `sweep.tuning` expects `SLOTS` slots to take, which has doubled them up to half."""
    from grokjax.sweep import devices, tuning

    program = lowered(case, mesh, SLOTS // 2)[0]["train"].compile()
    return round(SLOTS * tuning.slot_bytes({SLOTS // 2: devices.program_bytes(program)}))


class Program:
    """The text of a compiled program, taken apart into its computations."""

    def __init__(self, text: str):
        self.parts: dict[str, list[str]] = {}
        name = ""
        for line in text.splitlines():
            if begins := re.match(r"(?:ENTRY )?%?([\w.\-]+) (?:\(.*)?.*\{$", line):
                name = begins.group(1)
                self.parts[name] = []
            elif " = " in line and name:
                self.parts[name].append(line.strip())
        self.shapes = {
            found.group(1): found.group(2)
            for lines in self.parts.values()
            for line in lines
            if (found := re.match(r"(?:ROOT )?%?([\w.\-]+) = ((?:\(.*?\)|\S+)) [\w\-]+\(", line))
        }

    def loop(self, steps: int) -> tuple[list[str], int | None]:
        """The body of the loop over training steps, and its trip count if that is known.

        It is the innermost loop that runs so many times, or the one with most kernels.
        """
        bodies = []
        for lines in self.parts.values():
            for line in lines:
                if body := re.search(r" while\(.*body=%?([\w.\-]+)", line):
                    known = re.search(r'known_trip_count"?:\s*\{"?n"?:"?(\d+)', line)
                    bodies.append((body.group(1), int(known.group(1)) if known else None))
        if not bodies:
            return [], None
        size = lambda body: len(self.kernels(self.parts[body[0]]))
        inner = [body for body in bodies if not self.calls(body[0], r" while\(")] or bodies
        counted = [body for body in inner if body[1] is not None and body[1] <= steps]
        chosen = max(counted or inner, key=size)
        return self.parts[chosen[0]], chosen[1]

    def calls(self, name: str, pattern: str) -> bool:
        """Whether a computation has such a line."""
        return any(re.search(pattern, line) for line in self.parts[name])

    def kernels(self, lines: list[str]) -> list[str]:
        """The lines that start something on the device, those of called computations included."""
        found = []
        for line in lines:
            operation = re.search(r" = (?:\(.*?\)|\S+) ([\w\-]+)\(", line)
            if operation is None or operation.group(1) in FREE:
                continue
            if operation.group(1) in ("call", "conditional", "while"):
                for name in re.findall(r"(?:to_apply|body|computation\w*)=%?([\w.\-]+)", line):
                    found += self.kernels(self.parts.get(name, []))
            elif not operation.group(1).endswith("-done"):
                found.append(line)
        return found

    def inside(self, lines: list[str]) -> list[str]:
        """All operations of some lines, those inside of fusions included."""
        found = list(lines)
        for line in lines:
            for name in re.findall(r"(?:calls|to_apply|body|condition)=%?([\w.\-]+)", line):
                found += self.inside(self.parts.get(name, []))
        return found

    def bytes(self, line: str) -> int:
        """What a kernel reads and writes, if it touches all of its operands once."""
        result = re.search(r" = ((?:\(.*?\)|\S+)) [\w\-]+\((.*?)\)", line)
        if result is None:
            return 0
        operands = re.findall(r"%?([\w.\-]+)", result.group(2))
        return _bytes(result.group(1)) + sum(_bytes(self.shapes.get(x, "")) for x in operands)


def _bytes(shape: str) -> int:
    total = 0
    for kind, sizes in re.findall(r"([a-z]+\d*)\[([\d,]*)\]", shape):
        number = 1
        for size in filter(None, sizes.split(",")):
            number *= int(size)
        total += number * BYTES.get(kind, 4)
    return total


def operations(case: Case, platform: str = "cuda") -> float:
    """Operations of a training step of one lane, as XLA counts them before any optimization.

    A loop counts once, such as that over the tiles of rows in which a CPU takes a large full batch.
    """
    import jax
    import jax.numpy as jnp

    import grokjax
    from grokjax import train

    lanes = train.lanes(
        case.recipe, case.task, grokjax.grid(alpha=0.5, learning_rate=1e-3, weight_decay=1.0)
    )
    lane = jax.tree.map(lambda x: x[0], lanes)
    state = jax.eval_shape(lambda lane: train.init_lane(case.recipe, case.task, lane), lane)
    rows = int(train.step_rows(case.recipe, lane))
    struct = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.int32)
    weights = jax.ShapeDtypeStruct((rows,), jnp.float32)
    step = lambda *arguments: train.train_step(case.recipe, *arguments)
    traced = jax.jit(step).trace(state, struct(rows, case.task.operands), struct(rows), weights)
    return float(traced.lower(lowering_platforms=(platform,)).cost_analysis()["flops"])


def described(
    name: str, lowered: Any, case: Case, shapes: list[tuple[int, ...]], target: str
) -> tuple[dict[str, Any], str]:
    """What there is to say of a program, and its text."""
    from grokjax.sweep import devices

    start = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - start
    text = compiled.as_text()
    numbers: dict[str, Any] = {
        "compile_seconds": round(seconds, 1),
        "memory_bytes": devices.program_bytes(compiled),
        "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
        "collectives": len(re.findall(COLLECTIVE, text)),
    }
    if name == "train":
        program = Program(text)
        body, trips = program.loop(case.steps)
        inside, kernels = program.inside(body), program.kernels(body)
        sizes = [",".join(map(str, shape)) for shape in shapes]
        machine = MACHINES[TARGETS[target][0]]
        moved = sum(map(program.bytes, kernels))
        counted = operations(case)
        slowest = max(moved / machine.bandwidth, SLOTS * counted / machine.peak)
        numbers |= {
            "kernels": len(kernels),
            "scatters": sum(" scatter(" in line for line in inside),
            "sorts": sum(" sort(" in line for line in inside),
            "trip_count": trips,
            "selects_of_parameters": sum(
                bool(re.search(rf"\[{size}\]\S* select\(", line))
                for line in inside
                for size in set(sizes)
            ),
            "bytes_a_step": moved,
            "operations_a_lane_step": counted,
            "lane_step_microseconds": round(
                1e6 * (slowest + len(kernels) * machine.launch) / SLOTS, 2
            ),
        }
    return numbers, text


def compile_ahead(
    target: Target = "h100",
    *,
    networks: tuple[str, ...] = (),
    dump: Path | None = None,
    output: Path | None = None,
) -> dict[str, dict[str, Any]]:
    """Compiles the programs of sweeps for a device that is not there, and says what came out.

    Args:
      target: h100, v5e-4 or v5e-256.
      networks: any of quadratic_23, quadratic_97, transformer_97, lstm_97, mlp_97; all by default.
      dump: folder for the compiled programs, named such as `train_quadratic_97.hlo`.
      output: a JSON file for the numbers.
    """
    import jax
    import numpy as np
    from jax.sharding import AxisType, Mesh

    from grokjax.command import choose, print_table

    known = cases()
    names = choose("network", networks or tuple(known), known)
    found = topology(target)
    on_gpu = TARGETS[target][0] == "cuda"  # the TPU's compiler does not write trip counts down
    mesh = Mesh(np.array(found.devices).ravel(), ("lanes",), axis_types=(AxisType.Auto,))
    results: dict[str, dict[str, Any]] = {}
    rows = []
    for name in names:
        programs, shapes = lowered(known[name], mesh)
        predicted = predicted_bytes(known[name], mesh)
        for kind, program in programs.items():
            numbers, text = described(kind, program, known[name], shapes, target)
            if kind == "train":
                numbers["predicted_bytes"] = predicted
            results[f"{kind}_{name}"] = numbers
            if dump is not None:
                dump.mkdir(parents=True, exist_ok=True)
                (dump / f"{kind}_{name}.hlo").write_text(text)
            mib = lambda x: f"{x / 2**20:,.0f}"
            rows.append(
                (
                    f"{kind} {name}",
                    numbers["compile_seconds"],
                    *(numbers.get(key, "") for key in ("kernels", "scatters", "sorts")),
                    numbers.get("trip_count") or ("unknown" if kind == "train" and on_gpu else ""),
                    numbers.get("selects_of_parameters", ""),
                    numbers["collectives"],
                    mib(numbers["memory_bytes"]),
                    mib(predicted) if kind == "train" else "",
                    numbers.get("lane_step_microseconds", ""),
                )
            )
            print(f"{rows[-1][0]}: compiled in {rows[-1][1]} s", file=sys.stderr)
    headings = (
        "program", "s", "ker-\nnels", "scat-\nters", "sorts", "trips", "se-\nlects", "coll.",
        "MiB", "pre-\ndicted", "µs a\nlane-step",
    )  # fmt: skip
    print_table(f"{target}, {SLOTS} lanes a device, jax {jax.__version__}", headings, rows)
    if output is not None:
        what = {"target": target, "slots": SLOTS, "jax": jax.__version__, "programs": results}
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(what, indent=1) + "\n")
    return results


if __name__ == "__main__":
    words = [word for text in sys.argv[1:] for word in text.split("=")]
    chosen = next((b for a, b in itertools.pairwise(words) if a == "--target"), "h100")
    if chosen in TARGETS:
        environment(chosen)

    from grokjax.command import run_as_command

    run_as_command(compile_ahead)
