"""The page of a sweep: one file that reaches for nothing, and what is in it."""

import base64
import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import swept
import xarray
from made_results import make

import grokjax
from grokjax import models, survival, tasks
from grokjax.page import cells, lanes, networks, packing, write
from grokjax.results import SweepResult, concatenate, load_result

pytest.importorskip("altair", reason="altair is not installed")
pytest.importorskip("vl_convert", reason="vl-convert-python is not installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The text of a page of a sweep that can be watched."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    grokjax.report(swept.watched(), path)
    return path.read_text(encoding="utf-8")


def data_of(text):
    """What the page hands to its script."""
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def written(result, path, **options):
    grokjax.report(result, path / "page.html", **options)
    text = (path / "page.html").read_text(encoding="utf-8")
    return text, data_of(text)


def numbers(packed):
    """The numbers of `packing.packed_floats`."""
    codes = np.frombuffer(base64.b64decode(packed["codes"]), "<u2")
    values = packed["low"] + codes * (packed["high"] - packed["low"]) / packing.STEPS
    values = np.exp(values) if packed["log"] else values
    return np.where(codes == packing.STEPS + 1, np.nan, values)


# One file


def test_the_page_is_one_file_that_reaches_for_nothing(page):
    rules = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    assert rules
    assert rules[1].startswith("default-src 'none';")  # a browser then refuses to fetch anything
    assert "http" not in rules[1]
    own = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    for reference in ("<link", "src=", "href=", "@import", "url(", "//"):
        assert reference not in own
    assert len(own) < 20_000
    assert "window.vegaEmbed=" in page  # the library itself
    assert len(page) < 2_000_000


def test_what_the_page_shows_cannot_change_it(tmp_path):
    nasty = "</script><script>alert(1)</script> ' \\ \n $title"
    columns = {"seed": np.arange(6), "optimizer": np.repeat([nasty, "b"], 3)}
    text, data = written(SweepResult(make(columns, task=nasty, recipe=nasty)), tmp_path)
    assert "<script>alert" not in text
    assert data["across"]["names"] == [nasty, "b"]
    assert text.count("<script") == 3


def test_the_page_says_what_was_run_and_at_what_cost(page):
    for shown in (
        "<title>n1+n2 mod 7</title>",
        "6 networks were trained for up to 50 steps: 3 grokked, 2 memorized only, 1",
        "Recipe(&lt;b&gt;bold&lt;/b&gt; &amp; more)",
        "<dt>lane steps</dt><dd>300</dd>",
        "<dt>wall seconds</dt><dd>1.5</dd>",
        "<dt>share of slots in use</dt><dd>0.75</dd>",
        "<dt>grokjax</dt><dd>0.2.0</dd>",
    ):
        assert shown in page
    assert "Thinned" not in page


def test_a_title_may_be_given_and_an_interruption_is_told(tmp_path):
    text, _ = written(SweepResult(make(interrupted=1)), tmp_path, title="Mine & yours")
    assert "<h1>Mine &amp; yours</h1>" in text
    assert "The sweep was interrupted" in text


# Cells


def test_cells_hold_the_lanes_of_both_columns(page):
    data = data_of(page)
    assert data["across"]["names"] == ["0.4", "0.7"]
    assert data["up"]["names"] == [""]  # the seeds of a cell are in it together
    assert data["cells"]["outcomes"] == ["grokked", "memorized", "diverged"]
    assert data["cells"]["counts"] == [[0, 2, 1], [3, 0, 0]]
    assert data["lanes"]["cell"] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("columns", "given", "expected"),
    [
        ({"seed": range(6)}, {}, ("seed", "")),
        ({"seed": range(6), "alpha": [0.3, 0.5] * 3}, {}, ("alpha", "")),
        ({"lr": [1, 2] * 3, "alpha": [0.3] * 3 + [0.5] * 3, "seed": [0] * 6}, {}, ("alpha", "lr")),
        ({"lr": [1, 2] * 3, "alpha": [0.3] * 3 + [0.5] * 3}, {"rows": "alpha"}, ("lr", "alpha")),
        ({"seed": range(6), "alpha": [0.3, 0.5] * 3}, {"rows": "seed"}, ("alpha", "seed")),
        ({"seed": range(6), "alpha": [0.3, 0.5] * 3}, {"columns": "seed"}, ("seed", "alpha")),
        ({"seed": [1] * 6}, {}, ("", "")),
    ],
)
def test_columns_that_are_not_given_are_chosen(columns, given, expected):
    dataset = make({name: np.array(list(values)) for name, values in columns.items()})
    across, up = cells.choose(dataset, given.get("rows"), given.get("columns"))
    assert (across.column, up.column) == expected


