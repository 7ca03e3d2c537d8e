"""Results: schema, table, the last measurements, some of the lanes, and joining."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from made_results import LANES, STEPS, make, make_params

from grokjax.results import SweepResult, build_dataset, concatenate, environment

# Building


def test_schema():
    dataset = make(recipe="a recipe", wall_seconds=np.float64(1.5))
    assert dataset.sizes == {"lane": LANES, "time": 5}
    assert set(dataset.coords) == {"alpha", "seed", "step"}
    assert dataset.step.dims == ("time",)
    assert dataset.w1_norm.dims == ("lane", "time")
    for name in ("memorization_step", "grokking_step", "final_step", "watched_step", "outcome"):
        assert dataset[name].dims == ("lane",)
    np.testing.assert_array_equal(dataset.memorization_step, [10] * 4 + [np.nan, 10])
    np.testing.assert_array_equal(dataset.grokking_step, [np.nan, 20, *[np.nan] * 4])
    assert dataset.outcome.values.tolist() == [
        "memorized", "grokked", "memorized", "diverged", "underfit", "memorized"
    ]  # fmt: skip
    # Three measurements have to be at the threshold: the third last is the last one that counts.
    assert dataset.watched_step.values.tolist() == [10, 40, 20, 20, 20, 20]
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


def small(**changes):
    """A dataset of one lane that has memorized and not grokked, three times measured."""
    history = {"train_accuracy": np.ones((1, 3)), "test_accuracy": np.array([[0.2, 0.3, 1.0]])}
    arguments = {"columns": {"seed": [0]}, "steps": [0, 1, 2], "history": history}
    arguments |= {"final_step": [2], "diverged": [False], "attrs": {}}
    return build_dataset(**(arguments | changes))


def test_a_lane_that_its_rule_ended_is_judged_by_where_it_ended():
    assert small().outcome.item() == "memorized"  # one measurement is not patience enough
    ended = small(stopped=[True])
    assert ended.outcome.item() == "grokked"
    assert ended.grokking_step.item() == ended.watched_step.item() == 2


def test_a_lane_that_was_interrupted_is_said_to_be():
    assert small(running=[True]).outcome.item() == "interrupted"
    assert small(running=[True], diverged=[True]).outcome.item() == "diverged"


def with_measurement(name):
    accuracy = np.zeros((1, 3))
    return {"history": dict.fromkeys(("train_accuracy", "test_accuracy", name), accuracy)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": {"train_accuracy": np.zeros((1, 3))}}, "lacks 'test_accuracy'"),
        ({"history": [1]}, "history must be a mapping"),
        ({"history": {"train_accuracy": "x", "test_accuracy": "x"}}, "'train_accuracy'.*numbers"),
        ({"steps": [0, 1]}, r"of shape \[1, 2\], got float64 \[1, 3\]"),
        ({"steps": [2, 1, 0]}, "steps must increase"),
        ({"steps": 5}, r"steps must be an array of integers of shape \[T\], got 5"),
        ({"columns": {"seed": [0, 1]}}, "'seed' has shape"),
        ({"columns": {"seed": [None]}}, "'seed' must hold numbers or words"),
        ({"columns": None}, "columns must be a mapping"),
        ({"columns": {3: [0]}}, "columns must have names for keys, got 3"),
        ({"columns": {"test_accuracy": [0]}}, "'test_accuracy', because it is a lane column"),
        ({"columns": {"step": [0]}}, "a lane column cannot be called 'step', because results have"),
        (with_measurement("outcome"), "a measurement cannot be called 'outcome'"),
        (with_measurement("a/b"), "'a/b', because no file can have that name"),
        (with_measurement(""), "cannot be called ''"),
        ({"final_step": ["a"]}, "final_step must be an array of integers"),
        ({"diverged": True}, r"diverged must be an array of booleans of shape \[L\], got True"),
        ({"diverged": [2]}, "diverged must be an array of booleans"),
        ({"stopped": [True, False]}, r"stopped must be .* of shape \[1\], got bool \[2\]"),
        ({"threshold": 99}, "threshold must be .* at most 1, got 99"),
        ({"patience": 0}, "patience must be a positive integer, got 0"),
        ({"attrs": {"mesh": (1, 2)}}, "attribute 'mesh'"),
        ({"attrs": {"flag": True}}, "attribute 'flag'"),
        ({"attrs": None}, "attrs must be a mapping"),
    ],
)
def test_building_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


@pytest.mark.parametrize("other", [None, {}, xarray.Dataset(), make().drop_vars("outcome")])
def test_a_result_is_made_of_the_dataset_of_a_sweep(other):
    with pytest.raises(ValueError, match="dataset must be the dataset of a sweep"):
        SweepResult(other)


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
    for dims, message in [
        (["lr"], "'lr' is no lane column; the columns are"),
        (["step"], "'step' is no lane column"),
        ([["alpha"]], r"\['alpha'\] is no lane column"),
        (["alpha", "seed", "seed"], "dims has 'seed' twice"),
        (5, "dims must be names of lane columns, got 5"),
    ]:
        with pytest.raises(ValueError, match=message):
            SweepResult(make()).table(dims)
    same = {"alpha": np.full(6, 0.5), "seed": np.zeros(6, int)}
    with pytest.raises(ValueError, match="6 lanes"):
        SweepResult(make(same)).table()
    zipped = {name: np.arange(6) for name in "abcdef"}
    with pytest.raises(ValueError, match="for only 6 lanes"):
        SweepResult(make(zipped)).table()


# Further variables and columns


def test_assign_adds_variables_and_keeps_everything_else():
    result = SweepResult(make(), make_params())
    peak = result.dataset.test_accuracy.max("time")
    more = result.assign(peak=peak, number=("lane", np.arange(LANES)))
    np.testing.assert_array_equal(more.dataset.peak, peak)
    assert more.dataset.number.dims == ("lane",)
    assert "peak" not in result.dataset
    assert more.params is result.params
    assert more.dataset.drop_vars(["peak", "number"]).identical(result.dataset)


def test_assign_coords_adds_columns_that_groups_are_made_of():
    result = SweepResult(make()).assign_coords(width=("lane", [16, 64] * (LANES // 2)))
    groups = result.groups("width")
    assert [width for width, _ in groups] == [16, 64]
    assert all(lanes.dataset.sizes["lane"] == LANES // 2 for _, lanes in groups)


@pytest.mark.parametrize("method", ["assign", "assign_coords"])
def test_what_does_not_fit_the_lanes_is_refused(method):
    with pytest.raises(ValueError, match="dimension 'lane'"):
        getattr(SweepResult(make()), method)(width=("lane", [1, 2]))


# The last measurement of each lane


def test_final_is_the_last_measurement_of_a_lane_that_retired_too():
    dataset = make()
    final = SweepResult(dataset).final("test_accuracy")
    assert final.dims == ("lane",)
    assert np.isnan(dataset.test_accuracy[0, -1])  # what isel(time=-1) gives
    np.testing.assert_array_equal(final[0], dataset.test_accuracy[0, 3])
    np.testing.assert_array_equal(final[1:], dataset.test_accuracy[1:, -1])
    np.testing.assert_array_equal(final.alpha, dataset.alpha)
    assert final.step.values.tolist() == dataset.final_step.values.tolist()


def test_at_a_step_is_the_last_measurement_up_to_it():
    dataset = make()
    at = SweepResult(dataset).at(35)
    assert at.sizes == {"lane": LANES}
    assert at.step.values.tolist() == [30] * LANES
    np.testing.assert_array_equal(at.w1_norm, dataset.w1_norm[:, 3])
    np.testing.assert_array_equal(at.outcome, dataset.outcome)
    later = SweepResult(dataset).at(10**9)
    assert later.step.values.tolist() == [30, 40, 40, 40, 40, 40]
    np.testing.assert_array_equal(later.test_accuracy[0], dataset.test_accuracy[0, 3])


def test_the_last_measurement_of_a_lane_that_diverged_is_the_one_at_which_it_did():
    dataset = make()
    for name in ("train_accuracy", "test_accuracy", "w1_norm"):
        dataset[name][3, 2:] = np.nan
    dataset.final_step[3] = 20
    result = SweepResult(dataset)
    assert np.isnan(result.final("w1_norm")[3])
    assert result.at(40).step.values.tolist() == [30, 40, 40, 20, 40, 40]
    assert result.at(10).w1_norm[3] == dataset.w1_norm[3, 1]


def test_the_last_measurement_is_each_lanes_own_after_joining_others_of_other_lengths():
    late = make(seed=3).assign_coords(step=("time", STEPS + 25))
    late["final_step"] = late.final_step + 25
    joined = concatenate([SweepResult(make()), SweepResult(late)], run=[0, 1])
    for name in ("test_accuracy", "w1_norm"):
        parts = [SweepResult(part).final(name) for part in (make(), late)]
        np.testing.assert_array_equal(joined.final(name), np.concatenate(parts))
    assert joined.at(38).step.values.tolist() == [30] * 6 + [35] * 6


def test_the_last_measurement_refuses_what_there_is_not():
    result = SweepResult(make())
    for name in ("accuracy", "final_step", "alpha", None, ["test_accuracy"]):
        with pytest.raises(ValueError, match=r"was not measured; there are \['train_accuracy'"):
            result.final(name)
    for step in (-1, "a", None, np.nan, True, [3]):
        with pytest.raises(ValueError, match="step must be a finite number of at least 0"):
            result.at(step)
    late = SweepResult(make().assign_coords(step=("time", STEPS + 5)))
    with pytest.raises(ValueError, match="lane 0 has no measurement up to step 4"):
        late.at(4)


# Some of the lanes


@pytest.mark.parametrize("kind", [list, np.asarray, jnp.asarray, xarray.DataArray])
def test_a_mask_selects_the_lanes_at_which_it_is_true(kind):
    result = SweepResult(make(), make_params())
    chosen = result.select(kind([False, False, False, True, False, True]))
    assert chosen.dataset.alpha.values.tolist() == [0.5, 0.5]
    assert chosen.dataset.seed.values.tolist() == [0, 2]
    np.testing.assert_array_equal(chosen.params["w1"], result.params["w1"][[3, 5]])
    by_column = result.select(result.dataset.alpha == 0.5)
    assert by_column.dataset.seed.values.tolist() == [0, 1, 2]


@pytest.mark.parametrize("lanes", [[5, 0], (5, 0), np.array([5, 0]), [-1, 0], range(5, -1, -5)])
def test_numbers_select_lanes_in_any_order(lanes):
    result = SweepResult(make(), make_params()).select(lanes)
    assert result.dataset.seed.values.tolist() == [2, 0]
    np.testing.assert_array_equal(result.params["w1"], make_params()["w1"][[5, 0]])


@pytest.mark.parametrize(
    "lanes",
    [
        [0.5], np.array([0.0, 1.0]), [6], [-7], [[0, 1]], [True, False], [True] * 7, 3, None, "0",
        {0}, {"lane": 0}, ["a"], [None], [2**70],
    ],
)  # fmt: skip
def test_select_refuses(lanes):
    with pytest.raises(ValueError, match="lanes must be numbers of lanes below 6, or one boolean"):
        SweepResult(make()).select(lanes)


def test_some_of_the_lanes_cost_what_they_took():
    costs = {"lane_steps": 230, "slot_steps": 460, "wall_seconds": 2.3, "compilations": 3}
    result = SweepResult(make(**costs))
    some = result.select([0, 1]).dataset.attrs
    assert some == {"lane_steps": 70, "slot_steps": 140, "wall_seconds": 0.7, "compilations": 3}
    assert result.dataset.attrs == costs  # as before
    assert result.select(range(5, -1, -1)).dataset.attrs == costs  # all of them, in another order


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


def test_concatenate_joins_attributes_that_are_lists():
    parts = [SweepResult(make()), SweepResult(make())]
    for part in parts:
        part.dataset.attrs["budgets"] = [10, 20]
    assert concatenate(parts, run=[0, 1]).dataset.attrs["budgets"] == [10, 20]
    parts[1].dataset.attrs["budgets"] = [30]
    assert concatenate(parts, run=[0, 1]).dataset.attrs["budgets"] == "[10, 20] | [30]"


def test_concatenate_fills_columns_that_one_result_lacks():
    decay = {"seed": np.arange(6), "weight_decay": np.ones(6), "kind": np.array(["a"] * 6)}
    parts = [SweepResult(make(decay)), SweepResult(make({"seed": np.arange(6, 12)}))]
    dataset = concatenate(parts).dataset
    np.testing.assert_array_equal(dataset.weight_decay, [1.0] * 6 + [np.nan] * 6)
    assert dataset.kind.values.tolist() == ["a"] * 6 + [""] * 6


def test_concatenate_puts_parameters_of_every_measurement_beside_their_steps():
    """They have the time as their second axis, which is another one after joining."""
    parts = []
    for steps in (STEPS, STEPS + 5):
        dataset = make(keep_params="all").assign_coords(step=("time", steps))
        params = {"w": np.broadcast_to(steps, (LANES, 5)).astype(np.float32)}
        params["count"] = np.broadcast_to(steps, (LANES, 5)).astype(np.int32)
        parts.append(SweepResult(dataset, params))
    joined = concatenate(parts, run=[0, 1])
    for place, step in enumerate(joined.dataset.step.values):
        own, other = (slice(6), slice(6, None))[:: 1 if step % 10 == 0 else -1]
        assert (joined.params["w"][own, place] == step).all()
        assert (joined.params["count"][own, place] == step).all()
        assert np.isnan(joined.params["w"][other, place]).all()


def test_concatenate_joins_parameters_that_fit():
    first = SweepResult(make(), make_params())
    joined = concatenate([first, first], run=[0, 1]).params
    np.testing.assert_array_equal(joined["w1"][6:], first.params["w1"])
    assert joined["layers"]["Dense_0"]["kernel"].shape == (12, 2, 4)
    for other in (None, {"w1": np.zeros((6, 1))}, make_params() | {"w1": np.zeros((6, 9))}):
        assert concatenate([first, SweepResult(make(), other)], run=[0, 1]).params is None


def test_concatenate_refuses():
    result = SweepResult(make())
    for wrong in ([], 5, None, "x", [make()], [result, None], {"a": result}):
        with pytest.raises(ValueError, match="concatenate needs a list of one or more results"):
            concatenate(wrong)
    for values in (["a"], "ab", 5, [[1, 2], [3, 4]], [[1], [2, 3]], [None, 1], {0: 1, 1: 2}):
        with pytest.raises(
            ValueError, match="'kind' must have one value for each of the 2 results"
        ):
            concatenate([result, result], kind=values)
    for name in ("alpha", "test_accuracy"):
        with pytest.raises(ValueError, match=f"{name!r} already"):
            concatenate([result], **{name: [0.3]})
    for name in ("lane", "time", "step", "outcome", "initial_digest", "a/b"):
        with pytest.raises(ValueError, match=f"a lane column cannot be called {name!r}"):
            concatenate([result], **{name: [0.3]})
