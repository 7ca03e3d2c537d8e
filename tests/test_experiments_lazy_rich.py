"""Lazy and rich: the experiments at a size that takes seconds, and what they must find there."""

import importlib

import numpy as np
import pytest

import grokjax
from experiments.lazy_rich.kernel_motion import (
    CHECKPOINTS,
    at_checkpoints,
    kernel_motion,
    perceptron_or_transformer,
    some_rows,
)
from experiments.lazy_rich.laziness import laziness, medians
from experiments.lazy_rich.nonlinearity import compared, nonlinearity
from grokjax import kernels, keys, tasks

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


def test_kernels_of_the_perceptron_of_the_report_move_too(tmp_path, capsys):
    result = kernel_motion(
        network="mlp", p=5, width=8, alpha=0.7, seeds=1, adamw_steps=20, probe=9,
        regression_rows=12, output=tmp_path, progress=False,
    )  # fmt: skip
    dataset = result.dataset
    assert dataset.optimizer.values.tolist() == ["AdamW"]
    begun, end = dataset.isel(time=0), dataset.isel(time=-1)
    np.testing.assert_allclose(begun.distance, 0, atol=1e-5)
    for part in ("train", "test"):  # the loss is the network's own
        np.testing.assert_allclose(begun[f"linear_{part}_loss"], begun[f"{part}_loss"], rtol=1e-4)
    assert (end.motion > 0.05).all()
    assert (end.norm_ratio != 1).all()
    assert (end.distance > 1e-4).all()
    # As kernel regression by hand, with the rows of the table that were chosen.
    recipe, _ = perceptron_or_transformer("mlp", 5, 8)
    task = tasks.modular_addition(5)
    rows = some_rows(task, 12)
    assert len(set(rows)) == 12
    order = tasks.split_order(task, keys.split_key(0))
    split = tasks.split(task, order, tasks.num_train_rows(task, 0.7))
    start = recipe.model.init(keys.init_key(0), task.tokens)
    kernel = kernels.tangent(recipe.model, start, task.tokens[rows]).trace(axis1=2, axis2=3)
    expected = kernels.regression(kernel, task.labels[rows], np.asarray(split.train)[rows])
    found = dataset.sel(checkpoint="start")
    np.testing.assert_allclose(found.regression_loss, expected.test_loss, rtol=1e-3)
    np.testing.assert_allclose(found.regression_accuracy, expected.test_accuracy)
    shown = capsys.readouterr().out
    assert "linearized: training loss, of its start" in shown


def test_lazier_networks_move_less(knob):
    dataset = knob.dataset
    np.testing.assert_allclose(dataset.learning_rate * dataset.logit_scale**2, 400)
    np.testing.assert_allclose(dataset.train_loss.isel(time=0), 1 / P, rtol=1e-5)
    table = medians(knob)
    rich, lazy = table.isel(logit_scale=0), table.isel(logit_scale=1)
    assert rich.motion > 5 * lazy.motion
    assert rich.kernel_distance > 5 * lazy.kernel_distance
    assert rich.train_half < lazy.train_half
    assert np.isfinite(rich.train_half)
    assert (dataset.kernel_test_accuracy == 0).all()
    assert (dataset.kernel_test_loss > 1 / P).all()


def final_accuracy(result):
    return result.final("test_accuracy").groupby(["nonlinearity", "train_rows"]).median()


def test_rows_and_lambda_are_told_apart(restricted):
    dataset = restricted.dataset
    fixed_alpha = compared(restricted, rows_fixed=False).groups("nonlinearity")
    rows = {value: lanes.dataset.train_rows.values.tolist() for value, lanes in fixed_alpha}
    assert rows == {0.4: [33] * 2, 1.0: [91] * 2}
    fixed_rows = compared(restricted, rows_fixed=True).dataset
    assert fixed_rows.train_rows.values.tolist() == [33] * 4
    assert fixed_rows.nonlinearity.values.tolist() == [0.4] * 2 + [1.0] * 2
    accuracy = final_accuracy(restricted)
    assert accuracy.dims == ("nonlinearity", "train_rows")
    assert np.isnan(accuracy.sel(nonlinearity=0.4, train_rows=91))
    # 33 rows are fitted, and too few, at any lambda; more rows take longer.
    assert (accuracy.sel(train_rows=33) < 0.3).all()
    few = dataset.isel(lane=dataset.train_rows.values == 33)
    assert (few.train_accuracy.values[:, -1] == 1).all()
    final = {value: lanes.final("train_loss").values.mean() for value, lanes in fixed_alpha}
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


