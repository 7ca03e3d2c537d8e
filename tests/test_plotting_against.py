"""Measurements against a column or a width, panels for its values, and densities of phases."""

import numpy as np
import pytest
from figures import (  # noqa: F401  two is a fixture
    ALPHAS,
    drawn,
    labels,
    lines,
    two,
)

from grokjax import plotting


def test_phase_histogram_is_a_density_centred_on_zero():
    (ax,) = plotting.phase_histogram({"AdamW": [0.0, 0.01, np.nan]}).axes
    density, edges, _ = ax.patches[0].get_data()
    np.testing.assert_allclose(np.sum(density * np.diff(edges)), 1)
    assert edges[density.argmax()] < 0 < edges[density.argmax() + 1]
    assert labels(ax) == ["AdamW (2 neurons)", "random phases"]


def test_accuracy_against_width():
    accuracies = {"analytic": [0.1, 0.9], "trained": [[0.2, 0.4, 0.3], [1, 1, 1]]}
    (ax,) = plotting.accuracy_against_width([10, 100], accuracies).axes
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [0.3, 1])
    assert len(ax.collections) == 1
    assert labels(ax) == ["analytic", "trained", "median of 1 to 3 seeds, range"]
    (ax,) = plotting.accuracy_against_width([10, 100], {"a": [0.1, 0.9]}, chance=0.2).axes
    assert labels(ax) == ["a", "chance"]
    assert lines(ax, "chance")[0].get_ydata() == [0.2, 0.2]
    with pytest.raises(ValueError, match=r"accuracies\['a'\] has shape \(3,\)"):
        plotting.accuracy_against_width([10, 100], {"a": [1, 2, 3]})


def test_data_efficiency_has_a_panel_for_each_setting():
    best = {"decay": [[0.2, 0.4, 0.3], [1, 1, 1]], "none": [[0, 0, 0], [0.5, 0.1, 0.2]]}
    best |= {"noise": [[0.1, 0.1, 0.1], [0, 0.9, 0.3]], "one seed": [0.1, 0.6]}
    figure = plotting.data_efficiency([0.3, 0.6], best, chance=0.05)
    assert [ax.get_title("left") for ax in figure.axes if ax.axison] == list(best)
    medians = [[0.3, 1], [0, 0.2], [0.1, 0.3], [0.1, 0.6]]
    for ax, own in zip(figure.axes, medians, strict=False):
        *others, seeds, median = drawn(ax)
        np.testing.assert_allclose([line.get_ydata() for line in others], medians)
        np.testing.assert_allclose(median.get_ydata(), own)
        assert len(seeds.get_xdata()) in (2, 6)
    explained = [text.get_text() for text in figure.legends[0].get_texts()]
    assert explained == [
        "median of 3 seeds", "one seed", "the other settings", "chance",
    ]  # fmt: skip
    points = drawn(figure.axes[2])[-2]
    np.testing.assert_allclose(points.get_xdata(), [0.3] * 3 + [0.6] * 3)
    np.testing.assert_allclose(points.get_ydata(), np.ravel(best["noise"]))
    with pytest.raises(ValueError, match=r"accuracies\['a'\] has shape \(3,\)"):
        plotting.data_efficiency([0.3, 0.6], {"a": [1, 2, 3]})
    with pytest.raises(ValueError, match="at least one setting"):
        plotting.data_efficiency([0.3], {})


def test_columns_of_names_and_of_logarithmic_numbers_are_axes(two):
    (ax,) = plotting.step_against(two, ["grokking_step"], "optimizer").axes
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["sgd", "adamw"]
    assert set(lines(ax, "_reached")[0].get_xdata()) == {0, 1}
    decays = np.repeat([0.01, 0.1, 1.0], 12)
    dataset = two.dataset.assign_coords(weight_decay=("lane", decays))
    for log_x, scale in ((None, "log"), (True, "log"), (False, "linear")):
        (ax,) = plotting.final_against(dataset, "ipr", "weight_decay", log_x=log_x).axes
        assert ax.get_xscale() == scale
    uneven = dataset.assign_coords(alpha=("lane", np.tile([0.3, 0.5, 0.9], 12)))
    assert plotting.final_against(uneven, "ipr", "alpha").axes[0].get_xscale() == "linear"


