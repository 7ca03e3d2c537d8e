"""Figures: what is drawn, where, and that nothing global changes."""

import ast
import pathlib

import matplotlib
import numpy as np
import pytest

from grokjax import plotting, survival
from grokjax.results import SweepResult, build_dataset, concatenate

BUDGET = 1000
STEPS = np.arange(0, BUDGET + 1, 20)
WATCHED = BUDGET - 2 * 20  # with a patience of 3 measurements
ALPHAS = (0.3, 0.5, 0.7)
SEEDS = 6


def make(scale=1.0):
    """Lanes of alpha 0.3 never grok and the first of them diverges; the others grok at `times`."""
    alpha, seed = np.repeat(ALPHAS, SEEDS), np.tile(np.arange(SEEDS), 3)
    times = np.where(alpha == 0.3, np.inf, scale * (800 - 1000 * alpha + 20 * seed))
    times = np.ceil(times / 20) * 20
    final = np.minimum(times + 40, BUDGET).astype(int)
    final[0] = 100
    measured = final[:, None] >= STEPS
    test = np.where(measured, (times[:, None] <= STEPS).astype(float), np.nan)
    train = np.where(measured, (STEPS >= 40).astype(float), np.nan)
    history = {
        "train_accuracy": train,
        "test_accuracy": test,
        "train_loss": 1.1 - train,
        "test_loss": 1.1 - test,
        "ipr": 0.04 + 0.5 * test,
        "norm_w1": 1 + test,
        "gradient_norm_w1": 1 + train,
    }
    diverged = np.arange(len(times)) == 0
    columns = {"alpha": alpha, "seed": seed}
    return SweepResult(build_dataset(columns, STEPS, history, final, diverged, {}))


@pytest.fixture(scope="module")
def result():
    return make()


@pytest.fixture(scope="module")
def two(result):
    return concatenate([result, make(0.5)], optimizer=["sgd", "adamw"])


def lines(ax, label):
    return [line for line in ax.lines if line.get_label() == label]


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_grokking_time_draws_every_lane_once(result):
    (ax,) = plotting.grokking_time(result).axes
    dataset = result.dataset
    (seeds,), (censored,), (diverged,) = (
        lines(ax, f"_{kind}") for kind in ("grokked", "censored", "diverged")
    )
    np.testing.assert_array_equal(seeds.get_ydata(), dataset.grokking_step.dropna("lane"))
    np.testing.assert_array_equal(censored.get_xdata(), [0.3] * 5)
    np.testing.assert_array_equal(censored.get_ydata(), [WATCHED] * 5)
    assert censored.get_marker() == "^"
    assert censored.get_markerfacecolor() == "none"
    np.testing.assert_array_equal([diverged.get_xdata(), diverged.get_ydata()], [[0.3], [100]])
    assert ax.get_yscale() == "log"
    assert labels(ax) == [
        "median, 95 % interval",
        "one seed",
        "not grokked (censored)",
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
    assert labels(ax)[-2:] == ["not grokked (censored)", "not drawn: 1 at step 0"]


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
    assert labels(ax)[0] == "median"
    assert all(not c.get_segments() for c in ax.collections)


def test_groups_have_their_own_colour_marker_and_place(two):
    (ax,) = plotting.grokking_time(two).axes
    sgd, adamw = lines(ax, "_median")
    assert sgd.get_color() != adamw.get_color()
    assert sgd.get_marker() != adamw.get_marker()
    assert (sgd.get_xdata() < adamw.get_xdata()).all()  # side by side, near alpha
    np.testing.assert_allclose(sgd.get_xdata(), ALPHAS, atol=0.02)
    assert labels(ax)[:2] == ["sgd", "adamw"]
    numbers = plotting.grokking_time(two, by="seed").axes[0]
    assert labels(numbers)[0] == "seed = 0"


def test_lanes_without_a_group_are_a_group_of_their_own(result):
    """NaN or no word, which `concatenate` gives to lanes that have no such column."""
    decayed = SweepResult(result.dataset.assign_coords(weight_decay=("lane", [0.5] * 18)))
    joined = concatenate([decayed, make(0.5)])
    (ax,) = plotting.grokking_time(joined, by="weight_decay").axes
    assert labels(ax)[:2] == ["weight_decay = 0.5", "no weight_decay"]
    counts = [len(line.get_xdata()) for line in lines(ax, "_grokked")]
    assert counts == [12, 12]
    (ax,) = plotting.curves(joined, ["test_loss"], weight_decay=np.nan, seed=0, alpha=0.5).axes
    lane = (joined.dataset.weight_decay.isnull() & (joined.dataset.seed == 0)).values
    lane &= joined.dataset.alpha.values == 0.5
    expected = joined.dataset.test_loss[lane.argmax()].dropna("time")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), expected)
    words = joined.dataset.assign_coords(network=("lane", ["mlp"] * 18 + [""] * 18))
    assert labels(plotting.grokking_time(words, by="network").axes[0])[:2] == ["mlp", "no network"]


