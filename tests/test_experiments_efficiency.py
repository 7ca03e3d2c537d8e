"""The experiments of circuit efficiency, at a size of seconds: numbers, pictures, interruptions."""

import importlib
import typing

import numpy as np
import pytest
import xarray

import grokjax
from experiments.common import Network, cells, mean_interval, networks_for
from experiments.efficiency.critical_alpha import critical_alpha, joined, print_searches
from experiments.efficiency.mixture import mixture
from experiments.efficiency.norms import (
    KINDS,
    crossing,
    curves,
    growth,
    norm_at,
    norms,
)
from experiments.efficiency.semigrokking import HIGH, LOW, late_rise, semigrokking
from experiments.efficiency.ungrokking import ungrokking
from grokjax import plotting, tasks
from grokjax.command import spread
from grokjax.critical import SearchInterrupted

P = 11


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("efficiency")


def redrawn(name, directory):
    """The figure, drawn again from the saved result alone."""
    assert (directory / f"{name}.png").exists()
    draw = importlib.import_module(f"experiments.efficiency.{name}").draw
    with plotting.in_style():
        return draw(grokjax.load_result(directory))


def titles(figure):
    return [ax.get_title("left") for ax in figure.axes]


def explained(figure):
    """What the legends of a figure explain."""
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend()] + figure.legends
    return {text.get_text() for legend in legends for text in legend.get_texts()}


def marks(ax):
    """The points that are drawn as markers alone: [n, 2]."""
    alone = [line for line in ax.lines if line.get_linestyle() == "None"]
    return np.concatenate([line.get_xydata() for line in alone])


@pytest.mark.parametrize(
    ("experiment", "columns", "number"),
    [
        (mixture, {"alpha": 0.5, "backbone_steps": 2}, 1),
        (norms, {"alphas": (0.4, 0.8), "decays": (1.0,)}, 1),
        (ungrokking, {"networks": ("quadratic",), "alpha": 0.8, "parent_steps": 2}, 1),
    ],
)
def test_without_networks_to_go_on_from_nothing_is_written(
    experiment, columns, number, interrupt, tmp_path
):
    begun = interrupt(number)
    with pytest.raises(grokjax.SweepInterrupted, match=r"in sweep 1, .* nothing is written"):
        experiment(p=5, seeds=2, max_steps=2, **columns, output=tmp_path, progress=False)
    assert len(begun) == number
    assert not list(tmp_path.iterdir())


def interrupted(experiment, output, capsys, **options):
    """What an experiment that is interrupted carries, after all files and lines are looked at."""
    with pytest.raises(grokjax.SweepInterrupted, match=f"finished: .* in {output}") as raised:
        experiment(**options, output=output, progress=False)
    saved = grokjax.load_result(output)
    assert saved.dataset.attrs["interrupted"] == 1
    xarray.testing.assert_identical(saved.dataset, raised.value.result.dataset)
    lines = [line for line in capsys.readouterr().out.splitlines() if "interrupted" in line]
    assert len(lines) == 1
    return saved.dataset, lines[0]


def test_an_interruption_keeps_the_speeds_and_curves_so_far(interrupt, tmp_path, capsys):
    begun = interrupt(4, running=True)  # two backbones, one speed, and the one that is cut short
    data, line = interrupted(
        mixture, tmp_path, capsys, p=P, alpha=0.5, seeds=1, decays=(0.1, 0.2, 0.3), max_steps=20
    )
    assert len(begun) == 4
    assert data.w_m2.values.tolist() == [10] * 3 + [1] * 2
    assert data.outcome.values[-1] == "interrupted"
    assert line == "interrupted in sweep 4, with 1 of its 3 networks finished"
    assert (tmp_path / "mixture.png").exists()


