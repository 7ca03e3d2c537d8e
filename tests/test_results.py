"""Results: schema, table, joining, trained networks, and files that give back what was written."""

import collections
import dataclasses
import json
import secrets
import shutil

import h5py
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import xarray

import grokjax
from grokjax import losses, models, optimizers, tasks
from grokjax.results import SweepResult, build_dataset, concatenate, environment, files, load_result

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
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


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


# Trained networks


QUIET = models.QuadraticMLP(5, 12, parameterization="standard")


@dataclasses.dataclass(frozen=True)
class Loud:
    """A quadratic network whose lanes set how loud it is, and that is noisy in training.

    Its parameters are a tuple.
    """

    def init(self, key, tokens):
        params = QUIET.init(key, tokens)
        return params["w1"], {"w2": params["w2"]}

    def apply(self, params, tokens, *, key=None, loudness=1.0):
        noise = 0.0 if key is None else 0.01 * jax.random.normal(key)
        return loudness * QUIET.apply({"w1": params[0], **params[1]}, tokens) + noise


TASK = tasks.modular_addition(5)
NUMBERS = {
    "alpha": [0.4, 0.6, 0.7],
    "seed": [0, 1, 1],
    "split_seed": [5, 5, 9],
    "label_noise": [0.0, 0.5, 0.8],
    "logit_scale": [1.0, 2.0, 0.5],
    "loudness": [1.0, 0.5, 3.0],
    "learning_rate": 0.1,
}


@pytest.fixture(scope="module")
def trained():
    """Lanes in whose networks and splits every column has a part; all parameters are kept."""
    return grokjax.run_sweep(
        grokjax.Recipe(Loud(), losses.mse, optimizers.gradient_descent), TASK,
        grokjax.zip_lanes(**NUMBERS), max_steps=6, eval_every=3, stop=None, keep_params="all",
        slots=1, vectorize=False, progress=False,
    )  # fmt: skip


def measured_again(result, lane, step=None, **given):
    """Training and test loss of a lane, from its network and its split alone."""
    task = {k: v for k, v in given.items() if k == "task"}
    model = {k: v for k, v in given.items() if k == "model"}
    split = result.split(lane, **task)
    logits = result.network(lane, step=step, **model)(TASK.tokens)
    rows = np.asarray(losses.mse(logits, split.labels))
    return rows[split.train].mean(), rows[split.test].mean()


@pytest.mark.parametrize("step", [None, 0, 3, 5])
def test_network_and_split_of_a_lane_give_the_losses_that_were_measured(trained, step):
    at = trained.at(6 if step is None else step)
    for lane in range(3):
        train_loss, test_loss = measured_again(trained, lane, step)
        np.testing.assert_allclose(train_loss, at.train_loss[lane], rtol=1e-5)
        np.testing.assert_allclose(test_loss, at.test_loss[lane], rtol=1e-5)


def test_a_network_is_the_model_with_the_numbers_of_its_lane(trained):
    for lane in (0, 1, 2, -1):
        params = jax.tree.map(lambda leaf, lane=lane: leaf[lane, -1], trained.params)
        expected = Loud().apply(params, TASK.tokens, loudness=NUMBERS["loudness"][lane])
        found = trained.network(lane)(TASK.tokens)
        np.testing.assert_allclose(found, NUMBERS["logit_scale"][lane] * expected, rtol=1e-6)
    one = trained.network(2)([3, 4])
    np.testing.assert_allclose(one, trained.network(2)([[0, 1], [3, 4]])[1], rtol=1e-6)


def test_a_split_is_that_of_the_lanes_seeds(trained):
    for lane in range(3):
        split = trained.split(lane)
        order = tasks.split_order(TASK, grokjax.keys.split_key(NUMBERS["split_seed"][lane]))
        count = round(25 * NUMBERS["alpha"][lane])
        assert set(np.flatnonzero(split.train)) == set(np.asarray(order)[:count].tolist())
        np.testing.assert_array_equal(split.test, ~split.train)
        np.testing.assert_array_equal(split.labels[split.test], TASK.labels[split.test])
        changed = np.mean(split.labels != TASK.labels)
        assert (changed > 0) == (NUMBERS["label_noise"][lane] > 0)


def test_a_loaded_result_needs_its_model_and_its_task(trained, tmp_path):
    trained.save(tmp_path)
    loaded = load_result(tmp_path)
    assert_same_params(loaded.params, trained.params)
    with pytest.raises(ValueError, match=r"does not know its model: it was loaded.*give model="):
        loaded.network(0)
    with pytest.raises(ValueError, match=r"does not know its task: it was loaded.*give task="):
        loaded.split(0)
    for lane in range(3):
        again = measured_again(loaded, lane, model=Loud(), task=TASK)
        np.testing.assert_array_equal(again, measured_again(trained, lane))


