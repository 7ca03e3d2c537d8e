"""Results elsewhere: rows of a frame, safetensors, and the same networks in PyTorch."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from made_results import LANES, make, make_params

import grokjax
from grokjax import models, tasks
from grokjax.results import SweepResult, build_dataset, concatenate

safetensors = pytest.importorskip("safetensors", reason="safetensors is not installed")
from safetensors.numpy import load_file

EVERY = {"kernel", "count", "on", "half"}


def made(params, model=None, columns=None, **attrs):
    """A result of these parameters, lanes first, that nobody trained."""
    lanes = len(jax.tree.leaves(params)[0])
    columns = {"alpha": np.full(lanes, 0.5), "seed": np.arange(lanes)} | (columns or {})
    accuracy = np.full((lanes, 2), 0.5)
    history = {"train_accuracy": accuracy, "test_accuracy": accuracy}
    dataset = build_dataset(
        columns, [0, 1], history, np.ones(lanes, int), np.zeros(lanes, bool), attrs
    )
    return SweepResult(dataset, params, model)


def metadata(path):
    with safetensors.safe_open(path, framework="numpy") as file:
        return file.metadata()


# Frames


def test_a_frame_has_one_row_for_each_lane():
    result = SweepResult(make(task="a task"))
    frame = result.to_dataframe()
    assert list(frame.columns) == [
        "alpha", "seed", "outcome", "memorization_step", "grokking_step", "final_step",
        "watched_step", "stopped", "train_accuracy", "test_accuracy", "w1_norm",
    ]  # fmt: skip
    assert frame.index.name == "lane"
    assert len(frame) == LANES
    for name in ("train_accuracy", "w1_norm"):
        np.testing.assert_array_equal(frame[name], result.final(name))  # also of lane 0, retired
    for name in ("alpha", "grokking_step", "outcome"):
        np.testing.assert_array_equal(frame[name], result.dataset[name])
    assert frame.attrs == {"task": "a task"}


def test_a_frame_of_joined_results_has_all_of_their_columns():
    other = make({"optimizer": np.repeat("sgd", LANES), "seed": np.arange(LANES)})
    frame = concatenate([SweepResult(make()), SweepResult(other)]).to_dataframe()
    assert len(frame) == 2 * LANES
    assert frame.optimizer.tolist() == [""] * LANES + ["sgd"] * LANES
    assert frame.alpha.isna().sum() == LANES


def test_a_saved_dataset_opens_in_xarray_alone(tmp_path):
    SweepResult(make()).save(tmp_path)
    with xarray.open_dataset(tmp_path / "results.nc", engine="h5netcdf") as dataset:
        np.testing.assert_array_equal(dataset.test_accuracy, make().test_accuracy)


# Files


def test_a_file_has_every_parameter_of_every_lane(tmp_path):
    params, path = make_params(), tmp_path / "all.safetensors"
    made(params, task="a task").to_safetensors(path)
    found = load_file(path)
    names = {"w1", *(f"layers.Dense_0.{name}" for name in EVERY)}
    assert set(found) == names
    block = params["layers"]["Dense_0"]
    np.testing.assert_array_equal(found["w1"], params["w1"])
    np.testing.assert_array_equal(found["layers.Dense_0.count"], block["count"])
    # bfloat16 and booleans come back as themselves.
    kernel = found["layers.Dense_0.kernel"].astype(np.float32)
    np.testing.assert_array_equal(kernel, block["kernel"].astype(np.float32))
    np.testing.assert_array_equal(found["layers.Dense_0.on"], block["on"])
    about = metadata(path)
    assert about["format"] == "grokjax"
    assert about["task"] == "a task"
    assert json.loads(about["stacked"]) is True
    assert json.loads(about["lanes"])[2] == {"alpha": 0.5, "seed": 2}
    assert json.loads(about["model"]) is None


@pytest.mark.parametrize("lane", [2, -4, np.int64(2)])
def test_a_file_of_one_lane_has_its_parameters_alone(tmp_path, lane):
    path, other = tmp_path / "one.safetensors", tmp_path / "other"
    other.touch()
    made(make_params()).to_safetensors(path, lane)
    assert path.stat().st_mode == other.stat().st_mode
    np.testing.assert_array_equal(load_file(path)["w1"], make_params()["w1"][2])
    assert json.loads(metadata(path)["lanes"]) == [{"alpha": 0.5, "seed": 2}]


def test_parameters_of_a_tuple_are_numbered(tmp_path):
    made((np.ones((3, 2)), [np.zeros((3, 1))])).to_safetensors(tmp_path / "a")
    assert set(load_file(tmp_path / "a")) == {"0", "1.0"}


def test_a_file_may_be_of_an_earlier_step(tmp_path):
    w1 = np.arange(12.0).reshape(3, 2, 2)  # lanes, times, weights
    result = made({"w1": w1}, keep_params="all")
    for step, time in ((0, 0), (1, 1), (None, 1)):
        result.to_safetensors(tmp_path / "a", lane=1, step=step)
        np.testing.assert_array_equal(load_file(tmp_path / "a")["w1"], w1[1, time])


@pytest.mark.parametrize(
    ("params", "arguments", "message"),
    [
        (None, {}, "no parameters; make it with keep_params"),
        ({"w1": np.ones((2, 3))}, {"lane": 2}, "lane must be an integer .*below 2, or None"),
        ({"w1": np.ones((2, 3))}, {"lane": True}, "lane must be an integer"),
        ({"w1": np.ones((2, 3))}, {"step": 0}, "parameters at step 0 were not kept"),
        ({"w1": np.ones((2, 3))}, {"path": ""}, "path must be a path"),
        ({"w1": np.ones((2, 3))}, {"path": "no/such/folder"}, "cannot be written.*a folder that"),
        ({"w1": np.ones((2, 3))}, {"model": 3}, "model must be a model with init and apply"),
        ({"a.b": np.ones(2), "a": {"b": np.ones(2)}}, {}, "two parameters .*'a.b'.*rename"),
    ],
)
def test_a_file_is_refused(tmp_path, monkeypatch, params, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = made(params or {"w1": np.ones((2, 3))})
    result = dataclasses.replace(result, params=params)
    with pytest.raises(ValueError, match=message):
        result.to_safetensors(**({"path": "file"} | arguments))
    assert not list(tmp_path.iterdir())


# PyTorch

TASK = tasks.modular_addition(7)
THREE = np.array([[1, 2, 3], [4, 5, -1], [6, -1, -1], [0, 0, 6]])
NETWORKS = [
    models.QuadraticMLP(7, 12),
    models.QuadraticMLP(7, 12, operands=3, parameterization="standard"),
    models.QuadraticMLP(7, 12, activation=models.power(3), normalize=True),
    models.QuadraticMLP(7, 12, activation=jax.nn.gelu, dropout=0.2),
    models.with_weight_noise(models.QuadraticMLP(7, 12), 0.1),
    models.MLP(7, hidden=(6, 5), vocabulary=9),
    models.MLP(7, operands=3, hidden=(6,), embedding=4, vocabulary=7),
    models.LSTM(7, layers=1, width=6),
    models.LSTM(7, width=6, embedding=4, vocabulary=7),
    models.Transformer(7, width=8, heads=2, vocabulary=7),
    models.Transformer(7, layers=1, width=8, heads=1, norm="pre", positions="learned"),
    models.Transformer(7, width=8, heads=4, hidden=5, equation=True, vocabulary=7),
]


@pytest.mark.parametrize("model", NETWORKS, ids=lambda model: type(model).__name__.lower())
def test_pytorch_gives_the_same_logits(tmp_path, model):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from grokjax import pytorch

    inner = getattr(model, "model", model)
    pairs = isinstance(inner, models.QuadraticMLP | models.MLP) and inner.operands == 2
    tokens = np.asarray(TASK.tokens) if pairs else THREE
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.asarray(tokens[:1]))
    random = np.random.default_rng(0).standard_normal
    stacked = jax.tree.map(lambda leaf: random((3, *leaf.shape)).astype("f4"), shapes)
    result = made(stacked, model, {"logit_scale": np.array([1.0, 2.5, 1.0])})
    result.to_safetensors(tmp_path / "all")
    result.to_safetensors(tmp_path / "one", lane=1)
    expected = np.asarray(result.network(1)(tokens))
    for network in (pytorch.load(tmp_path / "all", 1), pytorch.load(tmp_path / "one")):
        with torch.no_grad():
            found = network(torch.tensor(tokens)).numpy()
            alone = network(torch.tensor(tokens[0])).numpy()
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6 * scale)
        np.testing.assert_allclose(alone, expected[0], rtol=1e-4, atol=2e-6 * scale)
        assert network.lane == {"alpha": 0.5, "seed": 1, "logit_scale": 2.5}
        assert not network.training


def test_pytorch_takes_an_activation_that_has_no_name(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from grokjax import pytorch

    model = models.QuadraticMLP(5, 4, activation=jax.nn.softplus)
    params = jax.tree.map(lambda leaf: leaf[None], model.init(jax.random.key(0)))
    made(params, model).to_safetensors(tmp_path / "a", lane=0)
    with pytest.raises(ValueError, match=r"activation of QuadraticMLP.* give it as a function"):
        pytorch.load(tmp_path / "a")
    network = pytorch.load(tmp_path / "a", activation=torch.nn.functional.softplus)
    expected = model.apply(model.init(jax.random.key(0)), jnp.array([[1, 2]]))
    with torch.no_grad():
        np.testing.assert_allclose(network(torch.tensor([[1, 2]])), expected, rtol=1e-5)


def test_pytorch_refuses_what_it_cannot_load(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    from safetensors.numpy import save_file

    from grokjax import pytorch

    params = {"w1": np.ones((2, 3), np.float32)}
    made(params).to_safetensors(tmp_path / "unknown", lane=0)
    made(params, models.LogitTable(3)).to_safetensors(tmp_path / "other", lane=0)
    made(params, models.QuadraticMLP(3, 2)).to_safetensors(tmp_path / "all")
    save_file(params, tmp_path / "foreign")
    (tmp_path / "text").write_text("text")
    for name, arguments, message in (
        ("none", {}, "cannot be read"),
        ("text", {}, "cannot be read"),
        ("foreign", {}, "not written by SweepResult.to_safetensors"),
        ("unknown", {}, "an unknown network.*give to_safetensors\\(model"),
        ("other", {}, "holds LogitTable.*modules of"),
        ("all", {}, "lane must be an integer below 2.*got None"),
        ("all", {"lane": 2}, "lane must be an integer below 2.*got 2"),
        ("unknown", {"lane": 0}, "lane must not be given"),
    ):
        with pytest.raises(ValueError, match=message):
            pytorch.load(tmp_path / name, **arguments)


def test_safetensors_need_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install \"grokjax\[weights\]\""):
        made(make_params()).to_safetensors(tmp_path / "a")


def test_importing_grokjax_needs_no_torch():
    assert "pytorch" in dir(grokjax)
