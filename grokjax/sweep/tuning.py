"""How to lay lanes out on the devices: measured there, for the recipe at hand."""

import dataclasses
import math
import os
import time
from collections.abc import Mapping
from typing import Literal, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from grokjax.sweep import devices, programs
from grokjax.sweep.plan import Plan
from grokjax.sweep.schedule import Call

ONE_BY_ONE = 8  # slots where lanes train one after another: calls are long, the end is balanced
MOST_ONE_BY_ONE = 64
TRIAL_STEPS = 5
GAIN = 1.15  # twice the slots must train so many times as fast to be worth their memory
LONG_CALL = 1.0  # seconds, of which two look the same
SWITCH = 1.5  # the other way of training must be so many times as fast; less may be noise
OVERHEAD = 0.02  # of a call, for what does not depend on the number of its lanes
# Of the host, without observers: 22 and 7 microseconds on a core of an Intel Xeon, 1,000 lanes.
SEND_SECONDS = 2.2e-5  # for a lane in a call,
READ_SECONDS = 0.7e-5  # and for a measurement of a lane
HOST_SHARE = 0.05  # of the time, for the host's work on a call of lanes side by side
MOST_MEASUREMENTS = 64  # a call covers; what a lane that is done wastes is at most two calls
MEMORY_SHARE = 0.5  # of a device, for the slots
LONG = 30  # compilations that a sweep must be worth for one more to be tried,
MINUTE = 60.0  # and seconds: short sweeps have the same bits every time


class Layout(NamedTuple):
    """How lanes train: so many on each device at once, side by side or one after another.

    Side by side a call covers so many measurements.
    """

    slots: int
    vectorize: bool
    measurements: int = 1


def choose_layout(
    trial: "Trial",
    slots: int | Literal["auto"],
    vectorize: bool | Literal["auto"],
    lane_steps: int,
    chunk: int,
) -> Layout:
    """The layout that trains fastest, among those asked for.

    Side by side the slots are doubled, from 1, for as long as a short trial trains at least 1.15
    times as many lane-steps a second. One after another there are 8, or as many as it takes to
    spend less than 2 % of a call on what a call costs apart from its lanes. Both are tried, the one
    that suits the platform first, and the other if the sweep is long against compiling it. Slots
    fit half the memory of a device (`Trial.fitting`), and there are lanes to fill them. Side by
    side a call covers as many measurements as it takes for the host to spend less than 5 % of the
    time on it, in which the devices wait.

    Args:
      trial: what to measure with.
      slots: "auto", or how many.
      vectorize: "auto", or whether side by side.
      lane_steps: that the sweep takes at most.
      chunk: training steps between two measurements.
    """
    if slots != "auto" and vectorize != "auto":
        return Layout(slots, vectorize)
    on_cpu = trial.mesh.devices.flat[0].platform == "cpu"
    first = not on_cpu if vectorize == "auto" else vectorize
    if trial.most == 1:
        return Layout(1, first)
    layout, rate = _fastest(trial, slots, first, lane_steps, chunk)
    if vectorize == "auto" and _is_long(trial, lane_steps / rate):
        other, other_rate = _fastest(trial, slots, not first, lane_steps, chunk)
        if other_rate > SWITCH * rate:
            return other
    return layout


def _fastest(
    trial: "Trial", slots: int | Literal["auto"], vectorize: bool, lane_steps: int, chunk: int
) -> tuple[Layout, float]:
    """The best number of slots for one way of training, and its lane-steps a second."""
    steps = min(chunk, TRIAL_STEPS)
    if not vectorize:
        most = trial.fitting(False)
        tried = min(ONE_BY_ONE, most) if slots == "auto" else slots
        one, all_of_them = trial.seconds(tried, False, [1, tried], steps)
        # Timing noise must not make a lane free.
        lane = max((all_of_them - one) / max(tried - 1, 1), all_of_them / (2 * tried))
        one, lane = one - lane + lane * chunk / steps, lane * chunk / steps
        rate = chunk * trial.mesh.size / lane
        wanted = min(math.ceil(max(one - lane, 0.0) / (OVERHEAD * lane)), MOST_ONE_BY_ONE, most)
        more = slots == "auto" and wanted > 2 * tried and _is_long(trial, lane_steps / rate)
        return Layout(wanted if more else tried, False), rate
    if slots != "auto":
        seconds = trial.seconds(slots, True, [slots], steps)[0]
        rate = slots * trial.mesh.size * steps / seconds
        return _covering(trial, slots, chunk * seconds / steps), rate
    best, best_rate, count = 1, 0.0, 1
    while True:
        seconds = trial.seconds(count, True, [count], steps)[0]
        rate = count * trial.mesh.size * steps / seconds
        if rate < GAIN * best_rate:
            break
        best, best_rate = count, rate
        most = trial.fitting(True)
        if count >= most:
            break
        count = min(2 * count, most)
    return _covering(trial, best, chunk * best * trial.mesh.size / best_rate), best_rate


