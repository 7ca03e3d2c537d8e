"""Who is told what a sweep measures: users' functions, and the progress line."""

import io
import re
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

import grokjax
from grokjax.sweep import Measured, observers
from grokjax.sweep.observers import Observers, ProgressLine


def test_an_observer_sees_every_measurement_with_its_coordinates(recipe, task, lanes, sweep):
    seen = []
    few = {name: column[2:5] for name, column in lanes.items()}
    result = grokjax.run_sweep(
        recipe, task, few, max_steps=400, eval_every=20, progress=False, observe=seen.append
    )
    data = result.dataset
    assert len(seen) == int(data.train_loss.notnull().sum())
    for measured in seen:
        row = data.isel(lane=measured.lane)
        assert measured.coordinates == {name: row[name].item() for name in measured.coordinates}
        assert set(measured.coordinates) == {"seed", "alpha", "learning_rate", "weight_decay"}
        at = row.isel(time=int(np.flatnonzero(data.step == measured.step)[0]))
        for name, value in measured.values.items():
            assert value == at[name].item()
    ends = {measured.lane: measured for measured in seen if measured.ended}
    assert sorted(ends) == [0, 1, 2]
    for lane, measured in ends.items():
        assert measured.step == data.final_step[lane]
        assert measured.ended == ("stopped" if data.stopped[lane] else "spent")


def test_a_diverged_lane_is_told(recipe, task):
    seen = []
    grokjax.run_sweep(
        recipe, task, grokjax.grid(learning_rate=1e5), max_steps=40, eval_every=20,
        progress=False, observe=[seen.append],
    )  # fmt: skip
    assert seen[-1].ended == "diverged"


def test_an_observer_that_fails_is_named_and_costs_nothing_else(recipe, task):
    seen = []

    def fails(measured):
        raise RuntimeError("no server")

    lanes = grokjax.grid(learning_rate=1e-2)
    with pytest.warns(UserWarning, match=r"observer .*fails.* RuntimeError: no server; it is not"):
        result = grokjax.run_sweep(
            recipe, task, lanes, max_steps=60, eval_every=20, progress=False,
            observe=[fails, seen.append],
        )  # fmt: skip
    assert len(seen) == result.dataset.sizes["time"] == 4


@pytest.mark.parametrize("wrong", [3, "print", [print, None], {"a": 1}])
def test_what_is_no_observer_is_refused(recipe, task, wrong):
    message = r"observe must be a function of a grokjax\.sweep\.Measured.*got "
    with pytest.raises(ValueError, match=message) as refused:
        grokjax.run_sweep(
            recipe, task, grokjax.grid(learning_rate=1), max_steps=2, eval_every=1, observe=wrong
        )
    assert not isinstance(wrong, str) or str(refused.value).endswith("got 'print'.")


def measured(lane, step, ended=""):
    return Measured(lane, {"seed": lane}, step, {"train_loss": 0.0}, ended)


