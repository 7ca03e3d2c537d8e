"""The experiments of circuit efficiency, at a size of seconds: numbers, files, redrawing."""

import importlib

import numpy as np
import pytest
import xarray

import grokjax
from experiments.common import cells, spread
from experiments.efficiency.common import NETWORKS, learning_rate, network
from experiments.efficiency.critical_alpha import critical_alpha, joined, print_table
from experiments.efficiency.mixture import mixture
from experiments.efficiency.norms import crossing, groups, growth, mean_interval, norm_at, norms
from experiments.efficiency.semigrokking import late_rise, semigrokking
from experiments.efficiency.ungrokking import ungrokking
from grokjax import tasks
from grokjax.critical import SearchInterrupted

P = 11


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("efficiency")


def assert_redraws(name, directory, elsewhere):
    """The figure is there, and can be drawn again from the saved result alone."""
    draw = importlib.import_module(f"experiments.efficiency.{name}").draw
    paths = draw(grokjax.load_result(directory), elsewhere)
    assert [path.name for path in paths] == [f"{name}.png", f"{name}.svg"]
    for path in paths:
        assert path.stat().st_size > 5000
        assert (directory / path.name).exists()


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


def test_the_mixture_groks_with_unequal_speeds_and_decay(folder, tmp_path):
    output = folder / "mixture"
    result = mixture(
        p=P, alpha=0.5, seeds=2, decays=(0.0, 0.1), max_steps=8000, output=output, progress=False
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
    assert_redraws("mixture", output, tmp_path)


def test_the_mixture_refuses_networks_that_are_not_trained(tmp_path):
    with pytest.raises(ValueError, match="raise backbone_steps or alpha"):
        mixture(p=P, alpha=0.5, seeds=1, backbone_steps=2, output=tmp_path, progress=False)
    with pytest.raises(ValueError, match="unknown network 'rnn'"):
        mixture(network="rnn", output=tmp_path)


# --------------------------------------------------------------------------------------------
# Norms
# --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained_norms(folder):
    return norms(
        p=P, alphas=(0.2, 0.5, 0.85), decays=(0.5, 2.0), seeds=2, max_steps=400, logit=10.0,
        output=folder / "norms", progress=False,
    )  # fmt: skip


def test_memorizing_takes_more_weight_with_more_rows(trained_norms, folder, tmp_path):
    data = trained_norms.dataset
    inside = groups(trained_norms)
    assert (data.label_noise.values[inside["memorizing"]] == 1).all()
    assert (data.label_noise.values[inside["generalizing"]] == 0).all()
    assert inside["generalizing"].sum() >= 2
    accuracy = trained_norms.final("test_accuracy").values
    assert (accuracy[inside["generalizing"]] >= 0.99).all()
    # Random labels say nothing about the other rows.
    assert accuracy[inside["memorizing"]].mean() < 0.3
    memorizing = norm_at(trained_norms, 10.0).sel(kind="memorizing").mean("seed").dropna("alpha")
    assert memorizing.sizes["alpha"] >= 2
    assert (np.diff(memorizing) > 0).all()
    assert_redraws("norms", folder / "norms", tmp_path)


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


def test_decay_takes_generalization_away_on_few_rows(folder, tmp_path):
    output = folder / "ungrokking"
    result = ungrokking(
        networks=("quadratic",), p=P, alpha=0.9, small=(0.1, 0.6), decays=(0.0, 1.0), seeds=2,
        parent_steps=600, max_steps=300, output=output, progress=False,
    )  # fmt: skip
    data = result.dataset
    assert data.sizes["lane"] == 8
    assert (data.test_accuracy.values[:, 0] > 0.9).all()  # where the parents ended
    last = result.final("test_accuracy").values
    few, decays = data.alpha.values == 0.1, data.weight_decay.values == 1
    assert (last[few & decays] < 0.3).all()
    assert (last[few & ~decays] > 0.6).all()
    assert_redraws("ungrokking", output, tmp_path)


def test_ungrokking_refuses_what_cannot_lose_anything(tmp_path):
    with pytest.raises(ValueError, match=r"is no subset of alpha=0\.5"):
        ungrokking(alpha=0.5, small=(0.1, 0.5), output=tmp_path)
    with pytest.raises(ValueError, match="no network grokked"):
        ungrokking(
            networks=("quadratic",), p=P, seeds=1, parent_steps=2, output=tmp_path, progress=False
        )


def test_semigrokking(folder, tmp_path):
    output = folder / "semigrokking"
    result = semigrokking(
        p=P, alphas=(0.3, 0.6, 0.85), decays=(0.0, 1.0), seeds=3, max_steps=300, output=output,
        progress=False,
    )  # fmt: skip
    last = result.final("test_accuracy").values.reshape(2, 3, 3)  # decay, alpha, seed
    assert (np.diff(np.median(last[1], axis=1)) > 0).all()
    assert last[1, 2].mean() > last[0, 2].mean()
    rise = late_rise(result.dataset)
    grokked = result.dataset.grokking_step.notnull().values
    assert np.isnan(rise[grokked]).any() or not grokked.any()
    assert np.isfinite(rise[~grokked]).all()
    assert_redraws("semigrokking", output, tmp_path)


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
    paths = draw(saved, tmp_path / "again")
    assert [path.name for path in paths] == ["critical_alpha.png", "critical_alpha.svg"]
    assert all(path.stat().st_size > 5000 for path in paths)


# --------------------------------------------------------------------------------------------
# What they share
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["quick", "paper"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_fit_their_task(name, scale):
    import jax

    task = tasks.modular_addition(7)
    model = network(name, 7, scale)
    params = jax.eval_shape(model.init, jax.random.key(0), task.tokens[:1])
    assert jax.eval_shape(model.apply, params, task.tokens).shape == (49, 7)
    assert getattr(model, "dropout", 0.0) == 0
    assert learning_rate(name, scale) > 0


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
    print_table(table)
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if "0.500" in line]
    assert rows == [["7", "0"], ["7", "3"], ["11", "0"]]


def test_spread_is_a_median_with_its_range():
    assert spread(np.array([1.0, np.nan, 3.0, 2.0]), ".0f") == "2 (1 to 3)"
    assert spread(np.array([2.0, 2.0]), ".0f") == "2"
    assert spread(np.array([np.nan])) == ""


def test_cells_have_a_row_for_each_number_and_nan_where_lanes_are_missing():
    values, names = [1.0, 2.0, 3.0, 4.0, 5.0], ["b", "b", "b", "a", "b"]
    table = cells(values, names, [0.5, 0.3, 0.5, 0.3, 0.7])
    assert list(table) == ["b", "a"]
    np.testing.assert_array_equal(table["b"], [[2, np.nan], [1, 3], [5, np.nan]])
    np.testing.assert_array_equal(table["a"], [[4], [np.nan], [np.nan]])
