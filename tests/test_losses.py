"""Cross entropies against their formulas, in float32 and float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import losses


def test_stablemax_cross_entropy_is_the_published_formula():
    logits = np.random.default_rng(1).normal(size=(6, 5)) * 10 ** np.arange(-2.0, 4.0)[:, None]
    labels = np.array([0, 4, 2, 2, 1, 3])
    s = np.where(logits >= 0, logits + 1, 1 / (1 - np.minimum(logits, 0)))
    expected = -np.log(s[np.arange(6), labels] / s.sum(axis=1))
    got = losses.stablemax_cross_entropy(jnp.float32(logits), labels)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=2e-6)
    with jax.enable_x64(True):
        wide = losses.stablemax_cross_entropy(jnp.float64(logits), labels)
        np.testing.assert_allclose(wide, expected, rtol=1e-13)


def test_stablemax_learns_where_softmax_has_collapsed():
    logits, label = jnp.float32([200.0, 0.0, -200.0]), jnp.int32(0)
    assert losses.cross_entropy(logits, label) == 0
    assert not jax.grad(losses.cross_entropy)(logits, label).any()
    assert losses.stablemax_cross_entropy(logits, label) > 1e-3
    slopes = jax.grad(losses.stablemax_cross_entropy)(logits, label)
    sizes = np.array([201, 1, 1 / 201])  # s; its slopes are 1, 1 and 1 / 201^2
    expected = np.array([1, 1, 1 / 201**2]) / sizes.sum() - np.array([1 / 201, 0, 0])
    np.testing.assert_allclose(slopes, expected, rtol=1e-3)


def test_stablemax_has_a_slope_at_zero_and_finite_ones_far_away():
    logits = jnp.float32([[0.0, 0.0], [1e30, -1e30], [-3e38, 3e38]])
    slopes = jax.grad(lambda x: losses.stablemax_cross_entropy(x, jnp.int32([0, 0, 0])).sum())(
        logits
    )
    np.testing.assert_allclose(slopes[0], [-0.5, 0.5], rtol=1e-6)
    assert np.isfinite(slopes).all()
    assert np.isfinite(losses.stablemax_cross_entropy(logits, jnp.int32([0, 0, 0]))).all()


def test_cross_entropies_are_wide_where_jax_is():
    logits, label = [25.0, 0.0, 1.0], jnp.int32(0)
    exact = np.log1p(np.exp(-25) + np.exp(-24))
    assert losses.cross_entropy(jnp.float32(logits), label) == 0
    with jax.enable_x64(True):
        narrow = jnp.float32(logits)  # of a float32 network
        loss, slope = jax.value_and_grad(losses.cross_entropy)(narrow, label)
        np.testing.assert_allclose(loss, exact, rtol=1e-4)
        assert slope.dtype == np.float32
        assert slope[0] == pytest.approx(-exact, rel=1e-4)
        assert losses.stablemax_cross_entropy(narrow, label).dtype == np.float64