def test_last_measurements_against_a_column(two):
    (ax,) = plotting.final_against(two, "test_accuracy", "alpha", "optimizer").axes
    assert labels(ax) == ["sgd", "adamw", "median of 6 seeds", "one seed"]
    last = two.final("test_accuracy")
    for i, name in enumerate(("sgd", "adamw")):
        inside = (two.dataset.optimizer == name).values
        dots, median = lines(ax, "_lanes")[i], lines(ax, "_median")[i]
        np.testing.assert_array_equal(dots.get_data(), (two.dataset.alpha[inside], last[inside]))
        expected = last[inside].groupby("alpha").median()
        np.testing.assert_array_equal(median.get_data(), (ALPHAS, expected))
        assert dots.get_color() == median.get_color() == plotting.PALETTE[i]
    assert ax.get_ylabel() == "final test accuracy"
    assert ax.get_ylim() == (-0.03, 1.03)


def test_panels_for_each_value_of_a_column(two):
    figure = plotting.group_panels(
        two, "alpha", lambda lanes, ax: plotting.final_against(lanes, "ipr", "seed", ax=ax),
        columns=2,
    )  # fmt: skip
    first, second, third, hidden = figure.axes
    assert [ax.get_title("left") for ax in (first, second, third)] == [
        rf"$\alpha$ = {alpha}" for alpha in ALPHAS
    ]
    assert not hidden.axison
    assert [ax.get_xlabel() for ax in (first, second, third)] == ["", "seed", "seed"]
    assert [bool(ax.get_ylabel()) for ax in (first, second, third)] == [True, False, True]
    assert first.get_ylim() == third.get_ylim()
    for ax, alpha in zip((first, second, third), ALPHAS, strict=True):
        expected = two.select(two.dataset.alpha == alpha).final("ipr")
        np.testing.assert_array_equal(lines(ax, "_lanes")[0].get_ydata(), expected)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["median of 2 lanes", "one lane"]


def test_panels_share_the_colours_and_one_bar(two):
    colours = plotting.colours_by(two, "alpha")
    seen = []

    def draw(lanes, ax):
        seen.append(type(lanes))
        chosen = lanes.isel(lane=lanes.alpha.values > 0.4)  # a panel may lack a value
        plotting.curves(chosen, ["ipr"], ax, by=colours, legend=False)

    figure = plotting.group_panels(two.dataset, "optimizer", draw, colours=colours)
    *panels, bar = figure.axes
    assert seen == [type(two.dataset)] * 2
    assert [ax.get_title("left") for ax in panels] == ["sgd", "adamw"]
    assert bar.get_ylabel() == plotting.ALPHA
    assert drawn(panels[0])[0].get_color() == colours.of(0.5)


def test_a_group_has_the_same_mark_in_a_panel_that_lacks_another(two):
    colours = plotting.colours_by(two, "optimizer")
    (whole,) = plotting.final_against(two, "ipr", "alpha", colours).axes
    adamw = two.select(two.dataset.optimizer == "adamw")
    (alone,) = plotting.final_against(adamw, "ipr", "alpha", colours).axes
    (dots,), (_, expected) = lines(alone, "_lanes"), lines(whole, "_lanes")
    for of in ("get_color", "get_marker", "get_markerfacecolor"):
        assert getattr(dots, of)() == getattr(expected, of)()


def test_phases_in_float32_reach_up_to_pi():
    (ax,) = plotting.phase_histogram({"a": np.array([np.pi, -np.pi], np.float32)}).axes
    density, edges, _ = ax.patches[0].get_data()
    np.testing.assert_allclose(np.sum(density * np.diff(edges)), 1)
