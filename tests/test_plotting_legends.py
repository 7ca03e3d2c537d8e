"""What figures explain: legends, the line of chance, vertical lines, medians of how many lanes."""

import numpy as np
import pytest
from figures import (  # noqa: F401  guessing and result and two are fixtures
    guessing,
    labels,
    lines,
    result,
    two,
)

from grokjax import plotting


def test_one_lane_is_no_median(result):
    single = result.select(result.dataset.seed == 2)
    for figure in (
        plotting.grokking_time(single),
        plotting.accuracy_curves(single),
        plotting.curves(single, ["ipr"], by="alpha"),
        plotting.final_against(single, "test_accuracy", "alpha"),
        plotting.step_against(single, ["grokking_step"], "alpha"),
        plotting.phase_diagram(single, "alpha", "seed"),
    ):
        words = " ".join(labels(figure.axes[0])) + figure.axes[-1].get_ylabel()
        assert "median" not in words
        assert "range" not in words
        assert "of 1" not in words


@pytest.mark.parametrize(
    "draw",
    [
        plotting.accuracy_curves,
        lambda data: plotting.curves(data, ["test_accuracy"]),
        lambda data: plotting.curves(data, ["test_accuracy"], by="optimizer"),
        lambda data: plotting.ipr_curve(data, 0.8),
        lambda data: plotting.final_against(data, "test_accuracy", "alpha"),
    ],
)
def test_accuracies_have_the_line_of_chance_if_it_is_known(two, guessing, draw):
    ax = draw(guessing).axes[0]
    (line,) = lines(ax, "chance")
    assert line.get_ydata() == [0.2, 0.2]
    assert "chance" in labels(ax)
    assert not lines(draw(two).axes[0], "chance")
    known = two.dataset.assign_coords(chance=("lane", np.full(36, 0.1)))
    assert lines(draw(known).axes[0], "chance")[0].get_ydata() == [0.1, 0.1]


def test_losses_have_no_line_of_chance(guessing):
    assert not lines(plotting.loss_curves(guessing).axes[0], "chance")
    assert not lines(plotting.final_against(guessing, "test_loss", "alpha").axes[0], "chance")


def test_vertical_lines_are_explained(result):
    (ax,) = plotting.curves(result, ["test_loss"], alpha=0.5).axes
    plotting.vertical_line(ax, 100, "the cut")
    plotting.vertical_line(ax, np.float32(200), "the cut")
    plotting.vertical_line(ax, 300, "grokked")
    for never in (np.nan, np.inf, 0):
        plotting.vertical_line(ax, never, "never")
    cuts, (grokked,) = lines(ax, "the cut"), lines(ax, "grokked")
    assert [line.get_xdata()[0] for line in (*cuts, grokked)] == [100, 200, 300]
    assert cuts[0].get_linestyle() == cuts[1].get_linestyle()
    assert cuts[0]._dash_pattern == cuts[1]._dash_pattern != grokked._dash_pattern
    assert labels(ax)[-2:] == ["the cut", "grokked"]


def test_chance_is_drawn_once():
    _, ax = plotting.new_figure()
    for chance in (0.1, 0.1, np.float32(0.25)):
        plotting.chance_line(ax, chance)
    assert [line.get_ydata()[0] for line in lines(ax, "chance")] == [0.1, 0.25]
    plotting.legend_above(ax)
    assert labels(ax) == ["chance"]


def test_legends_can_be_left_out(two):
    for draw in (
        plotting.accuracy_curves,
        plotting.loss_curves,
        plotting.grokking_time,
        lambda data, **o: plotting.curves(data, ["ipr"], by="alpha", **o),
        lambda data, **o: plotting.step_against(data, ["grokking_step"], "alpha", **o),
        lambda data, **o: plotting.final_against(data, "ipr", "alpha", "optimizer", **o),
        lambda data, **o: plotting.phase_diagram(data, "alpha", "seed", **o),
    ):
        figure = draw(two, legend=False)
        assert len(figure.axes) == 1  # nor is there a colour bar
        assert figure.axes[0].get_legend() is None
        with pytest.raises(ValueError, match="legend must be True or False"):
            draw(two, legend="no")


def test_one_legend_outside_explains_every_label_once(two):
    figure, axes = plotting.new_figure(1, 2)
    colours = plotting.colours_by(two, "alpha")
    for ax, optimizer in zip(axes, ("sgd", "adamw"), strict=True):
        plotting.curves(two, ["test_loss"], ax, by=colours, optimizer=optimizer)
        plotting.vertical_line(ax, 100, "the cut")
    plotting.legend_outside(figure)
    assert all(ax.get_legend() is None for ax in axes)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["median of 6 seeds, range", "the cut"]
