"""Benchmarks at tiny sizes: they run, go on where they were, and fit what they say they fit."""

import json

import jax
import numpy as np
import pytest

from benchmarks import __main__ as all_of_them
from benchmarks import common, gpu, gpu_parts, growth, refill
from benchmarks.gpu import Part, Size
from experiments.common import adamw


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """What one part of each kind, but PyTorch's, finds at tiny sizes, and where."""
    folder = tmp_path_factory.mktemp("gpu")
    parts = ("correctness", "layout", "slots", "estimates", "doshi", "again")
    return gpu.gpu(5, "tiny", parts, folder), folder, parts


@pytest.fixture
def three_parts(monkeypatch):
    """Three parts that only note that they ran; the second one is interrupted once."""
    ran = []

    def part(known, left, name):
        ran.append(name)
        if ran == ["first", "second"]:
            raise KeyboardInterrupt
        return {"rows": [("ran", name)], "ratios": {}}

    parts = {name: Part(part, {"tiny": (Size(1, {"name": name}),)}) for name in
             ("first", "second", "third")}  # fmt: skip
    monkeypatch.setattr(gpu, "PARTS", parts)
    return ran


def test_parts_run_and_say_where(tiny):
    known, folder, parts = tiny
    assert list(known) == list(parts)
    for name in parts:
        saved = json.loads((folder / f"{name}.json").read_text())
        assert saved["rows"], name
        assert {"device", "date", "jax", "command", "git_commit"} <= set(saved["origin"])


def test_the_cpu_in_a_process_of_its_own_agrees_with_this_one(tiny):
    found = tiny[0]["correctness"]
    assert found["rows_split_differently"] == 0
    assert found["initial_weights_QuadraticMLP"]["largest"] < 1e-6
    assert np.max(found["loss_differs"][:3]) < 1e-3
    assert found["ratios"]["grokking step, highest / CPU"] == pytest.approx(1, abs=0.3)


def test_sweeps_report_their_cost(tiny):
    (found,) = tiny[0]["doshi"]["sweeps"].values()
    assert found["lanes"] == 4
    assert found["lane_steps"] == 4 * gpu.TINY_DIAGRAM["max_steps"]
    assert 0 < found["wall_seconds"] < found["seconds"]


@pytest.mark.parametrize(
    ("name", "lanes", "steps"), [("gromov", 170, 3000), ("doshi", 1156, 2000), ("curve", 45, 10**5)]
)
def test_the_sweeps_are_those_of_the_sources(name, lanes, steps):
    given = dict(gpu.PARTS[name].sizes["full"][0].given)
    plan = gpu_parts.plan_for(given.pop("study"), given)
    assert (len(plan), plan.max_steps, plan.recipe.model.p) == (lanes, steps, 97)
    for scale in ("small", "tiny"):
        given = dict(gpu.PARTS[name].sizes[scale][0].given)
        assert len(gpu_parts.plan_for(given.pop("study"), given)) < 20


def test_a_second_call_runs_nothing_again(tiny, capsys, monkeypatch):
    _, folder, parts = tiny
    monkeypatch.setattr(gpu, "fitting", None)
    again = gpu.gpu(5, "tiny", parts, folder)
    assert list(again) == list(parts)
    assert capsys.readouterr().out.count("done before") == len(parts)


def test_an_interrupted_call_goes_on_with_the_part_that_is_missing(three_parts, tmp_path):
    with pytest.raises(KeyboardInterrupt, match="in part second; the same command goes on"):
        gpu.gpu(1, "tiny", output=tmp_path)
    assert [path.stem for path in tmp_path.glob("*.json")] == ["first"]
    gpu.gpu(1, "tiny", output=tmp_path)
    assert three_parts == ["first", "second", "second", "third"]


def test_a_part_that_fails_is_tried_again_and_keeps_no_other_from_running(
    three_parts, tmp_path, monkeypatch
):
    broken = Part(lambda known, left: 1 / 0, {"tiny": (Size(1, {}),)})
    monkeypatch.setitem(gpu.PARTS, "first", broken)
    with pytest.raises(ValueError, match="parts that failed: first; the same command tries again"):
        gpu.gpu(1, "tiny", output=tmp_path)
    assert three_parts == ["second", "third"]
    assert not (tmp_path / "first.json").exists()


def test_a_part_is_skipped_when_there_is_no_time_for_it(three_parts, tmp_path, capsys):
    gpu.gpu(1 / 120, "tiny", output=tmp_path)
    assert not three_parts
    assert "first: skipped, it takes about 1 s and 0 s are left" in capsys.readouterr().out