def drawn(name, folder):
    """The panels of a figure that is drawn from what was saved, and the labels in them."""
    assert {path.stem for path in (folder / name).glob("*.png")} == {name}
    module = importlib.import_module(f"experiments.lazy_rich.{name}")
    axes = module.draw(grokjax.load_result(folder / name)).axes
    return axes, [ax.get_legend_handles_labels()[1] for ax in axes]


def test_every_panel_of_kernel_motion_has_the_steps_and_the_after_kernels(motion, folder):
    axes, labels = drawn("kernel_motion", folder)
    assert len(axes) == 8
    for ax, optimizer in ((axes[0], "gradient descent"), (axes[4], "AdamW")):
        assert ax.get_ylabel() == f"{optimizer}, $\\alpha$ = 0.85\naccuracy"
    lane = motion.dataset.isel(lane=motion.dataset.optimizer.values == "AdamW")
    for ax, names in zip(axes[4:], labels[4:], strict=True):
        vertical = {line.get_label(): line.get_xdata()[0] for line in ax.lines}
        assert vertical["memorized"] == lane.memorization_step
        assert vertical["grokked"] == lane.grokking_step
        assert not any("median" in name for name in names)  # of one seed
    assert "grokked" not in labels[0]  # gradient descent has not
    assert {"chance", "after-kernel, test"} <= set(labels[4])
    diamonds = next(line for line in axes[4].lines if line.get_marker() == "D")
    np.testing.assert_array_equal(diamonds.get_xdata(), lane.checkpoint_step.values[0])
    np.testing.assert_array_equal(diamonds.get_ydata(), lane.regression_accuracy.values[0])
    loss = next(line for line in axes[7].lines if line.get_label() == "test").get_ydata()
    expected = lane.test_loss.values[0] / lane.test_loss.values[0, 0]
    np.testing.assert_allclose(loss, expected[np.isfinite(expected)][1:])


def test_steps_stand_at_their_laziness_and_missing_ones_are_told(knob, folder):
    (left, _, right), labels = drawn("laziness", folder)
    assert left.get_title() == r"$\alpha$ = 0.9"
    assert left.get_ylabel() == "loss / initial loss"
    assert "chance" in labels[1]
    assert any("not reached" in label for label in labels[2])
    dataset = knob.dataset
    points = {"^": set(), "o": set()}
    for line in right.lines:
        points.get(line.get_marker(), set()).update(zip(*line.get_data(), strict=True))
    missing = [dataset[name].isnull().values for name in ("memorization_step", "grokking_step")]
    ends = list(zip(dataset.logit_scale.values, dataset.watched_step.values, strict=True))
    assert points["^"] == {
        end for kind in missing for end, no in zip(ends, kind, strict=True) if no
    }
    assert (1.0, dataset.memorization_step.values[0]) in points["o"]


def test_accuracies_are_drawn_against_rows(restricted, folder):
    (left, middle, right), labels = drawn("nonlinearity", folder)
    assert left.get_title() == r"$\alpha$ = 0.75 for all"
    assert middle.get_title() == "33 training rows for all"
    assert left.get_ylim() == middle.get_ylim()
    assert "chance" in labels[2]
    accuracy = final_accuracy(restricted)
    medians = [line for line in right.lines if line.get_label() == "_median"]
    for line, value in zip(medians, (0.4, 1.0), strict=True):
        expected = accuracy.sel(nonlinearity=value).dropna("train_rows")
        np.testing.assert_array_equal(line.get_xdata(), expected.train_rows)
        np.testing.assert_allclose(line.get_ydata(), expected)
