"""What cannot be drawn is refused by name."""

import numpy as np
import pytest
from figures import (  # noqa: F401  result is a fixture
    result,
)

from grokjax import plotting

OF_LANES = [
    plotting.grokking_time,
    plotting.accuracy_curves,
    plotting.loss_curves,
    plotting.alpha_sweep_figure,
    plotting.training_figure,
    plotting.ipr_curve,
    lambda data: plotting.curves(data, ["test_loss"]),
    lambda data: plotting.over_lanes(data, "test_loss"),
    lambda data: plotting.step_against(data, ["grokking_step"], "alpha"),
    lambda data: plotting.final_against(data, "test_loss", "alpha"),
    lambda data: plotting.phase_diagram(data, "alpha", "seed"),
    lambda data: plotting.colours_by(data, "alpha"),
    lambda data: plotting.group_panels(data, "alpha", print),
]


@pytest.mark.parametrize("draw", OF_LANES)
def test_figures_of_lanes_need_lanes(result, draw):
    for wrong, message in (
        (None, "data must be a SweepResult"),
        ("results", "data must be a SweepResult"),
        (result.dataset.test_loss, "data must be a SweepResult"),
        (result.dataset.isel(lane=[]), "data has no lanes"),
        (result.select([]), "data has no lanes"),
        (result.table(), "before table"),
    ):
        with pytest.raises(ValueError, match=message):
            draw(wrong)


@pytest.mark.parametrize(
    "draw", [plotting.grokking_time, plotting.alpha_sweep_figure, plotting.accuracy_curves]
)
def test_lanes_without_alpha_have_no_place(result, draw):
    dataset = result.dataset.copy(deep=True)
    dataset.alpha[0] = np.nan
    with pytest.raises(ValueError, match="every lane needs a number in alpha"):
        draw(dataset)
    with pytest.raises(ValueError, match="'alpha' is no lane column"):
        draw(dataset.drop_vars("alpha"))


@pytest.mark.parametrize("draw", [plotting.grokking_time, plotting.alpha_sweep_figure])
def test_a_dataset_that_lacks_a_variable_is_refused(result, draw):
    with pytest.raises(ValueError, match="data lacks 'watched_step'"):
        draw(result.dataset.drop_vars("watched_step"))


@pytest.mark.parametrize("confidence", [0, 95, "a"])
@pytest.mark.parametrize("draw", [plotting.grokking_time, plotting.alpha_sweep_figure])
def test_confidence_lies_between_0_and_1(result, draw, confidence):
    with pytest.raises(ValueError, match="confidence must be"):
        draw(result, confidence=confidence)


@pytest.mark.parametrize("by", ["optimiser", "step", "grokking_step", "", 3, ["seed"]])
def test_groups_are_of_a_lane_column(result, by):
    with pytest.raises(ValueError, match="is no lane column"):
        plotting.grokking_time(result, by)


@pytest.mark.parametrize("value", [99, "0", [0, 1], None, {}, np.nan])
def test_selected_values_must_be_there(result, value):
    with pytest.raises(ValueError, match="no lane has seed="):
        plotting.accuracy_curves(result, seed=value)


