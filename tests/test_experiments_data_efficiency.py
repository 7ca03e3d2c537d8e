"""The experiments of data efficiency at a size that takes seconds: numbers, files, redrawing."""

import jax
import numpy as np
import pytest
import xarray

import grokjax
from experiments.data_efficiency.settings import FAMILIES, SCALES, best_accuracies, settings
from experiments.data_efficiency.weight_decay import rollbacks, weight_decay
from grokjax import tasks, train

P = 7
PANELS = [
    (scale, family, name)
    for scale, family in (("quick", "regularizers"), ("paper", "optimizers"))
    for name in FAMILIES[family](SCALES[scale])
]


@pytest.mark.parametrize(("scale", "family", "name"), PANELS)
def test_every_setting_can_be_trained(scale, family, name):
    """Traced only: names of all columns, and shapes through a training step."""
    chosen = SCALES[scale]._replace(p=P)
    _, recipe, columns = FAMILIES[family](chosen)[name]
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
    figure = FAMILIES["regularizers"](SCALES["paper"])
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

    table = FAMILIES["optimizers"](SCALES["paper"])
    assert len({setting.title for setting in table.values()}) == len(table) == 9
    rates = {name: setting.columns["learning_rate"] for name, setting in table.items()}
    assert rates.pop("low_rate") == pytest.approx(1e-4)
    assert rates.pop("nesterov_high_rate") == pytest.approx(1e-2)
    assert set(rates.values()) == {1e-3}
    decayed = {name for name, setting in table.items() if setting.columns.get("weight_decay")}
    assert decayed == {"baseline", "low_rate", "no_dropout", "nesterov_l2"}
    assert [name for name, x in table.items() if x.columns["dropout"] == 0] == ["no_dropout"]


def test_settings(tmp_path):
    from experiments.data_efficiency.settings import draw

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
    best = best_accuracies(result)
    assert list(best) == ["learning rate 0.001", "decay 1 to zero"]
    assert all(values.shape == (2, 2) for values in best.values())
    one = result.dataset.isel(lane=5)  # decay to zero, alpha 0.5, seed 1
    assert (one.setting.item(), one.alpha.item(), one.seed.item()) == ("decay 1 to zero", 0.5, 1)
    assert best["decay 1 to zero"][0, 1] == np.nanmax(one.test_accuracy)
    # A tenth of the learning rate memorizes less.
    train_accuracy = result.dataset.train_accuracy.isel(time=1).values.reshape(2, -1)
    assert (train_accuracy[0] < train_accuracy[1]).all()
    # Settings of one recipe share their programs.
    kept = grokjax.load_result(tmp_path / "checkpoints" / "regularizers" / "decay_to_zero")
    assert kept.dataset.attrs["compilations"] == 0
    paths = draw(grokjax.load_result(tmp_path / "regularizers"), tmp_path)
    assert [path.name for path in paths] == ["data_efficiency.png", "data_efficiency.svg"]
    for path in paths:
        assert path.stat().st_size > 5000
        assert (tmp_path / "regularizers" / path.name).exists()


def test_settings_that_are_finished_survive_an_interruption(interrupt, tmp_path, capsys):
    interrupt(2, running=True)  # of four networks one has not begun, and one is in training
    with pytest.raises(grokjax.SweepInterrupted, match="with 2 of its 4 networks finished"):
        settings(
            names=("low_rate", "decay_to_zero"), p=P, alphas=(0.5, 0.9), seeds=2, max_steps=20,
            eval_every=20, output=tmp_path, progress=False,
        )  # fmt: skip
    best = best_accuracies(grokjax.load_result(tmp_path / "regularizers"))
    assert list(best) == ["learning rate 0.001", "decay 1 to zero"]
    assert [np.isnan(values).sum(axis=1).tolist() for values in best.values()] == [[0, 0], [0, 2]]
    assert (tmp_path / "regularizers" / "data_efficiency.png").exists()
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
    table = rollbacks(
        result_of(
            [0.1, 0.4, 0.99, 1.0, 1.0, 1.0, 1.0, 1.0],  # none
            [0.1, 1.0, 0.4, 0.3, 0.9, 0.2, 0.6, 0.7],  # two, of three measurements
            [0.1, 0.8, 0.2, 0.9, 0.98, 0.3, 0.98, 0.4],  # it never was there
            [0.1, 0.995, 0.5, 0.49, 0.6, nan, nan, nan],  # it diverged
        )
    )
    np.testing.assert_array_equal(table.generalization_step, [20, 10, nan, 10])
    np.testing.assert_array_equal(table.rollbacks, [0, 2, 0, 1])
    np.testing.assert_allclose(table.low_share, [0, 3 / 7, nan, 1 / 4])
    np.testing.assert_allclose(table.final_accuracy, [1.0, 0.7, 0.4, 0.6])


def test_weight_decay(tmp_path):
    from experiments.data_efficiency.weight_decay import draw

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
    paths = draw(grokjax.load_result(tmp_path), tmp_path / "again")
    assert [path.name for path in paths] == ["weight_decay.png", "weight_decay.svg"]
    for path in paths:
        assert path.stat().st_size > 5000
        assert (tmp_path / path.name).exists()
