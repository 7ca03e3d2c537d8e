"""The devices of a sweep: its slots, and the only `jit`, `vmap` and `shard_map` of the library.

A *slot* is a place on a device that a lane occupies while it trains. The state of all slots lives
on the devices as one stacked `LaneState`, sharded over a one-axis mesh. A program gets the slots to
work on as data (`order`, `count`), so who sits where, how many lanes are left and what their
numbers are never recompiles anything. Lanes do not talk to each other: the compiled programs
contain no collective operation.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from grokjax.checks import shown
from grokjax.models import Params
from grokjax.sweep.plan import Plan
from grokjax.sweep.schedule import Call, common_steps
from grokjax.tasks import Task
from grokjax.train import (
    Lane,
    LaneState,
    Recipe,
    StopFn,
    epoch_steps,
    init_lane,
    record,
    train_chunk,
    train_to,
)

AXIS = "lanes"
TILE = 128
_ALONG, _WHOLE = PartitionSpec(AXIS), PartitionSpec()


class Report(NamedTuple):
    """What the host learns of lanes after a call: two arrays, since each costs a transfer."""

    scalars: jax.Array  # float32[..., n, M], n times the measurements in alphabetical order
    status: jax.Array  # int32[..., n, 3]: step, stopped, diverged


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

    def set_state(self, state: LaneState) -> None:
        """Puts a state of all slots, on the host, onto the devices."""
        self.state = put(self.mesh, state)

    def admit(self, call: Call) -> Report:
        """Puts the lanes of a call into their slots, at step 0, and measures them."""
        new = call.lanes.ravel()
        lanes, initial = jax.tree.map(lambda leaf: leaf[new], (self._table, self._initial))
        order, count, lanes, initial = put(
            self.mesh, (call.order.ravel(), call.count, lanes, initial)
        )
        self.state = admit(
            self._steps, self._task, self.mesh, self.state, order, count, lanes, initial
        )
        return self._measure(order, count, put(self.mesh, np.ones(call.order.size, bool)))

    def reseat(self, call: Call, states: LaneState) -> None:
        """Puts lanes that have trained before into the slots of a call: host arrays, lanes first.

        The states stand in the places of the call's lanes.
        """
        order, count = put(self.mesh, (call.order.ravel(), call.count))
        self.state = reseat(self.mesh, self.state, order, count, put(self.mesh, states))

    def train(self, call: Call) -> Report:
        """Trains the lanes of a call up to their next measurements, and measures them."""
        order, count = self._put_seats(call)
        if call.steps not in self._lengths:
            self._lengths[call.steps] = put(self.mesh, np.int32(call.steps), whole=True)
        sizes = {"rows": whole_tiles(self.mesh, call.rows), "window": self._window}
        targets = call.targets.reshape(call.order.size, -1)
        if not self.vectorize:
            self.state, trained = train(
                self._steps, self._task, self.mesh, self.state, order, count,
                put(self.mesh, targets[:, 0]), self._max_steps, **sizes,
            )  # fmt: skip
            return self._measure(order, count, trained)
        self.state, report = train_side_by_side(
            self._recipe, self._task, self._stop, self.mesh, self.state, order, count,
            put(self.mesh, targets), self._max_steps, self._lengths[call.steps], **sizes,
            # Compiled for the number that nearly all calls have; others are data.
            steps=call.steps if call.steps == self._common else None,
        )  # fmt: skip
        return report

    def _put_seats(self, call: Call) -> tuple[jax.Array, jax.Array]:
        """Which slots a call works on, on the devices; mostly they are as before."""
        seats = (call.order.ravel(), call.count)
        last = self._seats.get(call.rows)
        if last is None or not all(map(np.array_equal, seats, last[0])):
            last = self._seats[call.rows] = seats, put(self.mesh, seats)
        return last[1]

    def _measure(self, order: jax.Array, count: jax.Array, trained: jax.Array) -> Report:
        self.state, report = measure(
            self._recipe, self._task, self._stop, self.mesh, self.state, order, count, trained
        )
        return report

    def take(self, order: np.ndarray, *, whole: bool) -> Any:
        """A copy of the parameters in some slots of each device; with `whole`, of all their state.

        Args:
          order: int32[devices, G], slot numbers.
          whole: the state of training, or the parameters alone.

        Returns:
          Leaves [devices * G, ...], on the devices.
        """
        stacked = self.state if whole else self.state.params
        return take(self.mesh, stacked, put(self.mesh, order.ravel().astype(np.int32)))


@functools.partial(jax.jit, static_argnames=("recipe", "mesh"), donate_argnames=("state",))
def admit(
    recipe: Recipe,
    task: Task,
    mesh: Mesh,
    state: LaneState,
    order: jax.Array,
    count: jax.Array,
    lanes: Lane,
    params: Params | None,
) -> LaneState:
    """Puts new lanes into slots, at step 0: the new state of all slots.

    Args:
      recipe: static, like `mesh`.
      task: the table, on every device.
      mesh: the devices.
      state: all slots; its buffers are reused.
      order: int32[devices * G], slot numbers on each device; the first `count` are worked on.
      count: int32[devices].
      lanes: the coordinates of the new lanes, in the places of `order`.
      params: their initial parameters, or None for the model's own.
    """

    def on_device(task, state, order, count, lanes, params):
        one = lambda _, new: (init_lane(recipe, task, *new), None)
        return _one_by_one(one, state, order, count[0], (lanes, params))[0]

    specs = (_WHOLE, *[_ALONG] * 5)
    arguments = (task, state, order, count, lanes, params)
    return _over_devices(on_device, mesh, specs, _ALONG)(*arguments)


@functools.partial(
    jax.jit, static_argnames=("recipe", "mesh", "rows", "window"), donate_argnames=("state",)
)
def train(
    recipe: Recipe,
    task: Task,
    mesh: Mesh,
    state: LaneState,
    order: jax.Array,
    count: jax.Array,
    targets: jax.Array,
    max_steps: jax.Array,
    *,
    rows: int,
    window: int,
) -> tuple[LaneState, jax.Array]:
    """Trains the lanes in some slots, one after another, up to their next measurement.

    Args: as in `admit`, and
      targets: int32[devices * G], the steps to train to.
      max_steps: int32[], the budget.
      rows: static, what the training rows of these lanes are padded to.
      window: static, as in `train_steps`.

    Returns:
      The new state, and which of the places have trained: bool[devices * G].
    """

    def on_device(task, state, order, count, targets, max_steps):
        def one(state, target):
            return train_to(recipe, task, state, target, max_steps, rows, window)

        return _one_by_one(one, state, order, count[0], targets)

    specs = (_WHOLE, *[_ALONG] * 4, _WHOLE)
    arguments = (task, state, order, count, targets, max_steps)
    return _over_devices(on_device, mesh, specs, (_ALONG, _ALONG))(*arguments)


@functools.partial(jax.jit, static_argnames=("recipe", "stop", "mesh"), donate_argnames=("state",))
def measure(
    recipe: Recipe,
    task: Task,
    stop: StopFn | None,
    mesh: Mesh,
    state: LaneState,
    order: jax.Array,
    count: jax.Array,
    trained: jax.Array,
) -> tuple[LaneState, Report]:
    """Measures the lanes in some slots, one after another.

    It is a program of its own since it does not depend on how many rows a lane trains on.

    Args: as in `admit`, and
      stop: static, when a lane is done.
      trained: bool[devices * G], which of the lanes to measure; others are left as they are.

    Returns:
      The new state, and reports in the places of `order`.
    """

    def on_device(task, state, order, count, trained):
        measured = jax.jit(lambda state: _reported(record(recipe, task, stop, state)))

        def one(state, trained):
            skipped = lambda state: (state, _zeros(jax.eval_shape(measured, state)[1]))
            state, report = jax.lax.cond(trained, measured, skipped, state)
            return state, jax.tree.map(lambda x: x[None], report)

        return _one_by_one(one, state, order, count[0], trained)

    specs = (_WHOLE, *[_ALONG] * 4)
    arguments = (task, state, order, count, trained)
    return _over_devices(on_device, mesh, specs, (_ALONG, _ALONG))(*arguments)


@functools.partial(
    jax.jit,
    static_argnames=("recipe", "stop", "mesh", "rows", "window", "steps"),
    donate_argnames=("state",),
)
def train_side_by_side(
    recipe: Recipe,
    task: Task,
    stop: StopFn | None,
    mesh: Mesh,
    state: LaneState,
    order: jax.Array,
    count: jax.Array,
    targets: jax.Array,
    max_steps: jax.Array,
    length: jax.Array,
    *,
    rows: int,
    window: int,
    steps: int | None,
) -> tuple[LaneState, Report]:
    """Trains the lanes in some slots side by side, through several measurements.

    Args: as in `train` and `measure`, and
      targets: int32[devices * G, n], the steps to train to and to measure at.
      length: int32[], the steps between two of the targets, if `steps` is None: all lanes take as
        many, and one whose next target is not as far away waits for another call.
      steps: static, `length` where it is known when compiling.

    Returns:
      The new state, and reports in the places of `order`.
    """

    def on_device(task, state, order, count, targets, max_steps, length):
        num_steps = length if steps is None else steps

        def up_to(state, target):
            return _reported(
                train_chunk(recipe, task, stop, state, target, max_steps, rows, window, num_steps)
            )

        picked = jax.tree.map(lambda x: x[order], state)
        chosen, reports = jax.vmap(lambda *xs: jax.lax.scan(up_to, *xs))(picked, targets)
        # Places beyond `count` repeat some slot: their copy is sent out of bounds and dropped.
        kept = jnp.where(jnp.arange(order.size) < count[0], order, state.step.size)
        put = lambda leaf, new: leaf.at[kept].set(new, mode="drop")
        return jax.tree.map(put, state, chosen), reports

    specs = (_WHOLE, *[_ALONG] * 4, _WHOLE, _WHOLE)
    arguments = (task, state, order, count, targets, max_steps, length)
    return _over_devices(on_device, mesh, specs, (_ALONG, _ALONG))(*arguments)


@functools.partial(jax.jit, static_argnames=("mesh",), donate_argnames=("state",))
def reseat(
    mesh: Mesh, state: LaneState, order: jax.Array, count: jax.Array, states: LaneState
) -> LaneState:
    """Puts given states into slots: leaves [devices * G, ...], in the places of `order`."""

    def on_device(state, order, count, states):
        kept = jnp.where(jnp.arange(order.size) < count[0], order, state.step.size)
        put = lambda leaf, new: leaf.at[kept].set(new, mode="drop")
        return jax.tree.map(put, state, states)

    specs = (_ALONG, _ALONG, _ALONG, _ALONG)
    return _over_devices(on_device, mesh, specs, _ALONG)(state, order, count, states)


@functools.partial(jax.jit, static_argnames=("mesh",))
def take(mesh: Mesh, stacked: Any, slots: jax.Array) -> Any:
    """A copy of some slots of each device, as leaves [devices * G, ...]; int32[devices * G]."""
    pick = lambda stacked, slots: jax.tree.map(lambda leaf: leaf[slots], stacked)
    return _over_devices(pick, mesh, (_ALONG, _ALONG), _ALONG)(stacked, slots)


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
    lane, params = jax.tree.map(lambda leaf: leaf[0], (plan.table.lanes, plan.initial))
    shapes = jax.eval_shape(functools.partial(init_lane, plan.recipe), plan.task, lane, params)
    total = slots * mesh.size
    return jax.tree.map(lambda leaf: np.zeros((total, *leaf.shape), leaf.dtype), shapes)


def put(mesh: Mesh, tree: Any, *, whole: bool = False) -> Any:
    """Host arrays onto the mesh, split along their first axis or, with `whole`, on every device."""
    sharding = NamedSharding(mesh, _WHOLE if whole else _ALONG)

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


def _over_devices(fn: Callable[..., Any], mesh: Mesh, in_specs: Any, out_specs: Any) -> Any:
    # The check refuses loops that start from constants, and lanes never communicate anyway.
    return jax.shard_map(fn, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def _one_by_one(
    fn: Callable[..., Any], state: LaneState, order: jax.Array, count: jax.Array, inputs: Any
) -> tuple[LaneState, Any]:
    """Applies `fn` to the first `count` slots of `order`, in a loop of exactly that many turns."""
    fn = jax.jit(fn)  # so that it is traced once

    def turn(i, carry):
        state, outputs = carry
        slot = order[i]
        at = lambda tree, index: jax.tree.map(lambda leaf: leaf[index], tree)
        new, output = fn(at(state, slot), at(inputs, i))
        put = lambda index: lambda leaf, value: leaf.at[index].set(value)
        return jax.tree.map(put(slot), state, new), jax.tree.map(put(i), outputs, output)

    first = jax.tree.map(lambda leaf: leaf[0], (state, inputs))
    outputs = _zeros(jax.eval_shape(fn, *first)[1], order.size)
    return jax.lax.fori_loop(0, count, turn, (state, outputs))


def _reported(measured: tuple[LaneState, dict[str, jax.Array]]) -> tuple[LaneState, Report]:
    state, scalars = measured
    status = [jnp.int32(x) for x in (state.step, state.stopped, state.diverged)]
    return state, Report(jnp.stack([scalars[name] for name in sorted(scalars)]), jnp.stack(status))


def _zeros(shapes: Any, *leading: int) -> Any:
    return jax.tree.map(lambda leaf: jnp.zeros((*leading, *leaf.shape), leaf.dtype), shapes)
