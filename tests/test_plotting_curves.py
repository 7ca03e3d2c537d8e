"""Curves over the steps: medians and ranges of lanes, one by one or by a column."""

import numpy as np
import pytest
from figures import (  # noqa: F401  result and two are fixtures
    ALPHAS,
    SEEDS,
    STEPS,
    drawn,
    labels,
    lines,
    result,
    two,
)

from grokjax import plotting


def test_accuracy_curves_are_medians_that_outlive_retired_lanes(result):
    ax, colorbar = plotting.accuracy_curves(result).axes
    assert len(drawn(ax)) == 2 * len(ALPHAS)
    assert [line.get_linestyle() for line in ax.lines[:2]] == ["--", "-"]
    test = ax.lines[3]  # alpha = 0.5: times 300 ... 400
    step, accuracy = test.get_data()
    lanes = result.dataset.isel(lane=result.dataset.alpha.values == 0.5)
    assert step[-1] == lanes.final_step.max()
    assert accuracy[step == 320] == 0  # two of six have grokked
    assert (accuracy[step >= 360] == 1).all()  # though those that did have retired
    assert colorbar.get_ylabel().startswith("training fraction")
    assert labels(ax) == ["training", "test", "median of 6 seeds, range"]


def test_select_picks_lanes(two):
    dataset = two.dataset
    (ax,) = plotting.accuracy_curves(two, optimizer="adamw", seed=1, alpha=0.5).axes
    chosen = (dataset.optimizer == "adamw") & (dataset.seed == 1) & (dataset.alpha == 0.5)
    expected = dataset.test_accuracy[chosen.values.argmax()].dropna("time")[1:]
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), expected)
    with pytest.raises(ValueError, match=r"no lane has optimizer='adam'; .*'adamw'"):
        plotting.accuracy_curves(two, optimizer="adam")
    with pytest.raises(ValueError, match="'optimiser' is no lane column"):
        plotting.curves(two, ["ipr"], optimiser="adam")
    with pytest.raises(ValueError, match="'optimiser' is no lane column"):
        plotting.grokking_time(two, by="optimiser")
    with pytest.raises(ValueError, match="before table"):
        plotting.grokking_time(two.table())


def test_curves_have_a_band_from_lowest_to_highest(result):
    (ax,) = plotting.curves(result, ["train_loss", "test_loss"], alpha=0.5, yscale="log").axes
    assert labels(ax) == ["training loss", "test loss", "median of 6 seeds, range"]
    assert [line.get_linestyle() for line in drawn(ax)] == ["--", "-"]
    lanes = result.dataset.isel(lane=result.dataset.alpha.values == 0.5)
    for band, name in zip(ax.collections, ("train_loss", "test_loss"), strict=True):
        _, _, low, high = plotting.over_lanes(lanes, name)
        y = band.get_paths()[0].vertices[:, 1]
        assert (y.min(), y.max()) == (low[1:].min(), high[1:].max())
    (single,) = plotting.curves(result, ["test_loss"], alpha=0.5, seed=0).axes
    assert not single.collections
    assert labels(single) == ["test loss"]  # neither a median nor a range
    with pytest.raises(ValueError, match=r"'loss' was not measured; .*'test_loss'"):
        plotting.curves(result, ["loss"])


def test_a_lane_that_became_infinite_does_not_spoil_the_figure(result):
    dataset = result.dataset.copy(deep=True)
    dataset.train_loss[0, 5] = np.inf
    for scale in ("linear", "log"):
        figure = plotting.curves(dataset, ["train_loss"], alpha=0.3, yscale=scale)
        figure.draw_without_rendering()
        assert np.isfinite(figure.axes[0].get_ylim()).all()


def test_training_figure_has_the_panels_that_were_measured(result):
    figure = plotting.training_figure(result, alpha=0.5)
    found = [ax.get_ylabel() for ax in figure.axes]
    assert found == ["loss", "weight norm", "accuracy", "gradient norm"]
    without = result.dataset.drop_vars(["norm_w1"])
    shown = [ax for ax in plotting.training_figure(without).axes if ax.axison]
    assert [ax.get_ylabel() for ax in shown] == ["loss", "accuracy", "gradient norm"]


def test_ipr_curve_has_the_analytic_reference(result):
    (ax,) = plotting.ipr_curve(result, 0.8, alpha=0.7).axes
    assert lines(ax, "analytic")[0].get_ydata() == [0.8, 0.8]
    assert "inverse participation ratio" in labels(ax)
    assert "analytic" not in labels(plotting.ipr_curve(result).axes[0])


