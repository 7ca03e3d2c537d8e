"""The devices of a sweep: its slots, what is sent there, and what comes back.

What runs on them is in `programs`, which says what a slot is. Programs are compiled several at
once, in threads, and a call waits for its own.
"""

import dataclasses
import functools
import os
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding

from grokjax.checks import shown
from grokjax.sweep import programs
from grokjax.sweep.plan import Plan
from grokjax.sweep.programs import ALONG, AXIS, WHOLE, Report
from grokjax.sweep.schedule import Call, common_steps
from grokjax.train import LaneState, epoch_steps

TILE = 128


def lane_mesh(devices: Any = None) -> Mesh:
    """The one-axis mesh that lanes are sharded over.

    Args:
      devices: a list of devices, or a mesh of one axis with any name; None takes all devices of
        all processes.

    Raises:
      ValueError: for a mesh of several axes, no device, one device twice, or anything else.
    """
    if isinstance(devices, Mesh):
        if devices.devices.ndim != 1:
            shape = dict(devices.shape)
            raise ValueError(
                f"devices must be a mesh of one axis, got the axes {shape}: lanes are independent, "
                "and there is nothing to spread over a second one; give devices=list("
                "mesh.devices.flat)."
            )
        devices = devices.devices.tolist()
    try:
        listed = jax.devices() if devices is None else list(devices)
    except TypeError:
        listed = [devices]
    if not listed or not all(isinstance(device, jax.Device) for device in listed):
        raise ValueError(
            "devices must be a list of devices, such as jax.devices(), or a mesh of one axis, got "
            f"{shown(devices)}."
        )
    if len(set(listed)) < len(listed):
        raise ValueError(f"devices has a device twice: {shown(listed)}; name each one once.")
    # Auto: with explicit axes vmap over a sharded axis is refused.
    return Mesh(np.array(listed), (AXIS,), axis_types=(AxisType.Auto,))


