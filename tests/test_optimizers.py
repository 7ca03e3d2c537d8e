"""Optimizers, and what can be put before and after them, against formulas in NumPy float64."""

import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from grokjax import optimizers

STEPS = 9
SHAPES = {"a": (3, 4), "b": (5,)}
rng = np.random.default_rng(0)
START = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
GRADIENTS = {name: rng.normal(size=(STEPS, *shape)) for name, shape in SHAPES.items()}


def trajectory(transformation, key):
    """Parameters after each step on the fixed gradients, by the optax transformation."""
    transformation = optax.with_extra_args_support(transformation)

    def step(carry, gradient):
        params, state, key = carry
        key, own = jax.random.split(key)
        updates, state = transformation.update(gradient, state, params, key=own)
        params = optax.apply_updates(params, updates)
        return (params, state, key), params

    start = jax.tree.map(jnp.asarray, START)
    carry = (start, transformation.init(start), key)
    return jax.lax.scan(step, carry, jax.tree.map(jnp.asarray, GRADIENTS))[1]


def by_hand(step, **numbers):
    """The same by `step(w, gradients so far, memory, **numbers)`, array by array."""
    path = {}
    for name, w in START.items():
        memory, path[name] = {"start": w}, []
        for t in range(STEPS):
            w = step(w, GRADIENTS[name][: t + 1], memory, **numbers)
            path[name].append(w)
        path[name] = np.array(path[name])
    return path


def rate(learning_rate, warmup, t):
    return learning_rate * min(1, t / warmup) if warmup else learning_rate


def direction_sgd(g, memory, momentum, nesterov):
    """torch.optim.SGD: the buffer starts as the first gradient."""
    buffer = momentum * memory["buffer"] + g if "buffer" in memory else g
    memory["buffer"] = buffer
    return g + momentum * buffer if nesterov else buffer


def direction_adam(g, memory, t, b1, b2, eps):
    m = b1 * memory.get("m", 0) + (1 - b1) * g
    v = b2 * memory.get("v", 0) + (1 - b2) * g**2
    memory |= {"m": m, "v": v}
    return (m / (1 - b1 ** (t + 1))) / (np.sqrt(v / (1 - b2 ** (t + 1))) + eps)


def numpy_descent(w, g, memory, learning_rate, weight_decay=0.0, warmup=0):
    return w - rate(learning_rate, warmup, len(g) - 1) * (g[-1] + weight_decay * w)


def numpy_sgd(
    w, g, memory, learning_rate, momentum=0.9, weight_decay=0.0, warmup=0, nesterov=False
):
    d = direction_sgd(g[-1] + weight_decay * w, memory, momentum, nesterov)
    return w - rate(learning_rate, warmup, len(g) - 1) * d


def numpy_nesterov(w, g, memory, **numbers):
    return numpy_sgd(w, g, memory, nesterov=True, **numbers)


def numpy_adamw(
    w, g, memory, learning_rate, weight_decay=1.0, b1=0.9, b2=0.98, eps=1e-8, warmup=0, to_init=0
):
    t = len(g) - 1
    step = direction_adam(g[-1], memory, t, b1, b2, eps)
    return w - rate(learning_rate, warmup, t) * (step + weight_decay * (w - to_init))


def numpy_adam(w, g, memory, **numbers):
    return numpy_adamw(w, g, memory, weight_decay=0.0, **numbers)


def numpy_adamw_to_init(w, g, memory, **numbers):
    return numpy_adamw(w, g, memory, to_init=memory["start"], **numbers)


def numpy_rmsprop(w, g, memory, learning_rate, decay=0.9, eps=1e-8, weight_decay=0.0, warmup=0):
    """torch.optim.RMSprop, with decoupled decay: eps is outside of the root."""
    v = memory["v"] = decay * memory.get("v", 0) + (1 - decay) * g[-1] ** 2
    step = g[-1] / (np.sqrt(v) + eps) + weight_decay * w
    return w - rate(learning_rate, warmup, len(g) - 1) * step


