"""The experiments of data efficiency at a size that takes seconds: numbers, files, redrawing."""

import jax
import numpy as np
import pytest
import xarray

import grokjax
from experiments.common import transformer
from experiments.data_efficiency.settings import (
    best_accuracies,
    build_settings,
    draw,
    order,
    settings,
)
from experiments.data_efficiency.weight_decay import draw as draw_rollbacks
from experiments.data_efficiency.weight_decay import weight_decay, with_rollbacks
from grokjax import models, tasks, train

P = 7
PAPER = settings.values_at("paper", {})


def paper_settings(model=None):
    numbers = (PAPER["learning_rate"], PAPER["weight_decay"], PAPER["small_batch"])
    return build_settings(model or models.Transformer(97), *numbers)


PANELS = [
    (scale, family, name)
    for scale, family in (("quick", "regularizers"), ("paper", "optimizers"))
    for name in paper_settings()[family]
]


@pytest.mark.parametrize(("scale", "family", "name"), PANELS)
def test_every_setting_can_be_trained(scale, family, name):
    """Traced only: names of all columns, and shapes through a training step."""
    model = transformer(P, scale)
    _, recipe, columns = paper_settings(model)[family][name]
    task = tasks.modular_addition(P)
    table = train.check_lanes(recipe, task, grokjax.grid(alpha=0.5, warmup=10, **columns))
    lane = jax.tree.map(lambda leaf: leaf[0], table.lanes)
    start = jax.eval_shape(lambda lane: train.init_lane(recipe, task, lane), lane)
    rows = recipe.batch_size or P * P
    end = jax.eval_shape(
        lambda state: train.train_steps(recipe, task, state, 2, min(rows, P * P)), start
    )
    assert jax.tree.map(lambda x: (x.shape, x.dtype), end) == jax.tree.map(
        lambda x: (x.shape, x.dtype), start
    )


def test_the_settings_are_those_of_the_sources():
    figure = paper_settings()["regularizers"]
    assert len(figure) == 9
    assert len({setting.title for setting in figure.values()}) == 9
    number = lambda column: {
        name: setting.columns[column]
        for name, setting in figure.items()
        if setting.columns.get(column)
    }
    assert number("weight_decay") == {"decay_to_zero": 0.1, "decay_to_start": 0.1}
    assert number("dropout") == {"dropout": 0.1}
    assert number("update_noise") == {"update_noise": 0.01}
    assert number("weight_noise") == {"weight_noise": 0.01}
    assert set(number("learning_rate").values()) == {1e-3, 1e-4}
    batches = {name: setting.recipe.batch_size for name, setting in figure.items()}
    assert batches.pop("small_batch") == 128
    assert [name for name, size in batches.items() if size is None] == [
        "full_batch",
        "update_noise",
    ]

    table = paper_settings()["optimizers"]
    assert len({setting.title for setting in table.values()}) == len(table) == 9
    rates = {name: setting.columns["learning_rate"] for name, setting in table.items()}
    assert rates.pop("low_rate") == pytest.approx(1e-4)
    assert rates.pop("nesterov_high_rate") == pytest.approx(1e-2)
    assert set(rates.values()) == {1e-3}
    decayed = {name for name, setting in table.items() if setting.columns.get("weight_decay")}
    assert decayed == {"baseline", "low_rate", "no_dropout", "nesterov_l2"}
    assert [name for name, x in table.items() if x.columns["dropout"] == 0] == ["no_dropout"]


def test_settings_differ_in_what_they_name(tmp_path):
    result = settings(
        names=("low_rate", "decay_to_zero"),
        p=P,
        alphas=(0.5, 0.9),
        seeds=2,
        max_steps=60,
        eval_every=20,
        output=tmp_path,
        checkpoints=tmp_path / "checkpoints",
        progress=False,
    )
    alphas, best = best_accuracies(result)
    assert alphas.tolist() == [0.5, 0.9]
    assert list(best) == ["learning rate 0.001", "decay 1 to zero"]
    assert all(values.shape == (2, 2) for values in best.values())
    one = result.dataset.isel(lane=5)  # decay to zero, alpha 0.5, seed 1
    assert (one.setting.item(), one.alpha.item(), one.seed.item()) == ("decay 1 to zero", 0.5, 1)
    assert best["decay 1 to zero"][0, 1] == np.nanmax(one.test_accuracy[1:])  # after step 0
    # A tenth of the learning rate memorizes less.
    train_accuracy = result.dataset.train_accuracy.isel(time=1).values.reshape(2, -1)
    assert (train_accuracy[0] < train_accuracy[1]).all()
    # Settings of one recipe share their programs.
    kept = grokjax.load_result(tmp_path / "checkpoints" / "regularizers" / "decay_to_zero")
    assert kept.dataset.attrs["compilations"] == 0
    panels = draw(grokjax.load_result(tmp_path / "regularizers")).axes
    assert [ax.get_title("left") for ax in panels] == list(best)
    for ax, values in zip(panels, best.values(), strict=True):
        drawn = [line.get_ydata() for line in ax.lines]
        for expected in (values.ravel(), np.median(values, axis=1), [1 / P, 1 / P]):
            assert any(np.array_equal(y, expected) for y in drawn)
    assert (tmp_path / "regularizers" / "regularizers.png").exists()


