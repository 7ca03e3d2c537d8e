"""Figures of grokking times: every lane once, medians, intervals, and lanes that are censored."""

import numpy as np
import pytest
from figures import (  # noqa: F401  guessing and result and two are fixtures
    ALPHAS,
    BUDGET,
    SEEDS,
    WATCHED,
    drawn,
    guessing,
    labels,
    lines,
    make,
    result,
    two,
)

from grokjax import plotting, survival
from grokjax.results import SweepResult, concatenate


def test_grokking_time_draws_every_lane_once(result):
    (ax,) = plotting.grokking_time(result).axes
    dataset = result.dataset
    (seeds,), (censored,), (diverged,) = (
        lines(ax, f"_{kind}") for kind in ("reached", "censored", "diverged")
    )
    np.testing.assert_array_equal(seeds.get_ydata(), dataset.grokking_step.dropna("lane"))
    np.testing.assert_array_equal(censored.get_xdata(), [0.3] * 5)
    np.testing.assert_array_equal(censored.get_ydata(), [WATCHED] * 5)
    assert censored.get_marker() == "^"
    assert censored.get_markerfacecolor() == "none"
    np.testing.assert_array_equal([diverged.get_xdata(), diverged.get_ydata()], [[0.3], [100]])
    assert ax.get_yscale() == "log"
    assert labels(ax) == [
        "median of 6 seeds, 95 % interval",
        "one seed",
        "not grokked (censored, n/all)",
        "diverged",
    ]


def test_grokking_time_draws_the_median_and_its_interval(result):
    (ax,) = plotting.grokking_time(result).axes
    (middle,) = lines(ax, "_median")
    (bars,) = (c for c in ax.collections if c.get_label() == "_interval")
    assert np.isnan(middle.get_ydata()[0])  # never reached at 0.3: no point, no bar
    assert len(bars.get_segments()) == 2
    for i, alpha in enumerate(ALPHAS[1:], 1):
        lanes = result.dataset.isel(lane=result.dataset.alpha.values == alpha)
        expected = survival.median(lanes.grokking_step, lanes.watched_step)
        assert middle.get_ydata()[i] == expected.value
        segment = bars.get_segments()[i - 1]
        np.testing.assert_array_equal(segment[:, 1], [expected.low, expected.high])


def test_an_interval_without_upper_end_reaches_up_to_the_censored_lanes(result):
    dataset = result.dataset.copy(deep=True)
    dataset.grokking_step[SEEDS : SEEDS + 2] = np.nan  # two of the six at alpha = 0.5
    dataset.watched_step[SEEDS : SEEDS + 2] = WATCHED
    dataset.watched_step[SEEDS + 2 :] = BUDGET  # of lanes that grokked it says nothing
    (ax,) = plotting.grokking_time(dataset).axes
    (bars,) = (c for c in ax.collections if c.get_label() == "_interval")
    assert bars.get_segments()[0][1, 1] == WATCHED


def test_interrupted_lanes_are_drawn_as_censored(result):
    dataset = result.dataset.isel(lane=slice(1, SEEDS)).copy(deep=True)
    dataset["outcome"] = ("lane", ["interrupted"] * 5)
    dataset.watched_step[:] = np.arange(5) * 20  # the first of them has only begun
    (ax,) = plotting.grokking_time(dataset).axes
    (censored,) = lines(ax, "_censored")
    np.testing.assert_array_equal(censored.get_ydata(), dataset.watched_step[1:])
    assert labels(ax)[-2:] == ["not grokked (censored, n/all)", "not drawn: 1 at step 0"]


@pytest.mark.parametrize("grokked", [False, True])
def test_lanes_that_are_all_at_step_0_are_counted(result, grokked):
    dataset = result.dataset.copy(deep=True)
    for name in ("grokking_step", "watched_step", "final_step"):
        dataset[name][:] = 0 if grokked or name != "grokking_step" else np.nan
    figure = plotting.grokking_time(dataset)
    figure.draw_without_rendering()
    assert labels(figure.axes[0])[-1] == "not drawn: 18 at step 0"


def test_too_few_seeds_for_an_interval_give_no_bar(result):
    few = result.dataset.isel(lane=result.dataset.seed.values < 2)
    (ax,) = plotting.grokking_time(few).axes
    assert labels(ax)[0] == "median of 2 seeds"
    assert all(not c.get_segments() for c in ax.collections)


def test_groups_stand_at_their_alpha_and_differ_in_colour_marker_and_fill(two):
    (ax,) = plotting.grokking_time(two).axes
    sgd, adamw = lines(ax, "_median")
    assert sgd.get_color() != adamw.get_color()
    assert sgd.get_marker() != adamw.get_marker()
    assert sgd.get_markerfacecolor() == sgd.get_color()
    assert adamw.get_markerfacecolor() == "white"
    for line in ax.lines:
        assert set(line.get_xdata()) <= set(ALPHAS)
    for bars in ax.collections:
        assert {x for segment in bars.get_segments() for x in segment[:, 0]} <= set(ALPHAS)
    assert labels(ax)[:2] == ["sgd", "adamw"]
    numbers = plotting.grokking_time(two, by="seed").axes[0]
    assert labels(numbers)[0] == "seed = 0"