def numpy_grokfast_ema(w, g, memory, ema_decay=0.98, lamb=2.0, **numbers):
    """gradfilter_ema: the average starts as the first gradient."""
    mean = ema_decay * memory.get("mean", g[0]) + (1 - ema_decay) * g[-1]
    memory["mean"] = mean
    return numpy_adamw(w, [*g[:-1], g[-1] + lamb * mean], memory, **numbers)


def numpy_grokfast_ma(w, g, memory, lamb=5.0, window=100, **numbers):
    """gradfilter_ma(warmup=True): a deque of the last gradients, ignored until it is full."""
    full = len(g) >= window
    filtered = g[-1] + lamb * np.mean(g[-window:], axis=0) if full else g[-1]
    return numpy_adamw(w, [*g[:-1], filtered], memory, **numbers)


def numpy_grokfast_ma_4(w, g, memory, **numbers):
    return numpy_grokfast_ma(w, g, memory, window=4, **numbers)


def orthogonal(g, w):
    rest = g - (w * g).sum() / (w * w).sum() * w
    return rest * np.linalg.norm(g) / np.linalg.norm(rest)


def numpy_orthograd(w, g, memory, **numbers):
    return numpy_adam(w, [*g[:-1], orthogonal(g[-1], w)], memory, **numbers)


def numpy_orthogonal_nesterov(w, g, memory, **numbers):
    return numpy_nesterov(w, [*g[:-1], orthogonal(g[-1], w)], memory, **numbers)


ma_of_4 = optimizers.chain(optimizers.grokfast_ma_filter(4), optimizers.adamw)
orthogonal_nesterov = optimizers.chain(optimizers.orthograd_filter, optimizers.nesterov)
silent_noise = optimizers.with_update_noise(optimizers.rmsprop)
RATE = {"learning_rate": 0.1}
DECAY = {"weight_decay": 0.3}
WARM = {"warmup": 4}
CASES = [
    (optimizers.gradient_descent, numpy_descent, DECAY),
    (optimizers.gradient_descent, numpy_descent, WARM),
    (optimizers.momentum, numpy_sgd, {"momentum": 0.7} | WARM),
    (optimizers.nesterov, numpy_nesterov, DECAY),
    (optimizers.nesterov, numpy_nesterov, WARM),
    (optimizers.adam, numpy_adam, WARM),
    (optimizers.adam, numpy_adam, {"b1": 0.5, "b2": 0.7, "eps": 0.1}),
    (optimizers.adamw, numpy_adamw, DECAY | WARM),
    (optimizers.adamw_to_init, numpy_adamw_to_init, {}),
    (optimizers.adamw_to_init, numpy_adamw_to_init, DECAY | WARM),
    (optimizers.rmsprop, numpy_rmsprop, DECAY | {"decay": 0.99, "eps": 0.2}),
    (optimizers.rmsprop, numpy_rmsprop, WARM),
    (optimizers.grokfast_ema, numpy_grokfast_ema, DECAY),
    (optimizers.grokfast_ema, numpy_grokfast_ema, {"ema_decay": 0.6, "lamb": 3.0} | WARM),
    (optimizers.grokfast_ma, numpy_grokfast_ma, DECAY),
    (ma_of_4, numpy_grokfast_ma_4, DECAY | {"lamb": 2.0}),
    (optimizers.orthograd, numpy_orthograd, {}),
    (orthogonal_nesterov, numpy_orthogonal_nesterov, {"momentum": 0.5} | WARM),
    (silent_noise, numpy_rmsprop, {"decay": 0.8} | WARM),
]
IDS = [f"{i}-{case[1].__name__}" for i, case in enumerate(CASES)]


@pytest.mark.parametrize(("optimizer", "step", "numbers"), CASES, ids=IDS)
def test_a_trajectory_follows_the_formula(optimizer, step, numbers):
    expected = by_hand(step, **RATE, **numbers)
    with jax.enable_x64(True):
        run = jax.jit(lambda key: trajectory(optimizer(**RATE, **numbers), key))
        path = run(jax.random.key(0))
    for name in SHAPES:
        assert path[name].dtype == np.float64
        np.testing.assert_allclose(path[name], expected[name], rtol=1e-9, atol=1e-12)
        assert np.abs(expected[name][-1] - START[name]).max() > 0.01


