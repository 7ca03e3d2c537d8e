"""The curves of the architectures, and the alpha sweep of deep networks."""

import jax
import numpy as np
import pytest
import xarray

import grokjax
from experiments.alpha_sweep import alpha_sweep, deep_variants
from experiments.architectures.curves import build_networks, curves, draw, findings

SMALL = {"p": 5, "alphas": (0.5,), "seeds": 2, "max_steps": 40, "eval_every": 10}


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("architectures")
    curves(networks=("mlp", "mlp_s1"), **SMALL, learning_rate=1e-2, output=folder, progress=False)
    return folder


def test_every_network_is_trained_on_every_alpha(output):
    result = grokjax.load_result(output)
    dataset = result.dataset
    assert dataset.network.values.tolist() == ["mlp"] * 2 + ["mlp_s1"] * 2
    assert dataset.seed.values.tolist() == [0, 1] * 2
    assert (dataset.warmup == 10).all()
    assert (result.final("train_loss") < dataset.train_loss.isel(time=0)).all()


def test_accuracies_and_losses_are_drawn_for_every_network(output):
    saved = grokjax.load_result(output)
    axes = draw(saved).axes[:4]
    assert [ax.get_ylabel() for ax in axes[::2]] == [
        "mlp\naccuracy",
        "mlp\n(first report)\naccuracy",
    ]
    for row, name in enumerate(("mlp", "mlp_s1")):
        lanes = saved.dataset.isel(lane=saved.dataset.network.values == name)
        for ax, measured in zip(axes[2 * row :], ("test_accuracy", "test_loss"), strict=False):
            median = lanes[measured].median("lane").values[1:]  # without step 0
            assert any(np.array_equal(line.get_ydata(), median) for line in ax.lines)
    assert (output / "curves.png").exists()


def test_findings_are_those_of_the_curves():
    step = np.arange(5) * 10
    measured = {
        "test_loss": [3.0, 2.0, 8.0, 1.0, 0.1],
        "test_accuracy": [0.0, 0.1, 0.2, 0.9, 1.0],
        "mirrored_accuracy": [0.0, 0.1, 0.4, 0.9, 1.0],
        "unmirrored_accuracy": [0.0, 0.1, 0.2, 0.9, 1.0],
    }
    dataset = xarray.Dataset(
        {name: (("lane", "time"), [values]) for name, values in measured.items()}
        | {"memorization_step": ("lane", [20.0]), "grokking_step": ("lane", [40.0])}
        | {"final_step": ("lane", [40]), "outcome": ("lane", ["grokked"])},
        {"step": ("time", step)},
    )
    result = grokjax.SweepResult(dataset)
    numbers = {name: values.item() for name, values in findings(result).items()}
    assert numbers == {
        "memorization step": 20,
        "grokking step": 40,
        "rise of the test loss": 4.0,
        "mirrored accuracy": 0.4,
        "unmirrored accuracy": 0.2,
        "best test accuracy": 1.0,
    }


def test_scales_and_sizes_are_those_of_the_sources():
    paper = curves.values_at("paper", {})
    assert (paper["p"], paper["learning_rate"], paper["weight_decay"]) == (97, 1e-3, 0.1)
    assert paper["max_steps"] == 100_000
    sizes = {}
    for name, model in build_networks(97).items():
        tokens = jax.ShapeDtypeStruct((1, 2), np.int32)
        params = jax.eval_shape(model.init, jax.eval_shape(lambda: jax.random.key(0)), tokens)
        sizes[name] = sum(leaf.size for leaf in jax.tree.leaves(params))
    embedding = lambda width: 97 * width
    assert sizes["transformer"] == 394_240 + 2 * 239 * 128
    assert 3e5 < sizes["transformer_s1"] - 2 * embedding(128) < 4e5
    assert 3e5 < sizes["lstm_s1"] - embedding(128) - 97 * 145 < 4e5
    assert 3e5 < sizes["mlp_s1"] - embedding(128) < 4e5


def test_an_interruption_keeps_the_curves_so_far(interrupt, tmp_path, capsys):
    interrupt(1, running=True)
    with pytest.raises(grokjax.SweepInterrupted, match="with 0 of its 2 networks finished"):
        curves(networks=("mlp", "mlp_s1"), **SMALL, output=tmp_path, progress=False)
    dataset = grokjax.load_result(tmp_path).dataset
    assert dataset.outcome.values.tolist() == ["interrupted"]
    assert dataset.attrs["interrupted"] == 1
    assert (tmp_path / "curves.png").exists()
    assert "interrupted in sweep 1" in capsys.readouterr().out


def test_an_unknown_network_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"unknown network 'rnn'; use any of transformer, lstm,"):
        curves(networks=("rnn",), **SMALL, output=tmp_path, progress=False)


def test_the_alpha_sweep_takes_a_deep_network(tmp_path):
    result = alpha_sweep(
        model="mlp", optimizers=("adamw_strong",), p=5, width=8, alphas=(0.5,), seeds=1,
        max_steps=20, eval_every=10, checkpoints=tmp_path, output=tmp_path, progress=False,
    )  # fmt: skip
    assert "MLP(p=5" in result.dataset.attrs["recipe"]
    assert result.dataset.weight_decay.values.tolist() == [1.0]
    assert (tmp_path / "mlp_adamw_strong" / "results.nc").exists()


@pytest.mark.parametrize("model", ["transformer", "lstm", "mlp"])
def test_deep_variants_are_those_of_the_second_source(model):
    variants = deep_variants(model, 97, 128)
    assert variants["adamw"].columns == {"learning_rate": 1e-3, "weight_decay": 0.1, "warmup": 10}
    recipe = variants["adamw"].recipe
    assert recipe.batch_size == 512
    assert recipe.model == build_networks(97)[model]
