"""Tangent kernels: closed forms, the theorem on one-hot pairs, regression, motion, the knob."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import grokjax
from grokjax import kernels, losses, models, optimizers, tasks


@dataclasses.dataclass(frozen=True)
class Linear:
    """A network that is linear in its parameters: `logits = sum_s w[s, n_s]`."""

    p: int
    operands: int = 2

    def init(self, key, tokens):
        return {"w": jax.random.normal(key, (self.operands, self.p, self.p))}

    def apply(self, params, tokens, *, key=None):
        return sum(params["w"][s][tokens[..., s]] for s in range(self.operands))


@dataclasses.dataclass(frozen=True)
class Deep:
    """Three layers with biases, an embedding and a nested dict: nothing has a closed form."""

    p: int
    width: int = 8

    def init(self, key, tokens):
        keys = jax.random.split(key, 3)
        shapes = {"embed": (self.p, 4), "inner": (8, self.width), "outer": (self.width, self.p)}
        weights = {
            name: jax.random.normal(k, shape)
            for k, (name, shape) in zip(keys, shapes.items(), strict=True)
        }
        return {"weights": weights, "bias": jnp.linspace(-1, 1, self.width)}

    def apply(self, params, tokens, *, key=None):
        weights = params["weights"]
        x = weights["embed"][tokens].reshape(*tokens.shape[:-1], -1)
        bias = params["bias"].reshape((1,) * (x.ndim - 1) + (-1,))
        return jnp.tanh(x @ weights["inner"] + bias) @ weights["outer"]


def probe(p, rows, seed=0, operands=2):
    table = tasks.modular_addition(p, operands)
    chosen = np.random.default_rng(seed).choice(table.num_rows, rows, replace=False)
    return table.tokens[chosen], table.labels[chosen]


def trained(model, seed=0, shift=0.5):
    """Parameters that are not those of an initial network."""
    key1, key2 = jax.random.split(jax.random.key(seed))
    params = model.init(key1, np.zeros((1, 2), np.int32))
    return jax.tree.map(lambda x, y: x + shift * model.init_std * y, params, model.init(key2))


@functools.cache
def compiled(fn, model, **options):
    return jax.jit(functools.partial(fn, model, **options))


def jacobian_of(model, params, tokens):
    return jax.jacrev(lambda params: model.apply(params, tokens))(params)


def jacobian(model, params, tokens):
    """All gradients, [P, C, parameters], in float64."""
    leaves = jax.tree.leaves(compiled(jacobian_of, model)(params, tokens))
    flat = [np.asarray(leaf, np.float64).reshape(*leaf.shape[:2], -1) for leaf in leaves]
    return np.concatenate(flat, axis=-1)


def by_jacobian(model, params, tokens, other=None):
    """The definition: the whole Jacobian, contracted over the parameters."""
    first = jacobian(model, params, tokens)
    second = first if other is None else jacobian(model, params, other)
    return np.einsum("iqt,jrt->ijqr", first, second)


def assert_close(found, expected, tolerance=1e-5):
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


# The empirical kernel


@pytest.mark.parametrize("model", [Deep(7), Linear(7), models.QuadraticMLP(7, 5)])
def test_tangent_kernel_is_the_jacobian_times_its_transpose(model):
    tokens, other = probe(7, 6)[0], probe(7, 6, seed=1)[0]
    params = model.init(jax.random.key(0), tokens)
    expected = by_jacobian(model, params, tokens, other)
    assert_close(compiled(kernels.tangent, model)(params, tokens, other), expected)
    assert_close(
        compiled(kernels.trace, model)(params, tokens, other), np.einsum("ijqq->ij", expected)
    )


def test_kernel_is_symmetric_and_positive_semidefinite():
    model, tokens = Deep(5), probe(5, 7)[0]
    kernel = compiled(kernels.tangent, model)(model.init(jax.random.key(1), tokens), tokens)
    assert_close(kernel, kernel.transpose(1, 0, 3, 2))
    matrix = np.asarray(kernel, np.float64).transpose(0, 2, 1, 3).reshape(35, 35)
    values = np.linalg.eigvalsh(matrix)
    assert values[0] > -1e-5 * values[-1]
    assert values[-1] > 0


def test_batch_sizes_do_not_change_results():
    model, (tokens, _) = Deep(5), probe(5, 7)
    params = model.init(jax.random.key(0), tokens)
    vector = jax.random.normal(jax.random.key(1), (7, 5))
    moved = jax.tree.map(lambda x: 1.1 * x, params)
    for fn, arguments in (
        (kernels.tangent, (params, tokens)),
        (kernels.trace, (params, tokens)),
        (kernels.product, (params, tokens, vector)),
        (kernels.linearized, (moved, params, tokens)),
        (kernels.span_fraction, (moved, params, tokens)),
    ):
        expected = compiled(fn, model)(*arguments)
        found = compiled(fn, model, batch_size=3)(*arguments)  # 7 rows: a remainder
        assert_close(found, expected, 2e-4 if fn is kernels.span_fraction else 1e-5)


def test_memory_is_bounded_by_the_batch_size():
    model = models.QuadraticMLP(11, 256)
    tokens = tasks.modular_addition(11).tokens
    params = model.init(jax.random.key(0))
    jacobian = 4 * 121 * 11 * sum(leaf.size for leaf in params.values())

    def temporary(batch_size):
        fn = functools.partial(kernels.trace, model, batch_size=batch_size)
        return jax.jit(fn).lower(params, tokens).compile().memory_analysis().temp_size_in_bytes

    assert temporary(1) < temporary(16) / 4 < jacobian / 20


def test_product_is_the_kernel_times_the_vector():
    model, tokens, other = Deep(5), probe(5, 7)[0], probe(5, 7, seed=2)[0]
    params = model.init(jax.random.key(0), tokens)
    vector = jax.random.normal(jax.random.key(1), (7, 5))
    expected = np.einsum("ijqr,jr->iq", by_jacobian(model, params, tokens, other), vector)
    assert_close(compiled(kernels.product, model)(params, tokens, vector, other), expected)


# The quadratic network


@pytest.mark.parametrize("parameterization", ["mean_field", "standard"])
@pytest.mark.parametrize(("p", "width"), [(2, 1), (3, 4), (6, 2), (11, 33)])
def test_closed_form_is_the_empirical_kernel(p, width, parameterization):
    model = models.QuadraticMLP(p, width, parameterization=parameterization)
    tokens, other = (probe(p, min(p * p, 8), seed=seed)[0] for seed in (p, p + 1))
    params = trained(model, seed=width)
    expected = by_jacobian(model, params, tokens, other)
    closed = compiled(kernels.quadratic, model)(params, tokens, other)
    assert_close(closed, expected)
    assert_close(
        compiled(kernels.quadratic_trace, model)(params, tokens, other), np.einsum("ijqq", expected)
    )
    # As SCIENCE prints it, for two operands and the square.
    h, h2 = (
        np.asarray(model.preactivations(params, x)) / model.input_scale for x in (tokens, other)
    )
    same = (tokens[:, None] == other[None]).sum(axis=-1)
    w2 = np.asarray(params["w2"])
    by_hand = 4 * np.einsum("ij,kq,kr,ik,jk->ijqr", same, w2, w2, h, h2)
    by_hand += np.einsum("qr,ik,jk->ijqr", np.eye(p), h**2, h2**2)
    assert_close(closed, (model.input_scale**2 * model.output_scale) ** 2 * by_hand)


@pytest.mark.parametrize(
    "model",
    [
        models.QuadraticMLP(4, 6, operands=3, activation=models.power(3)),
        models.QuadraticMLP(5, 6, activation=jax.nn.gelu),
        models.QuadraticMLP(5, 6, operands=1),
    ],
)
def test_closed_form_of_other_operands_and_activations(model):
    tokens = probe(model.p, 5, operands=model.operands)[0]
    params = trained(model)
    assert_close(
        compiled(kernels.quadratic, model)(params, tokens), by_jacobian(model, params, tokens)
    )


def test_padded_operands_are_equal_to_nothing():
    model = models.QuadraticMLP(5, 6, operands=3)
    tokens = np.array([[1, 2, 3], [1, 2, -1], [4, 2, -1]], np.int32)
    params = trained(model)
    assert_close(
        compiled(kernels.quadratic, model)(params, tokens), by_jacobian(model, params, tokens)
    )
    expected = [[9 + 54, 6 + 24, 6 + 6], [30, 4 + 24, 4 + 6], [12, 10, 28]]
    np.testing.assert_array_equal(kernels.infinite_width(tokens), expected)


@pytest.mark.parametrize("parameterization", ["mean_field", "standard"])
def test_wide_networks_have_the_infinite_width_kernel(parameterization):
    model = models.QuadraticMLP(5, 200_000, parameterization=parameterization)
    tokens = np.array([[0, 1], [0, 2], [3, 4]], np.int32)
    limit = kernels.infinite_width(tokens)
    np.testing.assert_array_equal(limit, [[28, 10, 4], [10, 28, 4], [4, 4, 28]])
    params = model.init(jax.random.key(0))
    found = compiled(kernels.quadratic, model)(params, tokens) / kernels.expected_scale(model)
    expected = np.einsum("ij,qr->ijqr", limit, np.eye(5))
    # Standard deviations of h^2 h'^2 + ... at this width are near 100 / sqrt(200000) = 0.2.
    np.testing.assert_allclose(found, expected, atol=1.2)
    assert np.abs(found - expected).mean() < 0.15


# The theorem: a kernel of <x, x'> is wrong on every test row


def split(p, alpha, seed=0):
    task = tasks.modular_addition(p)
    order = np.random.default_rng(seed).permutation(task.num_rows)
    train = np.zeros(task.num_rows, bool)
    train[order[: tasks.num_train_rows(task, alpha)]] = True
    return task, train


@pytest.mark.parametrize(
    ("p", "alpha"),
    [(23, 0.5), (23, 0.9), (7, 0.6), (8, 0.8), (12, 0.5), (15, 0.9), (16, 0.3), (25, 0.7)],
)
@pytest.mark.parametrize("ridge", [0.0, 10.0])
def test_kernel_regression_is_wrong_on_every_test_row(p, alpha, ridge):
    task, train = split(p, alpha)
    kernel = kernels.infinite_width(task.tokens)
    found = kernels.regression(kernel, task.labels, train, ridge=ridge)
    assert found.test_accuracy == 0.0  # exactly, below the chance of 1/p
    if ridge == 0:
        assert found.train_accuracy == 1.0
        assert found.train_loss < 1e-20
    # The right class is predicted below the mean of the others, which the argmax only shows.
    right = found.predictions[np.arange(task.num_rows), task.labels][~train]
    others = (found.predictions[~train].sum(axis=1) - right) / (p - 1)
    assert right.mean() < 0 < others.mean()


def additive(task, train, ridge=12.0):
    """The same regression as a ridge problem in 2p numbers: the kernel is 12 [x = x'] + features.

    `4 + 6 [n = n'] + 6 [m = m'] + 12 [both]`: different rows share the low-rank part alone, whose
    predictions are `constant + u[n] + v[m]`, and what is left acts as a ridge of 12.
    """
    p = task.num_classes
    first, second = np.eye(p)[task.tokens[:, 0]], np.eye(p)[task.tokens[:, 1]]
    features = np.c_[2 * np.ones(task.num_rows), np.sqrt(6) * first, np.sqrt(6) * second]
    inner, answers = features[train], np.eye(p)[task.labels[train]]
    weights = np.linalg.solve(inner.T @ inner + ridge * np.eye(2 * p + 1), inner.T @ answers)
    return features[~train] @ weights


def test_the_theorem_holds_because_such_regression_is_additive():
    task, train = split(23, 0.5)
    kernel = kernels.infinite_width(task.tokens)
    found = kernels.regression(kernel, task.labels, train)
    np.testing.assert_allclose(found.predictions[~train], additive(task, train), atol=1e-10)


@pytest.mark.parametrize("alpha", [0.3, 0.5, 0.8])
def test_the_theorem_at_97(alpha):
    task, train = split(97, alpha)
    logits, labels = additive(task, train), task.labels[~train]
    assert (logits.argmax(axis=1) == labels).sum() == 0
    if alpha == 0.5:  # SCIENCE.md C
        right = logits[np.arange(len(labels)), labels]
        assert np.mean((logits - np.eye(97)[labels]) ** 2) == pytest.approx(0.010824, abs=2e-6)
        assert right.mean() == pytest.approx(-0.0096, abs=1e-4)
        assert (logits < right[:, None]).sum(axis=1).mean() < 15  # of 96 others


# Regression


def test_regression_with_a_full_kernel_and_with_one_for_all_classes_agree():
    task, train = split(5, 0.6)
    kernel = kernels.infinite_width(task.tokens)
    full = np.einsum("ij,qr->ijqr", kernel, np.eye(5))
    start = np.random.default_rng(0).normal(size=(25, 5))
    one = kernels.regression(kernel, task.labels, train, ridge=0.3, initial=start)
    other = kernels.regression(full, task.labels, train, ridge=0.3, initial=start)
    np.testing.assert_allclose(one.predictions, other.predictions, atol=1e-12)
    assert one.test_loss == pytest.approx(other.test_loss)


def test_regression_is_where_a_linear_network_ends():
    """Gradient descent from its start, without ridge: the kernel is singular, the answer is not."""
    model, (task, train) = Linear(5), split(5, 0.6)
    tokens, answers = jnp.asarray(task.tokens[train]), jnp.eye(5)[task.labels[train]]
    params = model.init(jax.random.key(0), tokens)
    start = model.apply(params, task.tokens)
    kernel = compiled(kernels.trace, model)(params, task.tokens) / 5
    found = kernels.regression(kernel, task.labels, train, initial=start)

    @jax.jit
    def descend(params):
        loss = lambda params: jnp.sum((model.apply(params, tokens) - answers) ** 2)
        step = lambda _, x: jax.tree.map(lambda w, g: w - 0.05 * g, x, jax.grad(loss)(x))
        return jax.lax.fori_loop(0, 3000, step, params)

    logits = model.apply(descend(params), task.tokens)
    np.testing.assert_allclose(found.predictions, logits, atol=1e-3)
    assert found.train_loss > 0.01  # an additive function cannot fit


def test_regression_of_a_rounded_singular_kernel_does_not_blow_up():
    features = np.random.default_rng(0).normal(size=(60, 8))
    labels, train = np.arange(60) % 4, np.arange(60) < 40
    exact = kernels.regression(features @ features.T, labels, train)
    rounded = kernels.regression((features @ features.T).astype(np.float32), labels, train)
    np.testing.assert_allclose(rounded.predictions, exact.predictions, atol=1e-4)
    weights = np.linalg.lstsq(features[:40], np.eye(4)[labels[:40]], rcond=None)[0]
    np.testing.assert_allclose(exact.predictions, features @ weights, atol=1e-8)


# Comparison


def test_alignment_of_kernels():
    labels = np.array([0, 1, 2, 0, 1, 2])
    answers = kernels.label_kernel(labels)
    np.testing.assert_array_equal(answers, np.eye(3)[labels] @ np.eye(3)[labels].T)
    assert kernels.alignment(7.0 * answers, answers) == pytest.approx(1)
    assert kernels.alignment(np.ones((6, 6)), answers) == pytest.approx(3**-0.5)
    # A constant counts for nothing once centred.
    mixed = answers + 100.0
    assert kernels.alignment(mixed, answers) < 0.7
    assert kernels.alignment(mixed, answers, centred=True) == pytest.approx(1, abs=1e-5)
    y = np.array([1.0, -2.0, 0.5])
    kernel = np.array([[2.0, 1, 0], [1, 3, 0], [0, 0, 1]])
    by_hand = y @ kernel @ y / (np.linalg.norm(kernel) * (y @ y))
    assert kernels.alignment(kernel, np.outer(y, y)) == pytest.approx(by_hand)


def test_alignment_of_tiny_kernels_does_not_underflow():
    labels = np.array([0, 1, 0, 1])
    tiny = 1e-30 * kernels.label_kernel(labels)
    assert kernels.alignment(tiny, kernels.label_kernel(labels)) == pytest.approx(1)
    assert kernels.norm_ratio(3 * tiny, tiny) == pytest.approx(3)


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


# Bad input


NETWORK = models.QuadraticMLP(5, 4)
NETWORK_PARAMS = NETWORK.init(jax.random.key(0))
TABLE = tasks.modular_addition(5)
ROWS = TABLE.tokens[:4]
ON_ROWS = {
    "tangent": lambda model, params, rows, **options: kernels.tangent(
        model, params, rows, **options
    ),
    "trace": lambda model, params, rows, **options: kernels.trace(model, params, rows, **options),
    "product": lambda model, params, rows, **options: kernels.product(
        model, params, rows, np.ones((4, 5)), **options
    ),
    "linearized": lambda model, params, rows, **options: kernels.linearized(
        model, params, params, rows, **options
    ),
    "span_fraction": lambda model, params, rows, **options: kernels.span_fraction(
        model, params, params, rows, **options
    ),
    "quadratic": kernels.quadratic,
    "quadratic_trace": kernels.quadratic_trace,
    "infinite_width": lambda model, params, rows: kernels.infinite_width(rows),
}
GENERAL = list(ON_ROWS)[:5]


@pytest.mark.parametrize("name", ON_ROWS)
def test_rows_that_are_none_are_refused(name):
    wrong = [None, "ab", 3, [], [[1, 2], [3]], ROWS * 1.0, ROWS > 2, ROWS[0], ROWS[None]]
    for rows in wrong:
        with pytest.raises(
            ValueError, match=r"tokens must be an array of integers of shape \[P, S"
        ):
            ON_ROWS[name](NETWORK, NETWORK_PARAMS, rows)
    for rows in (ROWS[:0], ROWS[:, :0]):
        with pytest.raises(ValueError, match="tokens must have one row or more"):
            ON_ROWS[name](NETWORK, NETWORK_PARAMS, rows)
    with pytest.raises(ValueError, match=r"tokens must be .* -1 for none, got -9"):
        ON_ROWS[name](NETWORK, NETWORK_PARAMS, ROWS - 9)
    if name != "infinite_width":  # which is the same for every p and number of operands
        with pytest.raises(ValueError, match=r"tokens must be from 0 to 4, .* got 7"):
            ON_ROWS[name](NETWORK, NETWORK_PARAMS, ROWS + 7)
        with pytest.raises(ValueError, match="the equations have 1 operands"):
            ON_ROWS[name](NETWORK, NETWORK_PARAMS, ROWS[:, :1])


@pytest.mark.parametrize("name", ["tangent", "trace", "quadratic", "quadratic_trace"])
def test_other_rows_are_checked_like_the_first(name):
    for other, message in (
        (ROWS[0], "other must be an array of integers"),
        (ROWS[:0], "other must have one row or more"),
        (ROWS[:, :1], "as many operands, got 2 and 1"),
        (ROWS + 7, "tokens must be from 0 to 4"),
    ):
        with pytest.raises(ValueError, match=message):
            getattr(kernels, name)(NETWORK, NETWORK_PARAMS, ROWS, other)


@pytest.mark.parametrize("name", list(ON_ROWS)[:7])
def test_networks_that_are_none_are_refused(name):
    call = ON_ROWS[name]
    for model in (None, "model", models.QuadraticMLP):
        with pytest.raises(ValueError, match="model must be a"):
            call(model, NETWORK_PARAMS, ROWS)
    wrong = [
        None,
        {},
        "params",
        {"w1": NETWORK_PARAMS["w1"]},
        {"w1": "a", "w2": "b"},
        models.QuadraticMLP(5, 6).init(jax.random.key(0)),
        models.QuadraticMLP(7, 4).init(jax.random.key(0)),
        jax.tree.map(lambda leaf: leaf[None], NETWORK_PARAMS),
        jax.tree.map(lambda leaf: leaf + 1j, NETWORK_PARAMS),
    ]
    for params in wrong:
        with pytest.raises(
            ValueError, match=r"(params|initial) must be the model's|of params|of in"
        ):
            call(NETWORK, params, ROWS)


@pytest.mark.parametrize("name", GENERAL)
def test_parameters_that_a_model_from_outside_cannot_take_are_explained(name):
    model, call = Deep(5), ON_ROWS[name]
    with pytest.raises(ValueError, match="'weights/embed' is missing; 'weights/inner' is"):
        call(model, NETWORK_PARAMS, ROWS)
    for size in (0, -1, 2.5, "a", None, True):
        with pytest.raises(ValueError, match="batch_size must be a positive integer, got"):
            call(NETWORK, NETWORK_PARAMS, ROWS, batch_size=size)
    integers = jax.tree.map(lambda leaf: leaf.astype(int), NETWORK_PARAMS)
    with pytest.raises(ValueError, match=r"each array of .* must be an array of real numbers"):
        call(NETWORK, integers, ROWS)  # there is no gradient


def test_a_model_from_outside_without_logits_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Sum(Linear):
        def apply(self, params, tokens, *, key=None):
            return jnp.sum(params["w"])

    model = Sum(5)
    with pytest.raises(ValueError, match=r"must return logits float\[P, C\]"):
        kernels.trace(model, model.init(jax.random.key(0), ROWS), ROWS)


def test_models_from_outside_may_take_other_parameters_than_they_make():
    params = {"w": jnp.ones((3, 5, 5))}  # three operands, of which two are used
    assert kernels.trace(Linear(5), params, ROWS).shape == (4, 4)


def test_closed_forms_of_other_models_are_refused():
    for fn in (kernels.quadratic, kernels.quadratic_trace):
        with pytest.raises(ValueError, match=r"models.QuadraticMLP, which alone.*got Deep\(p=5"):
            fn(Deep(5), NETWORK_PARAMS, ROWS)
        with pytest.raises(ValueError, match="without normalization"):
            fn(dataclasses.replace(NETWORK, normalize=True), NETWORK_PARAMS, ROWS)
    for model, message in (
        (Deep(5), "models.QuadraticMLP, which alone"),
        (models.QuadraticMLP, "which alone"),
        (dataclasses.replace(NETWORK, activation=jnp.abs), r"that of x\^2"),
        (dataclasses.replace(NETWORK, normalize=True), r"that of x\^2"),
    ):
        with pytest.raises(ValueError, match=message):
            kernels.expected_scale(model)


def test_vectors_without_a_number_for_each_row_and_class_are_refused():
    for vector in (np.ones(4), np.ones((4, 4)), np.ones((3, 5))):
        with pytest.raises(ValueError, match=r"for each row and class, \[4, 5\], got"):
            kernels.product(NETWORK, NETWORK_PARAMS, ROWS, vector)
    for vector in (None, "a", [["a"]], np.ones((4, 5)) * 1j):
        with pytest.raises(ValueError, match="vector must be an array of real numbers"):
            kernels.product(NETWORK, NETWORK_PARAMS, ROWS, vector)


@pytest.mark.parametrize(
    "options",
    [{"iterations": x} for x in (0, -1, 2.5, "a", None, True)]
    + [{"tolerance": x} for x in (-1.0, 1.0, np.nan, "a", None, [1e-6])],
)
def test_bad_iterations_and_tolerances_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} must be"):
        kernels.span_fraction(NETWORK, NETWORK_PARAMS, NETWORK_PARAMS, ROWS, **options)


def test_parameters_of_two_networks_have_no_motion():
    narrow, other = models.QuadraticMLP(5, 3).init(jax.random.key(0)), {"w": np.ones(3)}
    for params in (narrow, other, None, {}, {"w1": "a", "w2": "b"}):
        for call in (
            lambda params: kernels.relative_motion(params, NETWORK_PARAMS),
            lambda params: kernels.linearized(NETWORK, params, NETWORK_PARAMS, ROWS),
            lambda params: kernels.span_fraction(NETWORK, params, NETWORK_PARAMS, ROWS),
        ):
            with pytest.raises(ValueError, match=r"parameters of one network: 'w1'|w1 must be an"):
                call(params)
    with pytest.raises(ValueError, match="initial must be parameters, got None"):
        kernels.relative_motion(NETWORK_PARAMS, None)


@pytest.mark.parametrize("fn", [kernels.alignment, kernels.distance, kernels.norm_ratio])
def test_kernels_that_are_no_kernels_are_not_compared(fn):
    square = np.eye(4)
    for wrong in (np.ones((3, 4)), np.ones(4), np.ones((4, 4, 2, 3)), np.ones((4, 4, 2)), 3.0, []):
        for pair in ((wrong, wrong), (square, wrong), (wrong, square)):
            with pytest.raises(ValueError, match=r"must be \[P, P\] or \[P, P, C, C\], got"):
                fn(*pair)
    with pytest.raises(ValueError, match=r"same shape, got \[4, 4\] and \[3, 3\]"):
        fn(square, np.eye(3))
    for wrong in (None, "a", [["a"]], square * 1j):
        with pytest.raises(ValueError, match="must be an array of real numbers"):
            fn(square, wrong)
    with pytest.raises(ValueError, match=r"must be \[P, P\] or"):
        jax.jit(fn)(np.ones((3, 4)), np.ones((3, 4)))


def test_what_cannot_be_centred_is_refused():
    for fn in (kernels.alignment, kernels.distance):
        with pytest.raises(ValueError, match="cannot be centred"):
            fn(np.ones((2, 2, 3, 3)), np.ones((2, 2, 3, 3)), centred=True)
        with pytest.raises(ValueError, match="centred must be True or False, got 'no'"):
            fn(np.eye(2), np.eye(2), centred="no")


def test_the_alignment_of_a_zero_kernel_is_not_a_number():
    """Such a network has collapsed, which is data: the others of a sweep are still compared."""
    assert np.isnan(kernels.alignment(np.zeros((3, 3)), np.eye(3)))
    assert np.isnan(jax.jit(kernels.alignment)(np.zeros((3, 3)), np.eye(3)))


def test_labels_that_are_no_integers_have_no_kernel():
    for labels in (None, "ab", 3, [1.5], [[1, 2]], ["a"], [True]):
        with pytest.raises(ValueError, match=r"labels must be an array of integers of shape \[P\]"):
            kernels.label_kernel(labels)


KERNEL = np.asarray(kernels.infinite_width(TABLE.tokens))
HALF = np.arange(25) < 13
LABELS = np.asarray(TABLE.labels)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kernel": KERNEL[:3]}, "need a kernel of shape"),
        ({"kernel": np.ones((25, 25, 4, 4))}, "need a kernel of shape"),
        ({"kernel": "a"}, "kernel must be an array of"),
        ({"kernel": None}, "kernel must be an array of"),
        ({"kernel": KERNEL * 1j}, "kernel must be an array of"),
        ({"kernel": np.where(np.eye(25), np.nan, KERNEL)}, "not finite"),
        ({"kernel": KERNEL + np.arange(25)}, "kernel must be symmetric.* differ by 24 from"),
        ({"kernel": -KERNEL}, "no negative numbers on its diagonal, got -28"),
        ({"kernel": -KERNEL, "ridge": 1e4}, "no negative numbers on its diagonal"),
        ({"kernel": np.ones((25, 25)) - np.eye(25)}, "no negative eigenvalues, got one of -1 bes"),
        ({"labels": LABELS * 1.0}, "labels must be an array of integers"),
        ({"labels": "a"}, "labels must be an array of integers"),
        ({"labels": LABELS[None]}, "labels must be an array of integers"),
        ({"labels": np.array([], int)}, "one for each row, got none"),
        ({"labels": LABELS - 1}, "labels must be from 0 to 3, got -1"),
        ({"labels": LABELS + 3, "num_classes": 5}, "labels must be from 0 to 4, got 7"),
        ({"labels": LABELS + 10**9}, "answers of 1000000005 classes would hold .* from 0"),
        ({"num_classes": 0}, "num_classes must be a positive integer, got 0"),
        ({"num_classes": "a"}, "num_classes must be a positive integer"),
        (
            {"train": np.arange(13)},
            r"train must be .* booleans of shape \[25\], got int64 \[13\]; ",
        ),
        ({"train": HALF * 1}, r"use np.isin\(np.arange\(25\), numbers\)"),
        ({"train": HALF[:13]}, "train must be an array of booleans"),
        ({"train": None}, "train must be an array of booleans"),
        ({"train": np.ones(25, bool)}, "some but not all of the 25 rows, got 25 marked"),
        ({"train": np.zeros(25, bool)}, "some but not all of the 25 rows, got 0 marked"),
        ({"ridge": -1.0}, "ridge must be a finite number of at least 0, got -1"),
        ({"ridge": "a"}, "ridge must be a finite number"),
        ({"ridge": np.inf}, "ridge must be a finite number"),
        ({"ridge": None}, "ridge must be a finite number"),
        ({"initial": np.zeros((25, 4))}, r"initial must be .* of shape \[25, 5\], got"),
        ({"initial": np.full((25, 5), np.nan)}, "initial must be .* finite; got nan"),
        ({"initial": "a"}, "initial must be an array"),
    ],
)
def test_regression_of_wrong_arguments_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        kernels.regression(**{"kernel": KERNEL, "labels": LABELS, "train": HALF} | wrong)


def test_asymmetry_within_the_classes_is_found():
    kernel = np.einsum("ij,qr->ijqr", KERNEL, np.eye(5) + np.eye(5, k=1))
    with pytest.raises(ValueError, match="kernel must be symmetric"):
        kernels.regression(kernel, LABELS, HALF)


def test_kernels_that_are_rounded_or_zero_are_kernels():
    rough = KERNEL + 1e-3 * np.random.default_rng(0).normal(size=(25, 25))
    assert kernels.regression(rough, LABELS, HALF).train_accuracy == 1
    assert kernels.regression(jnp.asarray(KERNEL, jnp.bfloat16), LABELS, HALF).train_accuracy == 1
    still = kernels.regression(np.zeros((25, 25)), LABELS, HALF, initial=np.eye(5)[LABELS])
    assert still.test_accuracy == 1  # a network that cannot move stays where it is


def test_rows_labels_and_kernels_may_be_arrays_of_every_kind():
    expected = kernels.trace(NETWORK, NETWORK_PARAMS, ROWS)
    found = kernels.regression(KERNEL, LABELS, HALF)
    for kind in (np.ndarray.tolist, jnp.asarray, xarray.DataArray):
        trace = kernels.trace(NETWORK, NETWORK_PARAMS, kind(ROWS))
        np.testing.assert_array_equal(trace, expected)
        np.testing.assert_array_equal(kernels.label_kernel(kind(LABELS)).shape, (25, 25))
        assert kernels.alignment(kind(KERNEL), kind(KERNEL)) == pytest.approx(1, rel=1e-5)
        again = kernels.regression(kind(KERNEL), kind(LABELS), kind(HALF))
        np.testing.assert_allclose(again.predictions, found.predictions, atol=1e-4)