@pytest.mark.parametrize(("optimizer", "step", "numbers"), CASES, ids=IDS)
def test_numbers_may_be_traced_and_differ_between_lanes(optimizer, step, numbers):
    """All arguments at once, those with defaults too, as a sweep passes them, in float32."""
    parameters = inspect.signature(optimizer).parameters
    lane = {name: x.default for name, x in parameters.items() if x.default is not x.empty}
    lane |= RATE | numbers
    other = lane | {"learning_rate": 0.01}
    columns = {name: jnp.float32([lane[name], other[name]]) for name in lane}
    run = lambda numbers: trajectory(optimizer(**numbers), jax.random.key(0))
    paths = jax.jit(jax.vmap(run))(columns)
    for i, one in enumerate((lane, other)):
        expected = by_hand(step, **{k: x for k, x in one.items() if k != "update_noise"})
        for name in SHAPES:
            np.testing.assert_allclose(paths[name][i], expected[name], rtol=5e-4, atol=2e-5)


def test_every_public_name_has_a_test_here():
    public = {
        name: fn
        for name, fn in vars(optimizers).items()
        if not name.startswith("_")
        and getattr(fn, "__module__", "").startswith(optimizers.__name__)
    }
    combinators = {"chain", "with_update_noise", "add_update_noise", "check_hyperparameters"}
    filters = {"grokfast_ema_filter", "grokfast_ma_filter", "orthograd_filter"}
    tested = [case[0] for case in CASES]
    assert all(fn in tested for name, fn in public.items() if name not in combinators | filters)
    assert combinators | filters <= public.keys()


def test_the_first_update_of_a_warmup_is_zero_and_the_last_is_whole():
    path = trajectory(optimizers.gradient_descent(0.1, warmup=4), jax.random.key(0))
    np.testing.assert_array_equal(path["b"][0], START["b"].astype(np.float32))
    steps = np.diff(path["b"], axis=0) / GRADIENTS["b"][1:]
    np.testing.assert_allclose(
        steps[:5], -0.1 * np.array([[0.25], [0.5], [0.75], [1], [1]]) * np.ones(5), rtol=1e-4
    )


def test_a_learning_rate_may_be_a_schedule_and_warms_up_too():
    schedule = optax.linear_schedule(0.4, 0.0, 4)
    moved = {}
    for warmup in (0, 2):
        path = trajectory(optimizers.gradient_descent(schedule, warmup=warmup), jax.random.key(0))
        moved[warmup] = np.diff(path["b"], axis=0, prepend=[np.float32(START["b"])])
    for warmup, factors in ((0, [1, 1, 1]), (2, [0, 0.5, 1])):
        rates = np.array([0.4, 0.3, 0.2]) * factors
        expected = -rates[:, None] * GRADIENTS["b"][:3]
        np.testing.assert_allclose(moved[warmup][:3], expected, rtol=1e-4, atol=1e-6)


def test_without_warmup_the_state_has_no_counter():
    leaves = lambda optimizer: len(jax.tree.leaves(optimizer.init(START)))
    assert leaves(optimizers.gradient_descent(0.1)) == 0
    assert leaves(optimizers.gradient_descent(0.1, warmup=3)) == 1


def noise_of(shape, key, learning_rate=0.2, update_noise=3.0, **numbers):
    noise = optimizers.add_update_noise(learning_rate, update_noise, **numbers)
    zero = {"x": jnp.zeros(shape), "y": jnp.zeros(shape)}
    return noise.update(zero, noise.init(zero), zero, key=key)[0]


def test_update_noise_is_normal_with_the_learning_rate_as_its_unit():
    key = jax.random.key(1)
    drawn = noise_of((200, 200), key)
    x, y = (np.asarray(drawn[name]).ravel() for name in "xy")
    count = x.size
    assert abs(x.mean()) < 4 * 0.6 / np.sqrt(count)
    assert x.std() == pytest.approx(0.6, abs=4 * 0.6 / np.sqrt(2 * count))
    assert np.mean(x**4) / np.mean(x**2) ** 2 == pytest.approx(3, abs=0.1)
    assert abs(np.corrcoef(x, y)[0, 1]) < 4 / np.sqrt(count)  # arrays have their own
    np.testing.assert_array_equal(noise_of((200, 200), key)["x"], drawn["x"])
    other = noise_of((200, 200), jax.random.key(2))["x"]
    assert abs(np.corrcoef(x, np.asarray(other).ravel())[0, 1]) < 4 / np.sqrt(count)