def test_many_numbers_are_put_into_ranges_and_few_keep_their_names():
    rates = np.geomspace(1e-4, 1, 6000)
    dataset = xarray.Dataset({"x": ("lane", rates)}).set_coords("x")
    axis = cells.choose(dataset, None, "x")[0]
    assert len(axis.names) == cells.BINS
    assert np.bincount(axis.place).min() > 100  # even in their logarithms
    assert axis.names[0].startswith("0.0001 to 0.000126")
    few = xarray.Dataset({"x": ("lane", [0.5, np.nan, 0.1 + 0.2, 0.5])}).set_coords("x")
    axis = cells.choose(few, None, "x")[0]
    assert axis.names == ("0.3", "0.5", "no x")
    assert axis.place.tolist() == [1, 2, 0, 1]


def test_cells_have_the_statistics_of_survival(page):
    found = data_of(page)["cells"]["survival"][1]
    dataset = swept.watched().dataset.isel(lane=slice(3, None))
    times = dataset.grokking_step, dataset.watched_step
    expected = [x if np.isfinite(x) else None for x in survival.median(*times)]
    assert found["median"] == expected
    curve = survival.kaplan_meier(*times)
    assert found["step"] == curve.step.tolist()
    np.testing.assert_allclose(found["low"], curve.low, atol=1e-4)
    assert found["censored"] == []
    assert data_of(page)["cells"]["survival"][0]["censored"] == [40, 40, 40]


# Curves


def test_curves_have_what_was_measured(page):
    curves, dataset = data_of(page)["curves"], swept.watched().dataset
    assert curves["points"] == swept.TIMES
    steps = np.frombuffer(base64.b64decode(curves["steps"]), "<f4").reshape(6, -1)
    np.testing.assert_array_equal(steps, np.broadcast_to(dataset.step, (6, swept.TIMES)))
    for name in ("test_accuracy", "train_loss", "weight_norm"):
        found = numbers(curves["measures"][name]).reshape(6, -1)
        np.testing.assert_allclose(found, dataset[name], rtol=1e-3, atol=1e-3)
    assert curves["measures"]["train_loss"]["log"]
    assert not curves["measures"]["train_accuracy"]["log"]


def test_measures_may_be_chosen(tmp_path):
    _, data = written(swept.watched(), tmp_path, measures=["weight_norm"])
    assert list(data["curves"]["measures"]) == ["train_accuracy", "test_accuracy", "weight_norm"]


def test_ten_thousand_lanes_fit_into_ten_megabytes(tmp_path):
    text, data = written(swept.large(), tmp_path)
    assert len(text.encode()) < 10_000_000
    assert data["curves"]["points"] < 30
    assert len(data["lanes"]["cell"]) == 10_000
    assert np.sum(data["cells"]["counts"]) == 10_000
    assert re.search(r"Thinned: a curve has up to \d+ of its 200 measurements", text)
    assert re.search(r"Thinned: 2,000 of the 10,000 lanes have a mark", text)


def test_lanes_of_every_cell_keep_their_curves_where_there_is_no_room(monkeypatch):
    monkeypatch.setattr(lanes, "CURVE_BYTES", 2000)
    monkeypatch.setattr(lanes, "FEWEST", 6)
    dataset = swept.large(400 * 2, times=20).dataset
    cell = np.repeat(np.arange(400), 2)
    found = lanes.curves_of(dataset, cell, ["train_accuracy"])
    assert len(found["lanes"]) == 2000 // (6 * 6)
    assert len({cell[lane] for lane in found["lanes"]}) == len(found["lanes"])


@pytest.mark.parametrize("length", [1, 2, 5, 30, 1000])
def test_thinning_keeps_both_ends_and_the_early_part(length):
    kept = packing.thinned(length, 12)
    assert kept[0] == 0
    assert kept[-1] == length - 1
    assert len(kept) <= 12
    assert (np.diff(kept) > 0).all()
    assert length < 1000 or (kept < 100).sum() >= 4


