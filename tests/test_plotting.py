"""Figures: what is drawn, where, how it is explained, and that nothing global changes."""

import ast
import pathlib

import matplotlib
import numpy as np
import pytest
import xarray

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


def drawn(ax):
    """The lines with data: neither keys of the legend nor lines across the axes."""
    return [line for line in ax.lines if len(line.get_xdata()) and line.get_gid() is None]


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


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


def test_heatmap_is_symmetric_around_zero_only_for_signed_matrices():
    signed = plotting.heatmap([[-1.0, 3.0]]).axes[0].collections[0]
    assert signed.get_clim() == (-3, 3)
    positive = plotting.heatmap([[1.0, 3.0]], colorbar=False)
    assert positive.axes[0].collections[0].get_clim() == (0, 3)
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


def test_axes_can_be_given(result):
    figure, axes = plotting.new_figure(1, 2)
    assert plotting.grokking_time(result, ax=axes[0]) is figure
    assert plotting.ipr_curve(result, 0.5, ax=axes[1]) is figure
    assert lines(axes[1], "analytic")
    assert len(figure.axes) == 2


def test_save_writes_the_same_files_again(result, tmp_path):
    paths = plotting.save(plotting.grokking_time(result), tmp_path / "new", "time")
    assert [path.name for path in paths] == ["time.png", "time.svg", "time.pdf"]
    before = [path.read_bytes() for path in paths]
    plotting.save(plotting.grokking_time(result), tmp_path / "new", "time")
    assert [path.read_bytes() for path in paths] == before
    assert [content[:4] for content in before] == [b"\x89PNG", b"<?xm", b"%PDF"]
    assert not any(b"Date" in content for content in before)


def test_a_notebook_shows_the_figure(result):
    assert plotting.grokking_time(result)._repr_png_().startswith(b"\x89PNG")


def test_nothing_global_changes(result):
    before = dict(matplotlib.rcParams)
    plotting.alpha_sweep_figure(result)
    assert dict(matplotlib.rcParams) == before


# --------------------------------------------------------------------------------------------
# What is explained
# --------------------------------------------------------------------------------------------


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


def test_medians_say_of_how_many_lanes_they_are(result):
    few = result.select((result.dataset.alpha != 0.7) | (result.dataset.seed < 2))
    assert "median of 2 to 6 seeds, range" in labels(plotting.accuracy_curves(few).axes[0])
    pooled = plotting.curves(result, ["test_loss"]).axes[0]  # lanes of all alphas
    assert "median of 18 lanes, range" in labels(pooled)


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


@pytest.fixture(scope="module")
def guessing(two):
    return SweepResult(two.dataset.assign_attrs(chance=0.2))


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


def test_the_main_figure_explains_its_panels_once(guessing):
    figure = plotting.alpha_sweep_figure(guessing)
    panels = [ax for ax in figure.axes if ax.get_ylabel() == "accuracy"]
    assert all(lines(ax, "chance") for ax in panels)
    assert all(ax.get_legend() is None for ax in panels)
    (legend,) = [legend for half in figure.subfigs for legend in half.legends]
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["training", "test", "median of 6 seeds, range", "chance"]


@pytest.mark.parametrize("draw", [plotting.accuracy_curves, plotting.loss_curves])
def test_a_single_alpha_is_named(result, draw):
    assert labels(draw(result, alpha=0.5).axes[0])[0] == r"$\alpha$ = 0.5"


def test_training_losses_of_many_groups_are_thin(result):
    few = plotting.loss_curves(result).axes[0].lines[0]
    many = plotting.curves(result, ["train_loss", "test_loss"], by="seed").axes[0].lines
    assert many[0].get_linewidth() < few.get_linewidth() < many[1].get_linewidth()


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


# --------------------------------------------------------------------------------------------
# Colours
# --------------------------------------------------------------------------------------------


