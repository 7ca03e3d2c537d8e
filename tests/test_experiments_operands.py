"""K-wise addition and corrupted labels, at a size that takes seconds: numbers, files, redrawing."""

import numpy as np
import pytest
import xarray

import grokjax
from experiments.label_corruption import (
    GROUPS,
    PHASES,
    draw_examples,
    label_corruption,
    phase_table,
)
from experiments.label_corruption import draw as draw_phases
from experiments.operands import FIGURES, Study, draw, findings, kinds, operands, task_of
from grokjax import tasks

# --------------------------------------------------------------------------------------------
# Label corruption
# --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corrupted(tmp_path_factory):
    output = tmp_path_factory.mktemp("label_corruption")
    result = label_corruption(
        p=11,
        width=64,
        alphas=(0.6, 0.9),
        fractions=(0.1, 0.3),
        weight_decays=(0, 30),
        dropouts=(0.5,),
        example=(0.9, 0.1),
        max_steps=150,
        eval_every=50,
        output=output,
        progress=False,
    )
    return result, output


def test_a_diagram_has_a_phase_for_every_cell(corrupted):
    result, _ = corrupted
    table = phase_table(result)
    assert table.dims == ("regularizer", "label_noise", "alpha")
    assert table.regularizer.values.tolist() == ["weight decay 0", "weight decay 30", "dropout 0.5"]
    assert table.shape == (3, 2, 2)
    assert set(table.values.ravel()) <= set(PHASES)
    # Decay of 30 leaves nothing of this network; without it every label is fitted.
    assert (table.sel(regularizer="weight decay 30") == "forgetting").all()
    assert table.sel(regularizer="weight decay 0", label_noise=0.3, alpha=0.6) == "memorization"


def test_a_cell_is_the_lane_with_its_coordinates(corrupted):
    dataset = corrupted[0].dataset
    last = corrupted[0].at(150)
    both = last.memorized + last.inverted
    assert np.all(both.values <= 1 + 1e-6)
    share = (dataset.label_noise * 10 / 11).values  # one random label in p is right
    clean = (1 - share) * last.uncorrupted_accuracy + share * last.memorized
    assert np.abs(clean - last.train_accuracy).max() < 0.05


def test_pruning_removes_all_neurons_in_both_orders(corrupted):
    examples = grokjax.load_result(corrupted[1] / "examples").dataset
    assert examples.pruned.dims == ("lane", "order", "removed", "group")
    assert examples.pruned.shape == (2, 2, 21, len(GROUPS))
    pruned = examples.pruned.values
    last = np.stack([examples[name].values[:, -1] for name in GROUPS.values()], axis=-1)
    for order in (0, 1):
        np.testing.assert_allclose(pruned[:, order, 0], last, atol=0.02)  # nothing removed
    np.testing.assert_array_equal(pruned[:, 0, -1], pruned[:, 1, -1])  # everything
    # In between the orders differ: it matters which neurons go.
    assert not np.array_equal(pruned[0, 0, 10], pruned[0, 1, 10])


def test_label_corruption_redraws(corrupted, tmp_path):
    _, output = corrupted
    paths = draw_phases(grokjax.load_result(output), tmp_path)
    paths += draw_examples(grokjax.load_result(output / "examples"), tmp_path)
    assert [path.name for path in paths] == [
        "phases.png", "phases.svg", "examples.png", "examples.svg"
    ]  # fmt: skip
    for path in paths:
        assert path.stat().st_size > 5000
        assert (output / path.name).exists()


@pytest.mark.parametrize("number", [2, 3])
def test_an_interruption_leaves_cells_without_a_phase(number, interrupt, tmp_path, capsys):
    interrupt(number)  # in the second diagram, or in the examples
    with pytest.raises(grokjax.SweepInterrupted, match=r"with 3 of its 4|with 1 of its 2"):
        label_corruption(
            p=5, width=8, alphas=(0.6, 0.8), fractions=(0.1, 0.3), weight_decays=(0, 1),
            dropouts=(0.5,), example=(0.8, 0.1), max_steps=4, eval_every=2, output=tmp_path,
            progress=False,
        )  # fmt: skip
    result = grokjax.load_result(tmp_path)
    phases = phase_table(result)
    out = capsys.readouterr().out
    if number == 2:
        assert result.dataset.attrs["interrupted"] == 1
        assert (phases == "").sum() == 1
        assert phases.sel(regularizer="dropout 0.5", label_noise=0.3, alpha=0.8) == ""
        assert "not trained" in out
        assert not (tmp_path / "examples").exists()
    else:
        assert "interrupted" not in result.dataset.attrs
        assert (phases != "").all()
        examples = grokjax.load_result(tmp_path / "examples").dataset
        assert examples.attrs["interrupted"] == 1
        assert examples.pruned.sizes["lane"] == 1
        assert (tmp_path / "examples.png").exists()
    assert "interrupted in sweep" in out


