"""Nothing computed is lost: kill -9 at any moment, Ctrl-C, damaged files, full disks, two hosts."""

import contextlib
import errno
import itertools
import math
import os
import random
import shutil
import signal
import socket
import time
import warnings
from pathlib import Path

import interrupted
import jax
import numpy as np
import pytest
from forked import Forked

import grokjax
from grokjax import SweepInterrupted
from grokjax.sweep import run
from grokjax.sweep.store import Store

SHORT = {"max_steps": 600}


def finish(*processes):
    """What processes printed in the end; what any of them complained of when one of them fails."""
    told = [process.communicate(timeout=300) for process in processes]
    assert {p.returncode for p in processes} == {0}, "\n\n".join(
        f"process {rank} ended with {p.returncode}:\n{err}"
        for rank, (p, (_, err)) in enumerate(zip(processes, told, strict=True))
    )
    return {out.splitlines()[-1] for out, _ in told}


def assert_same(found, expected):
    """Every measurement and parameter, bit for bit, in the same order of lanes."""
    assert finished(found) == found.dataset.sizes["lane"]
    for name in expected.dataset.variables:
        np.testing.assert_array_equal(found.dataset[name], expected.dataset[name], err_msg=name)
    jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def two_devices():
    return jax.devices()[:2]


@pytest.fixture(scope="module")
def whole():
    """The sweep without any interruption."""
    return interrupted.run(None, devices=two_devices())


@pytest.fixture(scope="module")
def short():
    return interrupted.run(None, devices=two_devices(), **SHORT)


class Crash(BaseException):
    """What no code catches: stands for kill -9 at a chosen place."""


@pytest.fixture
def interrupt(monkeypatch):
    """Calls the short sweep and interrupts it in some round; the interruption's result."""

    def interrupted_run(directory, round, **settings):
        rounds = itertools.count(1)

        @contextlib.contextmanager
        def signals():
            yield lambda: next(rounds) == round

        with monkeypatch.context() as patch:
            patch.setattr(run, "_signals", signals)
            arguments = {"devices": two_devices(), "checkpoint_every": 0.0, **SHORT, **settings}
            try:
                return interrupted.run(directory, **arguments)
            except SweepInterrupted as interruption:
                return interruption.result

    return interrupted_run


def finished(result):
    """How many lanes of a result have ended."""
    return int((result.dataset.outcome != "interrupted").sum())


# -- kill -9 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("vectorize", [False, True])
def test_killed_again_and_again_the_result_is_the_same(tmp_path, whole, vectorize):
    if vectorize:
        whole = interrupted.run(None, devices=two_devices(), vectorize=True)
    moments = random.Random(1 + vectorize)
    # Slow, so that it takes seconds to the end, and the moments are before it.
    flags = ["--every", 0.3, "--slow", 0.02, *(["--vectorize"] if vectorize else [])]
    killed = 0
    for _ in range(4):
        process = Forked(tmp_path, *flags)
        time.sleep(moments.uniform(0.5, 3))
        killed += process.poll() is None
        process.kill()
        process.communicate()
    assert killed
    finish(Forked(tmp_path, *flags))
    assert_same(grokjax.load_result(tmp_path), whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "carry.nc", "config.json", "params.nc", "results.nc", "sweep.json"
    ]  # fmt: skip


def test_a_finished_sweep_called_again_leaves_its_directory_as_it_was(tmp_path):
    names = lambda: sorted(path.name for path in tmp_path.rglob("*"))
    interrupted.run(tmp_path, **SHORT)
    before = names()
    interrupted.run(tmp_path, **SHORT)
    assert names() == before


def test_killed_after_every_round_the_result_is_the_same(tmp_path, interrupt):
    """The same, a round at a time: every place in the schedule is a place to go on from."""
    few = {"seeds": 2, "max_steps": 300}
    whole = interrupted.run(None, devices=two_devices(), **few)
    rounds, lanes = 0, 0
    while lanes < 8 and rounds < 100:
        result = interrupt(tmp_path, 2, **few)
        rounds, lanes = rounds + 1, finished(result)
    assert rounds > 5
    assert len(set(whole.dataset.final_step.values)) > 1
    assert_same(result, whole)
    assert result.dataset.attrs["slot_steps"] == whole.dataset.attrs["slot_steps"]


