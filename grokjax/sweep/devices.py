"""The devices of a sweep: its slots, and the only `jit`, `vmap` and `shard_map` of the library.

A *slot* is a place on a device that a lane occupies while it trains. The state of all slots lives
on the devices as one stacked `LaneState`, sharded over a one-axis mesh. A program gets the slots to
work on as data (`order`, `count`), so who sits where, how many lanes are left and what their
numbers are never recompiles anything. Lanes do not talk to each other: the compiled programs
contain no collective operation.
"""

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
    is_done,
    record,
    train_chunk,
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

    def __init__(self, plan: Plan, mesh: Mesh, slots: int, vectorize: bool, measurements: int = 1):
        self.mesh, self.slots, self.vectorize = mesh, slots, vectorize
        # A copy of the parameters at every measurement needs a call for each.
        self.measurements = 1 if plan.keep_params == "all" else measurements
        self.state: LaneState
        self._table, self._initial = plan.table.lanes, plan.initial
        self._fixed = (plan.recipe, put(mesh, plan.task, whole=True), plan.stop, mesh)
        self._max_steps = put(mesh, np.int32(plan.max_steps), whole=True)
        self._window, self._common = shuffle_window(plan), common_steps(plan.measure_at)
        self._seats: dict[int, Any] = {}  # by padded size: what the devices were sent last
        self._lengths: dict[
            int, jax.Array
        ] = {}  # by its value: the steps of a call, on the devices

    def set_state(self, state: LaneState) -> None:
        """Puts a state of all slots, on the host, onto the devices."""
        self.state = put(self.mesh, state)

    def admit(self, call: Call) -> Report:
        """Puts the lanes of a call into their slots, at step 0, and measures them."""
        new = call.lanes.ravel()
        lanes, initial = jax.tree.map(lambda leaf: leaf[new], (self._table, self._initial))
        arguments = put(self.mesh, (call.order.ravel(), call.count, lanes, initial))
        self.state, report = admit(*self._fixed, self.state, *arguments)
        return report

    def reseat(self, call: Call, states: LaneState) -> None:
        """Puts lanes that have trained before into the slots of a call: host arrays, lanes first.

        The states stand in the places of the call's lanes.
        """
        order, count = put(self.mesh, (call.order.ravel(), call.count))
        self.state = reseat(self.mesh, self.state, order, count, put(self.mesh, states))

    def train(self, call: Call) -> Report:
        """Trains the lanes of a call up to their next measurements, and measures them."""
        seats = (call.order.ravel(), call.count)
        last = self._seats.get(call.rows)
        if last is None or not all(
            map(np.array_equal, seats, last[0])
        ):  # mostly they are as before
            last = self._seats[call.rows] = seats, put(self.mesh, seats)
        if call.steps not in self._lengths:
            self._lengths[call.steps] = put(self.mesh, np.int32(call.steps), whole=True)
        targets = put(self.mesh, call.targets.reshape(call.order.size, -1))
        self.state, report = train(
            *self._fixed, self.state, *last[1], targets, self._max_steps,
            self._lengths[call.steps],
            rows=whole_tiles(self.mesh, call.rows), window=self._window,
            vectorize=self.vectorize,
            # Compiled for the number that nearly all calls have; others are data.
            steps=call.steps if call.steps == self._common else None,
        )  # fmt: skip
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


