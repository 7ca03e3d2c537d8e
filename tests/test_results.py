"""Results: the schema, the table, joining, and files that give back exactly what was written."""

import json

import ml_dtypes
import numpy as np
import pytest
import xarray

from grokjax.results import SweepResult, build_dataset, concatenate, environment, load_result

LANES, STEPS = 6, np.arange(5) * 10


def make(columns=None, seed=0, **attrs):
    generator = np.random.default_rng(seed)
    columns = columns or {"alpha": np.repeat([0.3, 0.5], 3), "seed": np.tile(range(3), 2)}
    train = np.sort(generator.random((LANES, 5)), axis=1).astype(np.float32)
    test = train / 2
    train[:, 1:] = 1
    test[:2, 2:] = 1
    test[0, 4:] = train[0, 4:] = np.nan  # retired, too early to have grokked
    history = {"train_accuracy": train, "test_accuracy": test, "w1_norm": train * 7}
    train[4] = 0.5
    diverged = np.arange(LANES) == 3
    final_step = np.array([30, 40, 40, 40, 40, 40])
    return build_dataset(columns, STEPS, history, final_step, diverged, attrs)


def make_params(lanes=LANES):
    generator = np.random.default_rng(1)
    block = {
        "kernel": generator.random((lanes, 2, 4)).astype(ml_dtypes.bfloat16),
        "count": np.arange(lanes, dtype=np.int8),
        "on": np.arange(lanes) % 2 == 0,
        "half": generator.random((lanes, 1)).astype(np.float16),
    }
    return {"w1": generator.standard_normal((lanes, 2, 3, 4)), "layers": {"Dense_0": block}}


def assert_same_params(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        if isinstance(value, dict):
            assert_same_params(found[name], value)
        else:
            assert found[name].dtype == value.dtype
            np.testing.assert_array_equal(found[name], value)


# Building


def test_schema():
    dataset = make(recipe="a recipe", wall_seconds=np.float64(1.5))
    assert dataset.sizes == {"lane": LANES, "time": 5}
    assert set(dataset.coords) == {"alpha", "seed", "step"}
    assert dataset.step.dims == ("time",)
    assert dataset.w1_norm.dims == ("lane", "time")
    for name in ("memorization_step", "grokking_step", "final_step", "outcome"):
        assert dataset[name].dims == ("lane",)
    np.testing.assert_array_equal(dataset.memorization_step, [10] * 4 + [np.nan, 10])
    np.testing.assert_array_equal(dataset.grokking_step, [np.nan, 20, *[np.nan] * 4])
    assert dataset.outcome.values.tolist() == [
        "memorized", "grokked", "memorized", "diverged", "underfit", "memorized"
    ]  # fmt: skip
    assert dataset.grokking_step.attrs["units"] == "steps"
    assert dataset.train_accuracy.attrs == {"long_name": "training accuracy", "units": "1"}
    assert all("long_name" in dataset[name].attrs for name in dataset.variables)
    assert dataset.attrs == {"recipe": "a recipe", "wall_seconds": 1.5}


def test_threshold_and_patience_are_used_and_recorded():
    arguments = (np.zeros((1, 3)), np.array([[0.2, 0.6, 0.7]]))
    history = dict(zip(("train_accuracy", "test_accuracy"), arguments, strict=True))
    dataset = build_dataset(
        {"seed": [0]}, [0, 1, 2], history, [2], [False], {}, threshold=0.5, patience=2
    )
    assert dataset.grokking_step.item() == 1
    assert dataset.grokking_step.attrs["threshold"] == 0.5
    assert dataset.grokking_step.attrs["patience"] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": {"train_accuracy": np.zeros((1, 3))}}, "lacks 'test_accuracy'"),
        ({"steps": [0, 1]}, "has shape"),
        ({"columns": {"seed": [0, 1]}}, "'seed' has shape"),
        ({"columns": {"train_accuracy": [0]}}, "both a measurement and a lane column"),
        ({"attrs": {"mesh": (1, 2)}}, "attribute 'mesh'"),
        ({"attrs": {"flag": True}}, "attribute 'flag'"),
    ],
)
def test_building_refuses(changes, message):
    accuracy = np.zeros((1, 3))
    arguments = {
        "columns": {"seed": [0]},
        "steps": [0, 1, 2],
        "history": {"train_accuracy": accuracy, "test_accuracy": accuracy},
        "final_step": [2],
        "diverged": [False],
        "attrs": {},
    }
    with pytest.raises(ValueError, match=message):
        build_dataset(**(arguments | changes))


def test_environment_can_be_stored():
    found = environment()
    assert {"grokjax", "jax", "numpy", "python", "device", "platform", "git_commit"} <= set(found)
    assert make(**found).attrs == found


