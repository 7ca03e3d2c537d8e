"""One small sweep that many tests look at, four simulated devices, and a compilation cache."""

import os
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")

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

P = 11


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """Lets go of the programs that a file of tests compiled: gigabytes, over all of them."""
    yield
    jax.clear_caches()


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
    return grokjax.run_sweep(recipe, task, lanes, max_steps=400, eval_every=20, progress=False)


@pytest.fixture
def interrupt(monkeypatch):
    """A function that interrupts the n-th sweep from now, as Ctrl-C would.

    Its last lane has not begun, and with `running` the one before is still in training. The
    function returns a list that grows with every sweep that begins.
    """
    run = sweep_module.run_sweep

    def interrupt(number, *, running=False):
        begun = []

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

        for module in (grokjax, command, critical):
            monkeypatch.setattr(module, "run_sweep", run_sweep)
        return begun

    return interrupt
