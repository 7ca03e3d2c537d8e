"""Censored grokking times: worked by hand, against plain statistics, and at the edges."""

import numpy as np
import pytest

from grokjax import survival

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0, 1, 1, 1], 20),  # exactly long enough at the end
        ([0, 0, 0, 1, 1], NAN),  # patience runs off the end
        ([1, 1, 0, 1, 1], NAN),  # reached twice, never kept
        ([1, 1, 1, 0, 0], 0),  # kept for long enough; a later collapse is another question
        ([0, 1, 1, 1, NAN], 10),  # retired after it was sustained
        ([0, 0, 1, 1, NAN], NAN),  # a missing measurement sustains nothing
        ([1, 0, 1, 1, 1], 20),  # the first touch does not count
        ([NAN] * 5, NAN),
    ],
)
def test_first_sustained_enumerated(values, expected):
    found = survival.first_sustained(values, [0, 10, 20, 30, 40])
    np.testing.assert_array_equal(found, expected)


def test_first_sustained_against_a_loop_over_all_records():
    records = np.array(np.meshgrid(*[[0.0, 1.0, NAN]] * 6)).reshape(6, -1).T
    steps = np.arange(6) * 5
    for patience in (1, 2, 4):
        found = survival.first_sustained(records, steps, 0.5, patience)
        for record, step in zip(records, found, strict=True):
            starts = [
                t for t in range(7 - patience) if all(v >= 0.5 for v in record[t : t + patience])
            ]
            np.testing.assert_array_equal(step, steps[starts[0]] if starts else NAN)


def test_first_sustained_threshold_is_inclusive_and_axes_lead():
    values = np.full((2, 3, 4), 0.99)
    values[0] = 0.98
    found = survival.first_sustained(values, np.arange(4))
    assert found.shape == (2, 3)
    assert np.isnan(found[0]).all()
    assert (found[1] == 0).all()
    assert np.isnan(survival.first_sustained([1.0], [0])).all()  # shorter than the patience


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(([1.0], [0], 0.99, 0), "patience"), (([1.0, 1.0], [0]), "one step")],
)
def test_first_sustained_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        survival.first_sustained(*arguments)


def test_kaplan_meier_worked_by_hand():
    """Six lanes: grok at 3, 5, 5, 9; censored at 4 and 8."""
    curve = survival.kaplan_meier([3, NAN, 5, 5, NAN, 9], [3, 4, 5, 5, 8, 9])
    np.testing.assert_array_equal(curve.step, [0, 3, 4, 5, 8, 9])
    after_5 = 5 / 6 * (1 - 2 / 4)  # at 5 four lanes are still watched
    np.testing.assert_allclose(curve.survival, [1, 5 / 6, 5 / 6, after_5, after_5, 0], atol=1e-12)
    # Greenwood: Var log S = 1/(6*5) + 2/(4*2), and the interval S ** exp(+-1.96 se / log S).
    spread = 1.959964 * np.sqrt(1 / 30 + 2 / 8) / np.log(after_5)
    np.testing.assert_allclose(
        [curve.low[3], curve.high[3]], [after_5 ** np.exp(-spread), after_5 ** np.exp(spread)]
    )
    assert survival.median([3, NAN, 5, 5, NAN, 9], [3, 4, 5, 5, 8, 9]).value == 5


@pytest.mark.parametrize("lanes", [1, 2, 5, 10, 11])
def test_median_without_censoring_is_the_ordinary_one(lanes):
    steps = np.random.default_rng(lanes).integers(1, 1000, lanes).astype(float)
    found = survival.median(steps, steps)
    assert found.value == np.quantile(steps, 0.5, method="inverted_cdf")
    assert lanes % 2 == 0 or found.value == np.median(steps)
    assert found.low <= found.value <= found.high


def test_median_interval_covers_the_true_median():
    generator = np.random.default_rng(0)
    covered, trials = 0, 300
    for _ in range(trials):
        times = generator.exponential(1000, 12) / np.log(2)  # median 1000
        budget = 2500.0
        grokked = np.where(times <= budget, times, NAN)
        found = survival.median(grokked, np.minimum(times, budget))
        covered += found.low <= 1000 <= found.high
    assert 0.90 <= covered / trials <= 0.99