def test_groups_of_large_numbers_have_names_of_their_own(result):
    seeds = result.dataset.seed.values + 10**7
    (ax,) = plotting.grokking_time(result.dataset.assign_coords(seed=("lane", seeds)), "seed").axes
    assert labels(ax)[:2] == ["seed = 1e+07", "seed = 10000001"]
    assert len(lines(ax, "_median")) == SEEDS


def test_nothing_grokked_can_still_be_drawn(result):
    none = result.dataset.isel(lane=slice(1, SEEDS))
    figure = plotting.alpha_sweep_figure(none)
    figure.draw_without_rendering()
    assert labels(figure.axes[0]) == ["median", "one seed", "not grokked (censored)"]


def test_accuracy_curves_are_medians_that_outlive_retired_lanes(result):
    ax, colorbar = plotting.accuracy_curves(result).axes
    assert len(ax.lines) == 2 * len(ALPHAS)
    assert [line.get_linestyle() for line in ax.lines[:2]] == ["--", "-"]
    test = ax.lines[3]  # alpha = 0.5: times 300 ... 400
    step, accuracy = test.get_data()
    lanes = result.dataset.isel(lane=result.dataset.alpha.values == 0.5)
    assert step[-1] == lanes.final_step.max()
    assert accuracy[step == 320] == 0  # two of six have grokked
    assert (accuracy[step >= 360] == 1).all()  # though those that did have retired
    assert colorbar.get_ylabel().startswith("training fraction")
    assert labels(ax) == ["train", "test"]


def test_select_picks_lanes(two):
    dataset = two.dataset
    (ax,) = plotting.accuracy_curves(two, optimizer="adamw", seed=1, alpha=0.5).axes
    chosen = (dataset.optimizer == "adamw") & (dataset.seed == 1) & (dataset.alpha == 0.5)
    expected = dataset.test_accuracy[chosen.values.argmax()].dropna("time")
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), expected)
    with pytest.raises(ValueError, match=r"no lane has optimizer='adam'; .*'adamw'"):
        plotting.accuracy_curves(two, optimizer="adam")
    with pytest.raises(ValueError, match="'optimiser' is no lane column"):
        plotting.curves(two, ["ipr"], optimiser="adam")
    with pytest.raises(ValueError, match="'optimiser' is no lane column"):
        plotting.grokking_time(two, by="optimiser")
    with pytest.raises(ValueError, match="before table"):
        plotting.grokking_time(two.table())


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_main_figure_has_one_panel_for_each_group(result, count):
    names = [f"optimizer {i}" for i in range(count)]
    joined = concatenate([result] * count, optimizer=names)
    figure = plotting.alpha_sweep_figure(joined)
    panels = [ax for ax in figure.axes if ax.get_title(loc="left") in names]
    assert [ax.get_title(loc="left") for ax in panels] == names
    colours = {tuple(line.get_color()) for ax in panels for line in ax.lines}
    assert len(colours) == len(ALPHAS)  # one scale for all panels
    figure.draw_without_rendering()


def test_curves_have_a_band_from_lowest_to_highest(result):
    (ax,) = plotting.curves(result, ["train_loss", "test_loss"], alpha=0.5, yscale="log").axes
    assert labels(ax) == ["training loss", "test loss"]
    assert [line.get_linestyle() for line in ax.lines] == ["--", "-"]
    assert len(ax.collections) == 2
    (single,) = plotting.curves(result, ["test_loss"], alpha=0.5, seed=0).axes
    assert not single.collections
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


def test_heatmap_is_symmetric_around_zero_only_for_signed_matrices():
    signed = plotting.heatmap([[-1.0, 3.0]]).axes[0].images[0]
    assert signed.get_clim() == (-3, 3)
    positive = plotting.heatmap([[1.0, 3.0]], colorbar=False)
    assert positive.axes[0].images[0].get_clim() == (0, 3)
    assert len(positive.axes) == 1
    with pytest.raises(ValueError, match="absolute value"):
        plotting.heatmap(np.zeros((2, 2), complex))


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
    with pytest.raises(ValueError, match=r"accuracies\['a'\] has shape \(3,\)"):
        plotting.accuracy_against_width([10, 100], {"a": [1, 2, 3]})


def test_data_efficiency_has_a_panel_for_each_setting():
    best = {"decay": [[0.2, 0.4, 0.3], [1, 1, 1]], "none": [[0, 0, 0], [0.5, 0.1, 0.2]]}
    best |= {"noise": [[0.1, 0.1, 0.1], [0, 0.9, 0.3]], "one seed": [0.1, 0.6]}
    figure = plotting.data_efficiency([0.3, 0.6], best)
    assert [ax.get_title("left") for ax in figure.axes if ax.axison] == list(best)
    medians = [[0.3, 1], [0, 0.2], [0.1, 0.3], [0.1, 0.6]]
    for ax, own in zip(figure.axes, medians, strict=False):
        *others, seeds, median = ax.lines
        np.testing.assert_allclose([line.get_ydata() for line in others], medians)
        np.testing.assert_allclose(median.get_ydata(), own)
        assert len(seeds.get_xdata()) in (2, 6)
    points = figure.axes[2].lines[-2]
    np.testing.assert_allclose(points.get_xdata(), [0.3] * 3 + [0.6] * 3)
    np.testing.assert_allclose(points.get_ydata(), np.ravel(best["noise"]))
    with pytest.raises(ValueError, match=r"accuracies\['a'\] has shape \(3,\)"):
        plotting.data_efficiency([0.3, 0.6], {"a": [1, 2, 3]})
    with pytest.raises(ValueError, match="at least one setting"):
        plotting.data_efficiency([0.3], {})


