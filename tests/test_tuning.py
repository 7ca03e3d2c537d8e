"""How lanes are laid out on the devices, by a trial, and what memory they take there and here."""

import dataclasses
import tracemalloc

import jax
import numpy as np
import pytest

import grokjax
from grokjax import losses, models, optimizers
from grokjax.sweep import devices as on_devices
from grokjax.sweep import tuning
from grokjax.sweep.ledger import Ledger
from grokjax.sweep.store import Store
from grokjax.train import grid

pytestmark = pytest.mark.usefixtures("several_sizes")


@pytest.fixture
def trial(planned, recipe, task, lanes):
    mesh = grokjax.lane_mesh(jax.devices()[:1])
    return tuning.Trial(planned(recipe, task, lanes, stop=None), mesh)


def test_automatic_layout_comes_from_a_trial(trial):
    choose = lambda slots, vectorize: tuning.choose_layout(trial, slots, vectorize, 1000, 20)
    assert choose("auto", False)[:2] == (7, False)  # never more than there are lanes
    slots, vectorize, measurements = choose("auto", True)
    assert measurements >= 1
    assert vectorize
    assert slots in (1, 2, 4, 7)
    assert choose("auto", "auto")[1] is False  # the CPU's way; too short a sweep to try the other
    assert choose(3, True) == (3, True, 1)
    assert choose(3, "auto")[:2] == (3, False)
    assert trial.compiling > 0


def pretend(monkeypatch, seconds, compiling=0.0, memory=2**40):
    """A device on which a call takes `seconds(slots, vectorize, count, steps)`.

    A program takes 50 bytes, and 10 for each slot.
    """

    def timed(self, slots, vectorize, counts, steps):
        self.compiling, self.program_bytes[slots] = compiling, 50 + 10 * slots
        return [seconds(slots, vectorize, count, steps) for count in counts]

    monkeypatch.setattr(tuning.Trial, "seconds", timed)
    monkeypatch.setattr(tuning, "_memory", lambda mesh: memory)


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        (0.0, 8),  # calls cost what their lanes cost: no reason for more
        (0.0099, 50),  # as much as a lane: 50 of them make it 2 %
        (1.0, 64),  # enough is enough
    ],
)
def test_slots_one_after_another_make_calls_long(trial, monkeypatch, fixed, expected):
    pretend(monkeypatch, lambda slots, vectorize, count, steps: fixed + count * steps * 5e-4)
    monkeypatch.setattr(tuning.Trial, "most", 1000)
    assert tuning.choose_layout(trial, "auto", False, 10**9, 20)[:2] == (expected, False)
    assert tuning.choose_layout(trial, "auto", False, 10**9, 4000).slots == 8


def test_slots_side_by_side_double_while_it_pays_and_fits(trial, monkeypatch):
    choose = lambda: tuning.choose_layout(trial, "auto", True, 10**9, 20).slots
    pretend(monkeypatch, lambda slots, *_: 1.0)  # as long for any number
    assert choose() == 7
    pretend(monkeypatch, lambda slots, *_: max(slots, 4))  # four lanes fill the device
    assert choose() == 4
    room = lambda most: pretend(monkeypatch, lambda slots, *_: 1.0, memory=2 * most)
    # Of 119 bytes two slots might take twice the 60 of one; of 120 they may be tried, and take 70.
    for most, expected in [(59, 1), (119, 1), (120, 6), (129, 7)]:
        trial.program_bytes.clear()
        room(most)
        assert choose() == expected


def test_a_slot_takes_its_share_of_the_largest_program():
    assert tuning.slot_bytes({1: 60}) == 60
    assert tuning.slot_bytes({1: 20, 4: 80, 2: 70}) == 20
    assert tuning.slot_bytes({2: 0}) == 1  # where a compiler does not say, no division by zero


