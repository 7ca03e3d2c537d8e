"""Three sweeps that are trained when the site is built, each with a page of its own."""

from pathlib import Path

import grokjax
from grokjax import losses, models, optimizers, tasks


def write_pages(folder: Path) -> None:
    """Trains the sweeps and writes their pages, those that are not there yet."""
    folder.mkdir(exist_ok=True)
    for train in (data, phases, network):
        page = folder / f"{train.__name__}.html"
        if not page.exists():
            grokjax.report(train(), page)


def data() -> grokjax.SweepResult:
    """How much data, and how much decay, it takes to grok modulo 23."""
    lanes = grokjax.grid(
        alpha=[0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
        weight_decay=[0.3, 1.0, 3.0, 5.0],
        seed=range(5),
        learning_rate=1e-2,
    )
    return sweep(23, 64, lanes, max_steps=600, eval_every=20)


def phases() -> grokjax.SweepResult:
    """What a learning rate and a weight decay make of a network modulo 11."""
    lanes = grokjax.grid(
        learning_rate=[1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1],
        weight_decay=[0.03, 0.1, 0.3, 1.0, 3.0],
        alpha=0.8,
        seed=range(4),
    )
    return sweep(11, 48, lanes, max_steps=800, eval_every=20)


def network() -> grokjax.SweepResult:
    """Networks modulo 23 that can be watched while they grok."""
    lanes = grokjax.grid(alpha=[0.5, 0.7], seed=range(3), learning_rate=5e-3, weight_decay=4.0)
    return sweep(23, 64, lanes, max_steps=600, eval_every=20, keep_params="all")


def sweep(p, width, lanes, **options) -> grokjax.SweepResult:
    """A sweep of quadratic networks that add modulo p."""
    model = models.QuadraticMLP(p, width, parameterization="standard")
    recipe = grokjax.Recipe(model, losses.mse, optimizers.adamw)
    return grokjax.run_sweep(recipe, tasks.modular_addition(p), lanes, progress=False, **options)
