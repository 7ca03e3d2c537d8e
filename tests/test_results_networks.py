"""Trained networks and splits of a result's lanes, and branching from them."""

import dataclasses

import jax
import numpy as np
import pytest
from made_results import assert_same_params, make, make_params

import grokjax
from grokjax import losses, models, optimizers, tasks
from grokjax.results import SweepResult, concatenate, load_result

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