def test_an_interruption_keeps_the_networks_that_are_finished(interrupt, tmp_path, capsys):
    begun = interrupt(3)  # parents and branches of the first network, parents of the second
    data, line = interrupted(
        ungrokking, tmp_path, capsys, networks=("quadratic", "mlp"), p=P, alpha=0.9, small=(0.1,),
        decays=(1.0,), seeds=2, parent_steps=600, max_steps=20,
    )  # fmt: skip
    assert len(begun) == 3
    assert set(data.network.values) == {"quadratic"}
    assert line == "interrupted in sweep 3, with 1 of its 2 networks finished"
    assert (tmp_path / "ungrokking.png").exists()


def test_an_interruption_keeps_the_norms_so_far(interrupt, tmp_path, capsys):
    interrupt(2, running=True)  # the parents are whole; of four that memorize one is in training
    data, line = interrupted(
        norms, tmp_path, capsys, p=5, alphas=(0.4, 0.8), decays=(1.0,), seeds=2, max_steps=2
    )
    assert data.label_noise.values.tolist() == [1, 1]
    assert line == "interrupted in sweep 2, with 2 of its 4 networks finished"


def test_an_interruption_keeps_the_searches_so_far(interrupt, tmp_path, capsys):
    begun = interrupt(3)
    with pytest.raises(SearchInterrupted, match="in search 3 of 4: what was found is in") as raised:
        critical_alpha(
            moduli=(5, 7), decays=(0.0, 3.0), tolerance=0.9, max_lanes=20, max_steps=2,
            output=tmp_path, progress=False,
        )  # fmt: skip
    assert len(begun) == 3
    saved = xarray.load_dataset(tmp_path / "results.nc", engine="h5netcdf")
    assert saved.attrs["interrupted"] == 1
    xarray.testing.assert_identical(saved, raised.value.result)
    assert saved.p.values.tolist() == [5]
    out = capsys.readouterr().out
    assert "interrupted in search 3 of 4" in out
    assert str(tmp_path / "critical_alpha.png") in out


# --------------------------------------------------------------------------------------------
# Mixture
# --------------------------------------------------------------------------------------------


def test_the_mixture_groks_with_unequal_speeds_and_decay(tmp_path, capsys):
    result = mixture(
        p=P, alpha=0.5, seeds=2, decays=(0.0, 0.1), max_steps=4000, output=tmp_path, progress=False
    )
    data = result.dataset
    assert data.sizes["lane"] == 8
    assert (data.memorizing_test_accuracy < 0.2).all()
    assert (data.generalizing_test_accuracy == 1).all()
    loss = data.test_loss.values
    start, peak, last = loss[:, 0], loss.max(axis=1), loss[:, -1]
    np.testing.assert_allclose(start, np.log(P), rtol=1e-5)
    unequal, decays = data.w_m2.values == 10, data.weight_decay.values > 0
    assert (peak[unequal] > 1.3 * start[unequal]).all()
    assert (peak[~unequal] == start[~unequal]).all()
    assert (last[unequal & ~decays] > start[0]).all()  # never recovers
    assert (last[unequal & decays] < 0.5 * start[0]).all()
    lines = capsys.readouterr().out.splitlines()
    line = next(line for line in lines if line.split()[:2] == ["10", "0"])
    assert "never" in line
    assert line.strip().endswith(spread(last[unequal & ~decays]))
    figure = redrawn("mixture", tmp_path)
    assert [title[:12] for title in titles(figure)] == ["$w_{m2} = 1$"] * 2 + ["$w_{m2} = 10"] * 2
    assert {"weight decay = 0", "weight decay = 0.1", "chance"} <= explained(figure)
    peaks = [
        max(line.get_ydata().max() for line in ax.lines if len(line.get_ydata()) > 2)
        for ax in figure.axes[1::2]
    ]
    assert peaks[1] > 1.3 * peaks[0]


def test_the_mixture_refuses_networks_that_are_not_trained(tmp_path):
    with pytest.raises(ValueError, match="raise backbone_steps or alpha"):
        mixture(p=P, alpha=0.5, seeds=1, backbone_steps=2, output=tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"network must be .* got 'rnn'"):
        mixture(network="rnn", output=tmp_path)