def test_curves_on_logarithmic_steps_begin_at_the_first_positive_measurement(result):
    for ax in (
        plotting.accuracy_curves(result).axes[0],
        plotting.curves(result, ["test_loss"], by="seed").axes[0],
        plotting.curves(result, ["test_loss"]).axes[0],
    ):
        assert {line.get_xdata()[0] for line in drawn(ax)} == {STEPS[1]}
        for band in ax.collections:
            assert band.get_paths()[0].vertices[:, 0].min() == STEPS[1]
    linear = plotting.curves(result, ["test_loss"], xscale="linear").axes[0]
    assert drawn(linear)[0].get_xdata()[0] == 0


def test_a_lane_counts_only_from_its_first_measurement(result):
    dataset = result.dataset.isel(lane=slice(6, 8)).copy(deep=True)
    dataset.test_loss[0, :5] = np.nan
    dataset.test_loss[1, 3] = np.nan  # between two measurements the last one counts
    dataset.test_loss[1, :5] = [5, 4, np.nan, np.nan, 3]
    step, middle, low, high = plotting.over_lanes(dataset, "test_loss")
    np.testing.assert_array_equal(step[:5], [0, 20, 80, 100, 120])
    np.testing.assert_array_equal(middle[:3], [5, 4, 3])
    np.testing.assert_array_equal([low[3], high[3]], np.sort(dataset.test_loss[:, 5]))


def test_medians_say_of_how_many_lanes_they_are(result):
    few = result.select((result.dataset.alpha != 0.7) | (result.dataset.seed < 2))
    assert "median of 2 to 6 seeds, range" in labels(plotting.accuracy_curves(few).axes[0])
    pooled = plotting.curves(result, ["test_loss"]).axes[0]  # lanes of all alphas
    assert "median of 18 lanes, range" in labels(pooled)


@pytest.mark.parametrize("draw", [plotting.accuracy_curves, plotting.loss_curves])
def test_a_single_alpha_is_named(result, draw):
    assert labels(draw(result, alpha=0.5).axes[0])[0] == r"$\alpha$ = 0.5"


def test_training_losses_of_many_groups_are_thin(result):
    few = plotting.loss_curves(result).axes[0].lines[0]
    many = plotting.curves(result, ["train_loss", "test_loss"], by="seed").axes[0].lines
    assert many[0].get_linewidth() < few.get_linewidth() < many[1].get_linewidth()


def test_curves_by_a_column_have_a_colour_for_each_value(two):
    variables = ["train_accuracy", "test_accuracy", "ipr"]
    (ax,) = plotting.curves(two, variables, by="optimizer", alpha=0.5).axes
    found = drawn(ax)
    assert [line.get_color() for line in found] == [plotting.PALETTE[i] for i in (0, 0, 0, 1, 1, 1)]
    assert [line._dash_pattern for line in found[:3]] == [line._dash_pattern for line in found[3:]]
    assert len({str(line._dash_pattern) for line in found}) == 3
    assert labels(ax) == [
        "sgd", "adamw", "training accuracy", "test accuracy", "inverse participation ratio",
        "median of 6 seeds, range",
    ]  # fmt: skip
    assert len(ax.collections) == 6
    lanes = two.dataset.isel(lane=(two.dataset.optimizer == "adamw").values)
    lanes = lanes.isel(lane=lanes.alpha.values == 0.5)
    step, middle, _, _ = plotting.over_lanes(lanes, "ipr")
    np.testing.assert_array_equal(found[5].get_data(), (step[1:], middle[1:]))


def test_curves_by_many_numbers_have_a_colour_bar_and_no_bands(two):
    ax, bar = plotting.curves(two, ["train_loss", "test_loss"], by="seed", alpha=0.5).axes
    assert not ax.collections
    assert labels(ax) == ["training loss", "test loss", "median of 2 lanes"]
    assert bar.get_ylabel() == "seed"
    np.testing.assert_array_equal(bar.get_yticks(), np.arange(SEEDS))


def test_measurements_may_be_named_in_an_array(result):
    names = np.array(["train_loss", "test_loss"])
    assert len(drawn(plotting.curves(result, names).axes[0])) == 2


def test_curves_of_nothing_but_step_0_say_that_they_are_empty(result):
    start = result.dataset.isel(time=[0])
    (ax,) = plotting.curves(start, ["train_loss"]).axes[:1]
    assert [text.get_text() for text in ax.texts] == ["nothing was measured\nafter step 0"]
    (ax,) = plotting.curves(start, ["train_loss"], xscale="linear").axes[:1]
    assert not ax.texts
