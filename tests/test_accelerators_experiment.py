"""The comparison of accelerators: its statistics on made-up numbers, and the experiment, tiny."""

import jax
import numpy as np
import pytest
from made_results import make

import grokjax
from experiments.accelerators import (
    METHODS,
    NO_DECAY,
    TUNING_SEED,
    accelerators,
    best_trial,
    compare,
    draws,
    holm,
    muon,
    ratio,
    restricted_mean,
    times_sooner,
)
from grokjax import models, survival, tasks

NAN = np.nan


def test_holm_agrees_with_a_hand_computed_example():
    # In order: 0.01 * 4 = 0.04; 0.02 * 3 = 0.06; 0.03 * 2 = 0.06; 0.04 is raised to 0.06.
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    assert holm([]).size == 0


def test_every_method_is_tuned_at_the_same_points_inside_of_its_box():
    points = {}
    for name, method in METHODS.items():
        assert len(method.box) == 3
        assert set(method.box) <= set(method.published)
        drawn = draws(method.box, 50)
        for key, (low, high) in method.box.items():
            assert ((drawn[key] >= low) & (drawn[key] <= high)).all()
        points[name] = drawn
    np.testing.assert_array_equal(points["AdamW"]["weight_decay"], points["Muon"]["weight_decay"])
    # A momentum is spread over its distance to 1: half of them are beyond 1 - sqrt(0.5 * 0.01).
    assert 0.3 < np.mean(points["AdamW"]["b1"] > 1 - np.sqrt(0.5 * 0.01)) < 0.7


def test_a_network_that_never_grokked_counts_as_the_budget():
    assert restricted_mean([100.0, NAN], 300) == 200


def test_times_sooner_is_the_ratio_of_medians_or_a_bound_of_it():
    fast, slow, never = np.full(9, 50.0), np.full(9, 200.0), np.full(9, NAN)
    assert times_sooner(fast, slow, 1000) == (4.0, 4.0, 4.0)
    spread = times_sooner([40, 50, 60, 70, 80], [200, 100, 300, NAN, NAN], 1000)
    assert spread.value == 300 / 60
    assert spread.low < spread.value < spread.high
    bound = times_sooner(fast, never, 1000)
    assert (bound.value, bound.low) == (np.inf, 20.0)
    assert ratio(bound) == "> 20"
    assert ratio(times_sooner(never, fast, 1000)) == "< 0.05"
    assert ratio(times_sooner(never, never, 1000)) == "neither half"


# ---------------------------------------------------------------------- the hazard ratio


def test_the_hazard_ratio_of_exponential_times_is_the_one_they_were_drawn_with():
    rng = np.random.default_rng(1)
    inside, found = 0, []
    for _ in range(40):
        steps = np.r_[rng.exponential(300, 60), rng.exponential(100, 60)]
        steps = np.where(steps > 400, NAN, np.ceil(steps / 10) * 10)  # censored, with ties
        group = np.repeat([False, True], 60)
        estimate = survival.hazard_ratio(steps, np.full(120, 400.0), group)
        inside += estimate.low < 3 < estimate.high
        found.append(np.log(estimate.value))
    assert inside >= 34  # of 38 expected
    assert abs(np.mean(found) - np.log(3)) < 0.1


def test_the_hazard_ratio_of_few_networks_agrees_with_the_likelihood_by_hand():
    # Of first 20, 40 and second 10, 30 the likelihood is r/(2+2r) * 1/(2+r) * r/(1+r) * 1, and
    # 2/r - 2/(1+r) - 1/(2+r) = 0 at r = (1 + sqrt(17)) / 2.
    estimate = survival.hazard_ratio([20, 40, 10, 30], [50] * 4, [0, 0, 1, 1])
    assert estimate.value == pytest.approx((1 + 17**0.5) / 2)
    reverse = survival.hazard_ratio([20, 40, 10, 30], [50] * 4, [1, 1, 0, 0])
    np.testing.assert_allclose(np.array(reverse)[[0, 2, 1]], 1 / np.array(estimate))


def test_the_hazard_ratio_of_ties_is_efrons():
    # Both of two at once: r / (1 + r) * 1 / ((1 + r) / 2), which is largest at r = 1.
    assert survival.hazard_ratio([10, 10], [20, 20], [0, 1]).value == pytest.approx(1)