# --------------------------------------------------------------------------------------------
# Norms
# --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained_norms(folder):
    return norms(
        p=P, alphas=(0.2, 0.5, 0.85), decays=(0.5, 2.0), seeds=2, max_steps=400,
        output=folder / "norms", progress=False,
    )  # fmt: skip


def test_memorizing_takes_more_weight_with_more_rows(trained_norms, folder):
    found = curves(trained_norms)
    sizes = {kind: sum(len(x) for (k, *_), (x, _) in found.items() if k == kind) for kind in KINDS}
    data, accuracy = trained_norms.dataset, trained_norms.final("test_accuracy").values
    random = data.label_noise.values == 1
    assert sizes["generalizing"] == (accuracy[~random] >= 0.99).sum() >= 2
    # Random labels say nothing about the other rows.
    assert accuracy[random].mean() < 0.3
    memorizing = norm_at(trained_norms, 10.0).sel(kind="memorizing").mean("seed").dropna("alpha")
    assert memorizing.sizes["alpha"] >= 2
    assert (np.diff(memorizing) > 0).all()
    left, right = redrawn("norms", folder / "norms").axes[:2]
    drawn = sum(line.get_xydata().shape[0] for line in left.lines if line.get_marker() in "os")
    assert drawn == sum(sizes.values())
    line = next(line for line in right.lines if line.get_label() == "memorizing")
    assert (np.diff(line.get_ydata()) > 0).all()


def test_norm_at_a_logit_joins_the_decays_of_a_curve():
    """Two networks of one curve, on a line in log norm; another seed that does not reach."""
    lanes = {"alpha": 0.5, "label_noise": 1.0, "seed": [0, 0, 1, 1]}
    columns = {name: ("lane", np.broadcast_to(value, 4)) for name, value in lanes.items()}
    measured = {
        "norm": [10.0, 40.0, 10.0, 40.0],
        "correct_logit": [2.0, 6.0, 5.0, 6.0],
        "train_accuracy": np.ones(4),
        "test_accuracy": np.zeros(4),
    }
    measured = {name: (("lane", "time"), np.reshape(v, (4, 1))) for name, v in measured.items()}
    columns["step"] = "time", [20]
    lanes = {"final_step": ("lane", np.full(4, 20)), "outcome": ("lane", ["underfit"] * 4)}
    data = xarray.Dataset(measured | lanes, columns)
    values = norm_at(grokjax.SweepResult(data), 4.0)
    assert values.sel(kind="memorizing", alpha=0.5, seed=0).item() == pytest.approx(20)
    assert np.isnan(values.sel(kind="memorizing", alpha=0.5, seed=1).item())
    assert np.isnan(values.sel(kind="generalizing")).all()


def test_growth_and_crossing_of_known_curves():
    alpha = np.array([0.1, 0.2, 0.4, 0.8])
    memorizing = np.stack([alpha**0.5, 2 * alpha**0.5], axis=1)  # [alpha, seed]
    generalizing = np.full((4, 2), 0.9)
    coords = {"kind": ["memorizing", "generalizing"], "alpha": alpha, "seed": [0, 1]}
    values = xarray.DataArray(np.stack([memorizing, generalizing]), coords, tuple(coords))
    np.testing.assert_allclose(growth(values.sel(kind="memorizing")), 0.5)
    np.testing.assert_allclose(growth(values.sel(kind="generalizing")), 0, atol=1e-12)
    assert 0.2 < crossing(values) < 0.4  # 1.5 sqrt(alpha) = 0.9 at 0.36
    assert np.isnan(crossing(values.where(values.kind == "memorizing", 9.0)))
    mean, low, high = mean_interval(np.array([1.0, 3.0, np.nan]))
    assert mean == 2
    assert high - 2 == pytest.approx(12.706, abs=1e-3)  # Student's t of one degree of freedom
    assert low == pytest.approx(4 - high)


# --------------------------------------------------------------------------------------------
# Ungrokking and semi-grokking
# --------------------------------------------------------------------------------------------