def test_update_noise_warms_up_with_the_learning_rate():
    noise = optimizers.add_update_noise(0.2, 3.0, warmup=2)
    zero = {"x": jnp.zeros(5)}
    state, sizes = noise.init(zero), []
    for _ in range(4):
        drawn, state = noise.update(zero, state, zero, key=jax.random.key(0))
        sizes.append(float(drawn["x"][0]))
    np.testing.assert_allclose(np.array(sizes) / sizes[-1], [0, 0.5, 1, 1], rtol=1e-6)


def test_update_noise_asks_for_its_key():
    noise = optimizers.with_update_noise(optimizers.adam)(0.1, update_noise=0.1)
    with pytest.raises(ValueError, match="extra argument `key` of update"):
        noise.update(START, noise.init(START), START)


def test_orthogonal_gradients_keep_the_norm_and_leave_the_weights():
    project = optimizers.orthograd_filter()
    gradient = {name: jnp.asarray(g[0]) for name, g in GRADIENTS.items()}
    weights = jax.tree.map(jnp.asarray, START)
    projected, _ = project.update(gradient, project.init(weights), weights)
    for name in SHAPES:
        norms = (float(jnp.linalg.norm(x[name])) for x in (gradient, projected, weights))
        before, after, size = norms
        assert after == pytest.approx(before, rel=1e-5)
        assert abs(jnp.sum(projected[name] * weights[name])) < 1e-5 * after * size


@pytest.mark.parametrize(
    ("weights", "gradient", "expected"),
    [
        ([0.0, 0.0], [1.0, 2.0], [1.0, 2.0]),  # no direction to leave out
        ([1.0, -3.0], [0.0, 0.0], [0.0, 0.0]),
        ([0.7], [0.3], [0.0]),  # nothing but rounding is left
        ([0.1, 0.3, -0.7], [0.03, 0.09, -0.21], [0.0, 0.0, 0.0]),
    ],
)
def test_orthogonal_gradients_of_special_arrays(weights, gradient, expected):
    project = optimizers.orthograd_filter()
    weights, gradient = jnp.float32(weights), jnp.float32(gradient)
    projected, _ = project.update(gradient, project.init(weights), weights)
    np.testing.assert_allclose(projected, expected)


def test_a_chain_has_the_arguments_of_its_parts():
    parameters = inspect.signature(optimizers.grokfast_ema).parameters
    assert next(iter(parameters)) == "learning_rate"  # the only one without default
    inner = inspect.signature(optimizers.adamw).parameters
    assert parameters.keys() == {"ema_decay", "lamb"} | inner.keys()
    assert {name: parameters[name].default for name in inner} == {
        name: parameter.default for name, parameter in inner.items()
    }
    with pytest.raises(TypeError, match="learning_rate"):
        optimizers.grokfast_ema(lamb=1.0)
    with pytest.raises(TypeError, match="momentum"):
        optimizers.grokfast_ema(0.1, momentum=0.9)


def test_chains_of_equal_parts_are_equal():
    noisy = optimizers.with_update_noise
    assert noisy(optimizers.adam) == noisy(optimizers.adam)
    assert hash(noisy(optimizers.adam)) == hash(noisy(optimizers.adam))
    assert noisy(optimizers.adam) != noisy(optimizers.adamw)
    window = optimizers.grokfast_ma_filter
    assert optimizers.chain(window(7), optimizers.adam) == optimizers.chain(
        window(7), optimizers.adam
    )
    assert optimizers.chain(window(7), optimizers.adam) != optimizers.chain(
        window(8), optimizers.adam
    )
    again = pickle.loads(pickle.dumps(optimizers.grokfast_ma))
    assert again == optimizers.grokfast_ma
    assert inspect.signature(again) == inspect.signature(optimizers.grokfast_ma)
