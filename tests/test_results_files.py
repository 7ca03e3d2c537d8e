"""Files of results, which give back what was written and refuse what is not theirs."""

import collections
import json
import secrets
import shutil

import h5py
import jax
import numpy as np
import pytest
import xarray
from made_results import LANES, assert_same_params, make, make_params

from grokjax.results import SweepResult, concatenate, files, load_result


def test_round_trip_is_exact(tmp_path):
    columns = {
        "alpha": np.linspace(0.1, 0.6, 6) / 3,
        "seed": np.arange(6),
        "optimizer": np.array(["sgd", "adamw"] * 3),
        "clip": np.array([True, False] * 3),
    }
    dataset = make(columns, recipe="a\nrecipe", git_commit="", lane_steps=2**40, wall_seconds=0.1)
    params = make_params()
    SweepResult(dataset, params).save(tmp_path / "deep" / "run")
    loaded = load_result(tmp_path / "deep" / "run")
    xarray.testing.assert_identical(loaded.dataset, dataset)
    for name, variable in dataset.variables.items():
        if variable.dtype.kind != "U":  # words take as much room as the longest
            assert loaded.dataset[name].dtype == variable.dtype
    assert loaded.dataset.attrs == dataset.attrs
    assert {k: type(v) for k, v in loaded.dataset.attrs.items()} == {
        k: type(v) for k, v in dataset.attrs.items()
    }
    assert_same_params(loaded.params, params)
    config = json.loads((tmp_path / "deep" / "run" / "config.json").read_text())
    assert config == dataset.attrs


def test_joined_results_round_trip(tmp_path):
    parts = [SweepResult(make()), SweepResult(make({"kind": np.array(list("abcdef"))}))]
    joined = concatenate(parts, optimizer=["adamw", "sgd"])
    joined.save(tmp_path)
    xarray.testing.assert_identical(load_result(tmp_path).dataset, joined.dataset)


Block = collections.namedtuple("Block", ["kernel", "bias"])


def test_tuples_and_lists_of_parameters_round_trip(tmp_path):
    generator = np.random.default_rng(0)
    draw = lambda *shape: generator.standard_normal((LANES, *shape)).astype(np.float32)
    params = {"experts": (draw(2), {"w": draw()}, ()), "heads": [draw(3) for _ in range(12)]}
    SweepResult(make(), params).save(tmp_path)
    loaded = load_result(tmp_path)
    assert_same_params(loaded.params, params)
    some = loaded.select([4])
    np.testing.assert_array_equal(some.params["heads"][11], params["heads"][11][[4]])
    joined = concatenate([loaded, SweepResult(make(), params)], run=[0, 1]).params
    assert jax.tree.structure(joined) == jax.tree.structure(params)
    named = SweepResult(make(), Block(draw(2), draw()))
    assert isinstance(named.select([0]).params, Block)
    assert isinstance(concatenate([named, named], run=[0, 1]).params, Block)
    named.save(tmp_path)  # a file does not know its class
    assert_same_params(load_result(tmp_path).params, tuple(named.params))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"a/b": np.zeros((6, 1))}, "names other than .* got 'a/b'"),
        ({"..": np.zeros(6)}, "got '..'; rename it"),
        ({"lane": np.zeros(6)}, "got 'lane'; rename it"),
        ({"": np.zeros(6)}, "got ''"),
        ({"a\0": np.zeros(6)}, "rename it"),
        ({5: np.zeros(6)}, "got 5; rename it"),
        ({"w": np.zeros(3)}, "params must have the 6 lanes first, as the dataset, got 3"),
        ({"w": np.zeros(6), "v": np.zeros(3)}, "must all have the lanes as their first axis"),
        ({"w": 5.0}, "must all have the lanes as their first axis"),
        ("weights", "must all have the lanes as their first axis"),
        ({"w": np.array(["a"] * 6)}, "the parameter 'w' must be an array of numbers"),
        ({"w": np.array([None] * 6)}, "the parameter 'w' must be an array of numbers"),
        ({"w": jax.random.split(jax.random.key(0), 6)}, "'w' must be an array of numbers"),
    ],
)
def test_parameters_that_no_file_can_hold_are_refused(params, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        SweepResult(make(), params).save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_parameters_named_like_axes_of_others_round_trip(tmp_path):
    params = {"w": np.arange(18.0).reshape(6, 3), "w axis 1": np.zeros((6, 2)), "time": np.ones(6)}
    SweepResult(make(), params).save(tmp_path)
    assert_same_params(load_result(tmp_path).params, params)


@pytest.mark.parametrize("call", [SweepResult(make()).save, load_result])
def test_what_is_no_path_is_refused(call, tmp_path):
    for wrong in (5, None, "", "\0", [], True):
        with pytest.raises(ValueError, match="directory must be a path, such as"):
            call(wrong)
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="file"):
            call(place)