def test_lanes_without_a_column_have_what_their_own_sweep_had(trained):
    """After joining, a column that a sweep did not have is NaN for its lanes."""
    bare = {"loudness", "logit_scale", "label_noise", "split_seed"}
    dataset = trained.select([0]).dataset.drop_vars(bare)
    params = jax.tree.map(lambda leaf: leaf[:1], trained.params)
    joined = concatenate([trained, SweepResult(dataset, params, Loud(), TASK)])
    assert joined.model == Loud()
    assert joined.task is TASK
    assert np.isnan(joined.dataset.loudness[3])
    np.testing.assert_allclose(
        joined.network(3)(TASK.tokens), trained.network(0)(TASK.tokens), rtol=1e-6
    )
    own = tasks.split_order(TASK, grokjax.keys.split_key(0))  # of `seed`
    assert set(np.flatnonzero(joined.split(3).train)) == set(np.asarray(own)[:10].tolist())
    np.testing.assert_array_equal(joined.split(1).labels, trained.split(1).labels)


def test_lanes_of_several_tasks_have_the_split_of_each(trained):
    other = tasks.modular_addition(7)
    dataset = trained.dataset.assign_attrs(task=other.name, rows=49)
    joined = concatenate([trained, SweepResult(dataset, None, Loud(), other)], p=[5, 7])
    assert joined.split(0, TASK).train.sum() == 10
    assert joined.split(3, other).train.sum() == 20
    with pytest.raises(ValueError, match="give the task that the sweep learned"):
        joined.split(0, tasks.modular_addition(3))


@pytest.mark.parametrize("lane", [3, -4, 1.5, "a", None, True, [0], np.nan])
def test_network_and_split_are_of_one_lane(trained, lane):
    for method in (trained.network, trained.split):
        with pytest.raises(ValueError, match="lane must be an integer of at least -3 and below 3"):
            method(lane)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.split(0, tasks.modular_addition(7)), "the task given has 'n1.n2 mod 7'"),
        (lambda r: r.split(0, tasks.modular_multiplication(5)), "the task that the sweep learned"),
        (
            lambda r: r.split(0, tasks.modular_addition(5, num_rows=9, key=jax.random.key(0))),
            "rows",
        ),
        (lambda r: r.split(0, TASK.tokens), "task must be a Task"),
        (lambda r: SweepResult(make({"seed": range(6)})).split(0, TASK), "have the column 'alpha'"),
        (lambda r: r.network(0, Loud), "got the class Loud"),
        (lambda r: r.network(0, TASK), "model must be a model with init and apply"),
        (lambda r: r.network(0, step=-1), "step must be an integer of at least 0, or None"),
        (lambda r: r.network(0, step="last"), "step must be an integer"),
        (lambda r: SweepResult(r.dataset, None, Loud()).network(0), "has no parameters; make it"),
        (lambda r: r.network(0)([[0.5, 1.0]]), "tokens must be an array of integers"),
        (lambda r: r.network(0)([[1, 2], [3]]), "tokens must be an array of integers"),
        (lambda r: r.network(0)("3 + 4"), "tokens must be an array of integers"),
    ],
)
def test_network_and_split_refuse(trained, call, message):
    with pytest.raises(ValueError, match=message):
        call(trained)


def test_only_kept_parameters_make_a_network(trained):
    final = jax.tree.map(lambda leaf: leaf[:, -1], trained.params)
    dataset = trained.dataset.assign_attrs(keep_params="final")
    result = SweepResult(dataset, final, Loud(), TASK)
    np.testing.assert_array_equal(result.network(1)(TASK.tokens), trained.network(1)(TASK.tokens))
    with pytest.raises(ValueError, match=r'at step 3 were not kept.*keep_params="all"'):
        result.network(1, step=3)


# Branching


def test_branch_takes_the_parameters_of_the_lane_that_matches():
    parents = SweepResult(make(), make_params())
    lanes = {"seed": range(3), "alpha": 0.5, "weight_decay": np.arange(3)}
    found = parents.branch(lanes, ["seed", "alpha"])
    np.testing.assert_array_equal(found["w1"], parents.params["w1"][3:])
    one = parents.select([2]).branch({"alpha": [0.1, 0.2]})
    np.testing.assert_array_equal(one["w1"], parents.params["w1"][[2, 2]])


def test_branch_takes_the_last_of_the_parameters_of_every_measurement(trained):
    found = trained.branch({"seed": [0], "alpha": 0.4}, ["seed", "alpha"])
    assert_same_params(found, jax.tree.map(lambda leaf: leaf[:1, -1], trained.params))