def test_repr_counts_outcomes():
    assert repr(SweepResult(make())) == (
        "SweepResult(6 lanes, 5 measurements: 1 diverged, 1 grokked, 3 memorized, 1 underfit)"
    )


# Tables


def test_table_of_a_product():
    columns = {
        "optimizer": np.repeat(["sgd", "adamw"], 3),  # words keep their order
        "seed": np.tile([2, 0, 1], 2),  # numbers are sorted
        "alpha": np.full(6, 0.5),
    }
    dataset = make(columns, recipe="a recipe")
    table = SweepResult(dataset).table()
    assert table.test_accuracy.dims == ("optimizer", "seed", "time")
    assert table.optimizer.values.tolist() == ["sgd", "adamw"]
    assert table.seed.values.tolist() == [0, 1, 2]
    assert table.alpha.item() == 0.5
    assert table.final_step.dtype == dataset.final_step.dtype  # no hole, no NaN
    assert table.attrs == dataset.attrs
    for lane in range(LANES):
        row = dataset.isel(lane=lane)
        cell = table.sel(optimizer=row.optimizer.item(), seed=row.seed.item())
        assert cell.outcome == row.outcome
        np.testing.assert_array_equal(cell.test_accuracy, row.test_accuracy)


def test_table_of_zipped_lanes_has_holes():
    columns = {"alpha": np.linspace(0.1, 0.6, 6), "seed": np.arange(6)}
    table = SweepResult(make(columns)).table()
    assert table.sizes == {"alpha": 6, "seed": 6, "time": 5}
    assert int(table.final_step.notnull().sum()) == 6
    assert table.outcome.values[0, 0] == "memorized"
    assert table.outcome.values[0, 1] == ""
    assert np.isnan(table.w1_norm.values[0, 1]).all()


def test_table_with_chosen_dims_keeps_the_other_columns():
    columns = {"alpha": np.linspace(0.1, 0.6, 6), "seed": np.arange(6)[::-1]}
    table = SweepResult(make(columns)).table(["alpha"])
    assert table.sizes == {"alpha": 6, "time": 5}
    assert table.seed.dims == ("alpha",)
    assert table.seed.values.tolist() == [5, 4, 3, 2, 1, 0]


def test_table_refuses():
    with pytest.raises(ValueError, match=r"3 lanes are at \{'alpha': 0.3\}"):
        SweepResult(make()).table(["alpha"])
    with pytest.raises(ValueError, match="'lr' is no lane column"):
        SweepResult(make()).table(["lr"])
    same = {"alpha": np.full(6, 0.5), "seed": np.zeros(6, int)}
    with pytest.raises(ValueError, match="6 lanes"):
        SweepResult(make(same)).table()
    zipped = {name: np.arange(6) for name in "abcdef"}
    with pytest.raises(ValueError, match="for only 6 lanes"):
        SweepResult(make(zipped)).table()


# Joining


def test_concatenate_adds_a_column_and_unites_steps():
    first = make(recipe="adamw", wall_seconds=2.0, lane_steps=5, jax="0.10")
    second = make(recipe="sgd", wall_seconds=2.0, lane_steps=6, jax="0.10", seed=3)
    second = second.drop_vars("w1_norm").assign_coords(step=("time", STEPS + 20))
    joined = concatenate([SweepResult(first), SweepResult(second)], optimizer=["adamw", "sgd"])
    dataset = joined.dataset
    assert dataset.step.values.tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert dataset.optimizer.values.tolist() == ["adamw"] * 6 + ["sgd"] * 6
    assert set(dataset.coords) == {"alpha", "seed", "optimizer", "step"}
    np.testing.assert_array_equal(dataset.test_accuracy[:6, :5], first.test_accuracy)
    np.testing.assert_array_equal(dataset.test_accuracy[6:, 2:], second.test_accuracy)
    assert dataset.test_accuracy[:6, 5:].isnull().all()
    assert dataset.w1_norm[6:].isnull().all()
    assert dataset.test_accuracy.dtype == np.float32
    assert dataset.final_step.dtype == first.final_step.dtype
    assert dataset.outcome.values.tolist() == 2 * first.outcome.values.tolist()
    assert dataset.test_accuracy.attrs == first.test_accuracy.attrs
    assert dataset.attrs == {
        "recipe": "adamw | sgd",
        "wall_seconds": 4.0,  # a cost, added though it is equal
        "lane_steps": 11,
        "jax": "0.10",
    }
    assert joined.table().sizes == {"alpha": 2, "seed": 3, "optimizer": 2, "time": 7}


