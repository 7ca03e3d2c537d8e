"""Lazy and rich: the experiments at a size that takes seconds, and what they must find there."""

import importlib

import numpy as np
import pytest

import grokjax
from experiments.lazy_rich.kernel_motion import CHECKPOINTS, at_checkpoints, kernel_motion
from experiments.lazy_rich.laziness import laziness, medians
from experiments.lazy_rich.nonlinearity import final_accuracy, groups, nonlinearity

P = 11


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lazy_rich")


@pytest.fixture(scope="module")
def motion(folder):
    return kernel_motion(
        p=P, width=64, alpha=0.85, seeds=1, descent_steps=600, adamw_steps=150, probe=60,
        output=folder / "kernel_motion", progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def knob(folder):
    return laziness(
        p=P, width=48, laziness=(1.0, 30.0), rate=400.0, seeds=1, max_steps=500,
        output=folder / "laziness", progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def restricted(folder):
    return nonlinearity(
        p=P, width=48, nonlinearity=(1.0, 0.4), alpha=0.75, seeds=2, max_steps=400,
        output=folder / "nonlinearity", progress=False,
    )  # fmt: skip


def test_kernels_move_and_come_to_know_the_answers(motion):
    table = at_checkpoints(motion.dataset)
    assert table.checkpoint.values.tolist() == list(CHECKPOINTS)
    start, end = table.sel(checkpoint="start"), table.sel(checkpoint="end")
    np.testing.assert_allclose(start.distance, 0, atol=1e-5)
    np.testing.assert_allclose(start.norm_ratio, 1, rtol=1e-5)
    assert (start.motion == 0).all()
    assert (start.regression_accuracy == 0).all()  # the theorem, at finite width
    np.testing.assert_allclose(start.linear_train_loss, start.train_loss, rtol=1e-4)
    assert (end.centred_alignment > start.centred_alignment + 0.05).all()
    assert (end.motion > 0.5).all()
    assert ((end.span_fraction > 0) & (end.span_fraction <= 1)).all()
    adamw = motion.dataset.optimizer.values == "AdamW"
    assert motion.dataset.outcome.values[adamw].tolist() == ["grokked"]
    assert (end.regression_accuracy.values[adamw] > 0.9).all()
    # Far from its start the linearized network is not the network.
    assert (end.linear_train_loss > 3 * end.train_loss).values[adamw].all()


def test_lazier_networks_move_less(knob):
    dataset = knob.dataset
    np.testing.assert_allclose(dataset.learning_rate * dataset.logit_scale**2, 400)
    np.testing.assert_allclose(dataset.train_loss.isel(time=0), 1 / P, rtol=1e-5)
    table = medians(dataset)
    rich, lazy = table.isel(logit_scale=0), table.isel(logit_scale=1)
    assert rich.motion > 5 * lazy.motion
    assert rich.kernel_distance > 5 * lazy.kernel_distance
    assert rich.train_half < lazy.train_half
    assert np.isfinite(rich.train_half)
    assert (dataset.kernel_test_accuracy == 0).all()
    assert (dataset.kernel_test_loss > 1 / P).all()


def test_rows_and_lambda_are_told_apart(restricted):
    dataset = restricted.dataset
    fixed_alpha = groups(dataset, rows_fixed=False)
    assert list(fixed_alpha) == [0.4, 1.0]
    assert [g.train_rows.values.tolist() for g in fixed_alpha.values()] == [[33] * 2, [91] * 2]
    fixed_rows = groups(dataset, rows_fixed=True)
    assert [g.train_rows.values.tolist() for g in fixed_rows.values()] == [[33] * 2] * 2
    accuracy = final_accuracy(restricted)
    assert accuracy.dims == ("nonlinearity", "train_rows")
    assert np.isnan(accuracy.sel(nonlinearity=0.4, train_rows=91))
    # 33 rows are fitted, and too few, at any lambda; more rows take longer.
    assert (accuracy.sel(train_rows=33) < 0.3).all()
    few = dataset.isel(lane=dataset.train_rows.values == 33)
    assert (few.train_accuracy.values[:, -1] == 1).all()
    final = {value: g.train_loss.values[:, -1].mean() for value, g in fixed_alpha.items()}
    assert final[1.0] > 2 * final[0.4]


def test_the_mlp_of_the_paper_scale_trains(tmp_path):
    result = nonlinearity(
        network="mlp", p=P, width=16, nonlinearity=(1.0,), rate=3e-2, seeds=1, max_steps=30,
        output=tmp_path, progress=False,
    )  # fmt: skip
    loss = result.dataset.train_loss.values[0]
    assert loss[0] == pytest.approx(np.log(239), rel=0.05)  # its vocabulary
    assert loss[-1] < 0.7 * loss[0]


@pytest.mark.parametrize(
    ("experiment", "options", "number", "lanes"),
    [
        (kernel_motion, {"descent_steps": 4, "adamw_steps": 4, "probe": 10}, 2, 3),
        (laziness, {"laziness": (1.0, 30.0), "rate": 4.0, "max_steps": 4}, 1, 3),
        (nonlinearity, {"nonlinearity": (1.0, 0.4), "max_steps": 4}, 2, 5),
    ],
)
def test_an_interruption_keeps_the_networks_that_are_finished(
    experiment, options, number, lanes, interrupt, tmp_path, capsys
):
    interrupt(number)
    with pytest.raises(grokjax.SweepInterrupted, match=f"in sweep {number}, with") as raised:
        experiment(p=5, width=8, alpha=0.75, seeds=2, **options, output=tmp_path, progress=False)
    saved = grokjax.load_result(tmp_path).dataset
    assert saved.sizes["lane"] == lanes
    assert saved.attrs["interrupted"] == 1
    assert saved.identical(raised.value.result.dataset)
    assert (tmp_path / f"{experiment.__name__}.png").exists()
    out = capsys.readouterr().out
    assert f"interrupted in sweep {number}" in out
    assert "nan" not in out


@pytest.mark.parametrize("name", ["kernel_motion", "laziness", "nonlinearity"])
def test_figures_redraw(name, motion, knob, restricted, folder, tmp_path):
    module = importlib.import_module(f"experiments.lazy_rich.{name}")
    paths = module.draw(grokjax.load_result(folder / name), tmp_path)
    assert [path.name for path in paths] == [f"{name}.png", f"{name}.svg"]
    for path in paths:
        assert path.stat().st_size > 5000
        assert (folder / name / path.name).exists()
    assert (folder / name / "config.json").exists()