def test_what_lanes_side_by_side_take_is_what_their_program_takes(trial):
    trial.seconds(2, True, [2], 5)
    state = on_devices.empty_slots(trial.plan, trial.mesh, 2)
    bytes_of_state = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    assert bytes_of_state < trial.program_bytes[2] < 100 * bytes_of_state


def test_a_call_side_by_side_covers_enough_to_keep_the_host_in_the_shade(trial, monkeypatch):
    monkeypatch.setattr(tuning.Trial, "host_seconds", lambda self, slots: (1e-3, 1e-5))
    plan = dataclasses.replace(trial.plan, measure_at=np.arange(0, 20_000, 20))
    covered = lambda seconds, plan=plan: tuning._covering(
        tuning.Trial(plan, trial.mesh), 4, seconds
    )
    # 1 ms a call, and 0.01 ms a measurement, are 5 % of 11 times 2 ms.
    assert covered(2e-3) == (4, True, 12)
    assert covered(1.0).measurements == 1
    assert covered(1e-6).measurements == tuning.MOST_MEASUREMENTS
    assert covered(1e-6, trial.plan).measurements == 2  # of 21: lanes are to end in time


def test_the_other_way_of_training_is_tried_in_long_sweeps(trial, monkeypatch):
    choose = lambda steps: tuning.choose_layout(trial, "auto", "auto", steps, 20).vectorize
    # One after another a step takes 1 ms, side by side all together take 1 ms.
    faster = lambda slots, vectorize, count, steps: steps * (1e-3 if vectorize else 1e-3 * count)
    pretend(monkeypatch, faster, compiling=1.0)
    assert choose(10**9)
    assert not choose(1000)  # a second of training is not worth a second of compiling
    pretend(monkeypatch, lambda slots, vectorize, count, steps: count * steps * 1e-3)
    assert not choose(10**9)  # no faster: as the platform has it


def test_a_sweep_keeps_its_layout_when_it_goes_on(planned, recipe, task, lanes, tmp_path):
    store = Store(tmp_path, planned(recipe, task, lanes))
    assert store.layout(4) is None
    store.keep_layout(4, tuning.Layout(3, True, 5))
    assert store.layout(4) == (3, True, 5)
    assert store.layout(2) is None  # other devices, another choice
    store.release()


# -- memory -------------------------------------------------------------------------------------


def test_what_is_known_of_lanes_fits_into_twice_the_dataset(planned, task):
    """10,000 lanes of 1,000 measurements were 3 GiB in Python's lists, for 154 MiB of numbers."""
    recipe = grokjax.Recipe(models.QuadraticMLP(11, 4), losses.mse, optimizers.adamw)
    lanes = grid(seed=range(400), learning_rate=0.1)
    plan = planned(recipe, task, lanes, max_steps=300, eval_every=1, keep_params="none", stop=None)
    scalars = np.zeros(len(plan.names), np.float32)
    dataset = 4 * len(plan) * len(plan.measure_at) * len(plan.names)
    tracemalloc.start()
    try:
        ledger = Ledger(plan)
        for _ in plan.measure_at:
            for lane in range(len(plan)):
                ledger.add(lane, scalars, False, False)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        result = ledger.result(np.arange(len(plan)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.dataset.test_loss.shape == (400, 301)
    assert held < 1.5 * dataset
    assert peak - held < 3 * dataset


def test_finished_lanes_leave_the_device(recipe, task):
    live = []
    lanes = grid(alpha=0.85, seed=range(40), learning_rate=1e-2, weight_decay=3.0)
    result = grokjax.run_sweep(
        recipe, task, lanes, max_steps=400, eval_every=20, slots=2, devices=jax.devices()[:1],
        progress=False, observe=lambda measured: live.append(len(jax.live_arrays())),
    )  # fmt: skip
    assert result.params["w1"].shape[0] == 40
    assert len(live) >= 40
    assert max(live[len(live) // 2 :]) <= max(live[: len(live) // 4]) + 8