class Devices:
    """The slots of a sweep on its devices, and the calls that change who is in them.

    Attributes:
      mesh: the devices.
      slots: places on each device.
      vectorize: whether the lanes of a device train side by side, or one after another.
      measurements: that a call of lanes side by side covers.
      state: of all slots, on the devices.
      compile_seconds: of the longest compilation so far, of those that were begun ahead.
    """

    def __init__(
        self,
        plan: Plan,
        mesh: Mesh,
        slots: int,
        vectorize: bool,
        measurements: int = 1,
        max_steps: int | None = None,
    ):
        self.mesh, self.slots, self.vectorize = mesh, slots, vectorize
        # A copy of the parameters at every measurement needs a call for each.
        self.measurements = 1 if plan.keep_params == "all" else measurements
        self.state: LaneState
        self._table, self._initial = plan.table.lanes, plan.initial
        self._recipe, self._stop = plan.recipe, plan.stop
        # What trains without measuring is compiled once for all measures.
        self._steps = dataclasses.replace(plan.recipe, measures=())
        self._task = put(mesh, plan.task, whole=True)
        budget = plan.max_steps if max_steps is None else max_steps
        self._max_steps = put(mesh, np.int32(budget), whole=True)
        self._window, self._common = shuffle_window(plan), common_steps(plan.measure_at)
        # What the devices were sent last: by padded size, and the steps of a call by their number.
        self._seats: dict[int, Any] = {}
        self._lengths: dict[int, jax.Array] = {}
        self._compiling: dict[str | int, Future[Any]] = {}  # by name; training by padded size
        self._compiled: list[jax.stages.Compiled] = []
        self.compile_seconds = 0.0

    @property
    def program_bytes(self) -> int:
        """Of a device's memory, of the largest program that was begun ahead and is compiled."""
        return max(map(program_bytes, self._compiled), default=0)

    def close(self) -> None:
        """Compiles nothing more."""
        for future in self._compiling.values():
            future.cancel()

    def set_state(self, state: LaneState) -> None:
        """Puts a state of all slots, on the host, onto the devices."""
        self.state = put(self.mesh, state)

    def compile(self, sizes: Iterable[int], steps: int = 0, *, admits: bool = True) -> None:
        """Begins to compile all programs for lanes of these padded sizes, several at once.

        Calls wait for their own programs. Several processes compile one program after another,
        all of them in the same order.

        Args:
          sizes: what training rows are padded to.
          steps: of a call, for lanes side by side.
          admits: whether any lane is still to be admitted.
        """
        lanes = np.zeros((self.mesh.size, self.slots), int)
        number = self.measurements if self.vectorize else 1
        call = Call(
            order=lanes.astype(np.int32),
            count=np.zeros(self.mesh.size, np.int32),
            targets=np.zeros((*lanes.shape, number), np.int32),
            lanes=lanes,
            rows=0,
            steps=steps,
        )
        if admits:
            self._begin("admit", programs.admit.lower(*self._admission(call)))
        if admits or not self.vectorize:
            seats = (call.order.ravel(), call.count, np.zeros(lanes.size, bool))
            measurement = self._measurement(*put(self.mesh, seats))
            self._begin("measure", programs.measure.lower(*measurement))
        for rows in sizes:
            program, arguments, static = self._training(call._replace(rows=rows))
            self._begin(rows, program.lower(*arguments, **static))

    def _begin(self, name: str | int, lowered: jax.stages.Lowered) -> None:
        def compiled() -> tuple[jax.stages.Compiled, float]:
            start = time.perf_counter()
            program = lowered.compile()  # which `jit` then has, too
            return program, time.perf_counter() - start

        self._compiling[name] = _threads().submit(compiled)
        if jax.process_count() > 1:
            self._wait_for(name)

    def _wait_for(self, name: str | int) -> None:
        if name in self._compiling:
            program, seconds = self._compiling.pop(name).result()
            self._compiled.append(program)
            self.compile_seconds = max(self.compile_seconds, seconds)

    def admit(self, call: Call) -> Report:
        """Puts the lanes of a call into their slots, at step 0, and measures them."""
        self._wait_for("admit")
        arguments = self._admission(call)
        order, count = arguments[4:6]
        self.state = programs.admit(*arguments)
        return self._measure(order, count, put(self.mesh, np.ones(call.order.size, bool)))

    def _admission(self, call: Call) -> tuple[Any, ...]:
        new = call.lanes.ravel()
        chosen = jax.tree.map(lambda leaf: leaf[new], (self._table, self._initial))
        placed = put(self.mesh, (call.order.ravel(), call.count, *chosen))
        return self._steps, self._task, self.mesh, self.state, *placed

    def reseat(self, call: Call, states: LaneState) -> None:
        """Puts lanes that have trained before into the slots of a call: host arrays, lanes first.

        The states stand in the places of the call's lanes.
        """
        order, count = put(self.mesh, (call.order.ravel(), call.count))
        self.state = programs.reseat(self.mesh, self.state, order, count, put(self.mesh, states))

    def train(self, call: Call) -> Report:
        """Trains the lanes of a call up to their next measurements, and measures them."""
        self._wait_for(call.rows)
        program, arguments, static = self._training(call)
        self.state, told = program(*arguments, **static)
        if self.vectorize:
            return told
        order, count = arguments[4:6]
        return self._measure(order, count, told)

    def _training(self, call: Call) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """The program that trains the lanes of a call, its arguments, and the static ones."""
        seats = self._put_seats(call)
        static: dict[str, Any] = {"rows": whole_tiles(self.mesh, call.rows), "window": self._window}
        targets = call.targets.reshape(call.order.size, -1)
        if not self.vectorize:
            where = (self._steps, self._task, self.mesh, self.state, *seats)
            arguments = (*where, put(self.mesh, targets[:, 0]), self._max_steps)
            return programs.train, arguments, static
        if call.steps not in self._lengths:
            self._lengths[call.steps] = put(self.mesh, np.int32(call.steps), whole=True)
        # Compiled for the number that nearly all calls have; others are data.
        static["steps"] = call.steps if call.steps == self._common else None
        where = (self._recipe, self._task, self._stop, self.mesh, self.state, *seats)
        arguments = (*where, put(self.mesh, targets), self._max_steps, self._lengths[call.steps])
        return programs.train_side_by_side, arguments, static

    def _put_seats(self, call: Call) -> tuple[jax.Array, jax.Array]:
        """Which slots a call works on, on the devices; mostly they are as before."""
        seats = (call.order.ravel(), call.count)
        last = self._seats.get(call.rows)
        if last is None or not all(map(np.array_equal, seats, last[0])):
            last = self._seats[call.rows] = seats, put(self.mesh, seats)
        return last[1]

    def _measure(self, order: jax.Array, count: jax.Array, trained: jax.Array) -> Report:
        self._wait_for("measure")
        self.state, report = programs.measure(*self._measurement(order, count, trained))
        return report

    def _measurement(self, order: jax.Array, count: jax.Array, trained: jax.Array) -> Any:
        where = (self._recipe, self._task, self._stop, self.mesh, self.state)
        return *where, order, count, trained

    def take(self, order: np.ndarray, *, whole: bool) -> Any:
        """A copy of the parameters in some slots of each device; with `whole`, of all their state.

        Args:
          order: int32[devices, G], slot numbers.
          whole: the state of training, or the parameters alone.

        Returns:
          Leaves [devices * G, ...], on the devices.
        """
        stacked = self.state if whole else self.state.params
        return programs.take(self.mesh, stacked, put(self.mesh, order.ravel().astype(np.int32)))