def test_settings_are_ordered_by_their_means_with_students_interval():
    best = {"worse": np.array([[0.0, 0.1], [0.2, 0.3]]), "better": np.array([[0.4, 0.4, 0.7]])}
    ordered = order(best)
    assert list(ordered) == ["better", "worse"]
    half = 4.302653 * 0.1  # of 3 seeds: sd 0.1 sqrt 3
    assert ordered["better"] == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    half = 12.706205 * 0.05  # of 2: 0.1 and 0.2
    assert ordered["worse"] == pytest.approx((0.15, 0.15 - half, 0.15 + half))
    assert np.isnan(order({"alone": np.array([[0.3]])})["alone"][1])


def test_settings_that_are_finished_survive_an_interruption(interrupt, tmp_path, capsys):
    interrupt(2, running=True)  # of four networks one has not begun, and one is in training
    with pytest.raises(grokjax.SweepInterrupted, match="with 2 of its 4 networks finished"):
        settings(
            names=("low_rate", "decay_to_zero"), p=P, alphas=(0.5, 0.9), seeds=2, max_steps=20,
            eval_every=10, output=tmp_path, progress=False,
        )  # fmt: skip
    _, best = best_accuracies(grokjax.load_result(tmp_path / "regularizers"))
    assert list(best) == ["learning rate 0.001", "decay 1 to zero"]
    assert [np.isnan(values).sum(axis=1).tolist() for values in best.values()] == [[0, 0], [0, 2]]
    assert (tmp_path / "regularizers" / "regularizers.png").exists()
    out = capsys.readouterr().out
    assert "interrupted in sweep 2, with 2 of its 4 networks finished" in out
    assert "nan" not in out


def test_settings_refuses_unknown_names(tmp_path):
    with pytest.raises(ValueError, match="unknown setting 'nesterov'; use any of full_batch"):
        settings(names=("nesterov",), output=tmp_path)


def result_of(*curves):
    measured = ~np.isnan(np.array(curves))
    return grokjax.SweepResult(
        xarray.Dataset(
            {
                "test_accuracy": (("lane", "time"), np.array(curves, float)),
                "final_step": ("lane", 10 * (measured.sum(axis=1) - 1)),
                "outcome": ("lane", ["underfit"] * len(curves)),
                "watched_step": ("lane", np.zeros(len(curves))),
            },
            {
                "step": ("time", 10 * np.arange(len(curves[0]))),
                "weight_decay": ("lane", np.arange(len(curves)) / 10),
                "seed": ("lane", np.zeros(len(curves), int)),
            },
        )
    )


def test_rollbacks_are_falls_after_generalization():
    nan = np.nan
    result = with_rollbacks(
        result_of(
            [0.1, 0.4, 0.99, 1.0, 1.0, 1.0, 1.0, 1.0],  # none
            [0.1, 1.0, 0.4, 0.3, 0.9, 0.2, 0.6, 0.7],  # two, of three measurements
            [0.1, 0.8, 0.2, 0.9, 0.98, 0.3, 0.98, 0.4],  # it never was there
            [0.1, 0.995, 0.5, 0.49, 0.6, nan, nan, nan],  # it diverged
        )
    )
    np.testing.assert_array_equal(result.dataset.generalization_step, [20, 10, nan, 10])
    np.testing.assert_array_equal(result.dataset.rollbacks[1], [0, 0, 1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(result.final("rollbacks"), [0, 2, 0, 1])
    np.testing.assert_allclose(result.dataset.low_share, [0, 3 / 7, nan, 1 / 4])


def test_rollbacks_are_drawn_of_those_that_generalized():
    figure = draw_rollbacks(result_of([0.1, 1.0, 0.3], [0.1, 0.2, 0.3], [0.1, 0.2, 1.0]))
    left, right = figure.axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["0", "0.1", "0.2"]
    points = lambda ax: [line.get_xydata().tolist() for line in ax.lines]
    assert [[0, 10], [2, 20]] in points(left)
    assert [[1, 20]] in points(left)  # censored at the last step
    assert [[0, 1], [2, 0]] in points(right)


def test_a_strong_weight_decay_leaves_nothing(tmp_path, capsys):
    result = weight_decay(
        p=P,
        alpha=0.8,
        weight_decays=(0.0, 30.0),
        seeds=2,
        max_steps=60,
        eval_every=20,
        output=tmp_path,
        progress=False,
    )
    dataset = result.dataset
    assert (dataset.final_step == 60).all()
    # A decay that shrinks the weights by a third in every step leaves nothing to memorize with.
    final = result.final("train_loss").values
    assert (final[2:] > 1.5).all()
    assert (final[:2] < 0.5).all()
    assert (tmp_path / "weight_decay.png").exists()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines if line.startswith(" 30")] == [
        ["30", "0", "-"], ["30", "1", "-"]
    ]  # fmt: skip