def line(lanes, budget, **known):
    nothing = {"steps": np.zeros(lanes, int), "finished": np.zeros(lanes, bool)}
    progress = ProgressLine(lanes, budget, **(nothing | known))
    progress._plain = False
    return progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still, and is set by `clock[0] = 3.0`."""
    now = [0.0]
    monkeypatch.setattr(observers.time, "perf_counter", lambda: now[0])
    return now


def tell(progress, *told):
    Observers([progress]).tell(list(told))


def test_the_line_counts_lanes_and_fits_eighty_columns(clock):
    progress = line(12_345, 100_000)
    tell(progress, *(measured(lane, 0) for lane in range(12_345)))
    tell(progress, *(measured(lane, 50_000) for lane in range(12_345)))
    clock[0] = 10.0
    tell(progress, *(measured(lane, 99_900) for lane in range(2, 12_345)))
    tell(progress, measured(0, 100_000, "spent"), measured(1, 100_000, "stopped"))
    text = progress.line()
    assert len(text) <= 80
    assert re.match(r"░{16} 2/12345 lanes, 12343 running, 1 grokked · [\d,]+ steps/s", text)


def test_the_line_says_that_it_compiles_until_something_was_trained(clock):
    progress = line(2, 100)
    start = "░░░░░░░░░░░░░░░░ 0/2 lanes, {} running, 0 grokked · compiling"
    assert progress.line() == start.format(0)
    clock[0] = 30.0
    tell(progress, measured(0, 0), measured(1, 0))
    assert progress.line() == start.format(2)
    tell(progress, measured(0, 10), measured(1, 10))
    assert progress.line() == start.format(2).removesuffix(" · compiling")


def test_speed_and_time_left_say_nothing_of_compiling_and_wait_until_they_mean_something(clock):
    progress = line(2, 100)
    clock[0] = 30.0  # seconds of compiling
    tell(progress, measured(0, 10), measured(1, 10))
    for seconds, step in ((31, 20), (31.9, 29)):
        clock[0] = seconds
        tell(progress, measured(0, step), measured(1, step))
        assert progress.line().endswith("grokked")
    clock[0] = 32.0
    tell(progress, measured(0, 30), measured(1, 30))
    assert progress.line().endswith(" · 20 steps/s · < 00:07 left")  # 140 steps, if none groks


def test_a_call_that_takes_long_is_counted_whole(clock):
    """Not as if the first of its measurements were all."""
    progress = line(100, 1000)
    for second in (0, 10, 20):
        clock[0] = float(second)
        tell(progress, *(measured(lane, 10 + second) for lane in range(100)))
        assert ("100 steps/s" in progress.line()) == (second > 0)


def test_the_time_left_is_not_that_of_the_lanes_that_finish_first(clock):
    """One of four has finished at step 100, when the others are there too: 400 steps for one."""
    progress = line(5, 1000)
    tell(progress, *(measured(lane, 50) for lane in range(4)))
    clock[0] = 2.0
    tell(progress, measured(0, 100, "stopped"), *(measured(lane, 100) for lane in (1, 2, 3)))
    assert progress.line().endswith(" · 100 steps/s · 00:16 left")  # 400 steps for each of four
    clock[0] = 8.0
    tell(progress, *(measured(lane, 300) for lane in (1, 2, 3)))
    assert progress.line().endswith(" · 100 steps/s · 00:31 left")  # 700 each, and 1000 for one


def test_a_finished_line_has_no_time_left(clock):
    progress = line(1, 100)
    tell(progress, measured(0, 10))
    clock[0] = 3.0
    tell(progress, measured(0, 100, "spent"))
    assert progress.line() == "████████████████ 1/1 lanes, 0 running, 0 grokked · 30 steps/s"


def test_a_resumed_line_starts_from_what_was_finished_and_rates_what_is_new(clock):
    known = {
        "steps": np.array([1000, 400, 0, 0]),
        "finished": np.array([True, False, False, False]),
    }
    progress = line(4, 1000, **known)
    assert "compiling" in progress.line()
    tell(progress, measured(1, 420))
    clock[0] = 10.0
    tell(progress, measured(1, 520))
    assert (
        progress.line()
        == "████░░░░░░░░░░░░ 1/4 lanes, 1 running, 0 grokked · 10 steps/s · 04:08 left"
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_of_the_terminal_will_do(encoding, monkeypatch):
    monkeypatch.setattr(observers, "REFRESH", 0.0)
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(
        observers, "Console", lambda: Console(file=stream, force_terminal=True, width=80)
    )
    with ProgressLine(2, 100, np.zeros(2, int), np.zeros(2, bool)) as progress:
        for step in (0, 50, 100):
            tell(progress, measured(0, step, "spent" if step == 100 else ""))
    stream.flush()
    text = stream.buffer.getvalue().decode(encoding)
    assert "1/2 lanes" in text
    assert ("#" in text) == (encoding != "utf-8")


def test_a_terminal_that_closes_costs_the_line_and_nothing_else(monkeypatch, recipe, task):
    class Closing(io.StringIO):
        def write(self, text):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(
        observers, "Console", lambda: Console(file=Closing(), force_terminal=True, width=80)
    )
    result = grokjax.run_sweep(
        recipe, task, grokjax.grid(learning_rate=1e-2), max_steps=60, eval_every=20, progress=True
    )
    assert result.dataset.sizes["time"] == 4


def test_in_a_pipe_nothing_is_shown():
    code = 'import sys; sys.path[:0] = ["tests"]; import interrupted\n'
    code += "interrupted.run(None, seeds=1, max_steps=100, progress=True)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == ""