def program_bytes(program: jax.stages.Compiled) -> int:
    """What a program takes of the memory of each device, its arguments and results included.

    0 where a compiler does not say.
    """
    memory = program.memory_analysis()
    if memory is None:
        return 0
    used = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    return used + memory.output_size_in_bytes - memory.alias_size_in_bytes


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="grokjax-compile")


def whole_tiles(mesh: Mesh, rows: int) -> int:
    """Rows of a step on these devices: on an accelerator whole tiles of its matrix products.

    Else every product would begin with a copy of its operands, padded.
    """
    if mesh.devices.flat[0].platform == "cpu" or rows <= TILE:
        return rows
    return -(-rows // TILE) * TILE


def shuffle_window(plan: Plan) -> int:
    """Steps in which no lane begins two epochs of minibatches: a power of two, at least 2.

    A power of two, so that other data fractions hardly ever compile anything.
    """
    epochs = epoch_steps(plan.recipe, plan.table.lanes, np)
    return 1 << (int(epochs[epochs > 1].min(initial=1 << 20)).bit_length() - 1)


def empty_slots(plan: Plan, mesh: Mesh, slots: int) -> LaneState:
    """Host arrays of `slots` slots for each device, nobody in them."""
    total = slots * mesh.size
    return jax.tree.map(lambda leaf: np.zeros((total, *leaf.shape), leaf.dtype), plan.state)


def put(mesh: Mesh, tree: Any, *, whole: bool = False) -> Any:
    """Host arrays onto the mesh, split along their first axis or, with `whole`, on every device."""
    sharding = NamedSharding(mesh, WHOLE if whole else ALONG)

    def place(leaf: np.ndarray) -> jax.Array:
        leaf = np.asarray(leaf)
        if jax.process_count() == 1:
            return jax.device_put(leaf, sharding)
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

    return jax.tree.map(place, tree)


def fetch(tree: Any) -> Any:
    """Device arrays to the host, whole on every process; host arrays stay as they are."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    from jax.experimental import multihost_utils

    def gather(leaf: Any) -> np.ndarray:
        if not isinstance(leaf, jax.Array):
            return leaf
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))

    return jax.tree.map(gather, tree)


def from_first(value: Any) -> np.ndarray:
    """Numbers of process 0, on every process: clocks and disks are not shared."""
    if jax.process_count() == 1:
        return np.asarray(value)
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(np.asarray(value)))


def any_process(flag: bool) -> bool:
    """Whether a flag is set on any process: a signal may reach one of them alone."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))