@pytest.mark.parametrize(
    ("steps", "value", "known"),
    [
        ([30, 40, 10, 20], np.inf, "low"),
        ([10, 20, 30, 40], 0.0, "high"),
        ([NAN, NAN, 10, 20], np.inf, "low"),
        ([NAN] * 4, NAN, ""),
    ],
)
def test_a_hazard_ratio_without_bound_has_one_end(steps, value, known):
    estimate = survival.hazard_ratio(steps, [50] * 4, ["a", "a", "b", "b"])
    np.testing.assert_equal(estimate.value, value)
    assert (estimate.low > 0) == (known == "low")
    assert np.isfinite(estimate.high) == (known == "high")


def test_a_hazard_ratio_compares_two_groups():
    with pytest.raises(ValueError, match=r"the hazard ratio compares two groups, got the 3"):
        survival.hazard_ratio([1, 2, 3], [5] * 3, [0, 1, 2])


# ---------------------------------------------------------------------- networks


def test_muon_moves_both_layers_by_orthogonal_matrices():
    model = models.QuadraticMLP(7, 8, parameterization="standard")
    params = model.init(jax.random.key(0), tasks.modular_addition(7).tokens)
    rng = np.random.default_rng(0)
    gradient = {name: rng.normal(size=w.shape).astype(w.dtype) for name, w in params.items()}
    optimizer = muon(1.0, weight_decay=0.0)
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    for layers in (gradient, updates):
        spread = []
        for matrix in (np.reshape(layers["w1"], (14, 8)), layers["w2"]):
            singular = np.linalg.svd(matrix, compute_uv=False)
            spread.append(singular.max() / singular.min())
        assert (np.array(spread) < 2).all() == (layers is updates)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    output = tmp_path_factory.mktemp("accelerators")
    result = accelerators(
        p=7, width=32, alpha=0.8, methods=("Muon",), trials=2, tuning_seeds=2, seeds=3,
        tuning_steps=60, max_steps=120, eval_every=20, output=output, progress=False,
    )  # fmt: skip
    return result, output


def test_tuning_uses_other_seeds_than_the_comparison(compared):
    dataset = compared[0].dataset
    tuning = dataset.stage.values == "tuning"
    assert (dataset.seed.values[tuning] >= TUNING_SEED).all()
    assert (dataset.seed.values[~tuning] < TUNING_SEED).all()
    # The same number of trials for AdamW, which nobody asked for, as for Muon.
    counts = {m: int((tuning & (dataset.method.values == m)).sum()) for m in ("AdamW", "Muon")}
    assert counts == {"AdamW": 4, "Muon": 4}


def test_the_comparison_is_trained_at_what_the_tuning_chose(compared):
    result, output = compared
    stage = result.dataset.stage.values
    for name in ("AdamW", "Muon"):
        own = result.dataset.method.values == name
        chosen = best_trial(result.select(own & (stage == "tuning")), tuple(METHODS[name].box), 60)
        for key, value in chosen.items():
            tuned = result.dataset[key].values[own & (stage == "tuned")]
            np.testing.assert_array_equal(tuned, value)
    assert {"accelerators.png", "record.json"} <= {path.name for path in output.iterdir()}


def test_a_baseline_without_decay_is_among_those_as_published(compared):
    rows = compare(compared[0])
    assert list(rows) == [
        ("AdamW", "published"), ("Muon", "published"), (NO_DECAY, "published"),
        ("AdamW", "tuned"), ("Muon", "tuned"),
    ]  # fmt: skip
    decay = compared[0].dataset.weight_decay.values[compared[0].dataset.method.values == NO_DECAY]
    assert (decay == 0).all()
    assert rows["Muon", "tuned"].holm == rows["Muon", "tuned"].p_value  # of one test


def test_the_best_trial_is_the_one_that_groks_soonest_on_average():
    columns = {"learning_rate": np.repeat([0.1, 0.2, 0.3], 2), "seed": np.tile([0, 1], 3)}
    result = grokjax.SweepResult(make(columns))
    # Restricted to 300 steps: 200, 105 and 145.
    steps = ("lane", [100.0, NAN, 90.0, 120.0, 280.0, 10.0])
    tuning = grokjax.SweepResult(result.dataset.assign(grokking_step=steps))
    assert best_trial(tuning, ("learning_rate",), 300) == {"learning_rate": 0.2}


def test_a_method_that_is_not_known_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown method 'Lion'; use any of AdamW, Grokfast-EMA"):
        accelerators(methods=("Lion",), output=tmp_path, progress=False)