@pytest.mark.parametrize(
    ("variables", "options", "message"),
    [
        ("test_loss", {}, "variables must be names"),
        ([], {}, "variables must be names"),
        (None, {}, "variables must be names"),
        (["final_step"], {}, "'final_step' was not measured"),
        ([3], {}, "3 was not measured"),
        ([["test_loss"]], {}, "was not measured"),
        (["test_loss"], {"yscale": "logarithmic"}, 'yscale must be "linear" or "log"'),
        (["test_loss"], {"xscale": 3}, 'xscale must be "linear" or "log"'),
    ],
)
def test_curves_need_names_of_measurements(result, variables, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.curves(result, variables, **options)


@pytest.mark.parametrize("ax", [3, "ax", plotting.new_figure(1, 2)[1], plotting.new_figure()[0]])
def test_axes_must_be_axes(result, ax):
    for draw in (
        lambda ax: plotting.grokking_time(result, ax=ax),
        lambda ax: plotting.curves(result, ["test_loss"], ax),
        lambda ax: plotting.heatmap(np.eye(2), ax),
        lambda ax: plotting.phase_histogram({"a": [0.0]}, ax),
        lambda ax: plotting.accuracy_against_width([1], {"a": [0.5]}, ax),
        plotting.legend_above,
    ):
        with pytest.raises(ValueError, match="ax must be"):
            draw(ax)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plotting.heatmap(np.zeros((0, 3))), "at least one finite entry"),
        (lambda: plotting.heatmap([[np.nan]]), "at least one finite entry"),
        (lambda: plotting.heatmap([1.0]), "matrix must be an array of .* shape"),
        (lambda: plotting.heatmap([["a"]]), "matrix must be an array of"),
        (lambda: plotting.heatmap([[1.0]], colorbar="no"), "colorbar must be True or False"),
        (lambda: plotting.phase_histogram([[0.1]]), "phases must be a mapping"),
        (lambda: plotting.phase_histogram({}), "phases is empty"),
        (lambda: plotting.phase_histogram({"a": [4.0]}), r"must be phases in .*, got 4; use"),
        (lambda: plotting.phase_histogram({"a": [np.nan]}), "at least one phase"),
        (lambda: plotting.phase_histogram({"a": ["x"]}), r"phases\['a'\] must be an array"),
        (lambda: plotting.phase_histogram({"a": [0.1]}, bins=0), "bins must be a positive integer"),
        (lambda: plotting.accuracy_against_width([1], [0.5]), "accuracies must be a mapping"),
        (lambda: plotting.accuracy_against_width([1], {}), "accuracies is empty"),
        (lambda: plotting.accuracy_against_width([1], {"a": [95.0]}), "fractions .*, got 95"),
        (lambda: plotting.accuracy_against_width([0], {"a": [0.5]}), "width must be positive"),
        (lambda: plotting.accuracy_against_width(1, {"a": [0.5]}), "width must be an array"),
        (lambda: plotting.data_efficiency([0.5], [0.5]), "accuracies must be a mapping"),
        (lambda: plotting.data_efficiency([50], {"a": [0.5]}), "alphas must be fractions"),
        (lambda: plotting.data_efficiency([], {"a": []}), "alphas must be fractions"),
        (lambda: plotting.data_efficiency([0.5], {"a": [0.5]}, columns=0), "columns must be"),
        (lambda: plotting.new_figure(0), "rows must be a positive integer"),
        (lambda: plotting.new_figure(1, 1.5), "columns must be a positive integer"),
        (lambda: plotting.new_figure(size=(4, 0)), r"size\[1\] must be"),
        (lambda: plotting.new_figure(size=4), "size must be an array of .* shape"),
        (lambda: plotting.colour_scale([]), "values is empty"),
        (lambda: plotting.colour_scale([np.nan]), "values must be .* finite"),
        (lambda: plotting.label_log(3), "axis must be a logarithmic one"),
        (lambda: plotting.label_log(plotting.new_figure()[1].xaxis), "axis must be a logarithmic"),
        (lambda: plotting.heatmap(np.eye(2), x=[1, 1]), "x must be 2 different coordinates"),
        (lambda: plotting.heatmap(np.eye(2), y=["a"]), "y must be 2 different coordinates"),
        (lambda: plotting.heatmap(np.eye(2), x=[1, np.nan]), "x must be .* finite"),
        (lambda: plotting.heatmap(np.eye(2), square=1), "square must be True or False"),
        (lambda: plotting.accuracy_against_width([1], {"a": [0.5]}, chance=2), "chance must be"),
        (lambda: plotting.data_efficiency([0.5], {"a": [0.5]}, chance="a"), "chance must be"),
        (lambda: plotting.chance_line(plotting.new_figure()[1], 10), "chance must be"),
        (lambda: plotting.chance_line(3, 0.1), "ax must be"),
        (lambda: plotting.vertical_line(3, 1, "a"), "ax must be"),
        (lambda: plotting.vertical_line(plotting.new_figure()[1], "x", "a"), "step must be"),
        (lambda: plotting.vertical_line(plotting.new_figure()[1], 1, 2), "label must be text"),
        (lambda: plotting.legend_outside(plotting.new_figure()[1]), "figure must be a figure"),
        (lambda: plotting.legend_outside(plotting.new_figure()[0], columns=0), "columns must be"),
        (lambda: plotting.legend_above(plotting.new_figure()[1], [], 0), "columns must be"),
        (lambda: plotting.legend_above(plotting.new_figure()[1], "a"), "handles must be lines"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda r: plotting.step_against(r, [], "alpha"), "variables must be names of steps"),
        (lambda r: plotting.step_against(r, "grokking_step", "alpha"), "variables must be names"),
        (lambda r: plotting.step_against(r, ["norm"], "alpha"), "data lacks 'norm' for each lane"),
        (lambda r: plotting.step_against(r, ["grokking_step"], "x"), "'x' is no lane column"),
        (lambda r: plotting.final_against(r, "norm", "alpha"), "'norm' was not measured"),
        (lambda r: plotting.final_against(r, "ipr", "alpha", "x"), "'x' is no lane column"),
        (lambda r: plotting.final_against(r, "ipr", "seed", log_x=True), "log_x needs a column of"),
        (lambda r: plotting.final_against(r, "ipr", "seed", log_x="yes"), "log_x must be True"),
        (lambda r: plotting.curves(r, ["ipr"], by="x"), "'x' is no lane column"),
        (lambda r: plotting.curves(r, ["ipr"], by=3), "column must be text"),
        (lambda r: plotting.colours_by(r, "x"), "'x' is no lane column"),
        (lambda r: plotting.phase_diagram(r), "'weight_decay' is no lane column"),
        (lambda r: plotting.phase_diagram(r, y="seed", quantity="best"), "quantity must be"),
        (lambda r: plotting.phase_diagram(r, y="seed", quantity=[0.1]), "quantity must be"),
        (lambda r: plotting.phase_diagram(r, y="seed", quantity=[2.0] * 18), "between 0 and 1"),
        (lambda r: plotting.group_panels(r, "x", print), "'x' is no lane column"),
        (lambda r: plotting.group_panels(r, "alpha", "draw"), "draw must be a function"),
        (lambda r: plotting.group_panels(r, "alpha", print, columns=0), "columns must be"),
        (lambda r: plotting.group_panels(r, "alpha", print, size=3), "size must be an array"),
        (lambda r: plotting.group_panels(r, "alpha", print, sharey=2), "sharey must be True"),
    ],
)
def test_what_cannot_be_drawn_of_lanes_is_named(result, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(result)