def test_axes_can_be_given(result):
    figure, axes = plotting.new_figure(1, 2)
    assert plotting.grokking_time(result, ax=axes[0]) is figure
    assert plotting.ipr_curve(result, 0.5, ax=axes[1]) is figure
    assert lines(axes[1], "analytic")
    assert len(figure.axes) == 2


def test_save_writes_the_same_files_again(result, tmp_path):
    paths = plotting.save(plotting.grokking_time(result), tmp_path / "new", "time")
    assert [path.name for path in paths] == ["time.png", "time.svg"]
    before = [path.read_bytes() for path in paths]
    plotting.save(plotting.grokking_time(result), tmp_path / "new", "time")
    assert [path.read_bytes() for path in paths] == before
    assert before[0].startswith(b"\x89PNG")


def test_a_notebook_shows_the_figure(result):
    assert plotting.grokking_time(result)._repr_png_().startswith(b"\x89PNG")


def test_nothing_global_changes(result):
    before = dict(matplotlib.rcParams)
    plotting.alpha_sweep_figure(result)
    assert dict(matplotlib.rcParams) == before


# --------------------------------------------------------------------------------------------
# What cannot be drawn
# --------------------------------------------------------------------------------------------

OF_LANES = [
    plotting.grokking_time,
    plotting.accuracy_curves,
    plotting.loss_curves,
    plotting.alpha_sweep_figure,
    plotting.training_figure,
    plotting.ipr_curve,
    lambda data: plotting.curves(data, ["test_loss"]),
    lambda data: plotting.over_lanes(data, "test_loss"),
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
    with pytest.raises(ValueError, match="every lane needs an alpha"):
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


def test_measurements_may_be_named_in_an_array(result):
    names = np.array(["train_loss", "test_loss"])
    assert len(plotting.curves(result, names).axes[0].lines) == 2


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
        (lambda: plotting.legend_above(plotting.new_figure()[1], [], 0), "columns must be"),
        (lambda: plotting.legend_above(plotting.new_figure()[1], "a"), "handles must be lines"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_phases_in_float32_reach_up_to_pi():
    (ax,) = plotting.phase_histogram({"a": np.array([np.pi, -np.pi], np.float32)}).axes
    density, edges, _ = ax.patches[0].get_data()
    np.testing.assert_allclose(np.sum(density * np.diff(edges)), 1)


@pytest.mark.parametrize("name", ["a/b", "../a", "", None, 3, "a\0"])
def test_a_figure_is_saved_under_a_plain_name(tmp_path, name):
    figure, _ = plotting.new_figure()
    with pytest.raises(ValueError, match="name must be that of a file"):
        plotting.save(figure, tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_a_figure_is_saved_into_a_folder(result, tmp_path):
    figure, ax = plotting.new_figure()
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(ValueError, match="directory must be a folder"):
            plotting.save(figure, directory, "a")
    for directory in (5, None, ""):
        with pytest.raises(ValueError, match="directory must be a path"):
            plotting.save(figure, directory, "a")
    for wrong in (ax, result, None):
        with pytest.raises(ValueError, match="fig must be a figure"):
            plotting.save(wrong, tmp_path, "a")


def test_figures_of_ones_own_have_the_toolkit(result):
    step, middle, low, high = plotting.over_lanes(result, "test_accuracy")
    with plotting.in_style():
        figure, ax = plotting.new_figure()
        colour = plotting.colour_scale(ALPHAS).to_rgba(0.5)
        ax.plot(step, middle, color=colour, label="test", **plotting.TEST)
        ax.plot(step, low, color=plotting.GREY, **plotting.TRAIN)
        ax.set(xlabel=plotting.ALPHA, xscale="log")
        plotting.label_log(ax.xaxis)
        plotting.legend_above(ax)
    figure.draw_without_rendering()
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert labels(ax) == ["test"]


def test_pyplot_is_not_imported():
    sources = pathlib.Path(plotting.__file__).parent.glob("*.py")
    names = [
        alias.name
        for source in sources
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in [*node.names, ast.alias(getattr(node, "module", ""))]
    ]
    assert "matplotlib.figure" in names
    assert not [name for name in names if "pyplot" in name]


def test_label_log_names_ranges_of_any_size():
    for low, high in ((15, 700), (300, 900), (1, 1e6), (2e-4, 9e-4)):
        figure, ax = plotting.new_figure()
        ax.set(xscale="log", xlim=(low, high))
        plotting.label_log(ax.xaxis)
        figure.draw_without_rendering()
        shown = [
            tick.label1.get_text()
            for tick in ax.xaxis.get_major_ticks()
            if low <= tick.get_loc() <= high and tick.label1.get_text()
        ]
        assert 2 <= len(shown) <= 8