@pytest.mark.parametrize(
    ("lanes", "match", "message"),
    [
        (None, [], "lanes must be a mapping"),
        ([1], [], "lanes must be a mapping"),
        ({3: [1]}, [], "lanes must have names for keys, got 3"),
        ({"seed": [[0, 1]]}, ["seed"], r"lanes must be columns of numbers.*seed=\[\[0, 1\]\]"),
        ({"seed": [[0], [1, 2]]}, ["seed"], "lanes must be columns of numbers"),
        ({"seed": []}, ["seed"], "lanes must be columns of numbers"),
        ({"seed": [None]}, ["seed"], "lanes must be columns of numbers"),
        (
            {"seed": range(2), "alpha": [0.3] * 3},
            ["seed"],
            "'seed' has 2 values where others have 3",
        ),
        ({"seed": range(2)}, ["alpha"], "'alpha' is no column of both"),
        ({"seed": range(2)}, [5], "5 is no column of both"),
        ({"seed": range(2)}, 5, "match must be names of columns, got 5"),
        ({"seed": range(2)}, "seed", "new lane 0 has 2 lanes to go on from"),
        ({"seed": [7]}, "seed", "new lane 0 has 0 lanes to go on from"),
        ({}, [], "new lane 0 has 6 lanes to go on from"),
    ],
)
def test_branch_refuses(lanes, match, message):
    with pytest.raises(ValueError, match=message):
        SweepResult(make(), make_params()).branch(lanes, match)


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
        if variable.dtype.kind != "U":  # words take as much room as the longest
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


Block = collections.namedtuple("Block", ["kernel", "bias"])


def test_tuples_and_lists_of_parameters_round_trip(tmp_path):
    generator = np.random.default_rng(0)
    draw = lambda *shape: generator.standard_normal((LANES, *shape)).astype(np.float32)
    params = {"experts": (draw(2), {"w": draw()}, ()), "heads": [draw(3) for _ in range(12)]}
    SweepResult(make(), params).save(tmp_path)
    loaded = load_result(tmp_path)
    assert_same_params(loaded.params, params)
    some = loaded.select([4])
    np.testing.assert_array_equal(some.params["heads"][11], params["heads"][11][[4]])
    joined = concatenate([loaded, SweepResult(make(), params)], run=[0, 1]).params
    assert jax.tree.structure(joined) == jax.tree.structure(params)
    named = SweepResult(make(), Block(draw(2), draw()))
    assert isinstance(named.select([0]).params, Block)
    assert isinstance(concatenate([named, named], run=[0, 1]).params, Block)
    named.save(tmp_path)  # a file does not know its class
    assert_same_params(load_result(tmp_path).params, tuple(named.params))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"a/b": np.zeros((6, 1))}, "names other than .* got 'a/b'"),
        ({"..": np.zeros(6)}, "got '..'; rename it"),
        ({"lane": np.zeros(6)}, "got 'lane'; rename it"),
        ({"": np.zeros(6)}, "got ''"),
        ({"a\0": np.zeros(6)}, "rename it"),
        ({5: np.zeros(6)}, "got 5; rename it"),
        ({"w": np.zeros(3)}, "params must have the 6 lanes first, as the dataset, got 3"),
        ({"w": np.zeros(6), "v": np.zeros(3)}, "must all have the lanes as their first axis"),
        ({"w": 5.0}, "must all have the lanes as their first axis"),
        ("weights", "must all have the lanes as their first axis"),
        ({"w": np.array(["a"] * 6)}, "the parameter 'w' must be an array of numbers"),
        ({"w": np.array([None] * 6)}, "the parameter 'w' must be an array of numbers"),
        ({"w": jax.random.split(jax.random.key(0), 6)}, "'w' must be an array of numbers"),
    ],
)
def test_parameters_that_no_file_can_hold_are_refused(params, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        SweepResult(make(), params).save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_parameters_named_like_axes_of_others_round_trip(tmp_path):
    params = {"w": np.arange(18.0).reshape(6, 3), "w axis 1": np.zeros((6, 2)), "time": np.ones(6)}
    SweepResult(make(), params).save(tmp_path)
    assert_same_params(load_result(tmp_path).params, params)


@pytest.mark.parametrize("call", [SweepResult(make()).save, load_result])
def test_what_is_no_path_is_refused(call, tmp_path):
    for wrong in (5, None, "", "\0", [], True):
        with pytest.raises(ValueError, match="directory must be a path, such as"):
            call(wrong)
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="file"):
            call(place)