# Networks


def test_networks_are_watched_as_they_were(page):
    found = data_of(page)["networks"]
    # The last to grok, and one that did not.
    assert [network["lane"] for network in found] == [5, 3, 0]
    result, network = swept.watched(), found[1]
    assert network["steps"] == [0, 10, 20, 30, 40, 50]
    bits = np.frombuffer(base64.b64decode(network["right"]), np.uint8).reshape(6, -1)
    right = np.unpackbits(bits, axis=1)[:, :49].astype(bool)
    for frame, step in enumerate(network["steps"]):
        logits = np.asarray(result.network(3, step=step)(swept.TASK.tokens))
        np.testing.assert_array_equal(right[frame], logits.argmax(1) == swept.TASK.labels)
    assert right[0].mean() < 0.5 < right[-1].mean()
    train = np.frombuffer(base64.b64decode(network["train"]), np.uint8).astype(bool)
    np.testing.assert_array_equal(train, result.split(3).train)
    assert network["accuracy"][-1] == [1, 1]


def test_spectra_and_circles_of_the_closed_form_are_pure(page):
    network = data_of(page)["networks"][1]
    heat = np.frombuffer(base64.b64decode(network["heat"]), np.uint8)
    heat = heat.reshape(6, network["neurons"], network["bins"])
    assert (heat[-1].max(axis=1) == 255).all()  # one frequency each
    assert (heat[0].max(axis=1) < 255).all()
    assert network["frequencies"]
    for frequency, packed in zip(network["frequencies"], network["circles"], strict=True):
        places = numbers(packed).reshape(6, 7, 2)[-1]
        radius = np.hypot(*places.T)
        np.testing.assert_allclose(radius, radius[0], rtol=1e-3)
        angle = np.unwrap(np.angle(places[:, 0] + 1j * places[:, 1]))
        turn = np.diff(angle) * 7 / (2 * np.pi) % 7
        assert turn == pytest.approx(frequency, abs=0.01) or turn == pytest.approx(
            7 - frequency, abs=0.01
        )


@pytest.mark.parametrize(
    ("model", "operands", "neurons"),
    [
        (models.with_weight_noise(models.QuadraticMLP(5, 4), 0.1), 2, 4),
        (models.MLP(5, hidden=(6,)), 2, 6),
        (models.MLP(5, hidden=(6,), embedding=3, vocabulary=5), 2, 6),
        (models.LSTM(5, layers=1, width=3), 1, 12),
        (models.LSTM(5, layers=1, width=3, embedding=4), 1, 12),
        (models.Transformer(5, layers=1, width=8, heads=1), 1, 8),
    ],
)
def test_first_weights_are_found_in_every_network(model, operands, neurons):
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2), int))
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape), shapes)
    weights = networks.weights_on_operands(model, params, 5)
    assert weights.shape == (operands, 5, neurons)
    assert networks.weights_on_operands(models.LogitTable(5), params, 5) is None


def test_a_network_that_multiplies_is_seen_on_the_axis_of_logarithms():
    logarithms = networks._logarithms(tasks.modular_multiplication(7))
    cosine = np.cos(2 * np.pi * 2 * logarithms / 6)
    cosine[0] = 0
    weights = np.broadcast_to(cosine[None, None, :, None], (2, 2, 7, 3))
    found = networks._spectra(weights, logarithms)
    assert found["axis"] == "discrete logarithm"
    assert found["frequencies"] == [2]
    assert networks._logarithms(tasks.modular_division(7)) is not None
    assert networks._logarithms(tasks.modular_addition(7)) is None


def test_a_network_that_diverged_can_be_watched(tmp_path):
    result = swept.watched()
    result.params["w1"][2, 3:] = np.nan
    result.params["w2"][2, 2] = np.inf
    network = written(result, tmp_path, watch=2)[1]["networks"][0]
    assert np.shape(network["power"]) == (swept.TIMES, len(network["frequencies"]))


@pytest.mark.parametrize("width", [1, 2, 5])
def test_narrow_networks_have_spectra_and_circles(width):
    weights = np.random.default_rng(0).standard_normal((3, 2, 5, width))
    found = networks._spectra(weights, None)
    assert found["neurons"] == width
    for packed in found["circles"]:
        assert numbers(packed).shape == (3 * 5 * 2,)