def test_concatenate_fills_columns_that_one_result_lacks():
    decay = {"seed": np.arange(6), "weight_decay": np.ones(6), "kind": np.array(["a"] * 6)}
    parts = [SweepResult(make(decay)), SweepResult(make({"seed": np.arange(6, 12)}))]
    dataset = concatenate(parts).dataset
    np.testing.assert_array_equal(dataset.weight_decay, [1.0] * 6 + [np.nan] * 6)
    assert dataset.kind.values.tolist() == ["a"] * 6 + [""] * 6


def test_concatenate_joins_parameters_that_fit():
    first = SweepResult(make(), make_params())
    joined = concatenate([first, first], run=[0, 1]).params
    np.testing.assert_array_equal(joined["w1"][6:], first.params["w1"])
    assert joined["layers"]["Dense_0"]["kernel"].shape == (12, 2, 4)
    for other in (None, {"w1": np.zeros((6, 1))}, make_params() | {"w1": np.zeros((6, 9))}):
        assert concatenate([first, SweepResult(make(), other)], run=[0, 1]).params is None


def test_concatenate_refuses():
    result = SweepResult(make())
    with pytest.raises(ValueError, match="at least one result"):
        concatenate([])
    with pytest.raises(ValueError, match="2 values for 1 results"):
        concatenate([result], optimizer=["a", "b"])
    with pytest.raises(ValueError, match="'alpha' already"):
        concatenate([result], alpha=[0.3])


# Files


def test_round_trip_is_exact(tmp_path):
    columns = {
        "alpha": np.linspace(0.1, 0.6, 6) / 3,
        "seed": np.arange(6),
        "optimizer": np.array(["sgd", "adamw"] * 3),
        "clip": np.array([True, False] * 3),
    }
    dataset = make(columns, recipe="a\nrecipe", git_commit="", lane_steps=2**40, wall_seconds=0.1)
    params = make_params()
    SweepResult(dataset, params).save(tmp_path / "deep" / "run")
    loaded = load_result(tmp_path / "deep" / "run")
    xarray.testing.assert_identical(loaded.dataset, dataset)
    for name, variable in dataset.variables.items():
        assert loaded.dataset[name].dtype == variable.dtype
    assert loaded.dataset.attrs == dataset.attrs
    assert {k: type(v) for k, v in loaded.dataset.attrs.items()} == {
        k: type(v) for k, v in dataset.attrs.items()
    }
    assert_same_params(loaded.params, params)
    config = json.loads((tmp_path / "deep" / "run" / "config.json").read_text())
    assert config == dataset.attrs


def test_joined_results_round_trip(tmp_path):
    parts = [SweepResult(make()), SweepResult(make({"kind": np.array(list("abcdef"))}))]
    joined = concatenate(parts, optimizer=["adamw", "sgd"])
    joined.save(tmp_path)
    xarray.testing.assert_identical(load_result(tmp_path).dataset, joined.dataset)


def test_saving_again_leaves_nothing_of_the_old_result(tmp_path):
    SweepResult(make(), make_params()).save(tmp_path)
    SweepResult(make(seed=5)).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "results.nc"]
    assert load_result(tmp_path).params is None


def test_a_failed_save_keeps_the_old_result(tmp_path):
    SweepResult(make(), make_params()).save(tmp_path)
    with pytest.raises(ValueError, match="'a/b'"):
        SweepResult(make(seed=5), {"a/b": np.zeros((6, 1))}).save(tmp_path)
    xarray.testing.assert_identical(load_result(tmp_path).dataset, make())
    assert_same_params(load_result(tmp_path).params, make_params())
    assert len(list(tmp_path.iterdir())) == 3


def test_other_netcdf_readers_find_the_parameters(tmp_path):
    SweepResult(make(), make_params()).save(tmp_path)
    group = xarray.load_dataset(tmp_path / "params.nc", group="layers/Dense_0", engine="h5netcdf")
    assert group["count"].dims == ("lane",)
    np.testing.assert_array_equal(group["count"], np.arange(6))


def test_missing_and_broken_files_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"no result at .*results\.nc; give the directory"):
        load_result(tmp_path)
    SweepResult(make(), make_params()).save(tmp_path)
    for name in ("params.nc", "results.nc"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match=rf"{name} cannot be read .*run the sweep again"):
            load_result(tmp_path)
        (tmp_path / name).write_bytes(content)


def test_joined_results_keep_their_words_whole_on_the_disk(tmp_path):
    short, long = (SweepResult(make()).select([i]) for i in (1, 0))  # "grokked", "memorized"
    for name, part in (("a", short), ("b", long)):
        part.save(tmp_path / name)
    parts = [load_result(tmp_path / name) for name in "ab"]
    concatenate(parts).save(tmp_path)
    assert load_result(tmp_path).dataset.outcome.values.tolist() == ["grokked", "memorized"]
