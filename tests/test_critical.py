"""The critical alpha: an estimate with an interval that means what it says, and its search."""

import shutil

import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import grokjax
from grokjax import critical
from grokjax.critical import SearchInterrupted, critical_alpha, transition

SEARCH = {
    "max_steps": 200, "eval_every": 20, "tolerance": 0.2, "alphas": 3, "seeds": 3,
    "bracket": (0.2, 0.9), "progress": False,
}  # fmt: skip
NUMBERS = {"learning_rate": 1e-2, "weight_decay": 3.0}


# --------------------------------------------------------------------------------------------
# The estimate
# --------------------------------------------------------------------------------------------


def test_separated_outcomes_leave_the_gap():
    """All fail up to 0.4 and succeed from 0.5: any place between is as good, so the middle."""
    alpha = np.repeat([0.3, 0.4, 0.5, 0.6], 6)
    found = transition(alpha, alpha > 0.45)
    assert found.alpha == pytest.approx(0.45, abs=2e-3)
    # A place at which k lanes say no has a log-likelihood of k log P there.
    assert 0.39 < found.low < 0.41
    assert 0.49 < found.high < 0.51
    wide = transition(alpha, alpha > 0.45, confidence=0.999999)
    assert wide.low < found.low
    assert wide.high > found.high


def test_the_maximum_of_the_likelihood_is_that_of_logistic_regression():
    """Smooth outcomes against Newton's method on intercept and slope."""
    rng = np.random.default_rng(0)
    alpha = rng.uniform(0.1, 0.9, 400)
    success = rng.random(400) < 1 / (1 + np.exp(-(alpha - 0.55) / 0.08))
    design, weights = np.stack([np.ones(400), alpha], 1), np.zeros(2)
    for _ in range(30):
        probability = 1 / (1 + np.exp(-design @ weights))
        hessian = (design * (probability * (1 - probability))[:, None]).T @ design
        weights += np.linalg.solve(hessian, design.T @ (success - probability))
    found = transition(alpha, success)
    assert found.alpha == pytest.approx(-weights[0] / weights[1], abs=2e-3)
    assert found.scale == pytest.approx(1 / weights[1], rel=0.15)  # scales are 1.2 apart
    # So many lanes make the likelihood a parabola, and its interval that of Wald.
    covariance = np.linalg.inv(hessian)
    slope = np.array([-1, weights[0] / weights[1]]) / weights[1]
    half = 1.96 * np.sqrt(slope @ covariance @ slope)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)


@pytest.mark.parametrize(("outcome", "open_end"), [(True, "low"), (False, "high")])
def test_a_transition_beyond_the_lanes_has_an_open_end(outcome, open_end):
    found = transition(np.repeat([0.4, 0.5], 8), np.full(16, outcome))
    assert (found.low == 0) == (open_end == "low")
    assert (found.high == 1) == (open_end == "high")
    closed = found.high if outcome else found.low
    assert closed == pytest.approx(0.4 if outcome else 0.5, abs=0.05)


@pytest.mark.parametrize("scale", [0.005, 0.05])
def test_the_interval_holds_the_truth_as_often_as_it_says(scale):
    """Of lanes drawn from known curves, in the rounds of a search."""
    rng = np.random.default_rng(1)
    holds = []
    for truth in rng.uniform(0.25, 0.75, 60):
        low, high, tried, success = 0.1, 0.9, np.empty(0), np.empty(0, bool)
        for number in range(3):
            alpha = np.repeat(critical._spread(low, high, 5, 10_000, first=number == 0), 4)
            tried = np.append(tried, alpha)
            chance = 1 / (1 + np.exp(-(alpha - truth) / scale))
            success = np.append(success, rng.random(alpha.size) < chance)
            now = transition(tried, success)
            low, high = now.low, now.high
        holds.append(low <= truth <= high)
    assert np.mean(holds) >= 0.87  # 95 %, less 3 standard errors of 60


@pytest.mark.parametrize(
    ("alpha", "success", "message"),
    [
        ([], [], "at least one lane"),
        ([0.5], [True, False], "at least one lane"),
        ([0.0], [True], "alpha must lie between 0 and 1, got 0.0"),
        ([np.nan], [True], "alpha must be an array of .* all finite"),
        ("half", [True], "alpha must be an array"),
        ([[0.5]], [True], r"alpha must be an array of .* of shape \[L\]"),
        ([0.5], [np.nan], "grokked must be true or false for each lane, .* got .*nan"),
        ([0.5], [120.0], "grokked must be true or false for each lane, .* got .*120"),
        ([0.5], ["yes"], "grokked must be an array"),
    ],
)
def test_transition_refuses_what_is_no_list_of_lanes(alpha, success, message):
    with pytest.raises(ValueError, match=message):
        transition(alpha, success)