def test_a_loaded_result_is_watched_with_its_model_and_task(tmp_path):
    swept.watched().save(tmp_path)
    result = load_result(tmp_path)
    text, data = written(result, tmp_path)
    assert not data["networks"]
    assert "this result does not know its model" in text
    given = {"model": swept.MODEL, "task": swept.TASK, "watch": -1}
    _, data = written(result, tmp_path, **given)
    assert [network["lane"] for network in data["networks"]] == [5]


# What is refused, and what is not


def every_other_measurement():
    result = swept.watched()
    params = {name: leaf[:, ::2] for name, leaf in result.params.items()}
    dataset = result.dataset.isel(time=slice(None, None, 2))
    dataset = dataset.assign(final_step=dataset.final_step - 10)
    return dataclasses.replace(result, dataset=dataset, params=params)


def test_datasets_and_joined_results_have_pages_too(tmp_path):
    other = make({"optimizer": np.repeat("sgd", 6), "seed": np.arange(6)})
    both = concatenate([SweepResult(make()), SweepResult(other)])
    _, data = written(both, tmp_path, rows="optimizer", columns="alpha")
    assert data["across"]["names"] == ["0.3", "0.5", "no alpha"]
    assert data["up"]["names"] == ["no optimizer", "sgd"]
    twice = concatenate([swept.watched(), every_other_measurement()])
    network = written(twice, tmp_path, watch=9, columns="alpha")[1]["networks"][0]
    assert network["steps"] == [0, 20, 40]
    _, data = written(make().isel(lane=[0]), tmp_path)
    assert data["cells"]["counts"] == [[1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"result": 3}, "result must be a SweepResult.*got 3"),
        ({"result": swept.watched().select([])}, "result has no lanes"),
        ({"path": ""}, "path must be a path"),
        ({"path": "no/page.html"}, "path='no/page.html' cannot be written.*choose a file"),
        ({"path": "."}, "path='.' cannot be written, because it is a folder"),
        ({"rows": "lr"}, "rows='lr' is no lane column; use one of .*'alpha', 'seed'"),
        ({"columns": "step"}, "columns='step' is no lane column"),
        ({"columns": 3}, "columns must be text"),
        ({"rows": "alpha", "columns": "alpha"}, "rows and columns are both 'alpha'"),
        ({"measures": ["ipr"]}, "measures must be names of measurements, from .*got 'ipr'"),
        ({"measures": "train_loss"}, "measures must be names"),
        ({"measures": 3}, "measures must be names"),
        ({"watch": 6}, "watch must be an integer .*below 6, or lane numbers, or None, got 6"),
        ({"watch": [0, True]}, r"watch\[1\] must be an integer"),
        ({"result": SweepResult(make()), "watch": 0}, "watch=0 cannot be shown: parameters of .*a"),
        ({"model": 3}, "model must be a model"),
        ({"task": 3}, "task must be a Task"),
        ({"title": 3}, "title must be text"),
    ],
)
def test_reporting_refuses(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    given = {"result": swept.watched(), "path": "page.html", **arguments}
    with pytest.raises(ValueError, match=message):
        grokjax.report(**given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (tasks.modular_addition(3, operands=3), "has 3 operands, and a square shows two"),
        (tasks.modular_addition(257, num_rows=9, key=jax.random.key(0)), "larger than 256 x 256"),
    ],
)
def test_what_is_no_square_cannot_be_watched(task, message):
    found = networks.chosen_lanes(swept.watched(), None, None, task)
    assert found[0] == []
    assert re.search(message, found[1])


def test_lanes_without_seeds_cannot_be_watched_and_have_a_page_nevertheless(tmp_path):
    result = swept.watched()
    result = SweepResult(result.dataset.drop_vars("seed"), result.params, swept.MODEL, swept.TASK)
    text, data = written(result, tmp_path)
    assert data["networks"] == []
    assert "Not on this page: the result has no column &#x27;seed&#x27;" in text


def test_reporting_needs_the_libraries(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "vl_convert", None)
    write.libraries.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"pip install \"grokjax\[report\]\""):
        grokjax.report(swept.watched(), tmp_path / "page.html")
