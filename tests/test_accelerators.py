"""What an accelerator would be given: programs without scatters, sorts or unknown trip counts.

Nothing here runs on one; the programs are traced, and lowered for CUDA and TPU on the CPU.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

import grokjax
from grokjax import losses, models, optimizers, tasks, train
from grokjax.models.lookup import look_up, look_up_sum
from grokjax.sweep import devices, plan, programs, schedule

P, LANES, ROWS = 7, 3, 20
TASK = tasks.modular_addition(P)
MODELS = {
    "quadratic": models.QuadraticMLP(P, 8),
    "standard": models.QuadraticMLP(P, 8, parameterization="standard", normalize=True),
    "mlp": models.MLP(P, hidden=(8, 8)),
    "embedding": models.MLP(P, hidden=(8, 8), embedding=4),
    "lstm": models.LSTM(P, layers=1, width=8),
    "transformer": models.Transformer(P, layers=1, width=8, heads=2),
    "reading the last": models.Transformer(
        P, layers=1, width=8, heads=2, norm="pre", readout="last"
    ),
    "equation": models.Transformer(P, layers=1, width=8, heads=2, equation=True),
    "noisy": models.with_weight_noise(models.QuadraticMLP(P, 8)),
}


def recipe(model, loss=losses.cross_entropy, batch_size=None):
    return grokjax.Recipe(model, loss, optimizers.adamw, batch_size=batch_size)


def states(recipe):
    table = grokjax.grid(alpha=0.4, seed=range(LANES), learning_rate=1e-2, weight_decay=1.0)
    lanes = train.lanes(recipe, TASK, table)
    return jax.vmap(lambda lane: train.init_lane(recipe, TASK, lane))(lanes)


def step_of_lanes(recipe):
    """A training step of lanes side by side, on all of their rows, and its arguments."""
    tokens, labels = TASK.tokens[:ROWS], TASK.labels[:ROWS]
    weights = jnp.full(ROWS, 1 / ROWS)
    step = jax.vmap(lambda state: train.train_step(recipe, state, tokens, labels, weights))
    return jax.jit(step), jax.eval_shape(lambda: states(recipe))


@pytest.mark.parametrize("name", MODELS)
def test_a_step_of_any_model_has_no_scatter_and_no_sort(name):
    step, state = step_of_lanes(recipe(MODELS[name]))
    text = step.trace(state).lower(lowering_platforms=("cuda", "tpu")).as_text()
    assert "dot_general" in text
    assert not re.findall(r"stablehlo\.(?:scatter|sort)|top_k", text)


@pytest.mark.parametrize(
    "loss",
    [losses.mse, losses.cross_entropy, losses.softmax_mse, losses.stablemax_cross_entropy],
)
def test_a_step_on_any_loss_has_no_scatter(loss):
    step, state = step_of_lanes(recipe(MODELS["quadratic"], loss))
    text = step.trace(state).lower(lowering_platforms=("cuda", "tpu")).as_text()
    assert "scatter" not in text


def test_the_gradient_of_a_lookup_is_the_same_on_every_platform(monkeypatch):
    table = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2, 3)), jnp.float32)
    rows = jnp.array([[0, 4, 4], [2, -1, 9]])
    squares = lambda table, rows: jnp.sum(jnp.sin(look_up(table, rows)) ** 2)
    plain = lambda table, rows: jnp.sum(jnp.sin(table[jnp.clip(rows, 0, 4)]) ** 2)
    expected = jax.grad(plain)(table, rows)
    np.testing.assert_allclose(jax.grad(squares)(table, rows), expected, rtol=1e-6)
    moved = jax.jvp(lambda t: look_up(t, rows), (table,), (table,))[1]
    np.testing.assert_array_equal(moved, look_up(table, rows))
    on_gpu = lambda *args, cpu, default: default(*args)
    monkeypatch.setattr(jax.lax, "platform_dependent", on_gpu)
    assert "scatter" not in str(jax.make_jaxpr(jax.grad(squares))(table, rows))
    np.testing.assert_allclose(jax.grad(squares)(table, rows), expected, rtol=1e-6)
    moved = jax.jvp(lambda t: look_up(t, rows), (table,), (table,))[1]
    np.testing.assert_array_equal(moved, look_up(table, rows))


def test_a_sum_of_lookups_is_the_same_on_every_platform(monkeypatch):
    generator = np.random.default_rng(0)
    tables = jnp.asarray(generator.normal(size=(2, 5, 3)), jnp.float32)
    rows = jnp.array([[0, 4], [2, -1], [-1, -1], [9, 3], [2, 4]])
    inside = np.minimum(rows, 4)
    expected = sum(np.where(inside[:, s, None] < 0, 0, tables[s][inside[:, s]]) for s in range(2))
    squares = lambda tables: jnp.sum(jnp.sin(look_up_sum(tables, rows)) ** 2)
    multi_hot = jnp.concatenate([jax.nn.one_hot(inside[:, s], 5) for s in range(2)], axis=1)
    plain = lambda tables: jnp.sum(jnp.sin(multi_hot @ tables.reshape(10, 3)) ** 2)
    on_gpu = lambda *args, cpu, default: default(*args)
    for platform in ("cpu", "gpu"):
        if platform == "gpu":
            monkeypatch.setattr(jax.lax, "platform_dependent", on_gpu)
            assert "scatter" not in str(jax.make_jaxpr(jax.grad(squares))(tables))
        np.testing.assert_array_equal(look_up_sum(tables, rows), expected)
        moved = jax.jvp(lambda t: look_up_sum(t, rows), (tables,), (tables,))[1]
        np.testing.assert_allclose(moved, expected, rtol=1e-6)
        found = jax.grad(squares)(tables)
        np.testing.assert_allclose(found, jax.grad(plain)(tables), rtol=1e-5, atol=1e-6)


def test_rows_of_a_full_batch_are_prepared_outside_of_the_steps():
    chosen = recipe(models.QuadraticMLP(P, 8), losses.mse)
    state = jax.tree.map(lambda x: x[0], states(chosen))
    steps = lambda state: train.train_steps(chosen, TASK, state, 6, ROWS)
    program = jax.make_jaxpr(steps)(state).jaxpr
    one_hot = lambda eqn: eqn.outvars and getattr(eqn.outvars[0].aval, "shape", ()) == (ROWS, 2, P)
    made = [loops for eqn, loops in operations(program) if one_hot(eqn)]
    assert made
    assert set(made) == {()}


def inner(eqn):
    """The programs inside of an operation."""
    values = [v for x in eqn.params.values() for v in (x if isinstance(x, tuple | list) else [x])]
    return [
        getattr(value, "jaxpr", value)
        for value in values
        if isinstance(value, core.ClosedJaxpr | core.Jaxpr)
    ]


def operations(jaxpr, loops=()):
    """Every operation of a program, with the lengths of the loops around it."""
    for eqn in jaxpr.eqns:
        yield eqn, loops
        around = (*loops, eqn.params["length"]) if eqn.primitive.name == "scan" else loops
        for program in inner(eqn):
            yield from operations(program, around)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_lanes_side_by_side_share_a_trip_count_that_is_known(batch_size):
    chosen = recipe(MODELS["quadratic"], batch_size=batch_size)
    table = grokjax.grid(alpha=[0.5, 0.8], seed=[0, 1], learning_rate=1e-2, weight_decay=1.0)
    planned = plan.make_plan(
        chosen, TASK, table, max_steps=90, eval_every=30, stop=grokjax.grokked(),
        keep_params="none", initial=None,
    )  # fmt: skip
    mesh = grokjax.lane_mesh(jax.devices()[:1])
    on = devices.Devices(planned, mesh, 4, vectorize=True)
    on.set_state(devices.empty_slots(planned, mesh, 4))
    queue = schedule.Schedule.of(
        planned.rows, planned.table.lanes.num_train, planned.measure_at, 1, 4
    )
    queue.admit()
    (call,) = queue.calls(True, 3)
    window = devices.shuffle_window(planned)
    program = jax.make_jaxpr(
        lambda state, targets: programs.train_side_by_side(
            chosen, TASK, planned.stop, mesh, state, call.order.ravel(), call.count, targets,
            jnp.int32(90), jnp.int32(30), rows=call.rows, window=window, steps=30,
        )
    )(on.state, call.targets.reshape(4, 3))  # fmt: skip
    found = list(operations(program.jaxpr))
    loops = {around for _, around in found}
    assert not [eqn for eqn, _ in found if eqn.primitive.name == "while"]
    # Three measurements of 30 steps; an epoch of minibatches is shuffled outside of its steps.
    if batch_size is None:
        assert (3, 30) in loops
    else:
        assert window >= 2
        assert (3, -(-30 // window), window) in loops or (3, 30 // window, window) in loops
    sorts = {around for eqn, around in found if eqn.primitive.name == "sort"}
    assert all(len(around) < 3 for around in sorts), sorts
    assert bool(sorts) == (batch_size is not None)
    # A lane that is done is put back between two measurements, not in every step.
    w1 = on.state.params["w1"].shape
    selects = [
        around
        for eqn, around in found
        if eqn.primitive.name == "select_n" and eqn.outvars[0].aval.shape == w1
    ]
    assert selects
    assert all(around == (3,) for around in selects)