def test_another_netcdf_file_is_no_result(tmp_path):
    xarray.Dataset({"x": ("lane", [1.0])}).to_netcdf(tmp_path / "results.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"results\.nc must be the dataset of a sweep.*'time'"):
        load_result(tmp_path)


# Saves that do not belong together


def test_parameters_of_another_save_are_refused(tmp_path):
    for name in "ab":
        SweepResult(make(), make_params()).save(tmp_path / name)
    shutil.copy(tmp_path / "b" / "params.nc", tmp_path / "a" / "params.nc")
    with pytest.raises(ValueError, match=r"params\.nc belongs to another result than results\.nc"):
        load_result(tmp_path / "a")
    load_result(tmp_path / "b")


def test_parameters_that_are_missing_are_missed(tmp_path):
    SweepResult(make(), make_params()).save(tmp_path)
    (tmp_path / "params.nc").unlink()
    with pytest.raises(ValueError, match=r"params\.nc is missing: results\.nc was saved with"):
        load_result(tmp_path)
    SweepResult(make()).save(tmp_path)  # without parameters there is nothing to miss
    assert load_result(tmp_path).params is None


# Files from strangers


def external_link(group, secret):
    group["evil"] = h5py.ExternalLink(str(secret), "/w1")


def soft_link(group, secret):
    group["evil"] = h5py.SoftLink("/w1")


def external_storage(group, secret):
    group.create_dataset("evil", shape=(6,), dtype="u1", external=[(str(secret), 0, 6)])


def virtual_dataset(group, secret):
    layout = h5py.VirtualLayout(shape=(6, 2, 3, 4), dtype="f8")
    layout[:] = h5py.VirtualSource(str(secret), "w1", shape=(6, 2, 3, 4))
    group.create_virtual_dataset("evil", layout)


def circle(group, secret):
    group["evil"] = group.file["/"]


def second_name(group, secret):
    group["evil"] = next(x for x in group.file.values() if isinstance(x, h5py.Dataset))


TRICKS = [
    (external_link, "'evil' is a link"),
    (soft_link, "'evil' is a link"),
    (external_storage, "'evil' is stored in another file"),
    (virtual_dataset, "'evil' is stored in another file"),
    (circle, "'evil' is in the file twice"),
    (second_name, "is in the file twice"),
]


@pytest.mark.parametrize("name", ["params.nc", "results.nc", "params.nc/layers/deep"])
@pytest.mark.parametrize(("trick", "message"), TRICKS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_file_that_would_have_others_read_is_refused(trick, message, name, tmp_path):
    SweepResult(make(), make_params()).save(tmp_path / "other")
    SweepResult(make(), make_params()).save(tmp_path)
    name, _, group = name.partition("/")
    with h5py.File(tmp_path / name, "r+") as file:
        trick(file.require_group(group) if group else file, tmp_path / "other" / "params.nc")
    with pytest.raises(ValueError, match=f"{name} cannot be read .*{message}"):
        load_result(tmp_path)


def test_damaged_files_are_refused_or_read(tmp_path):
    """Whatever is in the bytes: an explanation, or a result."""
    SweepResult(make(), make_params()).save(tmp_path)
    generator = np.random.default_rng(0)
    for name in ("params.nc", "results.nc"):
        content = (tmp_path / name).read_bytes()
        for _ in range(15):
            damaged = bytearray(content)
            for place in generator.integers(0, len(content), 3):
                damaged[place] = generator.integers(256)
            (tmp_path / name).write_bytes(damaged)
            message = str(tmp_path)
            try:
                load_result(tmp_path)
            except ValueError as error:
                message = str(error)
            assert str(tmp_path) in message
        (tmp_path / name).write_bytes(content)


def test_temporary_names_cannot_be_guessed(tmp_path):
    names = []
    for _ in range(2):
        with files.replacing(tmp_path / "results.nc") as temporary:
            assert temporary.parent == tmp_path
            names.append(temporary.name)
            temporary.write_text("whole")
    assert names[0] != names[1]
    assert min(map(len, names)) > len(".results.nc..partial") + 12
    assert [path.name for path in tmp_path.iterdir()] == ["results.nc"]


def test_saving_does_not_write_through_links(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "results"
    folder.mkdir()
    for name in ("results.nc", "config.json", "params.nc", ".results.nc.partial"):
        (folder / name).symlink_to(victim)
    SweepResult(make(), make_params()).save(folder)
    assert victim.read_text() == "mine"
    assert not (folder / "results.nc").is_symlink()
    # Even at the temporary name itself.
    monkeypatch.setattr(secrets, "token_hex", lambda count: "guessed")
    (folder / ".results.nc.guessed.partial").symlink_to(victim)
    with pytest.raises(FileExistsError):
        SweepResult(make(), make_params()).save(folder)
    assert victim.read_text() == "mine"
    assert_same_params(load_result(folder).params, make_params())


def test_a_result_without_lanes_is_one_too(tmp_path):
    nothing = SweepResult(make(), make_params()).select([])
    assert nothing.final("test_accuracy").shape == nothing.at(10).outcome.shape == (0,)
    nothing.save(tmp_path)
    loaded = load_result(tmp_path)
    assert repr(loaded) == "SweepResult(0 lanes, 5 measurements: )"
    assert loaded.params["w1"].shape == (0, 2, 3, 4)


def test_saving_again_leaves_nothing_of_the_old_result(tmp_path):
    SweepResult(make(), make_params()).save(tmp_path)
    SweepResult(make(seed=5)).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "results.nc"]
    assert load_result(tmp_path).params is None


def test_a_failed_save_keeps_the_old_result(tmp_path):
    SweepResult(make(), make_params()).save(tmp_path)
    with pytest.raises(ValueError, match="'a/b'"):
        SweepResult(make(seed=5), {"a/b": np.zeros((6, 1))}).save(tmp_path)
    xarray.testing.assert_identical(load_result(tmp_path).dataset, make())
    assert_same_params(load_result(tmp_path).params, make_params())
    assert len(list(tmp_path.iterdir())) == 3


def test_other_netcdf_readers_find_the_parameters(tmp_path):
    SweepResult(make(), make_params()).save(tmp_path)
    group = xarray.load_dataset(tmp_path / "params.nc", group="layers/Dense_0", engine="h5netcdf")
    assert group["count"].dims == ("lane",)
    np.testing.assert_array_equal(group["count"], np.arange(6))


def test_missing_and_broken_files_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"no result at .*results\.nc; give the directory"):
        load_result(tmp_path)
    SweepResult(make(), make_params()).save(tmp_path)
    for name in ("params.nc", "results.nc"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match=rf"{name} cannot be read .*run the sweep again"):
            load_result(tmp_path)
        (tmp_path / name).write_bytes(content)


def test_joined_results_keep_their_words_whole_on_the_disk(tmp_path):
    short, long = (SweepResult(make()).select([i]) for i in (1, 0))  # "grokked", "memorized"
    for name, part in (("a", short), ("b", long)):
        part.save(tmp_path / name)
    parts = [load_result(tmp_path / name) for name in "ab"]
    concatenate(parts).save(tmp_path)
    assert load_result(tmp_path).dataset.outcome.values.tolist() == ["grokked", "memorized"]