def test_everything_censored():
    found = survival.median([NAN] * 6, [500] * 6)
    assert found == (INF, 500, INF)  # six of six above 500: so is the median
    assert survival.grokking_probability([NAN] * 6).value == 0
    assert survival.median([NAN], [500]) == (INF, 0, INF)  # one lane tells nothing at 95 %


def test_exactly_half_and_fewer_than_half():
    half = survival.median([10, 20, NAN, NAN], [10, 20, 90, 90])
    assert half.value == 20
    assert half.high == INF
    assert survival.median([10, NAN, NAN], [10, 90, 90]).value == INF


def test_one_lane_tells_nothing():
    assert survival.median([70], [70]) == (70, 0, INF)


def test_grokking_at_step_zero():
    assert survival.median([0] * 6, [30] * 6) == (0, 0, 0)


def test_a_diverged_lane_is_censored_where_it_stopped_but_did_not_grok():
    with_early = survival.median([NAN, 50, 60, 70, 80], [10, 50, 60, 70, 80])
    assert with_early.value == survival.median([50, 60, 70, 80], [50, 60, 70, 80]).value
    assert survival.grokking_probability([NAN, 50, 60, 70, 80]).value == 0.8


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (5, 10, 0.23659, 0.76341),
        (0, 10, 0, 0.27753),
        (10, 10, 0.72247, 1),
        (1, 3, 0.06149, 0.79234),
    ],
)
def test_wilson_interval(count, total, low, high):
    steps = np.r_[np.ones(count), np.full(total - count, NAN)]
    found = survival.grokking_probability(steps)
    np.testing.assert_allclose(found, (count / total, low, high), atol=2e-5)


def test_log_rank():
    fast, slow = np.arange(1, 9) * 10.0, np.arange(1, 9) * 10.0 + 100
    both, group = np.r_[fast, slow], np.repeat(["adamw", "sgd"], 8)
    assert survival.log_rank(both, both, group) < 1e-3
    assert survival.log_rank(np.r_[fast, fast], np.r_[fast, fast], group) == pytest.approx(1)
    assert survival.log_rank(np.full(4, NAN), np.ones(4), [0, 0, 1, 1]) == 1
    with pytest.raises(ValueError, match="two groups"):
        survival.log_rank(both, both, np.arange(16))


def test_summary_of_groups():
    steps = [100, 200, 300, NAN, NAN, NAN, 50]
    ends = [100, 200, 300, 900, 900, 900, 50]
    alpha, optimizer = [0.5] * 3 + [0.3] * 3 + [0.5], ["sgd"] * 6 + ["adamw"]
    table = survival.summary(steps, ends, optimizer=optimizer, alpha=alpha)
    assert table.sizes == {"optimizer": 2, "alpha": 2}
    sgd = table.sel(optimizer="sgd")
    np.testing.assert_array_equal(sgd.n, [3, 3])
    np.testing.assert_array_equal(sgd.n_grokked, [0, 3])
    np.testing.assert_array_equal(sgd["median"], [INF, 200])
    np.testing.assert_array_equal(sgd.probability, [0, 1])
    empty = table.sel(optimizer="adamw", alpha=0.3)
    assert empty.n == 0
    assert np.isnan(empty["median"])
    assert survival.summary(steps, ends)["median"].item() == 300
    assert len(table.to_dataframe()) == 4


def test_summary_refuses_columns_of_another_length():
    with pytest.raises(ValueError, match="'alpha' has shape"):
        survival.summary([1, 2], [1, 2], alpha=[0.5])


@pytest.mark.parametrize(
    ("steps", "ends"), [([20], [10]), ([NAN], [NAN]), ([1, 2], [1]), ([[1]], [[1]])]
)
def test_impossible_lanes_are_refused(steps, ends):
    with pytest.raises(ValueError, match="final_step"):
        survival.median(steps, ends)


def test_no_lane_is_refused():
    with pytest.raises(ValueError, match="at least one lane"):
        survival.median([], [])
    with pytest.raises(ValueError, match="at least one lane"):
        survival.grokking_probability([])
