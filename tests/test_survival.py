"""Censored grokking times: worked by hand, against plain statistics, and at the edges."""

import numpy as np
import pytest

from grokjax import survival
from grokjax.survival.times import STATISTICS

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
    ("values", "expected"),
    [
        ([0, 0, 0, 0, 1], 40),  # one measurement, and the rule ended it there
        ([0, 0, 1, 1, NAN], 20),
        ([1, 1, 0, 1, NAN], 30),  # it fell again before
        ([0, 1, NAN, 1, 1], 30),  # a missing measurement in between sustains nothing
        ([0, 1, 1, 1, 0], 10),  # sustained without the rule
        ([1, 1, 0, 0, 0], NAN),  # ended below the threshold
        ([1, NAN, NAN, NAN, NAN], 0),
        ([NAN] * 5, NAN),
    ],
)
def test_what_holds_when_a_rule_ends_a_record_is_sustained(values, expected):
    steps = [0, 10, 20, 30, 40]
    found = survival.first_sustained([values, values], steps, ended=[True, False])
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1], survival.first_sustained(values, steps))


def test_ended_records_against_a_loop_over_all_of_them():
    records = np.array(np.meshgrid(*[[0.0, 1.0, NAN]] * 5)).reshape(5, -1).T
    found = survival.first_sustained(records, np.arange(5), 0.5, 3, ended=True)
    for record, step in zip(records, found, strict=True):
        last = max(np.flatnonzero(~np.isnan(record)), default=-1)
        starts = [
            t
            for t in range(last + 1)
            if (record[t : last + 1] >= 0.5).all()
            or (len(record[t : t + 3]) == 3 and (record[t : t + 3] >= 0.5).all())
        ]
        np.testing.assert_array_equal(step, starts[0] if starts else NAN)


@pytest.mark.parametrize(
    ("values", "steps", "options", "message"),
    [
        ([1.0], [0], {"patience": 0}, "patience must be a positive integer"),
        ([1.0], [0], {"patience": 1.5}, "patience must be a positive integer"),
        ([1.0], [0], {"threshold": "0.9"}, "threshold must be a finite number"),
        ([1.0], [0], {"threshold": NAN}, "threshold must be a finite number"),
        ([1.0, 1.0], [0], {}, "one step for each"),
        ([1.0, 1.0], [2, 1], {}, "steps must increase"),
        ([1.0, 1.0], [1, 1], {}, "steps must increase"),
        ([1.0, 1.0], [0, NAN], {}, "steps must increase"),
        ([1.0], ["a"], {}, "steps must be an array of"),
        (["a"], [0], {}, "values must be an array of"),
        ([1.0], [0], {"ended": 1}, "ended must be an array of booleans"),
        ([[1.0]], [0], {"ended": [True, False]}, "one boolean for each record"),
    ],
)
def test_first_sustained_refuses(values, steps, options, message):
    with pytest.raises(ValueError, match=message):
        survival.first_sustained(values, steps, **options)


# --------------------------------------------------------------------------------------------
# How long a lane was watched
# --------------------------------------------------------------------------------------------


def test_a_lane_is_watched_up_to_its_kth_last_measurement():
    steps = np.array([0, 10, 20, 30, 40])
    measured = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0] * 5], bool)
    assert survival.watched_steps(steps, measured, 1).tolist() == [40, 30, 30, 0]
    assert survival.watched_steps(steps, measured, 3).tolist() == [20, 10, 10, 0]
    assert survival.watched_steps(steps, measured, 9).tolist() == [0, 0, 10, 0]
    assert survival.watched_steps(steps, measured).dtype == steps.dtype
    assert survival.watched_steps([], np.zeros((2, 0), bool)).tolist() == [0, 0]


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_exactly_what_begins_while_a_lane_is_watched_is_seen(patience):
    """Networks that stay at the threshold from some measurement on, up to the last one."""
    steps = np.arange(8) * 5
    start = np.arange(8)[:, None]
    values = (np.arange(8) >= start).astype(float)
    seen = ~np.isnan(survival.first_sustained(values, steps, 0.5, patience))
    watched = survival.watched_steps(steps, np.ones((8, 8), bool), patience)
    np.testing.assert_array_equal(seen, steps <= watched)


@pytest.mark.parametrize(
    ("steps", "measured", "patience", "message"),
    [
        ([1, 0], [[True, True]], 3, "steps must increase"),
        ([0, 1], [True, True], 3, "measured must be an array of booleans of shape"),
        ([0, 1], [[1, 1]], 3, "measured must be an array of booleans"),
        ([0, 1], [[True]], 3, "measured must be an array of booleans of shape"),
        ([0, 1], [[True, True]], "3", "patience must be a positive integer"),
    ],
)
def test_watched_steps_refuses(steps, measured, patience, message):
    with pytest.raises(ValueError, match=message):
        survival.watched_steps(steps, measured, patience)


def test_censoring_at_the_final_step_would_be_biased():
    """Half of the lanes have a short budget, at whose end a grokking cannot be seen any more."""
    patience, lanes = 4, 4000
    steps = np.arange(1, 25)
    times = np.random.default_rng(0).exponential(8.0, lanes)  # of the real grokking
    budget = np.where(np.arange(lanes) % 2, 8, 24)[:, None]
    measured = steps <= budget
    values = np.where(measured, steps >= times[:, None], NAN)
    grokking = survival.first_sustained(values, steps, 1.0, patience)
    watched = survival.watched_steps(steps, measured, patience)
    final = budget[:, 0]

    def share_left(ends, step):
        curve = survival.kaplan_meier(grokking, ends)
        return curve.survival[np.searchsorted(curve.step, step, side="right") - 1]

    truth = np.exp(-20 / 8)
    error = np.sqrt(truth * (1 - truth) / (lanes / 2))  # of half of the lanes, a safe bound
    assert abs(share_left(watched, 20) - truth) < 3 * error
    assert share_left(final, 20) - truth > 4 * error  # later than it is


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
    with pytest.raises(ValueError, match="compares two groups, got the 16"):
        survival.log_rank(both, both, np.arange(16))


