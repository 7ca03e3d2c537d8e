"""The experiments of Gromov's figures, at a size that takes seconds: numbers, files, figures."""

import importlib

import jax
import numpy as np
import pytest

import grokjax
from experiments.common import cells
from experiments.gromov.activations import ACTIVATIONS, activations
from experiments.gromov.dynamics import dynamics, findings
from experiments.gromov.functions import FUNCTIONS, exact_accuracy, functions
from experiments.gromov.ipr import EDGES, ipr, regimes
from experiments.gromov.phases import phases, summary
from experiments.gromov.preactivations import preactivations, tables
from experiments.gromov.width import NETWORKS, width
from experiments.gromov.width import accuracies as width_accuracies
from grokjax import analytic, tasks

P = 11
SIZE = {"p": P, "width": 64, "seeds": 2, "progress": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gromov")


@pytest.fixture(scope="module")
def descent(folder):
    """Gradient descent on most of the table, far enough to memorize some of it."""
    return dynamics(
        **SIZE, alpha=0.8, max_steps=400, eval_every=40, faster=(1e4,), output=folder / "dynamics",
        checkpoints=folder / "checkpoints",
    )  # fmt: skip


@pytest.fixture(scope="module")
def adamw(folder):
    """AdamW on enough of the table to grok."""
    return ipr(**SIZE, alpha=0.85, max_steps=240, eval_every=10, output=folder / "ipr")


def redrawn(name, directory):
    """The axes of the figure of a saved result, drawn again from it alone."""
    files = {path.name for path in directory.iterdir()}
    assert files >= {"results.nc", "config.json", f"{name}.png", f"{name}.svg", f"{name}.pdf"}
    module = importlib.import_module(f"experiments.gromov.{name}")
    return module.draw(grokjax.load_result(directory)).axes


def lines(ax):
    """What is drawn as lines, by label."""
    return {line.get_label(): np.asarray(line.get_ydata()) for line in ax.lines}


def places(ax):
    """Where vertical lines are, by label."""
    vertical = [line for line in ax.lines if line.get_gid() == "vertical"]
    return {line.get_label(): line.get_xdata()[0] for line in vertical}


def test_dynamics_starts_at_one_over_p_and_descends(descent):
    numbers = findings(descent)
    assert numbers.sizes == {"lane": 2}
    np.testing.assert_allclose(numbers["initial test loss, times p"], 1, atol=0.05)
    assert (numbers["rise of the training loss, largest"] < 0).all()
    assert (numbers["norm_w1 at the end / at the start"] > 1).all()


def test_dynamics_finds_the_rate_that_diverges(descent, folder):
    edge = grokjax.load_result(folder / "dynamics" / "learning_rates").dataset
    ratio = edge.learning_rate.values[0] / descent.dataset.learning_rate.values[0]
    assert ratio == pytest.approx(1e4)
    assert edge.outcome.values.tolist() == ["diverged"]


def test_dynamics_keeps_checkpoints_of_each_sweep(descent, folder):
    kept = {path.name for path in (folder / "checkpoints").iterdir()}
    assert kept == {"seeds", "learning_rates"}


def test_dynamics_draws_the_peak_of_the_test_loss_in_every_panel(descent, folder):
    axes = redrawn("dynamics", folder / "dynamics")
    peak = findings(descent)["step of the peak"].median()
    assert [places(ax) for ax in axes] == [{"peak of the test loss": peak}] * 4


def test_ipr_grows_in_four_regimes(adamw):
    table = regimes(adamw.dataset)
    assert table.sizes == {"lane": 2, "regime": 4}
    assert (adamw.dataset.outcome == "grokked").all()
    assert (table.end >= table.start).all()
    assert (table.start.isel(regime=0) == 0).all()
    assert (table.end.isel(regime=3) == 240).all()
    # What fast growth leads to is more than what slow growth did.
    ends = table.ipr.sel(regime=["slow", "saturation"]).values
    assert (ends[:, 1] > ends[:, 0]).all()


def test_ipr_draws_where_regimes_end_and_the_chance(adamw, folder):
    axes = redrawn("ipr", folder / "ipr")
    ends = regimes(adamw.dataset).end.median("lane").values[:3]
    for ax in axes:
        assert places(ax) == dict(zip(EDGES, ends, strict=True))
        assert lines(ax)["chance"][0] == pytest.approx(1 / P)
    [legend] = axes[0].figure.legends
    assert {*EDGES, "analytic"} <= {text.get_text() for text in legend.get_texts()}


def test_phases_of_saved_networks(descent, adamw, folder):
    output = folder / "phases"
    result = phases(
        gradient_descent=folder / "dynamics", adamw=folder / "ipr", output=output, progress=False
    )
    assert result.dataset.delta.shape == (4, 64)
    assert np.abs(result.dataset.delta).max() <= np.pi
    numbers = {name: summary(lanes.dataset) for name, lanes in result.groups("optimizer")}
    assert list(numbers) == ["gradient descent", "AdamW"]
    assert (numbers["AdamW"].resultant_length > 0.9).all()
    [ax] = redrawn("phases", output)
    *_, aligned = (patch.get_data() for patch in ax.patches)
    assert aligned.values.argmax() == 24  # the middle one of 49
    assert (aligned.values * np.diff(aligned.edges)).sum() == pytest.approx(1)


def test_phases_trains_its_own(tmp_path):
    result = phases(**SIZE, alphas=(0.8, 0.7), max_steps=(4, 4), output=tmp_path)
    assert result.dataset.optimizer.values.tolist() == ["gradient descent"] * 2 + ["AdamW"] * 2


def test_phases_refuses_networks_of_two_sizes(folder, descent, tmp_path):
    with pytest.raises(ValueError, match=r"of one p and width, .* got .*11, 64"):
        phases(
            **(SIZE | {"width": 16}),
            max_steps=(1, 1),
            gradient_descent=folder / "dynamics",
            output=tmp_path,
        )


def test_preactivations_of_saved_networks(folder, descent):
    output = folder / "preactivations"
    result = preactivations(
        p=P, width=64, alpha=0.8, trained=folder / "dynamics", output=output, progress=False
    )
    assert result.dataset.network.values.tolist() == [
        "initial",
        "gradient descent",
        "random phases",
    ]
    np.testing.assert_array_equal(result.params["w1"][1], descent.params["w1"][0])
    wanted = result.dataset.power_wanted.values
    assert wanted[2] > wanted[0]
    shares = ("wanted", "twice_n", "twice_m", "difference", "other")
    total = sum(result.dataset[f"power_{name}"].values for name in shares)
    np.testing.assert_allclose(total, 1, atol=1e-5)
    # Random phases leave nothing outside the series of equation 11.
    assert result.dataset.power_other.values[2] == pytest.approx(0, abs=1e-4)
    logits, hidden = tables(result, 2)
    assert logits.shape == (P, P, P)
    assert hidden.shape == (P, P, 64)
    axes = redrawn("preactivations", output)
    images = [ax.collections[0].get_array() for ax in axes[:9]]  # row by row, then colour bars
    np.testing.assert_array_equal(images[2], logits[..., 6])
    np.testing.assert_array_equal(images[8], hidden[..., 30])
    # Frequencies around the constant, and most on the diagonal, where they are those of n + m.
    np.testing.assert_allclose(axes[5].get_xlim(), (-5.5, 5.5))
    np.testing.assert_array_equal(images[5].argmax(axis=1)[[0, -1]], [0, P - 1])


def test_preactivations_refuses_a_seed_that_was_not_run(folder, descent, tmp_path):
    with pytest.raises(ValueError, match="no parameters of seed 7"):
        preactivations(
            p=P, width=64, seed=7, trained=folder / "dynamics", output=tmp_path, progress=False
        )


def test_width(folder):
    output = folder / "width"
    result = width(
        p=7,
        widths=(6, 24),
        alpha=0.7,
        seeds=2,
        draws=3,
        max_steps=(20, 20),
        eval_every=10,
        output=output,
        checkpoints=output / "kept",
        progress=False,
    )
    kept = {path.name for path in (output / "kept").iterdir()}
    assert kept == {"adamw_6", "adamw_24", "gradient_descent_6", "gradient_descent_24"}
    widths, values = width_accuracies(result)
    assert widths.tolist() == [6, 24]
    assert tuple(values) == NETWORKS
    assert [x.shape for x in values.values()] == [(2, 1), (2, 2), (2, 2), (2, 3)]
    assert (values["exact"] == 1).all()
    assert values["random phases"][1].mean() > values["random phases"][0].mean()
    [ax] = redrawn("width", output)
    for name, accuracy in values.items():
        np.testing.assert_array_equal(lines(ax)[name], np.median(accuracy, axis=1))
    assert lines(ax)["chance"][0] == pytest.approx(1 / 7)


def assert_interrupted(experiment, output, capsys, line, **options):
    """The result that an interrupted experiment carries, saves, and prints a line about."""
    with pytest.raises(grokjax.SweepInterrupted, match=line) as raised:
        experiment(**options, output=output, progress=False)
    saved = grokjax.load_result(output)
    assert saved.dataset.attrs["interrupted"] == 1
    assert saved.dataset.identical(raised.value.result.dataset)
    out = capsys.readouterr().out
    assert [text for text in out.splitlines() if text.startswith("interrupted")] == [line]
    assert "nan" not in out
    assert "…" not in out  # what does not fit into a table
    return saved


def test_width_shows_the_widths_that_are_finished(interrupt, tmp_path, capsys):
    interrupt(2)
    line = "interrupted in sweep 2, with 1 of its 2 networks finished"
    result = assert_interrupted(
        width, tmp_path, capsys, line, p=5, widths=(6, 12, 24), seeds=2, draws=2, max_steps=(4, 4),
        eval_every=2,
    )  # fmt: skip
    _, values = width_accuracies(result)
    assert list(values) == ["exact", "AdamW", "random phases"]
    missing = np.isnan(values["AdamW"])
    np.testing.assert_array_equal(missing, [[False, False], [False, True], [True, True]])
    assert (tmp_path / "width.png").exists()


def test_functions_shows_the_functions_that_are_finished(interrupt, tmp_path, capsys):
    interrupt(2, running=True)  # both of alpha 0.6 are finished, of the other alpha none
    line = "interrupted in sweep 2, with 2 of its 4 networks finished"
    names = ("(n+m)^2", "n^2+m^2+nm")
    interrupted = assert_interrupted(
        functions, tmp_path, capsys, line,
        names=names, p=7, width=16, alpha=0.6, seeds=2, max_steps=10, eval_every=5,
    )  # fmt: skip
    cells = [cell for cell, _ in interrupted.groups("function", "alpha")]
    assert cells == [(names[0], 0.6), (names[1], 0.6)]
    assert (tmp_path / "functions.png").exists()


def test_functions_says_nothing_of_networks_that_never_ran(interrupt, tmp_path):
    interrupt(1)
    with pytest.raises(grokjax.SweepInterrupted, match="with 0 of its 1 networks finished"):
        functions(
            names=("nm",), p=5, width=8, seeds=1, max_steps=2, eval_every=1, output=tmp_path,
            progress=False,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("experiment", [ipr, dynamics])
def test_interrupted_networks_are_drawn_as_far_as_they_came(
    experiment, interrupt, tmp_path, capsys
):
    interrupt(1, running=True)
    line = "interrupted in sweep 1, with 0 of its 2 networks finished"
    result = assert_interrupted(
        experiment, tmp_path, capsys, line, p=5, width=8, seeds=2, max_steps=20, eval_every=2
    )
    assert result.dataset.outcome.values.tolist() == ["interrupted"]
    assert (tmp_path / f"{experiment.__name__}.png").exists()


def test_phases_shows_the_networks_that_are_finished(interrupt, tmp_path, capsys):
    interrupt(2)
    line = "interrupted in sweep 2, with 1 of its 2 networks finished"
    result = assert_interrupted(
        phases, tmp_path, capsys, line, p=5, width=8, alphas=(0.8, 0.7), seeds=2, max_steps=(2, 2)
    )
    assert result.dataset.optimizer.values.tolist() == ["gradient descent"] * 2 + ["AdamW"]
    assert (tmp_path / "phases.png").exists()


def test_dynamics_keeps_its_networks_when_the_rates_are_interrupted(interrupt, tmp_path):
    interrupt(2)
    with pytest.raises(grokjax.SweepInterrupted, match="nothing is written"):
        dynamics(**SIZE | {"width": 8}, max_steps=8, eval_every=2, faster=(2.0,), output=tmp_path)
    saved = grokjax.load_result(tmp_path).dataset
    assert saved.sizes["lane"] == 2
    assert "interrupted" not in saved.attrs


def test_preactivations_shows_the_initial_network_alone(interrupt, tmp_path, capsys):
    interrupt(2)
    line = "interrupted in sweep 2, with 0 of its 1 networks finished"
    result = assert_interrupted(
        preactivations, tmp_path, capsys, line, p=5, width=8, alpha=0.8, max_steps=2
    )
    assert result.dataset.network.values.tolist() == ["initial"]
    assert (tmp_path / "preactivations.png").exists()


def test_activations(folder):
    output = folder / "activations"
    result = activations(p=7, widths=(6, 120), seeds=2, output=output)
    _, values = cells(result.final("test_accuracy"), "activation", "width")
    assert set(values) == set(ACTIVATIONS)
    assert (values["x^2"][1] == 1).all()
    assert (values["x^4"][1] == 1).all()
    assert (values["x^3"][1] < 0.5).all()
    [ax] = redrawn("activations", output)
    np.testing.assert_array_equal(lines(ax)["$x^3$"], np.median(values["x^3"], axis=1))
    assert lines(ax)["chance"][0] == pytest.approx(1 / 7)


def test_functions(folder):
    output = folder / "functions"
    result = functions(
        names=("(n+m)^2", "n^2+m^2+nm"),
        p=7,
        width=16,
        alpha=0.6,
        seeds=1,
        max_steps=10,
        eval_every=5,
        output=output,
        progress=False,
    )
    groups = dict(result.groups("function", "alpha"))
    assert list(groups) == [("(n+m)^2", 0.6), ("n^2+m^2+nm", 0.6), ("n^2+m^2+nm", 0.96)]
    assert result.dataset.analytic.values[0] == 1
    assert np.isnan(result.dataset.analytic.values[1:]).all()
    assert result.dataset.chance.values[0] == pytest.approx(2 / 7)
    axes = redrawn("functions", output)
    hard = groups["n^2+m^2+nm", 0.96]
    measured = hard.dataset.test_accuracy.values[0, 1:]  # step 0 has no place on the axis
    np.testing.assert_array_equal(lines(axes[3])["test accuracy"], measured)
    assert lines(axes[3])["chance"][0] == pytest.approx(hard.dataset.chance.item())


def test_functions_refuses_unknown_names(tmp_path):
    with pytest.raises(ValueError, match="unknown function 'n-m'"):
        functions(names=("n-m",), output=tmp_path)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_analytic_networks_of_functions(name):
    task = tasks.modular_function(11, FUNCTIONS[name].fn, name)
    accuracy = exact_accuracy(name, task)
    assert np.isnan(accuracy) if FUNCTIONS[name].form == "none" else accuracy == 1


def test_the_readout_of_the_source_is_right_for_one_branch_of_the_square_root():
    same, square = (lambda n: n), (lambda n: n * n)
    options = {"key": jax.random.key(0), "construction": "random_phase", "width": 500}
    network = analytic.analytic_function(11, [same] * 2, square, readout="inverse", **options)
    task = tasks.modular_function(11, FUNCTIONS["(n+m)^2"].fn, "(n+m)^2")
    assert 6 / 11 < analytic.evaluate(*network, task).accuracy < 0.7  # the other at a guess