def test_decay_takes_generalization_away_on_few_rows(tmp_path):
    result = ungrokking(
        networks=("quadratic",), p=P, alpha=0.9, small=(0.1, 0.6), decays=(0.0, 1.0), seeds=2,
        parent_steps=600, max_steps=300, output=tmp_path, progress=False,
    )  # fmt: skip
    data = result.dataset
    assert data.sizes["lane"] == 8
    assert (data.test_accuracy.values[:, 0] > 0.9).all()  # where the parents ended
    last = result.final("test_accuracy").values
    few, decays = data.alpha.values == 0.1, data.weight_decay.values == 1
    assert (last[few & decays] < 0.3).all()
    assert (last[few & ~decays] > 0.6).all()
    figure = redrawn("ungrokking", tmp_path)
    above = figure.axes[0]
    assert titles(figure) == ["quadratic", r"$\alpha$ = 0.1, 12 rows"]
    np.testing.assert_allclose(np.sort(marks(above)[:, 1]), np.sort(last))
    assert {"weight decay = 0", "weight decay = 1", "chance"} <= explained(figure)


def test_ungrokking_refuses_what_cannot_lose_anything(tmp_path):
    with pytest.raises(ValueError, match=r"is no subset of alpha=0\.5"):
        ungrokking(alpha=0.5, small=(0.1, 0.5), output=tmp_path)
    with pytest.raises(ValueError, match="no network grokked"):
        ungrokking(
            networks=("quadratic",), p=P, seeds=1, parent_steps=2, output=tmp_path, progress=False
        )


def test_more_networks_semigrok_with_decay_and_data(tmp_path, capsys):
    result = semigrokking(
        p=P, alphas=(0.3, 0.6, 0.85), decays=(0.0, 1.0), seeds=3, max_steps=300, output=tmp_path,
        progress=False,
    )  # fmt: skip
    last = result.final("test_accuracy").values.reshape(2, 3, 3)  # decay, alpha, seed
    assert (np.diff(np.median(last[1], axis=1)) > 0).all()
    assert last[1, 2].mean() > last[0, 2].mean()
    rise = late_rise(result.dataset)
    grokked = result.dataset.grokking_step.notnull().values
    assert np.isnan(rise[grokked]).any() or not grokked.any()
    assert np.isfinite(rise[~grokked]).all()
    lines = capsys.readouterr().out.splitlines()
    counts = [line.split()[2:5] for line in lines if line.split()[:1] in (["0"], ["1"])]
    sides = np.stack([last < LOW, (last >= LOW) & (last <= HIGH), last > HIGH]).sum(-1)
    np.testing.assert_array_equal(np.array(counts, int), sides.reshape(3, 6).T)
    figure = redrawn("semigrokking", tmp_path)
    assert titles(figure) == ["weight decay = 0", "weight decay = 1"]
    for ax, values in zip(figure.axes, last, strict=True):
        np.testing.assert_allclose(np.sort(marks(ax)[:, 1]), np.sort(values.ravel()))
    assert {"median of 3 seeds", "chance", "the middle, 0.1 to 0.9"} <= explained(figure)


# --------------------------------------------------------------------------------------------
# Critical alpha
# --------------------------------------------------------------------------------------------


def test_critical_alpha_of_several_moduli(tmp_path):
    from experiments.efficiency.critical_alpha import draw

    found = critical_alpha(
        moduli=(7, 11), decays=(3.0,), tolerance=0.2, max_lanes=40, max_steps=200,
        output=tmp_path, progress=False,
    )  # fmt: skip
    assert found.critical_alpha.shape == (2, 1)
    assert len(np.unique(found.lanes.max("round"))) == 2  # searches of different length
    assert ((found.low <= found.critical_alpha) & (found.critical_alpha <= found.high)).all()
    assert (found.critical_alpha.sel(p=11) < found.critical_alpha.sel(p=7)).all()
    saved = xarray.load_dataset(tmp_path / "results.nc", engine="h5netcdf")
    left, right = draw(saved).axes[:2]
    np.testing.assert_allclose(marks(left)[:, 0], [7, 11])
    assert len(right.collections) == 3  # circles of two moduli, and what explains them
    assert (tmp_path / "critical_alpha.png").exists()


