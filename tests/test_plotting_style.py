"""Colours, files, the toolkit for figures of one's own, and that nothing global changes."""

import ast
import pathlib

import matplotlib
import numpy as np
import pytest
from figures import (  # noqa: F401  result and two are fixtures
    ALPHAS,
    labels,
    lines,
    result,
    two,
)

from grokjax import plotting


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


def test_label_log_labels_an_axis_on_which_nothing_is_drawn():
    figure, ax = plotting.new_figure()
    ax.plot([], [])
    ax.axhline(1)
    ax.set(xscale="log")
    plotting.label_log(ax.xaxis)
    figure.draw_without_rendering()
    assert ax.get_xlim() == (1, 10)
