"""Heat maps and phase diagrams: cells at their coordinates."""

import numpy as np
import pytest
import xarray
from figures import (  # noqa: F401  two is a fixture
    ALPHAS,
    BUDGET,
    STEPS,
    labels,
    two,
)

from grokjax import plotting
from grokjax.results import SweepResult, build_dataset


def test_heatmap_is_symmetric_around_zero_only_for_signed_matrices():
    signed = plotting.heatmap([[-1.0, 3.0]]).axes[0].collections[0]
    assert signed.get_clim() == (-3, 3)
    positive = plotting.heatmap([[1.0, 3.0]], colorbar=False)
    assert positive.axes[0].collections[0].get_clim() == (0, 3)
    assert len(positive.axes) == 1
    with pytest.raises(ValueError, match="absolute value"):
        plotting.heatmap(np.zeros((2, 2), complex))


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
