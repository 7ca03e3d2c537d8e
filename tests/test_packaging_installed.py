"""What must hold of an installed grokjax; `.ci/wheel` runs this away from any checkout."""

import importlib.resources

import numpy as np

import grokjax
from grokjax import losses, models, optimizers, tasks


def test_files_beside_the_modules_are_installed():
    installed = importlib.resources.files("grokjax")
    assert (installed / "py.typed").is_file()
    assert all((installed / "page" / f"page.{kind}").is_file() for kind in ("css", "html", "js"))


def test_a_sweep_trains_resumes_and_is_saved(tmp_path):
    model = models.QuadraticMLP(p=5, width=12, parameterization="standard")
    recipe = grokjax.Recipe(model, losses.mse, optimizers.adamw)
    lanes = grokjax.grid(alpha=0.8, seed=range(2), learning_rate=1e-2, weight_decay=1.0)
    options = {"eval_every": 10, "progress": False, "directory": tmp_path}
    grokjax.run_sweep(recipe, tasks.modular_addition(5), lanes, max_steps=20, **options)
    result = grokjax.run_sweep(recipe, tasks.modular_addition(5), lanes, max_steps=30, **options)
    loss = grokjax.load_result(tmp_path).dataset.train_loss.values
    assert (loss[:, -1] < loss[:, 0]).all()
    np.testing.assert_array_equal(loss, result.dataset.train_loss.values)


def test_a_flax_network_answers():
    model = models.MLP(p=5, hidden=(8,))
    tokens = tasks.modular_addition(5).tokens
    params = model.init(grokjax.keys.init_key(0), tokens)
    assert model.apply(params, tokens).shape == (25, model.vocabulary)