def test_parameters_of_every_measurement_survive(tmp_path, interrupt):
    whole = interrupted.run(None, devices=two_devices(), keep_params="all", **SHORT)
    lanes = 0
    for round in (4, 9, 11):
        part = interrupt(tmp_path, round, keep_params="all", checkpoint_every=math.inf)
        lanes = finished(part)
    assert 0 < lanes < 12
    result = interrupted.run(tmp_path, devices=two_devices(), keep_params="all", **SHORT)
    assert_same(result, whole)
    assert result.dataset.attrs["slot_steps"] == whole.dataset.attrs["slot_steps"]


def test_killed_in_the_final_write_nothing_is_trained_again(
    tmp_path, short, interrupt, monkeypatch
):
    """At each file operation of the final write in turn, a crash; then the same call again."""
    left = [0]  # operations before the crash

    def crashing(original):
        def operate(*arguments, **settings):
            left[0] -= 1
            if left[0] < 0:
                raise Crash
            return original(*arguments, **settings)

        return operate

    def complete(store, result, original=Store.complete):
        with monkeypatch.context() as patch:
            for module, name in ((os, "replace"), (shutil, "rmtree"), (Path, "rename")):
                patch.setattr(module, name, crashing(getattr(module, name)))
            original(store, result)

    def run_and_crash(folder):
        with monkeypatch.context() as patch:
            patch.setattr(Store, "complete", complete)
            interrupted.run(folder, devices=two_devices(), **SHORT)

    trained = tmp_path / "trained"
    for round in (15, 10):  # parts that the final write joins
        assert 0 < finished(interrupt(trained, round, checkpoint_every=math.inf)) < 12
    with pytest.raises(Crash):
        run_and_crash(trained)
    for operation in range(1, 20):
        folder = tmp_path / str(operation)
        shutil.copytree(trained, folder)
        left[0] = operation - 1
        try:
            run_and_crash(folder)
            break
        except Crash:
            pass
        again = interrupted.run(folder, devices=two_devices(), **SHORT)
        assert_same(again, short)
        assert_same(grokjax.load_result(folder), short)
    assert operation > 6


# -- Ctrl-C -------------------------------------------------------------------------------------


def test_ctrl_c_carries_what_is_finished_and_what_was_running(tmp_path, short, interrupt):
    part = interrupt(tmp_path, 18)
    lanes = part.dataset.sizes["lane"]
    assert 0 < finished(part) < lanes <= 12
    assert part.dataset.attrs["interrupted"] == 1
    for i in range(lanes):
        row = part.dataset.isel(lane=i)
        same = (short.dataset.alpha == row.alpha) & (short.dataset.seed == row.seed)
        expected = short.dataset.isel(lane=int(np.flatnonzero(same)[0]))
        until = int(row.final_step) if row.outcome == "interrupted" else short.dataset.step[-1]
        for name in ("train_loss", "test_loss", "norm_w1"):
            np.testing.assert_array_equal(
                row[name][row.step <= until], expected[name][expected.step <= until]
            )
        if row.outcome == "interrupted":
            assert row.final_step < expected.final_step
            assert np.isnan(row.test_loss.values[row.step > until]).all()
        else:
            for name in ("grokking_step", "final_step", "outcome", "watched_step"):
                np.testing.assert_array_equal(row[name], expected[name])
    assert not (tmp_path / "results.nc").exists()
    assert_same(interrupted.run(tmp_path, devices=two_devices(), **SHORT), short)


def test_interrupted_lanes_have_the_parameters_that_they_had(short, interrupt, task):
    """Evaluated, they give the accuracy that was measured last."""
    part = interrupt(None, 8)
    data = part.dataset
    running = np.flatnonzero(data.outcome == "interrupted")
    assert len(running)
    for lane in running:
        split = part.split(lane)
        right = part.network(lane)(task.tokens).argmax(axis=-1) == split.labels
        measured = part.final("test_accuracy")[lane]
        np.testing.assert_allclose(right[split.test].mean(), measured, rtol=1e-6)


def test_ctrl_c_before_anything_is_finished(interrupt):
    part = interrupt(None, 1)
    assert finished(part) == 0
    assert part.dataset.attrs["interrupted"] == 1