def test_lanes_without_a_group_are_a_group_of_their_own(result):
    """NaN or no word, which `concatenate` gives to lanes that have no such column."""
    decayed = SweepResult(result.dataset.assign_coords(weight_decay=("lane", [0.5] * 18)))
    joined = concatenate([decayed, make(0.5)])
    (ax,) = plotting.grokking_time(joined, by="weight_decay").axes
    assert labels(ax)[:2] == ["weight decay = 0.5", "no weight decay"]
    counts = [len(line.get_xdata()) for line in lines(ax, "_reached")]
    assert counts == [12, 12]
    (ax,) = plotting.curves(joined, ["test_loss"], weight_decay=np.nan, seed=0, alpha=0.5).axes
    lane = (joined.dataset.weight_decay.isnull() & (joined.dataset.seed == 0)).values
    lane &= joined.dataset.alpha.values == 0.5
    expected = joined.dataset.test_loss[lane.argmax()].dropna("time")[1:]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), expected)
    words = joined.dataset.assign_coords(network=("lane", ["mlp"] * 18 + [""] * 18))
    assert labels(plotting.grokking_time(words, by="network").axes[0])[:2] == ["mlp", "no network"]


def test_groups_of_large_numbers_have_names_of_their_own(result):
    seeds = result.dataset.seed.values + 10**7
    (ax,) = plotting.grokking_time(result.dataset.assign_coords(seed=("lane", seeds)), "seed").axes
    assert labels(ax)[:2] == ["seed = 10000000", "seed = 10000001"]
    assert len(lines(ax, "_median")) == SEEDS


def test_nothing_grokked_can_still_be_drawn(result):
    none = result.dataset.isel(lane=slice(1, SEEDS))
    figure = plotting.alpha_sweep_figure(none)
    figure.draw_without_rendering()
    assert labels(figure.axes[0]) == ["not grokked (censored, n/all)"]


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_main_figure_has_one_panel_for_each_group(result, count):
    names = [f"optimizer {i}" for i in range(count)]
    joined = concatenate([result] * count, optimizer=names)
    figure = plotting.alpha_sweep_figure(joined)
    panels = [ax for ax in figure.axes if ax.get_title(loc="left") in names]
    assert [ax.get_title(loc="left") for ax in panels] == names
    colours = {tuple(line.get_color()) for ax in panels for line in drawn(ax)}
    assert len(colours) == len(ALPHAS)  # one scale for all panels
    figure.draw_without_rendering()


def test_censored_lanes_are_counted_at_each_place(result):
    dataset = result.dataset.copy(deep=True)
    dataset.watched_step[1] = 500
    (ax,) = plotting.grokking_time(dataset).axes
    assert {(text.xy, text.get_text()) for text in ax.texts} == {
        ((0.3, 500), "1/6"),
        ((0.3, WATCHED), "4/6"),
    }
    single = plotting.grokking_time(result.select(result.dataset.seed == 2)).axes[0]
    assert not single.texts
    assert "not grokked (censored)" in labels(single)


def test_counts_of_two_groups_at_one_place_do_not_cover_each_other(two):
    (ax,) = plotting.grokking_time(two).axes
    places = [(text.xy, text.get_position()) for text in ax.texts]
    assert len(places) == len(set(places)) == 2


def test_the_main_figure_explains_its_panels_once(guessing):
    figure = plotting.alpha_sweep_figure(guessing)
    panels = [ax for ax in figure.axes if ax.get_ylabel() == "accuracy"]
    assert all(lines(ax, "chance") for ax in panels)
    assert all(ax.get_legend() is None for ax in panels)
    (legend,) = [legend for half in figure.subfigs for legend in half.legends]
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["training", "test", "median of 6 seeds, range", "chance"]


def test_steps_against_a_column_have_kaplan_meier_medians(result):
    variables = {"memorization_step": "memorized", "grokking_step": "generalized"}
    (ax,) = plotting.step_against(result, variables, "alpha").axes
    assert labels(ax) == [
        "memorized", "generalized", "median of 6 seeds, 95 % interval", "one seed",
        "not reached (censored, n/all)", "diverged",
    ]  # fmt: skip
    memorized, grokked = lines(ax, "_median")
    dataset = result.dataset
    for line, name in ((memorized, "memorization_step"), (grokked, "grokking_step")):
        table = survival.summary(dataset[name], dataset.watched_step, alpha=dataset.alpha)
        expected = table["median"].where(np.isfinite(table["median"]))
        np.testing.assert_array_equal(line.get_data(), (ALPHAS, expected))
    assert [text.get_text() for text in ax.texts] == ["5/6"]
    assert ax.get_ylabel() == "step"
    listed = plotting.step_against(result, ("memorization_step",), "alpha").axes[0]
    assert labels(listed)[0] == "memorization step"
