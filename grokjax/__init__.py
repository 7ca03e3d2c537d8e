"""Sweeps of grokking networks in JAX, beside closed-form weights.

One call trains every network of a study side by side: every seed, every data fraction, every
hyperparameter. See `run_sweep`, and `analytic_weights` for the networks that theory writes down.
"""

import importlib.util
import sys
import types

from grokjax import (
    analytic,
    kernels,
    keys,
    losses,
    measures,
    models,
    optimizers,
    spectral,
    survival,
    tasks,
    train,
)
from grokjax.analytic import analytic_weights
from grokjax.critical import SearchInterrupted, critical_alpha
from grokjax.page import report
from grokjax.results import SweepResult, concatenate, load_result
from grokjax.sweep import SweepInterrupted, lane_mesh, log_spaced, run_sweep
from grokjax.train import Recipe, grid, grokked, zip_lanes

__all__ = [
    "Recipe",
    "SearchInterrupted",
    "SweepInterrupted",
    "SweepResult",
    "analytic",
    "analytic_weights",
    "concatenate",
    "critical_alpha",
    "grid",
    "grokked",
    "kernels",
    "keys",
    "lane_mesh",
    "load_result",
    "log_spaced",
    "losses",
    "measures",
    "models",
    "optimizers",
    "report",
    "run_sweep",
    "spectral",
    "survival",
    "tasks",
    "train",
    "zip_lanes",
]

__version__ = "0.2.0"

ON_DEMAND = ("plotting", "pytorch")


def __getattr__(name: str) -> types.ModuleType:
    if name in ON_DEMAND:
        return _on_demand(f"grokjax.{name}")
    raise AttributeError(f"module 'grokjax' has no attribute {name!r}")


def _on_demand(name: str) -> types.ModuleType:
    """A module that is imported when something in it is used.

    `plotting` imports matplotlib, which takes as long as JAX, and `pytorch` torch; no sweep needs
    either.
    """
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        spec.loader = importlib.util.LazyLoader(spec.loader)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def __dir__() -> list[str]:
    return sorted([*__all__, *ON_DEMAND, "command"])