def test_another_netcdf_file_is_no_result(tmp_path):
    xarray.Dataset({"x": ("lane", [1.0])}).to_netcdf(tmp_path / "results.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"results\.nc must be the dataset of a sweep.*'time'"):
        load_result(tmp_path)


# Saves that do not belong together


def test_parameters_of_another_save_are_refused(tmp_path):
    for name in "ab":
        SweepResult(make(), make_params()).save(tmp_path / name)
    shutil.copy(tmp_path / "b" / "params.nc", tmp_path / "a" / "params.nc")
    with pytest.raises(ValueError, match=r"params\.nc belongs to another result than results\.nc"):
        load_result(tmp_path / "a")
    load_result(tmp_path / "b")


def test_parameters_that_are_missing_are_missed(tmp_path):
    SweepResult(make(), make_params()).save(tmp_path)
    (tmp_path / "params.nc").unlink()
    with pytest.raises(ValueError, match=r"params\.nc is missing: results\.nc was saved with"):
        load_result(tmp_path)
    SweepResult(make()).save(tmp_path)  # without parameters there is nothing to miss
    assert load_result(tmp_path).params is None


# Files from strangers


def external_link(group, secret):
    group["evil"] = h5py.ExternalLink(str(secret), "/w1")


def soft_link(group, secret):
    group["evil"] = h5py.SoftLink("/w1")


def external_storage(group, secret):
    group.create_dataset("evil", shape=(6,), dtype="u1", external=[(str(secret), 0, 6)])


def virtual_dataset(group, secret):
    layout = h5py.VirtualLayout(shape=(6, 2, 3, 4), dtype="f8")
    layout[:] = h5py.VirtualSource(str(secret), "w1", shape=(6, 2, 3, 4))
    group.create_virtual_dataset("evil", layout)


def circle(group, secret):
    group["evil"] = group.file["/"]


def second_name(group, secret):
    group["evil"] = next(x for x in group.file.values() if isinstance(x, h5py.Dataset))


TRICKS = [
    (external_link, "'evil' is a link"),
    (soft_link, "'evil' is a link"),
    (external_storage, "'evil' is stored in another file"),
    (virtual_dataset, "'evil' is stored in another file"),
    (circle, "'evil' is in the file twice"),
    (second_name, "is in the file twice"),
]


@pytest.mark.parametrize("name", ["params.nc", "results.nc", "params.nc/layers/deep"])
@pytest.mark.parametrize(("trick", "message"), TRICKS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_file_that_would_have_others_read_is_refused(trick, message, name, tmp_path):
    SweepResult(make(), make_params()).save(tmp_path / "other")
    SweepResult(make(), make_params()).save(tmp_path)
    name, _, group = name.partition("/")
    with h5py.File(tmp_path / name, "r+") as file:
        trick(file.require_group(group) if group else file, tmp_path / "other" / "params.nc")
    with pytest.raises(ValueError, match=f"{name} cannot be read .*{message}"):
        load_result(tmp_path)


def test_damaged_files_are_refused_or_read(tmp_path):
    """Whatever is in the bytes: an explanation, or a result."""
    SweepResult(make(), make_params()).save(tmp_path)
    generator = np.random.default_rng(0)
    for name in ("params.nc", "results.nc"):
        content = (tmp_path / name).read_bytes()
        for _ in range(15):
            damaged = bytearray(content)
            for place in generator.integers(0, len(content), 3):
                damaged[place] = generator.integers(256)
            (tmp_path / name).write_bytes(damaged)
            message = str(tmp_path)
            try:
                load_result(tmp_path)
            except ValueError as error:
                message = str(error)
            assert str(tmp_path) in message
        (tmp_path / name).write_bytes(content)


def test_temporary_names_cannot_be_guessed(tmp_path):
    names = []
    for _ in range(2):
        with files.replacing(tmp_path / "results.nc") as temporary:
            assert temporary.parent == tmp_path
            names.append(temporary.name)
            temporary.write_text("whole")
    assert names[0] != names[1]
    assert min(map(len, names)) > len(".results.nc..partial") + 12
    assert [path.name for path in tmp_path.iterdir()] == ["results.nc"]


def test_saving_does_not_write_through_links(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "results"
    folder.mkdir()
    for name in ("results.nc", "config.json", "params.nc", ".results.nc.partial"):
        (folder / name).symlink_to(victim)
    SweepResult(make(), make_params()).save(folder)
    assert victim.read_text() == "mine"
    assert not (folder / "results.nc").is_symlink()
    # Even at the temporary name itself.
    monkeypatch.setattr(secrets, "token_hex", lambda count: "guessed")
    (folder / ".results.nc.guessed.partial").symlink_to(victim)
    with pytest.raises(FileExistsError):
        SweepResult(make(), make_params()).save(folder)
    assert victim.read_text() == "mine"
    assert_same_params(load_result(folder).params, make_params())


def test_a_result_without_lanes_is_one_too(tmp_path):
    nothing = SweepResult(make(), make_params()).select([])
    assert nothing.final("test_accuracy").shape == nothing.at(10).outcome.shape == (0,)
    nothing.save(tmp_path)
    loaded = load_result(tmp_path)
    assert repr(loaded) == "SweepResult(0 lanes, 5 measurements: )"
    assert loaded.params["w1"].shape == (0, 2, 3, 4)


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
