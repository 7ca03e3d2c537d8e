"""What a sweep's directory holds: whose it is, what belongs together, and where it came from."""

import os
import shutil
import time

import interrupted
import jax
import numpy as np
import pytest
from forked import Forked
from test_interruption import (  # noqa: F401  interrupt and short are fixtures
    SHORT,
    Crash,
    assert_same,
    finish,
    finished,
    interrupt,
    short,
    two_devices,
    two_processes,
)

import grokjax
from grokjax import losses, models, optimizers, tasks
from grokjax.sweep import run

SMALL = {"devices": jax.devices()[:1], "max_steps": 100, "seeds": 1}
LANES = grokjax.grid(alpha=[0.4, 0.6], seed=0, learning_rate=1e-2)


def small(directory, model=None, loss=losses.mse, lanes=LANES, **changes):
    """A sweep of two lanes and a few steps."""
    parts = {"optimizer": optimizers.adamw, "measures": (), "penalty": None}
    recipe = {name: changes.pop(name) for name in list(changes) if name in parts}
    model = model or models.QuadraticMLP(7, 8, parameterization="standard")
    options = {"max_steps": 4, "eval_every": 2, "slots": 2, "vectorize": False, "progress": False}
    return grokjax.run_sweep(
        grokjax.Recipe(model, loss, **(parts | recipe)), tasks.modular_addition(7), lanes,
        directory=directory, devices=jax.devices()[:1], **(options | changes),
    )  # fmt: skip


# -- whose directory it is ----------------------------------------------------------------------


def mse(logits, labels):
    """Another loss of the same name."""
    return 100 * losses.mse(logits, labels)


def scaled(factor):
    return lambda logits, labels: factor * losses.mse(logits, labels)


def penalty(params, *, l2=0.0):
    return l2 * losses.l2(params, l2=1.0) + 0.1


def softer(scalars):
    return scalars["test_accuracy"] >= 0.5


def harder(scalars):
    return scalars["test_accuracy"] >= 0.6


def count(network):
    return {"x": network.params["w1"].sum()}


def counts(n):
    def count(network):
        return {"x": n * network.params["w1"].sum()}

    return count