@pytest.mark.parametrize("confidence", [0, 1, 2, -1, 95, np.nan, "a", None])
def test_transition_refuses_what_is_no_confidence(confidence):
    with pytest.raises(ValueError, match=r"confidence must be a finite number above 0 and below 1"):
        transition([0.4, 0.5], [False, True], confidence)


def test_transition_takes_every_kind_of_array():
    alpha, success = [0.4, 0.5, 0.6], [False, False, True]
    expected = transition(alpha, success)
    steps = xarray.DataArray([np.nan, np.nan, 40.0], dims="lane")
    for given in (steps.notnull(), np.array([0, 0, 1]), jnp.array(success), [0.0, 0.0, 1.0]):
        assert transition(jnp.array(alpha, jnp.float32).astype(float), given) == pytest.approx(
            expected, abs=1e-6
        )


# --------------------------------------------------------------------------------------------
# The search
# --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(recipe, task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("critical")
    return critical_alpha(recipe, task, NUMBERS, directory=folder, **SEARCH), folder


def test_it_narrows_to_the_tolerance(found):
    data, folder = found
    assert data.attrs["reached"] == 1
    assert data.high - data.low <= SEARCH["tolerance"]
    assert data.low <= data.critical_alpha <= data.high
    length = (data.round_high - data.round_low).values
    assert (np.diff(length) < 0).all()
    assert len(list(folder.iterdir())) == data.sizes["round"] >= 2
    assert data.attrs["max_steps"] == 200  # what "not grokked" means
    assert data.attrs["weight_decay"] == 3.0


def test_it_counts_the_lanes_of_its_rounds(found):
    data, folder = found
    rounds = [grokjax.load_result(path).dataset for path in sorted(folder.iterdir())]
    alpha = np.concatenate([part.alpha.values for part in rounds])
    success = np.concatenate([part.grokking_step.notnull().values for part in rounds])
    np.testing.assert_array_equal(np.unique(alpha), data.alpha)
    for place, n, grokked in zip(data.alpha.values, data.n, data.n_grokked, strict=True):
        assert (n, grokked) == (sum(alpha == place), success[alpha == place].sum())
    np.testing.assert_allclose(data.fraction, data.n_grokked / data.n)
    assert ((data.p_low <= data.fraction) & (data.fraction <= data.p_high)).all()
    seeds = np.concatenate([part.seed.values for part in rounds])
    assert sorted(seeds) == list(range(len(seeds)))  # no two lanes share a split
    rows = alpha * data.attrs["rows"]
    np.testing.assert_allclose(rows, rows.round(), atol=1e-9)


def test_an_interrupted_search_goes_on(found, recipe, task, tmp_path):
    """The first rounds are there, the last is trained again: the same numbers come out."""
    data, folder = found
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(max((tmp_path / "copy").iterdir()))
    again = critical_alpha(recipe, task, NUMBERS, directory=tmp_path / "copy", **SEARCH)
    assert again.identical(data)


def test_it_ends_with_its_lanes(recipe, task):
    data = critical_alpha(recipe, task, NUMBERS, **SEARCH | {"tolerance": 1e-3, "max_lanes": 10})
    assert data.attrs["reached"] == 0
    assert data.sizes["round"] == 1
    assert data.lanes.values.tolist() == [9]


def always(scalars):
    """A rule of the user's own: true of every network, at accuracies far from grokking."""
    return scalars["train_accuracy"] >= 0.0


always.patience = 3


def test_a_stop_rule_of_the_users_own_says_what_has_grokked(recipe, task):
    data = critical_alpha(recipe, task, NUMBERS, **SEARCH | {"stop": always, "max_lanes": 9})
    assert data.n.values.sum() == 9
    np.testing.assert_array_equal(data.n_grokked, data.n)
    assert data.low == 0


def test_networks_that_diverge_have_not_grokked(recipe, task):
    diverging = NUMBERS | {"learning_rate": 1e5}
    data = critical_alpha(recipe, task, diverging, **SEARCH | {"max_lanes": 9})
    assert data.n_grokked.values.sum() == 0


def test_without_a_stop_rule_the_grokking_step_counts(recipe, task, found):
    """The first round of the same search, whose networks all train to the end."""
    data = critical_alpha(recipe, task, NUMBERS, **SEARCH | {"stop": None, "max_lanes": 9})
    expected = found[0]
    first = np.isin(expected.alpha, data.alpha)
    np.testing.assert_array_equal(data.n_grokked, expected.n_grokked.values[first])
    assert 0 < data.n_grokked.values.sum() < 9


# --------------------------------------------------------------------------------------------
# Interruption
# --------------------------------------------------------------------------------------------