@functools.partial(
    jax.jit,
    static_argnames=("recipe", "stop", "mesh", "rows", "window", "vectorize", "steps"),
    donate_argnames=("state",),
)
def train(
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
    vectorize: bool,
    steps: int | None,
) -> tuple[LaneState, Report]:
    """Trains the lanes in some slots up to their next measurements.

    Args:
      recipe: static, like `stop`, `mesh` and all that follows `length`.
      task: the table, on every device.
      stop: when a lane is done.
      mesh: the devices.
      state: all slots; its buffers are reused.
      order: int32[devices * G], slot numbers on each device; the first `count` are worked on.
      count: int32[devices].
      targets: int32[devices * G, n], the steps to train to and to measure at.
      max_steps: int32[], the budget.
      length: int32[], the steps between two of the targets, if `steps` is None: side by side all
        lanes take as many, and one whose next target is not as far away waits for another call.
      rows: what the training rows of these lanes are padded to.
      window: as in `train_steps`.
      vectorize: lanes side by side instead of one after another.
      steps: `length`, where it is known when compiling.

    Returns:
      The new state, and reports in the places of `order`.
    """

    def on_device(task, state, order, count, targets, max_steps, length):
        def up_to(target, state, num_steps):
            return _reported(
                train_chunk(recipe, task, stop, state, target, max_steps, rows, window, num_steps)
            )

        def side_by_side(state, targets):
            num_steps = length if steps is None else steps
            return jax.lax.scan(lambda state, x: up_to(x, state, num_steps), state, targets)

        if vectorize:
            picked = jax.tree.map(lambda x: x[order], state)
            chosen, reports = jax.vmap(side_by_side)(picked, targets)
            # Places beyond `count` repeat some slot: their copy is sent out of bounds and dropped.
            kept = jnp.where(jnp.arange(order.size) < count[0], order, state.step.size)
            put = lambda leaf, new: leaf.at[kept].set(new, mode="drop")
            return jax.tree.map(put, state, chosen), reports

        def unless_done(state, target):
            skipped = lambda: (state, _zeros(jax.eval_shape(up_to, target, state, None)[1]))
            return jax.lax.cond(
                is_done(state, max_steps), skipped, lambda: up_to(target, state, None)
            )

        one = lambda state, targets: jax.lax.scan(unless_done, state, targets)
        return _one_by_one(one, state, order, count[0], targets)

    return _over_devices(
        on_device, mesh, (_WHOLE, *[_ALONG] * 4, _WHOLE, _WHOLE), (_ALONG, _ALONG)
    )(task, state, order, count, targets, max_steps, length)


@functools.partial(jax.jit, static_argnames=("recipe", "stop", "mesh"), donate_argnames=("state",))
def admit(
    recipe: Recipe,
    task: Task,
    stop: StopFn | None,
    mesh: Mesh,
    state: LaneState,
    order: jax.Array,
    count: jax.Array,
    lanes: Lane,
    params: Params | None,
) -> tuple[LaneState, Report]:
    """Puts new lanes into slots, at step 0, and measures them.

    Args: as in `train`, and
      lanes: the coordinates of the new lanes, in the places of `order`.
      params: their initial parameters, or None for the model's own.
    """

    def on_device(task, state, order, count, lanes, params):
        def one(_, new):
            lane, params = new
            fresh = init_lane(recipe, task, lane, params)
            state, report = _reported(record(recipe, task, stop, fresh))
            return state, jax.tree.map(lambda x: x[None], report)

        return _one_by_one(one, state, order, count[0], (lanes, params))

    return _over_devices(
        on_device, mesh, (_WHOLE, _ALONG, _ALONG, _ALONG, _ALONG, _ALONG), (_ALONG, _ALONG)
    )(task, state, order, count, lanes, params)


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
) -> tuple[LaneState, Report]:
    """Applies `fn` to the first `count` slots of `order`, in a loop of exactly that many turns."""

    def turn(i, carry):
        state, reports = carry
        slot = order[i]
        at = lambda tree, index: jax.tree.map(lambda leaf: leaf[index], tree)
        new, report = fn(at(state, slot), at(inputs, i))
        put = lambda index: lambda leaf, value: leaf.at[index].set(value)
        return jax.tree.map(put(slot), state, new), jax.tree.map(put(i), reports, report)

    first = jax.tree.map(lambda leaf: leaf[0], (state, inputs))
    report = jax.eval_shape(fn, *first)[1]
    reports = _zeros(report, order.size)
    return jax.lax.fori_loop(0, count, turn, (state, reports))


def _reported(measured: tuple[LaneState, dict[str, jax.Array]]) -> tuple[LaneState, Report]:
    state, scalars = measured
    status = [jnp.int32(x) for x in (state.step, state.stopped, state.diverged)]
    return state, Report(jnp.stack([scalars[name] for name in sorted(scalars)]), jnp.stack(status))


def _zeros(shapes: Any, *leading: int) -> Any:
    return jax.tree.map(lambda leaf: jnp.zeros((*leading, *leaf.shape), leaf.dtype), shapes)