def test_files_of_another_scale_or_device_do_not_count(tmp_path):
    path = tmp_path / "part.json"
    origin = {"device": jax.devices()[0].device_kind}
    common.write_json(path, {"scale": "tiny", "origin": origin})
    assert gpu.earlier(path, "tiny")
    assert not gpu.earlier(path, "full")
    common.write_json(path, {"scale": "tiny", "origin": {"device": "another"}})
    assert not gpu.earlier(path, "tiny")


def test_the_size_of_a_part_leaves_room_for_later_ones():
    sizes = Size(60, {}), Size(20, {}), Size(5, {})
    later = [(Size(50, {}), Size(30, {}))]
    assert gpu.fitting(sizes, later, 100, {}) == sizes[0]
    assert gpu.fitting(sizes, later, 60, {}) == sizes[1]
    assert gpu.fitting(sizes, later, 25, {}) == sizes[2]
    assert gpu.fitting(sizes, later, 4, {}) is None


def test_the_time_of_training_is_expected_from_the_fastest_rate_that_was_measured():
    size = Size(10, {}, lane_steps=1e6, network="quadratic_97")
    known = {"slots": {"rates": {"quadratic_97": 1e5}}, "estimates": {"rates": {}}}
    assert gpu.expected(size, known) == pytest.approx(20)
    assert gpu.expected(size, {}) == pytest.approx(10 + 1e6 / gpu.GUESSED["quadratic_97"])


def test_every_part_has_sizes_of_every_scale():
    for name, part in gpu.PARTS.items():
        for scale in ("full", "small", "tiny"):
            seconds = [gpu.expected(size, {}) for size in part.sizes[scale]]
            assert seconds == sorted(seconds, reverse=True), (name, scale)


def test_bfloat16_is_computed_in_and_not_kept():
    recipe, _ = adamw(5, 8)
    model, tokens = gpu_parts.Bfloat16(recipe.model), np.array([[0, 1], [2, 3]])
    params = model.init(jax.random.key(0), tokens)
    logits, exact = (m.apply(params, tokens) for m in (model, recipe.model))
    assert (params["w1"].dtype, logits.dtype) == (np.float32, np.float32)
    assert 0 < np.max(np.abs(logits - exact)) < 0.05 * np.max(np.abs(exact))


def test_exponents_are_those_of_a_power_law():
    sizes = [10, 20, 40, 80]
    fit = growth.fitted(sizes, [[3.0 * n**1.5] for n in sizes], predicted=1.5)
    assert fit.exponent == pytest.approx(1.5)
    assert fit.growth == pytest.approx(1)
    noisy = [[n**1.5 * factor] for n, factor in zip(sizes, (1, 1.3, 0.8, 1.1), strict=True)]
    low, high = growth.fitted(sizes, noisy, 1.5)[1:3]
    assert low < 1.5 < high < low + 2


def test_every_cost_has_a_prediction_in_every_variable_with_its_reason():
    quantities = {quantity for quantity, _ in growth.PREDICTED}
    assert set(growth.PREDICTED) == {(q, v) for q in quantities for v in growth.MIDDLE}
    assert all(prediction.reason for prediction in growth.PREDICTED.values())


def test_memory_of_a_compiled_program_grows_with_its_lanes():
    one, two = (growth.program_bytes(growth.trial_of(5, 8, 0.5, lanes).plan) for lanes in (1, 2))
    assert one < two < 2.5 * one


def test_refilling_is_compared_with_one_call_of_all_lanes(tmp_path, capsys):
    path = tmp_path / "refill.json"
    refill.refill(
        p=5, width=8, seeds=1, max_steps=20, eval_every=10, slots=(2,), repeats=1, output=path
    )
    found = json.loads(path.read_text())
    assert found["ratios"]["no refill, one call / refilled, steps"] == 15 * 20 / found["lane_steps"]
    assert "no refill, one call" in capsys.readouterr().out


def test_a_benchmark_that_cannot_run_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(all_of_them, "ratios_of", lambda *_: ({}, "no such compiler"))
    assert all_of_them.benchmarks(only=("compile_ahead",)) == {}
    assert "compile_ahead: no such compiler\n" in capsys.readouterr().out


def test_all_benchmarks_are_in_the_table():
    files = {path.stem for path in all_of_them.HERE.glob("*.py")}
    assert set(all_of_them.OPTIONS) == files - {"__init__", "__main__", "common", "gpu_parts"}


def test_records_are_json_without_nan(tmp_path):
    path = tmp_path / "found.json"
    common.write_json(path, {"steps": np.array([1.0, np.nan]), "rate": np.float32(2)})
    assert json.loads(path.read_text()) == {"steps": [1.0, None], "rate": 2.0}
    assert common.read_json(tmp_path / "missing.json") == {}
