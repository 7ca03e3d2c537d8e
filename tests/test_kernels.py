"""Tangent kernels against the whole Jacobian, and closed forms against both."""

import functools

import jax
import numpy as np
import pytest
from kernel_networks import Deep, Linear, assert_close, by_jacobian, compiled, probe, trained

from grokjax import kernels, models, tasks

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