def _covering(trial: "Trial", slots: int, seconds: float) -> Layout:
    """The layout of lanes side by side whose measurements are `seconds` apart."""
    fixed, each = trial.host_seconds(slots)
    # What every measurement costs the host no number of them in a call can save.
    spare = max(HOST_SHARE * seconds - each, 0.1 * HOST_SHARE * seconds)
    most = min(MOST_MEASUREMENTS, max(1, len(trial.plan.measure_at) // 8))
    return Layout(slots, True, min(math.ceil(fixed / spare), most))


def _is_long(trial: "Trial", seconds: float) -> bool:
    return seconds > max(LONG * trial.compiling, MINUTE)


@dataclasses.dataclass
class Trial:
    """Short trainings of a sweep's first lanes, to see how long they take.

    Attributes:
      plan: the sweep.
      mesh: its devices.
      compiling: seconds that the longest compilation took so far.
      program_bytes: of a device's memory, by the number of lanes side by side that a program is
        compiled for.
    """

    plan: Plan
    mesh: Mesh
    compiling: float = 0.0
    program_bytes: dict[int, int] = dataclasses.field(default_factory=dict)

    @property
    def most(self) -> int:
        """Lanes that each device gets if all are on the devices at once."""
        return -(-len(self.plan) // self.mesh.size)

    def fitting(self, vectorize: bool) -> int:
        """Slots that half of a device's memory has room for, at least 1 and no more than lanes.

        One after another they need room for their state. Side by side they need what the compiler
        says of the program for fewer of them, each its share.
        """
        room = MEMORY_SHARE * _memory(self.mesh)
        if vectorize:
            slot = slot_bytes(self.program_bytes)
        else:
            state = jax.tree.leaves(self.plan.state)
            slot = sum(leaf.size * leaf.dtype.itemsize for leaf in state)
        # Hosts differ in memory.
        return int(devices.from_first(min(self.most, max(1, int(room / slot)))))

    @property
    def rows(self) -> int:
        """What the training rows of a step are padded to, at most."""
        return devices.whole_tiles(self.mesh, int(self.plan.rows.max()))

    def seconds(self, slots: int, vectorize: bool, counts: list[int], steps: int) -> list[float]:
        """Seconds of a call that trains `steps` steps of so many of the slots, for each count."""
        plan, shape = self.plan, (self.mesh.size, slots)
        # A budget that no lane spends: from then on it would cost nothing.
        on = devices.Devices(plan, self.mesh, slots, vectorize, max_steps=2**30)
        call = Call(
            order=np.tile(np.arange(slots, dtype=np.int32), (self.mesh.size, 1)),
            count=np.zeros(self.mesh.size, np.int32),
            targets=np.zeros((*shape, 1), np.int32),
            lanes=np.resize(np.arange(len(plan)), shape),  # the first ones, over and over
            rows=self.rows,
            steps=steps,
        )
        empty = devices.empty_slots(plan, self.mesh, slots)
        on.set_state(empty)
        on.compile([self.rows], steps)
        best = []
        for number in counts:
            on.set_state(empty)
            call = call._replace(count=np.full(self.mesh.size, number, np.int32))
            on.admit(call)
            taken = []
            for turn in range(1, 4):
                targets = np.full((*shape, 1), turn * steps, np.int32)
                jax.block_until_ready(on.state)
                start = time.perf_counter()
                jax.block_until_ready(on.train(call._replace(targets=targets)))
                taken.append(time.perf_counter() - start)
                if turn == 2 and devices.from_first(taken[-1]) > LONG_CALL:
                    break
            self.compiling = max(self.compiling, taken[0] - taken[1], on.compile_seconds)
            best.append(min(taken[1:]))
        if vectorize:
            self.program_bytes[slots] = on.program_bytes
        *best, self.compiling = devices.from_first([*best, self.compiling]).tolist()
        return best

    def host_seconds(self, slots: int) -> tuple[float, float]:
        """What a call costs the host: seconds of each call, and of each measurement in it."""
        mesh = self.mesh
        stacked = devices.put(mesh, np.zeros((slots * mesh.size, 4), np.float32))
        places = devices.put(mesh, np.tile(np.arange(slots, dtype=np.int32), mesh.size))
        taken = []
        for _ in range(4):
            start = time.perf_counter()
            # As many transfers and calls as `Devices.train` and reading its report take.
            for _ in range(2):
                devices.fetch(programs.take(mesh, stacked, devices.put(mesh, np.asarray(places))))
            taken.append(time.perf_counter() - start)
        lanes = slots * mesh.size
        call = float(devices.from_first(min(taken[1:])))
        return call + SEND_SECONDS * lanes, READ_SECONDS * lanes


def slot_bytes(program_bytes: Mapping[int, int]) -> float:
    """What a slot takes of a device's memory: its share of the program for most slots.

    Small programs say little: a compiler may keep all that they work on in faster memory.

    Args:
      program_bytes: what was compiled, by slots.
    """
    slots, most = max(program_bytes.items())
    return max(most / slots, 1.0)


def _memory(mesh: Mesh) -> int:
    """Bytes of memory of a device of this process."""
    stats = mesh.local_devices[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total // len(mesh.local_devices)
