"""One small sweep that many tests look at, four simulated devices, and a compilation cache."""

import contextlib
import importlib.metadata
import os
import sys
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")
# Nearly all of the time goes into compiling, which takes half as long with these flags. What users
# get is tested too: documents and notebooks run without them, and so does `test_company.py`.
FLAGS = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
if [int(n) for n in importlib.metadata.version("jaxlib").split(".")[:2]] < [
    0,
    11,
]:  # later ones end a process that asks for it
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(FLAGS))

import jax
import numpy as np
import pytest

CACHE = Path(__file__).parent.parent / ".jax_cache"

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
jax.config.update("jax_numpy_rank_promotion", "raise")

import grokjax
from grokjax import command, critical, losses, measures, models, optimizers, tasks
from grokjax import sweep as sweep_module
from grokjax.sweep.ledger import Ledger
from grokjax.sweep.plan import make_plan
from grokjax.train import table

P = 11


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """Lets go of the programs that a file of tests compiled: gigabytes, over all of them."""
    yield
    jax.clear_caches()


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a function as a command: its exit status, and what it printed."""
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "4")  # JAX has begun to compute

    def run(function, *arguments):
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        status = 0
        try:
            command.run_as_command(function)
        except SystemExit as exit:
            status = exit.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def task():
    return tasks.modular_addition(P)


@pytest.fixture(scope="session")
def recipe():
    model = models.QuadraticMLP(P, 48, parameterization="standard")
    return grokjax.Recipe(
        model, losses.mse, optimizers.adamw, measures=(measures.weight_norms, measures.ipr)
    )


@pytest.fixture(scope="session")
def lanes():
    """Lanes that grok, lanes that only memorize, and (learning rate 1e5) one that diverges."""
    return {
        "alpha": np.array([0.3, 0.3, 0.6, 0.6, 0.85, 0.85, 0.6]),
        "seed": np.array([0, 1, 0, 1, 0, 1, 0]),
        "learning_rate": np.array([1e-2] * 6 + [1e5]),
        "weight_decay": np.full(7, 3.0),
    }


@pytest.fixture(scope="session")
def sweep(recipe, task, lanes):
    with sizes_for_each_alpha():
        return grokjax.run_sweep(recipe, task, lanes, max_steps=400, eval_every=20, progress=False)


@pytest.fixture(scope="module")
def several_sizes():
    with sizes_for_each_alpha():
        yield


@contextlib.contextmanager
def sizes_for_each_alpha():
    """As for a large table, rows are padded to a size for each alpha: see `SMALL_TABLE`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "SMALL_TABLE", 0)
        yield


@pytest.fixture(scope="session")
def planned():
    """A function that plans a sweep, of the size of the shared one: for tests of its parts."""

    def planned(recipe, task, lanes, **options):
        defaults = {"max_steps": 400, "eval_every": 20, "stop": grokjax.grokked(), "initial": None}
        return make_plan(recipe, task, lanes, **(defaults | {"keep_params": "final"} | options))

    return planned


def untrained_sweep(recipe, task, lanes, *, directory=None, progress=True, slots="auto", **options):
    """What `run_sweep` might return, of networks that nobody trained: it takes no time.

    Accuracies are 1 from the second measurement on, and everything else is random.
    """
    given = {"stop": grokjax.grokked(), "initial": None, "keep_params": "final", **options}
    plan = make_plan(recipe, task, lanes, **given)
    ledger, rng = Ledger(plan), np.random.default_rng(0)
    right = np.array(["accuracy" in name for name in plan.names])
    for lane in range(len(plan)):
        for i in range(len(plan.measure_at)):
            numbers = rng.uniform(0.1, 0.9, len(plan.names))
            ledger.add(lane, np.where(right & (i > 0), 1.0, numbers), False, False)
            if plan.keep_params != "none" and plan.initial is None:
                params = recipe.model.init(jax.random.key(lane), task.tokens[:1])
                ledger.kept[lane].append(jax.tree.map(np.asarray, params))
            elif plan.keep_params != "none":
                ledger.kept[lane].append(jax.tree.map(lambda x, i=lane: x[i], plan.initial))
    ledger.origin = {"device": "cpu", "device_count": 1, "slots": 1, "vectorize": 0}
    ledger.costs |= {"slot_steps": int(ledger.step.sum()), "wall_seconds": 1.0}
    return ledger.result(np.arange(len(plan)))


@pytest.fixture
def interrupt(monkeypatch):
    """A function that interrupts the n-th sweep from now, as Ctrl-C would.

    Its last lane has not begun, and with `running` the one before is still in training. Sweeps are
    not trained, unless it says `trained`. The function returns a list that grows with every sweep
    that begins.
    """
    real = sweep_module.run_sweep

    def interrupt(number, *, running=False, trained=False):
        begun, run = [], real if trained else untrained_sweep

        def run_sweep(recipe, task, lanes, **options):
            begun.append(lanes)
            if len(begun) != number:
                return run(recipe, task, lanes, **options)
            options["directory"] = None  # which would have the lanes that are taken away here
            result = run(recipe, task, lanes, **options)
            result = result.select(range(result.dataset.sizes["lane"] - 1))
            if running:
                result.dataset.outcome.values[-1] = "interrupted"
            result.dataset.attrs["interrupted"] = 1
            raise grokjax.SweepInterrupted("interrupted by a test", result)

        for module in (grokjax, command.sweeps, critical):
            monkeypatch.setattr(module, "run_sweep", run_sweep)
        return begun

    return interrupt
