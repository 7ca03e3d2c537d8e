"""How far a network and its kernel have moved, and the knob that makes it lazy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernel_networks import Deep, Linear, assert_close, compiled, jacobian, probe, split

import grokjax
from grokjax import kernels, losses, models, optimizers, tasks


def test_linear_networks_have_no_kernel_distance_and_stay_in_the_span():
    model, (task, train) = Linear(7), split(7, 0.4)
    tokens = jnp.asarray(task.tokens[train])
    initial = model.init(jax.random.key(0), tokens)
    loss = lambda params: losses.mse(model.apply(params, tokens), task.labels[train]).mean()
    params = initial
    gradient = jax.jit(jax.grad(loss))
    for _ in range(5):
        params = jax.tree.map(lambda w, g: w - g, params, gradient(params))
    at_start = compiled(kernels.trace, model)(initial, tokens)
    now = compiled(kernels.trace, model)(params, tokens)
    assert kernels.distance(now, at_start) == pytest.approx(0, abs=1e-6)
    assert kernels.norm_ratio(now, at_start) == pytest.approx(1)
    assert compiled(kernels.span_fraction, model)(params, initial, tokens) == pytest.approx(
        1, abs=1e-5
    )
    assert_close(
        compiled(kernels.linearized, model)(params, initial, tokens), model.apply(params, tokens)
    )
    # Constants that cancel between the operands change no output: half of this motion is wasted.
    wasted = np.stack([np.ones((7, 7)), -np.ones((7, 7))])
    wasted *= np.linalg.norm(params["w"] - initial["w"]) / np.linalg.norm(wasted)
    elsewhere = {"w": params["w"] + wasted}
    half = compiled(kernels.span_fraction, model)(elsewhere, initial, tokens)
    assert half == pytest.approx(0.5, abs=1e-4)


# Motion


def test_span_fraction_is_the_projection():
    model, tokens = models.QuadraticMLP(5, 12), probe(5, 9)[0]
    initial, params = model.init(jax.random.key(0)), model.init(jax.random.key(1))
    rows = jacobian(model, initial, tokens).reshape(45, -1)
    moved = np.concatenate(
        [np.ravel(params[name] - initial[name]) for name in ("w1", "w2")]
    ).astype(np.float64)
    inside = rows.T @ np.linalg.lstsq(rows.T, moved, rcond=None)[0]
    expected = inside @ inside / (moved @ moved)
    assert 0.1 < expected < 0.6
    found = compiled(kernels.span_fraction, model)(params, initial, tokens)
    assert found == pytest.approx(expected, abs=1e-4)
    # Fewer iterations are a lower bound, and size is no matter.
    few = compiled(kernels.span_fraction, model, iterations=2)(params, initial, tokens)
    assert 0.5 * expected < few < found
    near = jax.tree.map(lambda x, x0: x0 + 1e-3 * (x - x0), params, initial)
    assert compiled(kernels.span_fraction, model)(near, initial, tokens) == pytest.approx(
        expected, abs=1e-3
    )
    assert np.isnan(compiled(kernels.span_fraction, model)(initial, initial, tokens))


def test_relative_motion():
    initial = {"a": np.array([3.0, 0.0]), "b": {"c": np.array([[4.0]])}}
    moved = {"a": np.array([3.0, 3.0]), "b": {"c": np.array([[0.0]])}}
    assert kernels.relative_motion(moved, initial) == pytest.approx(1.0)


def test_linearized_network_is_tangent():
    model, tokens = Deep(5), probe(5, 6)[0]
    initial, direction = (model.init(jax.random.key(k), tokens) for k in (0, 1))

    def error(size):
        params = jax.tree.map(lambda x, d: x + size * d, initial, direction)
        gap = compiled(kernels.linearized, model)(params, initial, tokens) - model.apply(
            params, tokens
        )
        return float(jnp.abs(gap).max())

    assert error(0.0) < 1e-6
    assert error(0.01) == pytest.approx(error(0.02) / 4, rel=0.2)  # of second order


# The laziness knob


def test_centred_networks_start_at_zero_and_keep_their_start(tmp_path):
    """Under weight decay too, which would shrink anything that is trained, and after a resume."""
    task = tasks.modular_addition(5)
    model = kernels.Centred(models.QuadraticMLP(5, 8, parameterization="standard"))
    recipe = grokjax.Recipe(model, losses.mse, optimizers.adamw, penalty=losses.l2)
    lanes = grokjax.grid(
        logit_scale=[1.0, 3.0], init_scale=2.0, l2=0.1, learning_rate=0.1, weight_decay=1.0
    )
    options = {"eval_every": 5, "stop": None, "keep_params": "all", "progress": False}
    result = grokjax.run_sweep(recipe, task, lanes, max_steps=10, directory=tmp_path, **options)
    np.testing.assert_allclose(result.dataset.train_loss.isel(time=0), 0.2, rtol=1e-6)
    initial, trained = result.params["initial"], result.params["trained"]
    for name in ("w1", "w2"):
        assert (initial[name] == trained[name][:, :1]).all()
        assert (trained[name][:, -1] != trained[name][:, 0]).all()
    again = grokjax.run_sweep(recipe, task, lanes, max_steps=10, directory=tmp_path, **options)
    assert again.dataset.equals(result.dataset)


def test_the_knob_makes_a_network_lazy():
    """Same speed in function space, less and less motion, and the kernel that it began with."""
    p, inner = 5, models.QuadraticMLP(5, 32)
    task = tasks.modular_addition(p)
    recipe = grokjax.Recipe(kernels.Centred(inner), losses.mse, optimizers.gradient_descent)
    scale = np.array([1.0, 10.0, 100.0])
    lanes = grokjax.zip_lanes(
        alpha=np.full(3, 0.6), logit_scale=scale, learning_rate=100.0 / scale**2
    )
    result = grokjax.run_sweep(
        recipe, task, lanes, max_steps=60, eval_every=60, stop=None, progress=False
    )
    initial, trained = result.params["initial"], result.params["trained"]
    motion, distance, gap = [], [], []
    for lane in range(3):
        params, start = ({k: x[lane] for k, x in tree.items()} for tree in (trained, initial))
        motion.append(float(kernels.relative_motion(params, start)))
        both = [compiled(kernels.quadratic_trace, inner)(x, task.tokens) for x in (params, start)]
        distance.append(float(kernels.distance(*both)))
        logits = inner.apply(params, task.tokens)
        lazy = compiled(kernels.linearized, inner)(params, start, task.tokens)
        moved = logits - inner.apply(start, task.tokens)
        gap.append(float(jnp.abs(logits - lazy).max() / jnp.abs(moved).max()))
    assert motion[0] > 5 * motion[1] > 30 * motion[2]
    assert distance[0] > 5 * distance[1] > 100 * distance[2]
    assert gap[0] > 0.5 > 0.03 > gap[2]
    # Lazy networks descend alike, and the rich one faster.
    loss = result.dataset.train_loss.isel(time=-1).values
    assert loss[1] == pytest.approx(loss[2], rel=0.05)
    assert loss[0] < 0.1 * loss[1]