def test_lanes_without_a_group_are_a_group_of_their_own():
    """NaN, which `concatenate` gives to lanes that have no such column."""
    fast, slow = np.arange(1, 9) * 10.0, np.arange(1, 9) * 10.0 + 100
    both = np.r_[fast, slow]
    decay = np.repeat([1.0, NAN], 8)
    named = survival.log_rank(both, both, np.repeat(["one", "none"], 8))
    assert survival.log_rank(both, both, decay) == pytest.approx(named)
    assert named < 1e-3
    with pytest.raises(ValueError, match="compares two groups, got the 3"):
        survival.log_rank(both, both, np.r_[2.0, decay[1:]])
    with pytest.raises(ValueError, match="compares two groups, got the 1"):
        survival.log_rank(both, both, np.full(16, NAN))
    table = survival.summary(both, both, weight_decay=decay)
    np.testing.assert_array_equal(table.weight_decay, [1.0, NAN])
    assert table.n.values.tolist() == [8, 8]
    np.testing.assert_array_equal(table["median"], [40, 140])
    both_named = survival.summary(both, both, kind=np.repeat(["a", "b"], 8), weight_decay=decay)
    assert both_named.n.values.tolist() == [[8, 0], [0, 8]]


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


def test_summary_of_words_kept_as_objects():
    table = survival.summary([1, 2], [1, 2], a=np.array(["x", "y"], object), b=[True, False])
    assert table.n.sel(a="y", b=False) == 1
    mixed = np.array([0.5, NAN, 1], object)
    assert survival.summary([1, 2, 3], [3] * 3, a=mixed).n.values.tolist() == [1, 1, 1]
    assert survival.summary([], []).n == 0
    assert survival.summary([], [], a=[]).sizes == {"a": 0}


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([0.5], "column 'a' must be numbers or text"),
        (0.5, "column 'a' must be numbers or text"),
        (["x", 1, None], "column 'a' must be numbers or text, not both"),
        (np.array(["x", 1, 2], object), "column 'a' must be numbers or text, not both"),
        ([1, None, 2], "column 'a' must be numbers or text"),
        ([[1], [2, 3], [4]], "column 'a' must be numbers or text"),
        ([1j, 2j, 3j], "column 'a' must be numbers or text"),
        ([10**400, 1, 2], "column 'a' must be numbers or text"),
    ],
)
def test_groups_are_numbers_or_text(column, message):
    with pytest.raises(ValueError, match=message):
        survival.summary([1, 2, 3], [1, 2, 3], a=column)
    with pytest.raises(ValueError, match=message.replace("column 'a'", "group")):
        survival.log_rank([1, 2, 3], [1, 2, 3], column)


@pytest.mark.parametrize("name", STATISTICS)
def test_summary_refuses_columns_named_like_its_numbers(name):
    with pytest.raises(ValueError, match=f"'{name}' is a statistic of the summary"):
        survival.summary([1, 2], [1, 2], **{name: [0, 1]})


def test_summary_refuses_more_cells_than_lanes_can_fill():
    columns = {name: np.arange(100) for name in "abc"}
    with pytest.raises(ValueError, match=r"1,000,000 combinations for 100 lanes"):
        survival.summary(np.arange(100), np.arange(100), **columns)


# --------------------------------------------------------------------------------------------
# Lanes that cannot be
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "ends"),
    [
        ([20], [10]),
        ([NAN], [NAN]),
        ([NAN], [INF]),
        ([INF], [INF]),
        ([-3.0], [5.0]),
        ([NAN], [-1]),
        ([1, 2], [1]),
        ([[1]], [[1]]),
        (["a"], ["b"]),
        ([True], [5]),  # whether it grokked, in place of when
        (None, [5]),
    ],
)
def test_impossible_lanes_are_refused(steps, ends):
    for statistic in (survival.median, survival.kaplan_meier, survival.summary):
        with pytest.raises(ValueError, match=r"grokking_step|watched_step"):
            statistic(steps, ends)


@pytest.mark.parametrize("steps", ["a", [[1.0]], [True, False], None])
def test_a_probability_needs_grokking_steps(steps):
    with pytest.raises(ValueError, match="grokking_step must be an array of"):
        survival.grokking_probability(steps)


@pytest.mark.parametrize("confidence", [0, 1, 95, -1, NAN, "a", None, True])
def test_confidence_lies_between_0_and_1(confidence):
    for statistic in (survival.kaplan_meier, survival.median, survival.summary):
        with pytest.raises(ValueError, match="confidence must be"):
            statistic([1.0, 2.0], [2, 2], confidence)
    with pytest.raises(ValueError, match="confidence must be"):
        survival.grokking_probability([1.0, 2.0], confidence)


def test_no_lane_is_refused():
    with pytest.raises(ValueError, match="at least one lane"):
        survival.median([], [])
    with pytest.raises(ValueError, match="at least one lane"):
        survival.grokking_probability([])
