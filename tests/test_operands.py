"""K-wise addition at a size that takes seconds: numbers, files, redrawing."""

import numpy as np
import pytest

import grokjax
from experiments.operands import (
    FIGURES,
    Sums,
    draw_accuracies,
    draw_steps,
    findings,
    operands,
    task_of,
    with_kinds,
)
from grokjax import tasks


@pytest.mark.parametrize("scale", ["quick", "paper"])
def test_every_table_leaves_rows_to_test_on(scale):
    p = 11 if scale == "quick" else 17  # smaller than it is: K = 5 takes a second at p = 31
    for figure in FIGURES[scale].values():
        for sums in figure:
            task = task_of(sums, p, 3.0)
            for alpha in sums.alpha:
                train = tasks.num_train_rows(task, alpha)
                assert task.num_rows - train > 100 or sums.operands == 2
            if sums.operands > 3:
                assert task.table_rows == p**sums.operands


def test_a_sample_has_as_many_test_rows_as_wanted():
    task = task_of(Sums(4, (0.02, 0.05), 0.1), 11, 9.0)
    train = tasks.num_train_rows(task, 0.05)
    assert task.num_rows == pytest.approx(10 * train, abs=10)
    assert task_of(Sums(2, (0.4, 0.8), 0.1), 11, 3.0).table_rows is None
    mixed = task_of(Sums(4, (0.01,), 0.1, extra=(2, 3)), 11, 3.0)
    assert mixed.train_only.sum() == 11**2 + 11**3


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Figure 8 of a tiny network: without and with all pairs."""
    output = tmp_path_factory.mktemp("operands")
    results = operands(
        figures=("8",),
        p=5,
        width=8,
        max_steps=60,
        batch_size=32,
        seeds=2,
        output=output,
        progress=False,
    )
    return results["8"], output


def test_figures_that_are_finished_survive_an_interruption(interrupt, tmp_path, capsys):
    interrupt(3)  # figure 8 is whole, and of figure 6 one network of six has not begun
    with pytest.raises(grokjax.SweepInterrupted, match="with 5 of its 6 networks finished"):
        operands(
            figures=("8", "6"), p=5, width=8, max_steps=20, batch_size=32, seeds=2,
            output=tmp_path, progress=False,
        )  # fmt: skip
    whole, part = (grokjax.load_result(tmp_path / f"figure_{n}").dataset for n in (8, 6))
    assert (whole.sizes["lane"], part.sizes["lane"]) == (4, 5)
    assert "interrupted" not in whole.attrs
    assert part.attrs["interrupted"] == 1
    assert {path.stem for path in tmp_path.glob("*/*.png")} == {"figure_8", "figure_6"}
    assert "interrupted in sweep 1, with 5 of its 6" in capsys.readouterr().out


def test_curves_of_interrupted_networks_are_drawn(interrupt, tmp_path, capsys):
    interrupt(1, running=True)
    with pytest.raises(grokjax.SweepInterrupted, match="with 4 of its 6 networks finished"):
        operands(
            figures=("5",), p=5, width=8, max_steps=20, batch_size=32, seeds=2, output=tmp_path,
            progress=False,
        )  # fmt: skip
    part = grokjax.load_result(tmp_path / "figure_5").dataset
    assert part.outcome.values[-1] == "interrupted"
    assert (tmp_path / "figure_5" / "figure_5.png").exists()
    assert "nan" not in capsys.readouterr().out


def test_a_figure_has_a_lane_for_every_network(mixed):
    dataset = mixed[0].dataset
    assert dataset.extra.values.tolist() == ["", "", "K = 2", "K = 2"]
    assert dataset.seed.values.tolist() == [0, 1, 0, 1]
    assert dataset.dropout.values.tolist() == pytest.approx([0.1] * 4)
    groups = with_kinds(mixed[0]).groups("kind")
    assert [title.partition(" %")[2] for title, _ in groups] == ["", " + K = 2"]
    assert all(lanes.dataset.sizes["lane"] == 2 for _, lanes in groups)
    assert dataset.attrs["task"].count("training with all of n1+n2 mod 5") == 1


def test_kinds_of_network_differ_in_more_than_the_seed(mixed):
    columns = {
        "alpha": [0.08, 0.08, 0.08, 0.06],
        "weight_decay": [0.1, 0.1, 0.2, 0.2],
        "dropout": [0.2, 0.2, 0.3, 0.3],
        "extra": [""] * 4,
    }
    dataset = mixed[0].dataset.assign_coords({k: ("lane", v) for k, v in columns.items()})
    groups = with_kinds(grokjax.SweepResult(dataset)).groups("kind")
    assert [lanes.dataset.sizes["lane"] for _, lanes in groups] == [2, 1, 1]
    assert groups[0][0] == "K = 3, $\\alpha$ = 8 %\ndecay 0.1, dropout 0.2"


def test_findings_are_those_of_the_curves(mixed):
    dataset = mixed[0].dataset
    numbers = findings(mixed[0])
    test = dataset.test_accuracy.values
    np.testing.assert_array_equal(numbers["best test"], test.max(axis=1))
    fall = [max(a[i] - a[j] for i in range(len(a)) for j in range(i, len(a))) for a in test]
    np.testing.assert_allclose(numbers["fall"], fall)


def test_the_accuracies_of_every_kind_are_drawn(mixed):
    saved = grokjax.load_result(mixed[1] / "figure_8")
    left, right = draw_accuracies(saved).axes
    assert (left.get_title("left"), right.get_title("left")) == (
        "K = 3, $\\alpha$ = 40 %",
        "K = 3, $\\alpha$ = 40 % + K = 2",
    )
    median = saved.dataset.test_accuracy.isel(lane=[2, 3]).median("lane")
    drawn = [line.get_ydata() for line in right.lines]
    assert any(np.array_equal(y, median[1:]) for y in drawn)  # without step 0
    assert any(np.array_equal(y, [1 / 5, 1 / 5]) for y in drawn)  # chance


def test_the_steps_of_every_number_of_operands_are_drawn(mixed):
    dataset = grokjax.load_result(mixed[1] / "figure_8").dataset
    steps = {"memorization_step": [20.0, 40, 20, 20], "watched_step": [40.0] * 4}
    dataset = dataset.assign({name: ("lane", values) for name, values in steps.items()})
    dataset = dataset.assign_coords(operands=("lane", [2, 2, 3, 3]))
    figure = draw_steps(grokjax.SweepResult(dataset))
    assert [ax.get_title("left") for ax in figure.axes] == ["operands = 2", "operands = 3"]
    drawn = [list(line.get_ydata()) for line in figure.axes[0].lines]
    assert [20, 40] in drawn
    assert dataset.grokking_step.isnull().all()
    assert [text.get_text() for text in figure.axes[0].texts] == ["2/2"]  # censored


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"figures": ("9",)}, "unknown figure '9'; use any of 5, 6, 7, 8"),
        ({"tests_per_train": 0.0}, "tests_per_train must be a finite number above 0"),
    ],
)
def test_bad_options_are_named(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        operands(**options, output=tmp_path)
