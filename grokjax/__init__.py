"""Sweeps of grokking networks in JAX, beside closed-form weights.

One call trains every network of a study side by side: every seed, every data fraction, every
hyperparameter. See `run_sweep`, and `analytic_weights` for the networks that theory writes down.
"""

import importlib
from typing import Any

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
    "run_sweep",
    "spectral",
    "survival",
    "tasks",
    "train",
    "zip_lanes",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "plotting":  # on demand: it imports matplotlib, which a sweep does not need
        return importlib.import_module("grokjax.plotting")
    raise AttributeError(f"module 'grokjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "command", "plotting"])