def test_an_interrupted_search_carries_its_finished_rounds(
    found, recipe, task, interrupt, tmp_path
):
    whole, _ = found
    interrupt(2, trained=True)
    with pytest.raises(SearchInterrupted, match=r"after 1 finished rounds; .*directory=.* goes on"):
        critical_alpha(recipe, task, NUMBERS, directory=tmp_path, **SEARCH)
    interrupt(2, trained=True)
    with pytest.raises(KeyboardInterrupt, match="with directory= it could go on") as raised:
        critical_alpha(recipe, task, NUMBERS, **SEARCH)
    data = raised.value.result
    assert data.attrs["interrupted"] == 1
    assert data.attrs["reached"] == 0
    assert data.sizes["round"] == 1
    for name in ("lanes", "estimate", "round_low", "round_high"):
        assert data[name].values[0] == whole[name].values[0]
    assert data.critical_alpha == whole.estimate[0]
    assert critical_alpha(recipe, task, NUMBERS, directory=tmp_path, **SEARCH).identical(whole)


def test_a_search_that_is_interrupted_at_once_knows_nothing(recipe, task, interrupt):
    interrupt(1, trained=True)
    with pytest.raises(SearchInterrupted) as raised:
        critical_alpha(recipe, task, NUMBERS, **SEARCH)
    data = raised.value.result
    assert np.isnan(data.critical_alpha)
    assert (data.low, data.high) == (0, 1)
    assert dict(data.sizes) == {"alpha": 0, "round": 0}
    assert data.attrs["max_steps"] == 200


# --------------------------------------------------------------------------------------------
# What is refused
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bracket": (0.5, 0.2)}, "bracket must be two fractions"),
        ({"bracket": (0.0, 0.5)}, "bracket must be two fractions"),
        ({"bracket": (0.1, np.nan)}, "bracket must be two fractions"),
        ({"bracket": (0.1, 0.5, 0.9)}, "bracket must be an array of .* of shape"),
        ({"bracket": 0.5}, "bracket must be an array of .* of shape"),
        ({"bracket": "0.1"}, "bracket must be an array"),
        ({"bracket": None}, "bracket must be an array"),
        ({"tolerance": 0.0}, "tolerance must be a finite number above 0 and below 1, got 0.0"),
        ({"tolerance": "a"}, "tolerance must be a finite number"),
        ({"alphas": 1}, "alphas must be an integer of at least 2"),
        ({"seeds": 0}, "seeds must be a positive integer, got 0"),
        ({"seeds": True}, "seeds must be a positive integer, got True"),
        ({"first_seed": -1}, "first_seed must be an integer of at least 0"),
        ({"max_lanes": 8}, "max_lanes=8 is less than one round"),
        ({"max_lanes": np.nan}, "max_lanes must be an integer, got nan"),
        ({"confidence": 2}, "confidence must be .* use 0.02 for 2 %"),
        ({"columns": {"learning_rate": 0.1, "alpha": 0.3}}, "must not have 'alpha', .* bracket="),
        ({"columns": {"learning_rate": 0.1, "seed": 3}}, "must not have 'seed', .* first_seed="),
        ({"columns": [1]}, "columns must be a mapping"),
        (
            {"columns": {"learning_rate": [0.1, 0.2]}},
            r"columns\['learning_rate'\] must be a finite",
        ),
        ({"columns": {"learning_rate": "fast"}}, r"columns\['learning_rate'\] must be a finite"),
        ({"columns": {"learning_rate": np.inf}}, "'learning_rate' holds inf"),
        ({"columns": {"lerning_rate": 0.1}}, "unknown lane column 'lerning_rate'"),
        ({"nope": 3}, "'nope' is no option of critical_alpha; .* are slots, vectorize"),
        ({"keep_params": "all"}, "'keep_params' is no option of critical_alpha"),
        ({"directory": 5}, "directory must be a path"),
        ({"task": 7}, "task must be a Task"),
        ({"recipe": None}, "recipe must be a grokjax.Recipe"),
        ({"stop": "soon"}, "stop must be"),
        ({"max_steps": 0}, "max_steps must be"),
        ({"progress": "no"}, "progress must be True or False"),
    ],
)
def test_it_refuses_what_is_no_search(recipe, task, options, message):
    with pytest.raises(ValueError, match=message):
        critical_alpha(**{"recipe": recipe, "task": task, "columns": NUMBERS, **SEARCH, **options})


def test_it_takes_numbers_of_every_kind(recipe, task):
    right = {
        "bracket": np.array([0.4, 0.8]), "alphas": np.int64(2), "seeds": jnp.array(1),
        "max_lanes": np.int32(2), "tolerance": np.float32(0.25), "confidence": np.float64(0.9),
    }  # fmt: skip
    columns = {
        "learning_rate": np.float32(0.01),
        "weight_decay": jnp.array(3),
        "batch_size": np.inf,
    }
    data = critical_alpha(
        recipe, task, columns, max_steps=np.int64(4), eval_every=2, progress=False, **right
    )
    assert data.n.values.tolist() == [1, 1]
