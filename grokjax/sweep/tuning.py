"""How many lanes to train side by side: measured on the device, for the recipe at hand."""

import itertools
import os
import time
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from grokjax.sweep import programs
from grokjax.sweep.lanes import LaneTable
from grokjax.tasks import Task
from grokjax.train import Recipe, StopFn

SLOTS_ON_CPU = 8  # enough to make a call long against its overhead; more balance worse at the end
MOST_STEPS = 20  # of a trial
GAIN = 1.15  # twice the slots must train so many times as fast to be worth their memory
MEMORY_SHARE = 0.5  # of a device, for the slots


def choose_slots(
    recipe: Recipe,
    task: Task,
    table: LaneTable,
    stop: StopFn | None,
    mesh: Mesh,
    vectorize: bool,
    rows: int,
) -> int:
    """Lanes to have on each device at once.

    One after another the number hardly matters. Side by side it is doubled, from 1, for as long as
    a short trial trains at least 1.15 times as many lane-steps a second, the slots fit half the
    device's memory, and there are lanes to fill them.
    """
    most = -(-len(table) // mesh.size)
    if not vectorize:
        return min(SLOTS_ON_CPU, most)
    best, best_rate = 1, 0.0
    most = min(most, max(1, int(MEMORY_SHARE * _memory(mesh) / _lane_bytes(recipe, task, table))))
    for slots in itertools.takewhile(lambda n: n < 2 * most, (2**k for k in itertools.count())):
        slots = min(slots, most)
        seconds = min(_trial(recipe, task, table, stop, mesh, slots, rows))
        rate = float(programs.from_first(slots / seconds))
        if rate < GAIN * best_rate:
            break
        best, best_rate = slots, rate
    return best


def _trial(
    recipe: Recipe,
    task: Task,
    table: LaneTable,
    stop: StopFn | None,
    mesh: Mesh,
    slots: int,
    rows: int,
) -> Iterator[float]:
    """Seconds of a few calls that train so many lanes side by side, without the compilation."""
    places = slots * mesh.size
    lanes = jax.tree.map(lambda leaf: np.resize(leaf, places), table.lanes)
    one = jax.tree.map(lambda leaf: leaf[0], lanes)
    fixed = (recipe, programs.put(mesh, task, whole=True), stop, mesh)
    budget = programs.put(mesh, np.int32(2**30), whole=True)
    order = programs.put(mesh, np.tile(np.arange(slots, dtype=np.int32), mesh.size))
    count = programs.put(mesh, np.full(mesh.size, slots, np.int32))
    state = programs.put(mesh, programs.empty_slots(recipe, task, mesh, slots, one, None))
    state, _ = programs.admit(*fixed, state, order, count, programs.put(mesh, lanes), None, budget)
    for turn in range(1, 4):
        targets = programs.put(mesh, np.full(places, turn * MOST_STEPS, np.int32))
        start = time.perf_counter()
        state, report = programs.train(
            *fixed, state, order, count, targets, budget, rows=rows, vectorize=True
        )
        jax.block_until_ready(report)
        if turn > 1:
            yield time.perf_counter() - start


def _lane_bytes(recipe: Recipe, task: Task, table: LaneTable) -> int:
    """What a lane occupies: its state, its gradient, and its activations on the whole table."""
    one = jax.tree.map(lambda leaf: leaf[0], table.lanes)

    def activations(key):
        return jax.vjp(lambda p: recipe.model.apply(p, task.tokens, key=key), state.params)[1]

    mesh = programs.lane_mesh(jax.local_devices()[:1])
    state = programs.empty_slots(recipe, task, mesh, 1, one, None)
    state = jax.tree.map(lambda leaf: leaf[0], state)
    residuals = jax.eval_shape(activations, jax.eval_shape(lambda: jax.random.key(0)))
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((state, residuals))]
    return sum(sizes)


def _memory(mesh: Mesh) -> int:
    """Bytes of memory of a device of this process."""
    stats = mesh.local_devices[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total // len(mesh.local_devices)
