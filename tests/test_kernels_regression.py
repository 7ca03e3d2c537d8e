"""Kernel regression, the theorem on one-hot pairs, and alignment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernel_networks import Linear, compiled, split

from grokjax import kernels


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
