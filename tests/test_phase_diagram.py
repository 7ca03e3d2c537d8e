"""Phase diagrams: cells, boundaries with intervals, and what one seed a cell would have shown."""

import numpy as np
import pytest

import grokjax
from experiments.phase_diagram import boundaries, draw, phase_diagram, print_boundaries, shares
from grokjax.results import SweepResult, build_dataset

ALPHAS, DECAYS, NOISES, SEEDS = (0.3, 0.5, 0.7, 0.9), (1.0, 5.0, 25.0), (0.0, 0.2), 4


@pytest.fixture(scope="module")
def made():
    """Known outcomes: all grok from alpha 0.5 at decay 1, none at 25, and so on; see `grokked`."""
    rows = [("weight_decay", decay, 0.0) for decay in DECAYS]
    rows += [("label_noise", 5.0, noise) for noise in NOISES]
    lanes = [(*row, alpha, seed) for row in rows for alpha in ALPHAS for seed in range(SEEDS)]
    diagram, decay, noise, alpha, seed = map(np.array, zip(*lanes, strict=True))
    edge = np.select([decay == 1, decay == 25, noise > 0], [0.4, 1.0, 0.7], 0.6)
    grokked = (alpha > edge) | (np.isclose(alpha, edge) & (seed == 0))  # one in four at the edge
    steps = np.arange(0, 101, 10)
    test = (grokked[:, None] & (steps >= 50)).astype(float)
    history = {"train_accuracy": np.ones_like(test), "test_accuracy": test}
    columns = {"weight_decay": decay, "label_noise": noise, "alpha": alpha}
    columns |= {"seed": np.arange(len(alpha)), "diagram": diagram}
    attributes = {"task": "n1+n2 mod 7", "max_steps": 100}
    final, none = np.full(len(alpha), 100), np.zeros(len(alpha), bool)
    return SweepResult(build_dataset(columns, steps, history, final, none, attributes))


def test_a_boundary_lies_between_the_cells_that_differ(made):
    by_decay = boundaries(made.groups("diagram")[0][1], "weight_decay")
    assert list(by_decay) == list(DECAYS)
    assert by_decay[1.0].alpha == pytest.approx(0.4, abs=2e-3)
    assert by_decay[5.0].alpha == pytest.approx(0.6, abs=2e-3)
    assert by_decay[1.0].low < 0.4 < by_decay[1.0].high < 0.55
    assert by_decay[25.0].high == 1  # nothing grokked


def test_a_share_is_that_of_the_networks_of_a_cell(made):
    _, lanes = made.groups("diagram")[1]
    found = shares(lanes, "label_noise").reshape(len(NOISES), len(ALPHAS))
    np.testing.assert_array_equal(found, [[0, 0, 1, 1], [0, 0, 0.25, 1]])


def test_the_table_says_where_alpha_does_not_decide_and_seeds_disagree(made, capsys):
    print_boundaries(made)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert any(line[:3] == ["25", "above", "0.900"] for line in lines)
    assert ["weight", "decay", "12", "0", "0.0"] in lines
    assert ["label", "noise", "8", "1", "0.2"] in lines  # one of four: wrong in a quarter of cases


def test_the_figure_has_a_boundary_in_every_row_that_has_one(made):
    figure = draw(made)
    left, right = figure.axes[:2]
    places = [[line.get_xydata()[0] for line in ax.lines if line.get_marker() == "o"]
              for ax in (left, right)]  # fmt: skip
    found = boundaries(made.groups("diagram")[0][1], "weight_decay")
    for (alpha, decay), expected in zip(places[0], DECAYS[:2], strict=True):
        assert alpha == found[expected].alpha
        assert decay == pytest.approx(expected)
    assert [noise for _, noise in places[1]] == pytest.approx(NOISES)
    assert [ax.get_ylabel() for ax in (left, right)] == ["weight decay", r"label noise $\xi$"]
    assert min(right.get_yticks()) >= 0
    (legend,) = figure.legends
    labels = {text.get_text() for text in legend.get_texts()}
    assert labels == {"50 %", "half grok, 95 % interval"}
    assert "share of 4 networks that grokked" in {ax.get_ylabel() for ax in figure.axes}


def run(output, **options):
    return phase_diagram(
        p=5, width=8, alphas=(0.6, 0.8), weight_decays=(1, 5), label_noises=(0, 0.3), seeds=2,
        max_steps=20, eval_every=5, output=output, progress=False, **options,
    )  # fmt: skip


def test_one_call_trains_every_cell_with_networks_of_its_own(tmp_path, monkeypatch):
    from grokjax.command import sweeps

    calls, original = [], sweeps.run_sweep
    monkeypatch.setattr(
        sweeps, "run_sweep", lambda *args, **kw: calls.append(args) or original(*args, **kw)
    )
    dataset = run(tmp_path).dataset
    assert len(calls) == 1
    assert len(np.unique(dataset.seed)) == dataset.sizes["lane"] == 16
    cells = dataset[["diagram", "weight_decay", "label_noise", "alpha"]].to_dataframe()
    sizes = cells.groupby(["diagram", "weight_decay", "label_noise", "alpha"]).size()
    assert (sizes == 2).all()
    assert len(sizes) == 8
    assert set(cells.weight_decay[cells.diagram == "label_noise"]) == {5.0}
    assert set(cells.label_noise[cells.diagram == "weight_decay"]) == {0.0}
    assert (tmp_path / "phase_diagram.png").exists()


def test_an_interruption_leaves_the_diagram_of_what_is_finished(interrupt, tmp_path, capsys):
    interrupt(1)
    with pytest.raises(grokjax.SweepInterrupted):
        run(tmp_path)
    dataset = grokjax.load_result(tmp_path).dataset
    assert dataset.attrs["interrupted"] == 1
    assert 0 < dataset.sizes["lane"] < 16
    assert "alpha at which half of" in capsys.readouterr().out