# --------------------------------------------------------------------------------------------
# Operands
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["quick", "paper"])
def test_every_study_leaves_rows_to_test_on(scale):
    p = 11 if scale == "quick" else 17  # smaller than it is: K = 5 takes a second at p = 31
    for figure in FIGURES[scale].values():
        for study in figure.studies:
            task = task_of(study, p, 3.0)
            for alpha in study.alpha:
                train = tasks.num_train_rows(task, alpha)
                assert task.num_rows - train > 100 or study.operands == 2
            if study.operands > 3:
                assert task.table_rows == p**study.operands


def test_a_sample_has_as_many_test_rows_as_wanted():
    task = task_of(Study(4, (0.02, 0.05), 0.1), 11, 9.0)
    train = tasks.num_train_rows(task, 0.05)
    assert task.num_rows == pytest.approx(10 * train, abs=10)
    assert task_of(Study(2, (0.4, 0.8), 0.1), 11, 3.0).table_rows is None
    mixed = task_of(Study(4, (0.01,), 0.1, extra=(2, 3)), 11, 3.0)
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


def test_studies_that_are_finished_survive_an_interruption(interrupt, tmp_path, capsys):
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
    assert {path.stem for path in tmp_path.glob("*.png")} == {"figure_8", "figure_6"}
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
    assert (tmp_path / "figure_5.png").exists()
    assert "nan" not in capsys.readouterr().out


def test_a_figure_has_a_lane_for_every_network(mixed):
    dataset = mixed[0].dataset
    assert dataset.extra.values.tolist() == ["", "", "K = 2", "K = 2"]
    assert dataset.seed.values.tolist() == [0, 1, 0, 1]
    assert dataset.dropout.values.tolist() == pytest.approx([0.1] * 4)
    groups = kinds(dataset)
    assert [title.partition(" %")[2] for title in groups] == ["", " + K = 2"]
    assert all(lanes.sizes["lane"] == 2 for lanes in groups.values())
    assert dataset.attrs["task"].count("training with all of n1+n2 mod 5") == 1


def test_kinds_of_network_differ_in_more_than_the_seed():
    lanes = {
        "operands": [4] * 4,
        "extra": [""] * 4,
        "alpha": [0.08, 0.08, 0.08, 0.06],
        "weight_decay": [0.1, 0.1, 0.2, 0.2],
        "dropout": [0.2, 0.2, 0.3, 0.3],
    }
    dataset = xarray.Dataset(coords={name: ("lane", values) for name, values in lanes.items()})
    groups = kinds(dataset)
    assert [group.sizes["lane"] for group in groups.values()] == [2, 1, 1]
    assert next(iter(groups)) == "K = 4, $\\alpha$ = 8 %\ndecay 0.1, dropout 0.2"


def test_findings_are_those_of_the_curves(mixed):
    dataset = mixed[0].dataset
    numbers = findings(dataset)
    test = dataset.test_accuracy.values
    np.testing.assert_array_equal(numbers["best test"], test.max(axis=1))
    fall = [max(a[i] - a[j] for i in range(len(a)) for j in range(i, len(a))) for a in test]
    np.testing.assert_allclose(numbers["fall"], fall)


@pytest.mark.parametrize("name", ["5", "8"])
def test_operands_redraw(name, mixed, tmp_path):
    saved = grokjax.load_result(mixed[1] / "figure_8")
    paths = draw(name, saved, tmp_path)
    assert [path.name for path in paths] == [f"figure_{name}.png", f"figure_{name}.svg"]
    assert all(path.stat().st_size > 5000 for path in paths)


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