def linear(colour):
    rgb = np.array(matplotlib.colors.to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast_on_white(colour):
    """The contrast ratio of the Web Content Accessibility Guidelines."""
    return 1.05 / (linear(colour) @ [0.2126, 0.7152, 0.0722] + 0.05)


SEEN = {  # Machado, Oliveira and Fernandes 2009, severity 1
    "by most": np.eye(3),
    "without red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "without green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "without blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def seen(colour, matrix):
    """CIELAB coordinates of a colour as somebody sees it."""
    rgb = np.clip(matrix @ linear(colour), 0, 1)
    xyz = np.array([[0.412, 0.358, 0.180], [0.213, 0.715, 0.072], [0.019, 0.119, 0.950]]) @ rgb
    x, y, z = np.cbrt(np.maximum(xyz / [0.950, 1, 1.089], 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", SEEN)
def test_lines_are_seen_on_white_and_told_apart(eyes):
    scale = plotting.colour_scale(np.arange(15)).to_rgba(np.arange(15))
    for colours, least in ((plotting.PALETTE, 10), (scale, 2.5)):
        assert min(contrast_on_white(colour) for colour in colours) >= 3
        points = np.array([seen(colour, np.array(SEEN[eyes])) for colour in colours])
        distances = np.linalg.norm(points[:, None] - points, axis=-1)
        assert distances[np.triu_indices(len(colours), 1)].min() > least
    assert contrast_on_white(plotting.GREY) >= 3


def test_logarithmic_values_have_even_colours():
    colours = plotting.colour_scale([0.001, 0.01, 0.1, 1])
    evenly = plotting.colour_scale([0, 1, 2, 3])
    np.testing.assert_allclose(colours.to_rgba([0.01, 0.1]), evenly.to_rgba([1, 2]), atol=0.01)


def test_numbers_have_a_scale_and_names_the_palette(two):
    names = plotting.colours_by(two, "optimizer")
    assert [names.of(name) for name in ("sgd", "adamw")] == list(plotting.PALETTE[:2])
    numbers = plotting.colours_by(two, "alpha")
    expected = plotting.colour_scale(ALPHAS).to_rgba(0.5)
    assert numbers.of(0.5) == expected
    assert names.scale is None
    assert plotting.colours_by(two.select(two.dataset.alpha < 0.6), "alpha").scale is None
    sizes = {value: lanes.sizes["lane"] for value, lanes in numbers.groups(two.dataset).items()}
    assert sizes == dict.fromkeys(ALPHAS, 12)


# --------------------------------------------------------------------------------------------
# Measurements against a column
# --------------------------------------------------------------------------------------------


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


# --------------------------------------------------------------------------------------------
# Cells at their coordinates
# --------------------------------------------------------------------------------------------


def corners(mesh):
    """Where the cells of a heat map begin and end: along x, along y."""
    corners = mesh.get_coordinates()
    return corners[0, :, 0], corners[:, 0, 1]


def test_heatmap_draws_cells_at_their_coordinates():
    matrix = np.arange(6.0).reshape(2, 3)
    (ax,) = plotting.heatmap(matrix, x=[0.4, 0.1, 0.3], y=[3, 5], colorbar=False).axes
    x, y = corners(ax.collections[0])
    np.testing.assert_allclose(x, [0, 0.2, 0.35, 0.45])
    np.testing.assert_allclose(y, [2, 4, 6])
    np.testing.assert_array_equal(ax.collections[0].get_array(), matrix[:, [1, 2, 0]])
    assert ax.get_ylim()[0] < ax.get_ylim()[1]
    assert ax.get_aspect() == "auto"
    (square,) = plotting.heatmap(matrix, square=True, colorbar=False).axes
    assert square.get_aspect() == 1
    assert square.get_ylim() == (1.5, -0.5)  # without coordinates rows go downwards
    assert square.get_xlim() == (-0.5, 2.5)


def test_heatmap_uses_the_coordinates_of_a_data_array():
    array = xarray.DataArray(
        np.ones((2, 3)),
        dims=("optimizer", "weight_decay"),
        coords={"optimizer": ["sgd", "adamw"], "weight_decay": [0.01, 0.1, 1]},
    )
    (ax,) = plotting.heatmap(array, colorbar=False).axes
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == (
        "weight decay", "optimizer", "log",
    )  # fmt: skip
    np.testing.assert_allclose(
        corners(ax.collections[0])[0], 10 ** np.array([-2.5, -1.5, -0.5, 0.5])
    )
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["sgd", "adamw"]
    without = plotting.heatmap(array.drop_vars("weight_decay"), colorbar=False).axes[0]
    np.testing.assert_allclose(corners(without.collections[0])[0], [-0.5, 0.5, 1.5, 2.5])


def decayed(shares, seeds=4):
    """Lanes over alpha and weight decay of which these shares grok: shares[decay, alpha]."""
    rows = []
    for decay, row in zip((0.01, 0.1, 1.0), shares, strict=True):
        for alpha, share in zip(ALPHAS, row, strict=True):
            count = 0 if np.isnan(share) else seeds
            rows += [(alpha, decay, seed, seed < share * seeds) for seed in range(count)]
    alpha, decay, seed, grokked = (np.array(column) for column in zip(*rows, strict=True))
    test = np.where(grokked[:, None] & (STEPS >= 500), 1.0, 0.0)
    history = {"train_accuracy": np.ones_like(test), "test_accuracy": test}
    columns = {"alpha": alpha, "weight_decay": decay, "seed": seed}
    lost = (alpha == 0.3) & (decay == 1) & (seed < 2)
    final = np.full(len(alpha), BUDGET)
    return SweepResult(build_dataset(columns, STEPS, history, final, lost, {}))


SHARES = np.array([[0, 0.25, 1], [0, 0.5, 1], [0, 1, np.nan]])


def test_phase_diagram_is_the_share_that_grokked():
    ax, bar = plotting.phase_diagram(decayed(SHARES)).axes
    mesh = ax.collections[0]
    np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), np.nan), SHARES)
    assert mesh.get_clim() == (0, 1)
    x, y = corners(mesh)
    np.testing.assert_allclose(x, [0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(y, 10 ** np.array([-2.5, -1.5, -0.5, 0.5]))
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert bar.get_ylabel() == "share grokked of 4 seeds"
    assert labels(ax) == ["50 %", "no lane", "half or more diverged"]
    hatched = {
        patch.get_hatch(): patch.get_path().vertices.min(axis=0)
        for patch in ax.patches
        if patch.get_label() not in labels(ax)
    }
    np.testing.assert_allclose(hatched["xxx"], [0.6, 10**-0.5])
    np.testing.assert_allclose(hatched["///"], [0.2, 10**-0.5])


def test_phase_diagram_has_a_line_where_cells_cross_one_half():
    boundary = plotting.phase_diagram(decayed(SHARES)).axes[0].collections[1]
    found = np.array(sorted(np.ravel(segment).tolist() for segment in boundary.get_segments()))
    y = 10 ** np.array([-2.5, -1.5, -0.5, 0.5])
    expected = [
        [0.4, y[1], 0.4, y[2]],
        [0.4, y[1], 0.6, y[1]],
        [0.4, y[2], 0.4, y[3]],
        [0.6, y[0], 0.6, y[1]],
    ]
    np.testing.assert_allclose(found, sorted(expected))
    everything = plotting.phase_diagram(decayed(np.ones((3, 3)))).axes[0]
    assert "50 %" not in labels(everything)


def test_phase_diagram_of_another_quantity(two):
    result = decayed(np.nan_to_num(SHARES))
    ax, bar = plotting.phase_diagram(result, quantity=result.final("test_accuracy")).axes
    np.testing.assert_array_equal(ax.collections[0].get_array(), np.nan_to_num(SHARES))
    assert bar.get_ylabel() == "mean test accuracy of 4 seeds"
    ax, bar = plotting.phase_diagram(result, quantity="diverged", label="lost").axes
    assert ax.collections[0].get_array()[2, 0] == 0.5
    assert "half or more diverged" not in labels(ax)
    assert bar.get_ylabel() == "lost"
    named = plotting.phase_diagram(two, y="optimizer", seed=0).axes[0]
    assert [tick.get_text() for tick in named.get_yticklabels()] == ["sgd", "adamw"]


def test_a_weight_decay_of_0_has_a_cell_beside_logarithmic_ones():
    result = decayed(SHARES)
    values = np.where(result.dataset.weight_decay == 0.01, 0, result.dataset.weight_decay)
    values = np.where(result.dataset.alpha == 0.5, values, values / 10 ** (result.dataset.seed % 2))
    dataset = result.dataset.assign_coords(weight_decay=("lane", values))
    ax = plotting.phase_diagram(dataset).axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["0", "0.01", "0.1", "1"]
    np.testing.assert_allclose(corners(ax.collections[0])[1], [-0.5, 0.5, 1.5, 2.5, 3.5])


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


def test_measurements_may_be_named_in_an_array(result):
    names = np.array(["train_loss", "test_loss"])
    assert len(drawn(plotting.curves(result, names).axes[0])) == 2


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
