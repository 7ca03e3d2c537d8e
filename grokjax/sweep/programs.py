"""The programs of a sweep: the only `jit`, `vmap` and `shard_map` of the library.

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
from jax.sharding import Mesh, PartitionSpec

from grokjax.models import Params
from grokjax.tasks import Task
from grokjax.train import Lane, LaneState, Recipe, StopFn, init_lane, record, train_chunk, train_to

AXIS = "lanes"
ALONG, WHOLE = PartitionSpec(AXIS), PartitionSpec()


class Report(NamedTuple):
    """What the host learns of lanes after a call: two arrays, since each costs a transfer."""

    scalars: jax.Array  # float32[..., n, M], n times the measurements in alphabetical order
    status: jax.Array  # int32[..., n, 3]: step, stopped, diverged


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

    specs = (WHOLE, *[ALONG] * 5)
    arguments = (task, state, order, count, lanes, params)
    return _over_devices(on_device, mesh, specs, ALONG)(*arguments)


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

    specs = (WHOLE, *[ALONG] * 4, WHOLE)
    arguments = (task, state, order, count, targets, max_steps)
    return _over_devices(on_device, mesh, specs, (ALONG, ALONG))(*arguments)


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
        measured = lambda state: _reported(record(recipe, task, stop, state))
        measured = jax.jit(measured, inline=True)  # traced once, as in `_one_by_one`

        def one(state, trained):
            skipped = lambda state: (state, _zeros(jax.eval_shape(measured, state)[1]))
            state, report = jax.lax.cond(trained, measured, skipped, state)
            return state, jax.tree.map(lambda x: x[None], report)

        return _one_by_one(one, state, order, count[0], trained)

    specs = (WHOLE, *[ALONG] * 4)
    arguments = (task, state, order, count, trained)
    return _over_devices(on_device, mesh, specs, (ALONG, ALONG))(*arguments)


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

    specs = (WHOLE, *[ALONG] * 4, WHOLE, WHOLE)
    arguments = (task, state, order, count, targets, max_steps, length)
    return _over_devices(on_device, mesh, specs, (ALONG, ALONG))(*arguments)


@functools.partial(jax.jit, static_argnames=("mesh",), donate_argnames=("state",))
def reseat(
    mesh: Mesh, state: LaneState, order: jax.Array, count: jax.Array, states: LaneState
) -> LaneState:
    """Puts given states into slots: leaves [devices * G, ...], in the places of `order`."""

    def on_device(state, order, count, states):
        kept = jnp.where(jnp.arange(order.size) < count[0], order, state.step.size)
        put = lambda leaf, new: leaf.at[kept].set(new, mode="drop")
        return jax.tree.map(put, state, states)

    specs = (ALONG, ALONG, ALONG, ALONG)
    return _over_devices(on_device, mesh, specs, ALONG)(state, order, count, states)


@functools.partial(jax.jit, static_argnames=("mesh",))
def take(mesh: Mesh, stacked: Any, slots: jax.Array) -> Any:
    """A copy of some slots of each device, as leaves [devices * G, ...]; int32[devices * G]."""
    pick = lambda stacked, slots: jax.tree.map(lambda leaf: leaf[slots], stacked)
    return _over_devices(pick, mesh, (ALONG, ALONG), ALONG)(stacked, slots)


def _over_devices(fn: Callable[..., Any], mesh: Mesh, in_specs: Any, out_specs: Any) -> Any:
    # The check refuses loops that start from constants, and lanes never communicate anyway.
    return jax.shard_map(fn, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def _one_by_one(
    fn: Callable[..., Any], state: LaneState, order: jax.Array, count: jax.Array, inputs: Any
) -> tuple[LaneState, Any]:
    """Applies `fn` to the first `count` slots of `order`, in a loop of exactly that many turns.

    Programs compile sooner for what is not in them: places are not checked, since all of them
    exist, and what `fn` returns as it got it is not written.
    """
    fn = jax.jit(fn, inline=True)  # so that it is traced once, and such values stay the same ones

    def at(tree: Any, index: jax.Array) -> Any:
        get = functools.partial(
            jax.lax.dynamic_index_in_dim, keepdims=False, allow_negative_indices=False
        )
        return jax.tree.map(lambda leaf: get(leaf, index), tree)

    def put(leaf: jax.Array, value: jax.Array, index: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_index_in_dim(
            leaf, value, index, axis=0, allow_negative_indices=False
        )

    def turn(i, carry):
        state, outputs = carry
        slot = at(order, i)
        old = at(state, slot)
        new, output = fn(old, at(inputs, i))
        replaced = lambda leaf, old, new: leaf if new is old else put(leaf, new, slot)
        outputs = jax.tree.map(lambda leaf, value: put(leaf, value, i), outputs, output)
        return jax.tree.map(replaced, state, old, new), outputs

    first = jax.tree.map(lambda leaf: leaf[0], (state, inputs))
    outputs = _zeros(jax.eval_shape(fn, *first)[1], order.size)
    return jax.lax.fori_loop(0, count, turn, (state, outputs))


def _reported(measured: tuple[LaneState, dict[str, jax.Array]]) -> tuple[LaneState, Report]:
    state, scalars = measured
    status = [jnp.int32(x) for x in (state.step, state.stopped, state.diverged)]
    return state, Report(jnp.stack([scalars[name] for name in sorted(scalars)]), jnp.stack(status))


def _zeros(shapes: Any, *leading: int) -> Any:
    return jax.tree.map(lambda leaf: jnp.zeros((*leading, *leaf.shape), leaf.dtype), shapes)