def test_what_was_found_before_an_error_is_reported(tmp_path, monkeypatch, capsys):
    search, error = grokjax.critical_alpha, ValueError("no memory")

    def fails(recipe, *args, **options):
        if recipe.model.p == 11:
            raise error
        return search(recipe, *args, **options)

    monkeypatch.setattr(grokjax, "critical_alpha", fails)
    with pytest.raises(ValueError, match="no memory") as raised:
        critical_alpha(
            moduli=(7, 11), decays=(0.0,), tolerance=0.9, max_lanes=20, max_steps=2,
            output=tmp_path, progress=False,
        )  # fmt: skip
    assert raised.value is error
    saved = xarray.load_dataset(tmp_path / "results.nc", engine="h5netcdf")
    assert saved.p.values.tolist() == [7]
    assert saved.attrs["interrupted"] == 1
    assert "interrupted in search 2 of 2" in capsys.readouterr().out


def test_a_search_without_an_upper_end_is_a_bound(tmp_path, capsys):
    from experiments.efficiency.critical_alpha import draw

    found = critical_alpha(
        moduli=(7,), decays=(0.0,), tolerance=0.9, max_lanes=20, max_steps=2, output=tmp_path,
        progress=False,
    )  # fmt: skip
    assert found.high.item() == 1
    assert f"above {found.low.item():.3f}" in capsys.readouterr().out
    figure = draw(found)
    assert "only a bound: 1 of 1" in explained(figure)
    assert found.low.item() in marks(figure.axes[0])[:, 1]


# --------------------------------------------------------------------------------------------
# What they share
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["quick", "paper"])
@pytest.mark.parametrize("name", typing.get_args(Network))
def test_networks_fit_their_task(name, scale):
    import jax

    task = tasks.modular_addition(7)
    model, learning_rate = networks_for(7, scale)[name]
    params = jax.eval_shape(model.init, jax.random.key(0), task.tokens[:1])
    assert jax.eval_shape(model.apply, params, task.tokens).shape == (49, 7)
    assert getattr(model, "dropout", 0.0) == 0
    assert learning_rate == 1e-3 or scale == "quick" or name == "quadratic"


def test_searches_that_were_not_begun_are_nan_and_not_printed(capsys):
    found = xarray.Dataset(
        {"critical_alpha": 0.5, "low": 0.4, "high": 0.6, "n": ("alpha", [3, 4])},
        {"alpha": [0.4, 0.6]},
        {"max_steps": 20},
    )
    other = found.assign_coords(alpha=[0.5, 0.7])
    table = joined({(7, 0.0): found, (7, 3.0): other, (11, 0.0): found})
    assert table.critical_alpha.dims == ("p", "weight_decay")
    np.testing.assert_array_equal(table.critical_alpha, [[0.5, 0.5], [0.5, np.nan]])
    assert table.n.sel(p=7, weight_decay=3).values.tolist()[1::2] == [3, 4]
    print_searches(table)
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if "0.500" in line]
    assert rows == [["7", "0"], ["7", "3"], ["11", "0"]]


def test_cells_have_a_row_for_each_number_and_nan_where_lanes_are_missing():
    columns = {"name": ["b", "b", "b", "a", "b"], "row": [0.5, 0.3, 0.5, 0.3, 0.7]}
    coords = {name: ("lane", column) for name, column in columns.items()}
    values = xarray.DataArray([1.0, 2.0, 3.0, 4.0, 5.0], coords, ["lane"])
    rows, table = cells(values, "name", "row")
    assert rows.tolist() == [0.3, 0.5, 0.7]
    assert list(table) == ["b", "a"]
    np.testing.assert_array_equal(table["b"], [[2, np.nan], [1, 3], [5, np.nan]])
    np.testing.assert_array_equal(table["a"], [[4], [np.nan], [np.nan]])