def test_an_interruption_says_how_far_it_came_and_how_to_go_on(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def signals():
        rounds = itertools.count(1)
        yield lambda: next(rounds) == 18

    monkeypatch.setattr(run, "_signals", signals)
    with pytest.raises(SweepInterrupted, match=r"with \d of 12 lanes finished; what is finished"):
        interrupted.run(None, devices=two_devices(), **SHORT)
    with pytest.raises(KeyboardInterrupt, match=r"with \d of 12 .* directory='.*' goes on"):
        interrupted.run(tmp_path, devices=two_devices(), checkpoint_every=1e9, **SHORT)


def test_a_signal_after_the_last_round_is_told_and_the_result_is_whole(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def signals():
        yield lambda: (tmp_path / "results.nc").exists()

    monkeypatch.setattr(run, "_signals", signals)
    with pytest.raises(SweepInterrupted, match=r"12 of 12 lanes finished; the result is complete"):
        interrupted.run(tmp_path, devices=two_devices(), **SHORT)
    assert "interrupted" not in grokjax.load_result(tmp_path).dataset.attrs


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_interrupt_a_real_process_which_then_goes_on(tmp_path, short, name):
    flags = ["--max-steps", 600]
    process = Forked(tmp_path, *flags, "--slow", 0.05)
    assert process.stdout.readline() == "measured\n"
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "interrupted with" in err
    assert "goes on" in err
    if name == "SIGTERM":  # what a cluster sends before it takes the machine away
        finish(Forked(tmp_path, *flags))
        assert_same(grokjax.load_result(tmp_path), short)


def test_a_signal_that_is_ignored_stays_ignored(short):
    """As under nohup, where the terminal's hang-up must not end a sweep."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    told = []

    def hang_up(measured):
        told.append(measured)
        os.kill(os.getpid(), signal.SIGHUP)

    try:
        result = interrupted.run(None, devices=two_devices(), observe=hang_up, **SHORT)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert told
    assert_same(result, short)


# -- a larger budget ----------------------------------------------------------------------------


@pytest.mark.parametrize("keep", ["final", "all", "none"])
def test_a_raised_budget_goes_on_bit_for_bit(tmp_path, keep):
    options = {"devices": two_devices(), "keep_params": keep}
    longer = interrupted.run(None, max_steps=900, **options)
    first = interrupted.run(tmp_path, max_steps=300, **options)
    assert (first.dataset.outcome != "grokked").any()
    again = interrupted.run(tmp_path, max_steps=900, **options)
    assert_same(again, longer)
    assert again.dataset.attrs["max_steps"] == 900
    # Only what was missing has been trained.
    assert again.dataset.attrs["slot_steps"] == longer.dataset.attrs["slot_steps"]
    assert again.dataset.attrs["lane_steps"] == longer.dataset.attrs["lane_steps"]
    assert_same(grokjax.load_result(tmp_path), longer)


def test_a_budget_can_be_raised_while_a_sweep_is_interrupted_and_again(tmp_path, interrupt):
    longer = interrupted.run(None, max_steps=900, devices=two_devices())
    interrupt(tmp_path, 9, max_steps=300)
    for round in (3, 7, 15):
        part = interrupt(tmp_path, round, max_steps=900, checkpoint_every=math.inf)
        assert finished(part) < 12
    assert_same(interrupted.run(tmp_path, max_steps=900, devices=two_devices()), longer)


def test_a_raised_budget_takes_new_lanes_too(tmp_path):
    longer = interrupted.run(None, max_steps=900, devices=two_devices())
    interrupted.run(tmp_path, max_steps=300, seeds=2, devices=two_devices())
    assert_same(interrupted.run(tmp_path, max_steps=900, devices=two_devices()), longer)


def test_budgets_that_do_not_continue_are_refused(tmp_path):
    options = {"devices": two_devices(), "seeds": 1}
    interrupted.run(tmp_path, max_steps=200, **options)
    with pytest.raises(ValueError, match=r"max_steps=200, more than the 150 asked for"):
        interrupted.run(tmp_path, max_steps=150, **options)
    interrupted.run(tmp_path, max_steps=200, **options)  # still there
    interrupted.run(tmp_path / "odd", max_steps=210, **options)
    with pytest.raises(ValueError, match=r"was measured at step 210, the end of its budget"):
        interrupted.run(tmp_path / "odd", max_steps=400, **options)


# -- other devices ------------------------------------------------------------------------------


@pytest.mark.parametrize("devices", [1, 4])
def test_other_devices_go_on_from_the_checkpoint(tmp_path, short, interrupt, devices):
    interrupt(tmp_path, 4)
    result = interrupted.run(tmp_path, devices=jax.devices()[:devices], **SHORT)
    assert_same(result, short)
    assert result.dataset.attrs["slot_steps"] == short.dataset.attrs["slot_steps"]


# -- more lanes ---------------------------------------------------------------------------------


def test_lanes_are_added_without_training_the_old_ones_again(tmp_path, short):
    first = interrupted.run(tmp_path, devices=two_devices(), seeds=2, **SHORT)
    both = interrupted.run(tmp_path, devices=two_devices(), seeds=3, **SHORT)
    assert_same(both, short)
    # Each lane's steps were executed once: none of the first was executed again.
    assert both.dataset.attrs["slot_steps"] == both.dataset.final_step.sum()
    assert first.dataset.attrs["slot_steps"] == first.dataset.final_step.sum()
    again = interrupted.run(tmp_path, devices=two_devices(), seeds=2, **SHORT)
    assert_same(again, first)
    assert again.dataset.sizes["lane"] == 8
    # Asking for fewer lanes throws none away.
    assert grokjax.load_result(tmp_path).dataset.sizes["lane"] == 12


def test_lanes_can_be_added_to_an_interrupted_sweep(tmp_path, short, interrupt):
    interrupt(tmp_path, 6, seeds=2)
    assert_same(interrupted.run(tmp_path, devices=two_devices(), **SHORT), short)


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
        result = interrupted.run(tmp_path, devices=two_devices(), **SHORT)
    assert_same(result, short)


def test_without_a_good_checkpoint_finished_lanes_are_kept(tmp_path, short, interrupt):
    interrupt(tmp_path, 18)
    for number in [p for p in (tmp_path / "state").iterdir() if p.name.isdigit()]:
        damage(largest_file(number), "truncated")
    with pytest.warns(UserWarning, match="is damaged"):
        result = interrupted.run(tmp_path, devices=two_devices(), **SHORT)
    assert_same(result, short)


def test_a_damaged_result_is_named(tmp_path):
    interrupted.run(tmp_path, devices=two_devices(), **SHORT)
    damage(tmp_path / "results.nc", "truncated")
    with pytest.raises(ValueError, match=r"results\.nc cannot be read"):
        interrupted.run(tmp_path, devices=two_devices(), **SHORT)


# -- refusals and full disks --------------------------------------------------------------------


def test_a_directory_of_another_sweep_is_refused(tmp_path, interrupt):
    interrupt(tmp_path, 3)
    with pytest.raises(ValueError, match="holds another sweep: its stop is"):
        interrupted.run(tmp_path, devices=two_devices(), stop=None, **SHORT)


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
        result = interrupted.run(tmp_path, devices=two_devices(), checkpoint_every=0.0, **SHORT)
    assert_same(result, short)


# -- two hosts ----------------------------------------------------------------------------------


def two_processes(directory, *flags):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    return [
        Forked(directory, "--devices", 1, "--processes", address, rank, *flags) for rank in range(2)
    ]


def test_two_processes_give_the_result_of_one(tmp_path, short):
    processes = two_processes(tmp_path, "--late", "--max-steps", 600, "--every", 0.5)
    assert finish(*processes) == {
        f"finished 12 lanes, {short.dataset.attrs['slot_steps']} slot-steps"
    }
    assert_same(grokjax.load_result(tmp_path), short)


def test_one_process_goes_on_from_a_checkpoint_of_two(tmp_path, whole):
    processes = two_processes(tmp_path, "--every", 0.3, "--slow", 0.01)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "state").glob("*.sha256")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert any(process.poll() is None for process in processes)
    for process in processes:
        process.kill()
        process.communicate()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = interrupted.run(tmp_path, devices=two_devices())
    assert_same(result, whole)
