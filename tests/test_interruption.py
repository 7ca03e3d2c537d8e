"""Nothing computed is lost: kill -9 at any moment, Ctrl-C, damaged files, full disks, two hosts."""

import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import interrupted
import jax
import numpy as np
import pytest

import grokjax
from grokjax.sweep import run
from grokjax.sweep.store import Store

SCRIPT = Path(__file__).with_name("interrupted.py")
SHORT = {"max_steps": 600}


def start(directory, *flags):
    return subprocess.Popen(
        [sys.executable, SCRIPT, directory, *map(str, flags)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def assert_same(found, expected):
    """Every measurement and parameter, bit for bit, in the same order of lanes."""
    for name in expected.dataset.variables:
        np.testing.assert_array_equal(found.dataset[name], expected.dataset[name], err_msg=name)
    jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)


def two_devices():
    return grokjax.lane_mesh(jax.devices()[:2])


@pytest.fixture(scope="module")
def whole():
    """The sweep without any interruption."""
    return interrupted.run(None, mesh=two_devices())


@pytest.fixture(scope="module")
def short():
    return interrupted.run(None, mesh=two_devices(), **SHORT)


class Crash(BaseException):
    """What no code catches: stands for kill -9 at a chosen place."""


class InterruptingDisplay:
    """Presses Ctrl-C in the given round."""

    def __init__(self, round):
        self.left = round

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def __call__(self, status):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def interrupt(monkeypatch):
    """Calls the short sweep and interrupts it in some round."""

    def interrupted_run(directory, round, **settings):
        with monkeypatch.context() as patch:
            patch.setattr(run, "display", lambda progress: InterruptingDisplay(round))
            arguments = {"mesh": two_devices(), "checkpoint_every": 0.0, **SHORT, **settings}
            return interrupted.run(directory, **arguments)

    return interrupted_run


# -- kill -9 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("vectorize", [False, True])
def test_killed_again_and_again_the_result_is_the_same(tmp_path, whole, vectorize):
    if vectorize:
        whole = interrupted.run(None, mesh=two_devices(), vectorize=True)
    moments = random.Random(1 + vectorize)
    flags = ["--every", 0.3, *(["--vectorize"] if vectorize else [])]
    killed = 0
    for _ in range(4):
        process = start(tmp_path, *flags)
        time.sleep(moments.uniform(1.5, 8))
        killed += process.poll() is None
        process.kill()
        process.communicate()
    assert killed
    finish(start(tmp_path, *flags))
    assert_same(grokjax.load_result(tmp_path), whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "config.json", "params.nc", "results.nc", "sweep.json"
    ]  # fmt: skip


def test_killed_after_every_round_the_result_is_the_same(tmp_path, short, interrupt):
    """The same, a round at a time: every place in the schedule is a place to go on from."""
    rounds, lanes = 0, 0
    while lanes < 12 and rounds < 100:
        result = interrupt(tmp_path, 2)
        rounds, lanes = rounds + 1, result.dataset.sizes["lane"]
    assert rounds > 5
    assert_same(result, short)
    assert result.dataset.attrs["slot_steps"] == short.dataset.attrs["slot_steps"]


def test_parameters_of_every_measurement_survive(tmp_path, interrupt):
    whole = interrupted.run(None, mesh=two_devices(), keep_params="all", **SHORT)
    lanes = 0
    for round in (4, 9, 11):
        lanes = interrupt(tmp_path, round, keep_params="all").dataset.sizes["lane"]
    assert 0 < lanes < 12
    result = interrupted.run(tmp_path, mesh=two_devices(), keep_params="all", **SHORT)
    assert_same(result, whole)
    assert result.dataset.attrs["slot_steps"] == whole.dataset.attrs["slot_steps"]


def test_killed_in_the_final_write_nothing_is_trained_again(tmp_path, short, monkeypatch):
    """At each file operation of the final write in turn, a crash; then the same call again."""
    for operation in range(1, 20):
        folder = tmp_path / str(operation)
        count = [0]

        def crash(original, count=count, operation=operation):
            def operate(*arguments, **settings):
                count[0] += 1
                if count[0] == operation:
                    raise Crash
                return original(*arguments, **settings)

            return operate

        def complete(store, result, original=Store.complete, crash=crash):
            with monkeypatch.context() as patch:
                for module, name in ((os, "replace"), (shutil, "rmtree"), (Path, "rename")):
                    patch.setattr(module, name, crash(getattr(module, name)))
                original(store, result)

        with monkeypatch.context() as patch:
            patch.setattr(Store, "complete", complete)
            try:
                interrupted.run(folder, mesh=two_devices(), checkpoint_every=0.3, **SHORT)
                break
            except Crash:
                pass
        again = interrupted.run(folder, mesh=two_devices(), **SHORT)
        assert_same(again, short)
        assert_same(grokjax.load_result(folder), short)
    assert operation > 6


# -- Ctrl-C -------------------------------------------------------------------------------------


def test_ctrl_c_returns_what_is_finished_and_keeps_the_rest(tmp_path, short, interrupt):
    part = interrupt(tmp_path, 18)
    lanes = part.dataset.sizes["lane"]
    assert 0 < lanes < 12
    for name in part.dataset.data_vars:
        for i in range(lanes):
            same = (short.dataset.alpha == part.dataset.alpha[i]) & (
                short.dataset.seed == part.dataset.seed[i]
            )
            steps = part.dataset.step.values
            expected = short.dataset.isel(lane=int(np.flatnonzero(same)[0]))[name]
            if expected.ndim:
                expected = expected[np.isin(short.dataset.step, steps)]
            np.testing.assert_array_equal(part.dataset[name][i], expected)
    assert not (tmp_path / "results.nc").exists()
    assert_same(interrupted.run(tmp_path, mesh=two_devices(), **SHORT), short)


def test_ctrl_c_without_a_directory_returns_what_is_finished(interrupt):
    assert interrupt(None, 1).dataset.sizes["lane"] == 0
    assert 0 < interrupt(None, 18).dataset.sizes["lane"] < 12


# -- other devices ------------------------------------------------------------------------------


@pytest.mark.parametrize("devices", [1, 4])
def test_other_devices_go_on_from_the_checkpoint(tmp_path, short, interrupt, devices):
    interrupt(tmp_path, 4)
    mesh = grokjax.lane_mesh(jax.devices()[:devices])
    result = interrupted.run(tmp_path, mesh=mesh, **SHORT)
    assert_same(result, short)
    assert result.dataset.attrs["slot_steps"] == short.dataset.attrs["slot_steps"]


# -- more lanes ---------------------------------------------------------------------------------


def test_lanes_are_added_without_training_the_old_ones_again(tmp_path, short):
    first = interrupted.run(tmp_path, mesh=two_devices(), seeds=2, **SHORT)
    both = interrupted.run(tmp_path, mesh=two_devices(), seeds=3, **SHORT)
    assert_same(both, short)
    # Each lane's steps were executed once: none of the first was executed again.
    assert both.dataset.attrs["slot_steps"] == both.dataset.final_step.sum()
    assert first.dataset.attrs["slot_steps"] == first.dataset.final_step.sum()
    again = interrupted.run(tmp_path, mesh=two_devices(), seeds=2, **SHORT)
    assert_same(again, first)
    assert again.dataset.sizes["lane"] == 8
    # Asking for fewer lanes throws none away.
    assert grokjax.load_result(tmp_path).dataset.sizes["lane"] == 12


def test_lanes_can_be_added_to_an_interrupted_sweep(tmp_path, short, interrupt):
    interrupt(tmp_path, 6, seeds=2)
    assert_same(interrupted.run(tmp_path, mesh=two_devices(), **SHORT), short)


# -- damage -------------------------------------------------------------------------------------


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


@pytest.mark.parametrize("how", ["truncated", "flipped"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, short, interrupt, how):
    interrupt(tmp_path, 7)
    numbers = sorted(int(p.name) for p in (tmp_path / "state").iterdir() if p.name.isdigit())
    assert len(numbers) == 2
    damage(largest_file(tmp_path / "state" / str(numbers[-1])), how)
    with pytest.warns(UserWarning, match=f"checkpoint .*{numbers[-1]} is damaged"):
        result = interrupted.run(tmp_path, mesh=two_devices(), **SHORT)
    assert_same(result, short)


def test_without_a_good_checkpoint_finished_lanes_are_kept(tmp_path, short, interrupt):
    interrupt(tmp_path, 18)
    for number in [p for p in (tmp_path / "state").iterdir() if p.name.isdigit()]:
        damage(largest_file(number), "truncated")
    with pytest.warns(UserWarning, match="is damaged"):
        result = interrupted.run(tmp_path, mesh=two_devices(), **SHORT)
    assert_same(result, short)


def test_a_damaged_result_is_named(tmp_path):
    interrupted.run(tmp_path, mesh=two_devices(), **SHORT)
    damage(tmp_path / "results.nc", "truncated")
    with pytest.raises(ValueError, match=r"results\.nc cannot be read"):
        interrupted.run(tmp_path, mesh=two_devices(), **SHORT)


# -- refusals and full disks --------------------------------------------------------------------


def test_a_directory_of_another_sweep_is_refused(tmp_path, interrupt):
    interrupt(tmp_path, 3)
    with pytest.raises(ValueError, match=r"holds another sweep: its max_steps is 600, .* is 700"):
        interrupted.run(tmp_path, mesh=two_devices(), max_steps=700)
    with pytest.raises(ValueError, match="holds another sweep: its stop is"):
        interrupted.run(tmp_path, mesh=two_devices(), stop=None, **SHORT)


def test_a_directory_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written to"):
        interrupted.run(tmp_path / "file" / "below", **SHORT)


@pytest.mark.parametrize("method", ["save_state", "add_segment", "complete"])
def test_a_full_disk_costs_the_checkpoint_and_nothing_else(tmp_path, monkeypatch, short, method):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Store, method, full)
    with pytest.warns(UserWarning, match="No space left on device"):
        result = interrupted.run(tmp_path, mesh=two_devices(), checkpoint_every=0.0, **SHORT)
    assert_same(result, short)


# -- two hosts ----------------------------------------------------------------------------------


def two_processes(directory, *flags):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    return [
        start(directory, "--devices", 1, "--processes", address, rank, *flags) for rank in range(2)
    ]


def test_two_processes_give_the_result_of_one(tmp_path, short):
    processes = two_processes(tmp_path, "--max-steps", 600, "--every", 0.5)
    last_lines = {finish(process).splitlines()[-1] for process in processes}
    assert last_lines == {f"finished 12 lanes, {short.dataset.attrs['slot_steps']} slot-steps"}
    assert_same(grokjax.load_result(tmp_path), short)


def test_one_process_goes_on_from_a_checkpoint_of_two(tmp_path, whole):
    processes = two_processes(tmp_path, "--every", 0.3)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "state").glob("*.sha256")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert any(process.poll() is None for process in processes)
    for process in processes:
        process.kill()
        process.communicate()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = interrupted.run(tmp_path, mesh=two_devices())
    assert_same(result, whole)
