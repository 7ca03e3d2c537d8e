"""Losses against their formulas, in float32 and float64, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray

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


# -- labels that are no classes ------------------------------------------------------------------

LOSSES = [
    losses.mse,
    losses.cross_entropy,
    losses.stablemax_cross_entropy,
    losses.softmax_mse,
]


def by_hand(loss, logits, labels):
    """The formulas without any check."""
    one_hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    if loss is losses.mse:
        return jnp.mean((logits - one_hot) ** 2, axis=-1)
    if loss is losses.softmax_mse:
        return jnp.sum((jax.nn.softmax(logits) - one_hot) ** 2, axis=-1)
    if loss is losses.stablemax_cross_entropy:
        up = jnp.log1p(jnp.where(logits >= 0, logits, 0.0))
        down = jnp.log1p(jnp.where(logits < 0, -logits, 0.0))
        logits = jnp.where(logits >= 0, up, -down)
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)


@pytest.mark.parametrize("loss", LOSSES)
def test_checks_change_no_bit_of_a_loss_or_its_gradient(loss):
    rng = np.random.default_rng(0)
    weights = jnp.float32(rng.normal(size=(2, 8, 11)))
    inputs = jnp.float32(rng.normal(size=(2, 50, 8)))
    labels = jnp.asarray(rng.integers(0, 11, (2, 50)))

    def run(loss):
        def objective(weights, inputs, labels):
            rows = loss(inputs @ weights, labels)
            return jnp.sum(jnp.where(jnp.arange(50) < 40, rows / 40, 0.0)), rows

        step = jax.jit(jax.vmap(jax.grad(objective, has_aux=True)))  # labels are traced
        return step(weights, inputs, labels)

    for found, expected in zip(run(loss), run(lambda *x: by_hand(loss, *x)), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    logits = inputs[0] @ weights[0]  # labels are known
    np.testing.assert_array_equal(loss(logits, labels[0]), by_hand(loss, logits, labels[0]))


@pytest.mark.parametrize("loss", LOSSES)
def test_traced_labels_that_are_no_classes_give_nan_and_so_does_the_gradient(loss):
    logits, labels = jnp.zeros((4, 3)), jnp.array([0, -1, 3, 2])
    bad = np.array([False, True, True, False])
    np.testing.assert_array_equal(np.isnan(jax.jit(loss)(logits, labels)), bad)
    slopes = jax.jit(jax.grad(lambda x, y: loss(x, y).sum()))(logits, labels)
    np.testing.assert_array_equal(np.isnan(slopes), np.tile(bad[:, None], 3))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3], "labels must be classes from 0 to 2, as there are logits, got 3"),
        (jnp.array([0, -1]), "labels must be classes from 0 to 2, .* got -1"),
        ([0.0, 1.0], "labels must be an array of integers, got float64"),
        ([True, False], "labels must be an array of integers, got bool"),
        ("01", "labels must be an array of integers, got '01'"),
        (None, "labels must be an array of integers, got None"),
        ([0], r"logits \[2, 3\] and labels \[1\]"),
        ([[0, 1]], r"logits \[2, 3\] and labels \[1, 2\]"),
        (0, r"logits \[2, 3\] and labels \[\]"),
    ],
)
def test_labels_that_are_known_are_refused(loss, labels, message):
    with pytest.raises(ValueError, match=message):
        loss(jnp.zeros((2, 3)), labels)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (None, "logits must be an array of real numbers"),
        ("ab", "logits must be an array of real numbers"),
        (3.0, r"logits must be an array of real numbers of shape \[..., C\], got 3.0"),
        (1j * np.ones((2, 3)), "got complex128"),
        (np.ones((2, 0)), r"logits \[2, 0\] and labels \[2\]"),
        (np.ones((3, 3)), r"logits \[3, 3\] and labels \[2\]"),
    ],
)
def test_logits_that_do_not_fit_are_refused(loss, logits, message):
    with pytest.raises(ValueError, match=message):
        loss(logits, [0, 1])


def test_shapes_and_types_are_refused_under_jit_too():
    with pytest.raises(ValueError, match=r"logits \[2, 3\] and labels \[3\]"):
        jax.jit(losses.mse)(jnp.zeros((2, 3)), jnp.zeros(3, int))
    with pytest.raises(ValueError, match="labels must be an array of integers, got float32"):
        jax.jit(losses.cross_entropy)(jnp.zeros((2, 3)), jnp.zeros(2))


@pytest.mark.parametrize("kind", [list, np.uint8, np.int64, jnp.asarray, xarray.DataArray])
def test_labels_of_any_integer_kind_are_the_same(kind):
    logits = np.float32([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]])
    expected = losses.cross_entropy(logits, jnp.array([2, 1]))
    np.testing.assert_array_equal(losses.cross_entropy(logits.tolist(), kind([2, 1])), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_more_classes_than_a_narrow_type_counts_are_all_told_apart(loss):
    logits = jnp.zeros(300).at[44].set(1.0)  # 300 is 44 in 8 bits
    narrow, wide = (jax.jit(loss)(logits, kind(100)) for kind in (jnp.int8, jnp.int32))
    assert narrow == wide == loss(logits, np.uint8(100))


@pytest.mark.parametrize(
    ("params", "l2", "message"),
    [
        ({"w": np.ones(2)}, -1.0, "l2 must be a finite number of at least 0, got -1.0"),
        ({"w": np.ones(2)}, float("nan"), "l2 must be a finite number"),
        ({"w": np.ones(2)}, "1", "l2 must be a finite number"),
        (None, 1.0, "params must be arrays, such as those of a model, got None"),
        ({}, 1.0, "params must be arrays"),
        ({"w": "ones"}, 1.0, "params must be an array of numbers, got 'ones'"),
    ],
)
def test_a_penalty_that_means_nothing_is_refused(params, l2, message):
    with pytest.raises(ValueError, match=message):
        losses.l2(params, l2=l2)


def test_the_l2_penalty_is_half_the_squared_norm():
    params = {"a": np.array([1.0, 2.0]), "b": ([3.0], jnp.float32(1.0))}
    assert losses.l2(params, l2=2.0) == 15
    assert jax.jit(lambda l2: losses.l2(params, l2=l2))(0.2) == pytest.approx(1.5)
