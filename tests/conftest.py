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
from grokjax import losses, measures, models, optimizers, tasks

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
    """A function that has Ctrl-C pressed in the n-th sweep from now: its last lane is missing.

    It returns a list that grows with every sweep that begins.
    """

    def interrupt(number):
        run, begun = grokjax.run_sweep, []

        def run_sweep(*args, **kwargs):
            begun.append(args)
            result = run(*args, **kwargs)
            lanes = result.dataset.sizes["lane"]
            return result.select(range(lanes - 1)) if len(begun) == number else result

        monkeypatch.setattr(grokjax, "run_sweep", run_sweep)
        return begun

    return interrupt
