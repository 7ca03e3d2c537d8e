"""Sweeps of grokking networks in JAX, beside closed-form weights.

One call trains every network of a study side by side: every seed, every data fraction, every
hyperparameter. See `run_sweep`, and `analytic_weights` for the networks that theory writes down.
"""

import importlib
from typing import Any

from grokjax import analytic as analytic
from grokjax import kernels as kernels
from grokjax import keys as keys
from grokjax import losses as losses
from grokjax import measures as measures
from grokjax import models as models
from grokjax import optimizers as optimizers
from grokjax import spectral as spectral
from grokjax import survival as survival
from grokjax import tasks as tasks
from grokjax.analytic import analytic_weights as analytic_weights
from grokjax.critical import SearchInterrupted as SearchInterrupted
from grokjax.critical import critical_alpha as critical_alpha
from grokjax.results import SweepResult as SweepResult
from grokjax.results import concatenate as concatenate
from grokjax.results import load_result as load_result
from grokjax.sweep import SweepInterrupted as SweepInterrupted
from grokjax.sweep import lane_mesh as lane_mesh
from grokjax.sweep import log_spaced as log_spaced
from grokjax.sweep import run_sweep as run_sweep
from grokjax.train import Recipe as Recipe
from grokjax.train import grid as grid
from grokjax.train import grokked as grokked
from grokjax.train import zip_lanes as zip_lanes

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "plotting":  # on demand: it imports matplotlib, which a sweep does not need
        return importlib.import_module("grokjax.plotting")
    raise AttributeError(f"module 'grokjax' has no attribute {name!r}")