OTHERS = {
    "a loss of the same name": ("loss", {}, {"loss": mse}),
    "another lambda": ("loss", {"loss": scaled(1.0)}, {"loss": scaled(2.0)}),
    "a penalty": ("penalty", {"penalty": losses.l2}, {"penalty": penalty}),
    "a stop rule": ("stop", {"stop": softer}, {"stop": harder}),
    "a measure": ("measures", {"measures": (count,)}, {"measures": (counts(2),)}),
    "an activation": (
        "model",
        {"model": models.QuadraticMLP(7, 8, activation=jax.nn.relu)},
        {"model": models.QuadraticMLP(7, 8, activation=jax.nn.gelu)},
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_part_never_resumes(tmp_path, what):
    name, first, second = OTHERS[what]
    small(tmp_path, **first)
    with pytest.raises(ValueError, match=f"holds another sweep: its {name} is "):
        small(tmp_path, **second)
    before = (tmp_path / "results.nc").stat().st_mtime_ns
    small(tmp_path, **first)
    assert (tmp_path / "results.nc").stat().st_mtime_ns == before  # it has everything


def test_what_cannot_be_identified_is_refused_with_a_directory_only(tmp_path):
    with open(__file__) as file:

        def loss(logits, labels):
            return losses.mse(logits, labels) * (1.0 if file else 2.0)

        small(None, loss=loss)
        with pytest.raises(
            ValueError, match=r"the sweep's loss is .*loss.*: an object of the type"
        ):
            small(tmp_path, loss=loss)


def test_a_directory_that_a_result_was_saved_in_is_not_adopted(tmp_path):
    result = small(None)
    result.save(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"holds a result that SweepResult\.save wrote"):
        small(tmp_path / "saved")
    small(tmp_path / "sweep")
    grokjax.concatenate([result, result], run=[0, 1]).save(tmp_path / "sweep")
    with pytest.raises(ValueError, match=r"is not the result of the sweep in its directory"):
        small(tmp_path / "sweep")
    assert grokjax.load_result(tmp_path / "sweep").dataset.sizes["lane"] == 4


def test_one_process_works_in_a_directory_and_another_is_told(tmp_path):
    process = Forked(tmp_path, "--slow", 0.05, "--max-steps", 600)
    assert process.stdout.readline() == "measured\n"
    with pytest.raises(ValueError, match=rf"in use by process {process.pid} on .*; wait until"):
        interrupted.run(tmp_path, **SHORT, devices=two_devices())
    process.kill()
    process.communicate()
    # The system lets go of what a killed process held.
    result = interrupted.run(tmp_path, **SHORT, devices=two_devices())
    assert finished(result) == 12
    assert not (tmp_path / ".lock").exists()


def test_a_refused_call_lets_go_of_the_directory(tmp_path):
    small(tmp_path)
    with pytest.raises(ValueError, match="holds another sweep"):
        small(tmp_path, loss=mse)
    small(tmp_path)


# -- who a lane is ------------------------------------------------------------------------------


def initial(*seeds):
    model = models.QuadraticMLP(7, 8, parameterization="standard")
    return jax.tree.map(
        lambda *leaves: np.stack(leaves), *(model.init(jax.random.key(seed)) for seed in seeds)
    )


def test_equal_lanes_are_refused_or_told_apart(tmp_path):
    equal = grokjax.zip_lanes(alpha=[0.5, 0.6, 0.5], learning_rate=1e-2)
    with pytest.raises(
        ValueError, match=r"lanes 0 and 2 have the same coordinates.* replica=range"
    ):
        small(None, lanes=equal)
    lanes = grokjax.zip_lanes(alpha=0.5, learning_rate=1e-2, replica=range(2))
    result = small(tmp_path, lanes=lanes, initial=initial(3, 4))
    for name in ("train_loss", "test_loss"):
        first, second = result.dataset[name].values
        assert (first != second).all()
    alone = small(None, lanes=grokjax.grid(learning_rate=1e-2), initial=initial(4))
    np.testing.assert_array_equal(result.dataset.train_loss[1], alone.dataset.train_loss[0])
    again = small(tmp_path, lanes=lanes, initial=initial(3, 4))
    np.testing.assert_array_equal(again.dataset.train_loss, result.dataset.train_loss)


def test_which_lane_has_which_start_is_part_of_what_resumes(tmp_path):
    lanes = grokjax.zip_lanes(alpha=0.5, learning_rate=1e-2, replica=range(2))
    small(tmp_path, lanes=lanes, initial=initial(3, 4))
    with pytest.raises(ValueError, match=r"lane 0, .*'replica': 0.*other initial parameters"):
        small(tmp_path, lanes=lanes, initial=initial(4, 3))
    with pytest.raises(ValueError, match="its initial is True, this one's is False"):
        small(tmp_path, lanes=lanes)
    # New lanes come with starts of their own; the old ones keep theirs.
    more = grokjax.zip_lanes(alpha=0.5, learning_rate=1e-2, replica=range(3))
    result = small(tmp_path, lanes=more, initial=initial(3, 4, 5))
    whole = small(None, lanes=more, initial=initial(3, 4, 5))
    np.testing.assert_array_equal(result.dataset.train_loss, whole.dataset.train_loss)


# -- what belongs together ----------------------------------------------------------------------


def test_a_kill_between_parameters_and_measurements_is_seen_and_mended(tmp_path, monkeypatch):
    small(tmp_path)
    both = grokjax.grid(alpha=[0.4, 0.6], seed=range(2), learning_rate=1e-2)
    replace = os.replace

    def crash(source, target):
        if os.path.basename(target) == "results.nc" and str(target).count("segments") == 0:
            raise Crash
        return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(Crash):
            small(tmp_path, lanes=both)
    with pytest.raises(ValueError, match=r"params\.nc belongs to another result than results\.nc"):
        grokjax.load_result(tmp_path)
    result = small(tmp_path, lanes=both)
    assert_same(result, small(None, lanes=both))
    assert_same(grokjax.load_result(tmp_path), result)


def segments(directory):
    return sorted((p for p in (directory / "segments").iterdir() if p.is_dir()), key=str)


@pytest.mark.parametrize("how", ["one", "all", "params"])
def test_missing_segments_are_told_and_their_lanes_train_again(tmp_path, short, interrupt, how):
    interrupt(tmp_path, 18)
    first, *_ = found = segments(tmp_path)
    if how == "params":
        (first / "params.nc").unlink()
        message = r"params\.nc is missing.* Its lanes train again"
    else:
        for folder in found if how == "all" else [first]:
            shutil.rmtree(folder)
        message = rf"{first.name} is missing; its \d+ lanes train again"
    with pytest.warns(UserWarning, match=message):
        result = interrupted.run(tmp_path, devices=two_devices(), **SHORT)
    assert_same(result, short)


def test_a_folder_of_segments_that_is_gone_is_known_from_the_checkpoint(tmp_path, short, interrupt):
    interrupt(tmp_path, 18)
    shutil.rmtree(tmp_path / "segments")
    with pytest.warns(UserWarning, match=r"segments/\d+ is missing; its lanes train again"):
        result = interrupted.run(tmp_path, devices=two_devices(), **SHORT)
    assert_same(result, short)


def test_missing_parameters_of_a_whole_result_are_told(tmp_path):
    small(tmp_path)
    (tmp_path / "params.nc").unlink()
    with pytest.raises(ValueError, match=r"params\.nc is missing: results\.nc was saved with"):
        small(tmp_path)


def test_segments_that_vanish_while_a_sweep_runs_are_told(tmp_path):
    def remove(measured):
        for folder in segments(tmp_path):
            shutil.rmtree(folder)

    with (
        pytest.raises(OSError, match=r"\d+ of 12 lanes are missing: somebody removed files"),
        pytest.warns(UserWarning, match="is missing"),
    ):
        interrupted.run(
            tmp_path, devices=two_devices(), checkpoint_every=0.0, observe=remove, **SHORT
        )
    with pytest.warns(UserWarning, match="is missing"):
        result = interrupted.run(tmp_path, devices=two_devices(), **SHORT)
    assert finished(result) == 12


# -- where numbers came from --------------------------------------------------------------------


@pytest.fixture
def places(monkeypatch):
    """Every call computes on another day."""
    environment, day = run.environment, iter(range(1, 100))
    monkeypatch.setattr(run, "environment", lambda: environment() | {"date": f"day {next(day)}"})


def test_a_finished_sweep_called_again_keeps_where_it_came_from(tmp_path, places):
    first = small(tmp_path).dataset.attrs
    assert first["date"] == "day 1"
    assert small(tmp_path).dataset.attrs == first
    part = small(tmp_path, lanes=grokjax.grid(alpha=0.6, seed=0, learning_rate=1e-2)).dataset
    assert part.attrs["date"] == "day 1"
    assert part.attrs["lane_steps"] == part.final_step.sum() == 4
    assert part.attrs["slot_steps"] == 4  # its share of the 8 that both took


def test_what_several_processes_computed_is_joined(tmp_path, places, interrupt):
    options = {"devices": jax.devices()[:1], "seeds": 1}
    interrupt(tmp_path, 14, **options)
    whole = interrupted.run(tmp_path, **options, **SHORT).dataset.attrs
    assert whole["date"] == "day 1 | day 2"
    assert whole["lane_steps"] == whole["slot_steps"]
    longer = interrupted.run(tmp_path, max_steps=700, devices=options["devices"], seeds=1)
    assert longer.dataset.attrs["date"] == "day 1 | day 2 | day 3"
    assert longer.dataset.attrs["max_steps"] == 700
    more = interrupted.run(tmp_path, max_steps=700, devices=options["devices"], seeds=2)
    assert more.dataset.attrs["date"] == "day 1 | day 2 | day 3 | day 4"
    assert more.dataset.attrs["lane_steps"] == more.dataset.final_step.sum()


# -- full disks on several hosts ----------------------------------------------------------------


def test_two_processes_on_a_full_disk_both_go_on(tmp_path, short):
    """One writes and fails; the other must not wait for it."""
    processes = two_processes(tmp_path, "--max-steps", 600, "--every", 0.2, "--full")
    assert len(finish(*processes)) == 1
    assert not (tmp_path / "results.nc").exists()
    assert finished(interrupted.run(tmp_path, devices=two_devices(), **SHORT)) == 12


def test_a_refusal_reaches_both_processes(tmp_path):
    interrupted.run(tmp_path, devices=two_devices(), max_steps=150)
    started = time.monotonic()
    for process in two_processes(tmp_path, "--max-steps", 100):
        _, err = process.communicate(timeout=120)
        assert process.returncode == 2
        assert "max_steps=150, more than the 100 asked for" in err
    assert time.monotonic() - started < 120
