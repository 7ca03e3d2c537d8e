"""The schedule by itself, and sizes of batches: who trains when, without any training."""

import numpy as np
import pytest

from grokjax import tasks, train
from grokjax.sweep.schedule import EMPTY, Schedule, batch_size


def simulate(lengths, slots, vectorize, devices=1, every=10):
    """Runs a schedule against lanes that are done after so many steps; returns the two costs."""
    lengths = np.asarray(lengths)
    measure_at = np.arange(0, lengths.max() + every, every)
    schedule = Schedule.of(
        np.full(len(lengths), 100), np.arange(len(lengths)), measure_at, devices, slots
    )
    step, finished, slot_steps, pending = np.zeros(len(lengths), int), set(), 0, []
    while pending or schedule.queue or schedule.running:
        schedule.admit()
        sent = schedule.calls(vectorize)
        for call in pending:
            for device in range(devices):
                seats = call.lanes[device]
                used = [lane for lane in seats.tolist() if lane != EMPTY]
                alive = [lane for lane in used if lane not in finished]
                assert len(set(used)) == len(used)
                slot_steps += (
                    every * (call.order.shape[1] if vectorize else len(alive)) * bool(alive)
                )
                for lane in alive:
                    step[lane] += every
                    if step[lane] >= lengths[lane]:
                        finished.add(lane)
                        schedule.release(lane)
        pending = sent
    assert len(finished) == len(lengths)
    return step.sum(), slot_steps


@pytest.mark.parametrize("devices", [1, 3])
@pytest.mark.parametrize("slots", [1, 2, 5, 8, 16, 75])
def test_refill_keeps_slots_busy(slots, devices):
    rng = np.random.default_rng(0)
    lengths = np.round(10 ** rng.uniform(2.3, 4.3, 75), -1).astype(int)
    used, one_by_one = simulate(lengths, slots, False, devices)
    assert one_by_one == used
    used, side_by_side = simulate(lengths, slots, True, devices)
    assert side_by_side < 1.35 * used


def test_lanes_that_have_trained_before_are_admitted_apart():
    schedule = Schedule.of(np.full(5, 100), np.array([3, 1, 2, 5, 4]), np.arange(0, 60, 10), 2, 2)
    schedule.measured[[1, 4]] = 4, 2
    fresh, again = schedule.admit({1, 4})
    assert schedule.queue == [3]  # the one with most training rows waits
    assert sorted(fresh.lanes[fresh.lanes != EMPTY]) == [0, 2]
    assert sorted(again.lanes[again.lanes != EMPTY]) == [1, 4]
    assert schedule.measured[:3].tolist() == [1, 4, 1]
    calls = schedule.calls(vectorize=False)
    target = dict(zip(calls[0].lanes.ravel(), calls[0].targets.ravel(), strict=True))
    assert target == {0: 10, 1: 40, 2: 10, 4: 20}
    assert schedule.admit() == (None, None)  # nobody left


def test_a_call_of_lanes_side_by_side_covers_several_measurements():
    schedule = Schedule.of(np.full(3, 100), np.arange(3), np.array([0, 10, 20, 30, 40, 45]), 1, 3)
    schedule.measured[[1, 2]] = 3, 5
    schedule.admit({1, 2})
    short, long = schedule.calls(vectorize=True, measurements=3)
    assert (short.steps, long.steps) == (5, 10)
    assert short.lanes[0].tolist() == [2]
    assert short.targets.tolist() == [[[45]]]
    targets = dict(zip(long.lanes[0].tolist(), long.targets[0].tolist(), strict=False))
    # Lane 1 is at step 20: what comes after 40 is not as far apart, and left to another call.
    assert targets == {0: [10, 20, 30], 1: [30, 40, 40]}
    assert schedule.measured.tolist() == [4, 5, 6]
    short, long = schedule.calls(vectorize=True, measurements=3)
    assert (short.lanes[0, 0], short.targets.tolist()) == (1, [[[45]]])
    assert (long.lanes[0, 0], long.targets.tolist()) == (0, [[[40, 40, 40]]])


def test_batch_sizes_are_few_and_tight():
    sizes = [batch_size(n) for n in range(1, 200)]
    assert all(size >= n for n, size in zip(range(1, 200), sizes, strict=True))
    assert all(size <= 1.5 * n for n, size in zip(range(2, 200), sizes[1:], strict=True))
    assert len(set(sizes)) == 16


@pytest.mark.parametrize("p", [12, 23, 97])
def test_padded_sizes_are_few_and_tight(recipe, p):
    task = tasks.modular_addition(p)
    counts = [tasks.num_train_rows(task, a) for a in np.linspace(0.1, 0.95, 200)]
    sizes = train.padded_rows(recipe, task, train.Lane(0, 0, 0, np.array(counts), {}))
    assert all(n <= size <= task.num_rows for n, size in zip(counts, sizes, strict=True))
    assert max(size / n for n, size in zip(counts, sizes, strict=True)) < 1.5
    assert len(set(sizes)) <= 10


@pytest.mark.parametrize("p", [5, 11])
def test_a_small_table_has_one_padded_size_for_every_alpha(recipe, p):
    task = tasks.modular_addition(p)
    counts = np.array([tasks.num_train_rows(task, a) for a in (0.1, 0.5, 0.9)])
    assert train.padded_rows(recipe, task, train.Lane(0, 0, 0, counts, {})).tolist() == [p * p] * 3
    sizes = np.array([4, 512, train.FULL_BATCH])  # at most half of the rows in a minibatch
    lanes = train.Lane(0, 0, 0, counts, {}, batch_size=sizes)
    expected = [4, (p * p + 1) // 2, p * p]
    assert train.padded_rows(recipe, task, lanes).tolist() == expected


def test_minibatches_of_full_size_are_not_padded(recipe):
    task = tasks.modular_addition(97)
    sizes = np.array([128, 512, 512, train.FULL_BATCH])
    lanes = train.Lane(0, 0, 0, np.array([5000, 5000, 700, 5000]), {}, batch_size=sizes)
    assert train.padded_rows(recipe, task, lanes).tolist() == [128, 512, 442, 5881]
