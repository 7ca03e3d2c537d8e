"""Corrupted labels, at a size that takes seconds: numbers, files, redrawing."""

import numpy as np
import pytest

import grokjax
from experiments.label_corruption import (
    GROUPS,
    PHASES,
    draw_examples,
    draw_phases,
    label_corruption,
    phase_table,
)


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


def test_a_diagram_shows_the_phase_of_every_cell(corrupted):
    result, output = corrupted
    table = phase_table(result)
    figure = draw_phases(grokjax.load_result(output))
    panels = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title("left") for ax in panels] == table.regularizer.values.tolist()
    for ax, cells in zip(panels, table.values, strict=True):
        places = ax.collections[0].get_array().reshape(2, 2)
        assert np.array_equal(np.array(list(PHASES))[places.astype(int)], cells)
    (legend,) = figure.legends
    explained = {text.get_text() for text in legend.get_texts()}
    assert explained == set(table.values.ravel())
    assert (output / "phases.png").exists()


def test_examples_show_training_and_pruning(corrupted):
    folder = corrupted[1] / "examples"
    result = grokjax.load_result(folder)
    figure = draw_examples(result)
    above, below = figure.axes[:2], figure.axes[2:]
    assert [ax.get_title() for ax in above] == ["weight decay 0", "weight decay 30"]
    assert figure.get_supxlabel() == r"$\alpha$ = 0.9, of which $\xi$ = 0.1 corrupted"
    (legend,) = figure.legends
    explained = {text.get_text() for text in legend.get_texts()}
    orders = {"lowest IPR removed first", "highest IPR removed first"}
    assert explained == {*GROUPS, *orders, "chance"}  # and no median of one seed
    for lane in range(2):
        curves = {line.get_label(): line.get_ydata() for line in above[lane].lines}
        for group, name in GROUPS.items():
            expected = result.dataset[name].values[lane, 1:]  # the axis is logarithmic
            np.testing.assert_array_equal(curves[group], expected)
        pruned = [line.get_ydata() for line in below[lane].lines if len(line.get_xdata()) == 21]
        expected = result.dataset.pruned.values[lane].transpose(0, 2, 1).reshape(-1, 21)
        np.testing.assert_array_equal(pruned, expected)
    assert (folder / "examples.png").exists()


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
        assert (tmp_path / "examples" / "examples.png").exists()
    assert "interrupted in sweep" in out
