"""Dropout and weight noise: rates, means, independence, and off in evaluation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from networks import KEY, SMALL, TYPICAL, apply, equations, initialized

import grokjax
from grokjax import losses, models, optimizers, tasks
from grokjax.models import MLP, QuadraticMLP, Transformer, noise


def test_dropout_keeps_the_right_share_and_the_mean():
    x = jnp.linspace(1.0, 2.0, 1 << 16).reshape(256, 256)
    for seed, rate in enumerate([0.1, 0.5, 0.9]):
        out = np.asarray(noise.dropout(jax.random.key(seed), x, rate))
        kept = out != 0
        error = np.sqrt(rate * (1 - rate) / x.size)
        assert abs(kept.mean() - (1 - rate)) < 4 * error
        np.testing.assert_allclose(out[kept], np.asarray(x)[kept] / (1 - rate), rtol=1e-6)
        assert abs((out - x).mean()) < 4 * 2 * error / (1 - rate)


def test_dropout_masks_are_independent():
    keys = jax.random.split(jax.random.key(0), 64)
    masks = np.stack([noise.dropout(key, jnp.ones((64, 128)), 0.5) for key in keys]) - 1.0
    assert set(np.unique(masks)) == {-1.0, 1.0}
    deviations = lambda signs: np.abs(signs.sum()) / np.sqrt(signs.size)
    # Keys, rows and columns, next to each other and further apart.
    for axis, distances in [(0, [1, 2, 7, 32]), (1, [1, 2, 3, 16, 63]), (2, [1, 2, 5, 8, 64])]:
        for d in distances:
            along = np.moveaxis(masks, axis, 0)
            assert deviations(along[d:] * along[:-d]) < 4
    # Every bit of a word, and every pair of bits, over many keys.
    words = np.stack([noise.random_bits(key, 512) for key in keys]).ravel()
    bits = (words[:, None] >> np.arange(32, dtype=np.uint32) & 1) * 2.0 - 1.0
    correlation = bits.T @ bits / np.sqrt(len(bits))
    np.fill_diagonal(correlation, bits.sum(axis=0) / np.sqrt(len(bits)))
    assert np.abs(correlation).max() < 5
    between = masks.reshape(64, -1) @ masks.reshape(64, -1).T / np.sqrt(64 * 128)
    assert np.abs(between[np.triu_indices(64, 1)]).max() < 4.8


def test_keys_that_differ_in_one_bit_give_unrelated_words():
    size, words = 1 << 14, np.array([0x12345678, 0x9ABCDEF0], np.uint32)
    key = lambda words: jax.random.wrap_key_data(jnp.asarray(words))
    first = np.asarray(noise.random_bits(key(words), size))
    for word in range(2):
        for bit in range(0, 32, 3):
            other = words.copy()
            other[word] ^= np.uint32(1 << bit)
            second = np.asarray(noise.random_bits(key(other), size))
            # 2^14 of 2^32 words: hardly any in common, in whatever order.
            assert len(np.intersect1d(first, second)) < 8
            for place in (31, 24, 8, 0):
                same = ((first ^ second) >> np.uint32(place) & 1 == 0).mean()
                assert abs(same - 0.5) < 4.5 * 0.5 / np.sqrt(size)


def test_rate_zero_is_the_identity_and_traced_rates_work():
    x = jax.random.normal(KEY, (64, 64))
    assert noise.dropout(KEY, x, 0.0) is x
    assert noise.dropout(None, x, 0.5) is x
    traced = jax.jit(noise.dropout)
    np.testing.assert_array_equal(traced(KEY, x, 0.0), x)
    np.testing.assert_array_equal(traced(KEY, x, 0.3), noise.dropout(KEY, x, 0.3))
    # In company a lane's mask is the one it has alone.
    keys = jax.random.split(KEY, 3)
    together = jax.vmap(noise.dropout, (0, None, None))(keys, x, 0.3)
    for key, mask in zip(keys, together, strict=True):
        np.testing.assert_array_equal(mask, noise.dropout(key, x, 0.3))


def test_normal_numbers_are_normal():
    x = np.asarray(noise.normal(KEY, (512, 512)), np.float64)
    assert x.shape == (512, 512)
    n = x.size
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((x**power).mean() - moment) < 4 * np.sqrt(variance / n)
    assert 4 < abs(x).max() < 5.5
    assert scipy.stats.kstest(x.ravel(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("model", [*TYPICAL, QuadraticMLP(7, 16, dropout=0.2)])
def test_dropout_acts_in_training_only(model):
    params, tokens = initialized(model), equations(model)
    evaluated = apply(model, params, tokens)
    np.testing.assert_allclose(
        apply(model, params, tokens, dropout=0.9), evaluated, rtol=1e-6, atol=1e-7
    )
    trained = apply(model, params, tokens, key=KEY)
    assert not np.allclose(trained, evaluated, rtol=1e-3)
    rate = lambda key, rate: apply(model, params, tokens, key=key, dropout=rate)
    np.testing.assert_allclose(rate(KEY, 0.0), evaluated, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rate(KEY, model.dropout), trained, rtol=1e-4, atol=1e-5)
    assert not np.allclose(rate(jax.random.key(9), model.dropout), trained, rtol=1e-3)


def test_every_row_has_its_own_mask():
    model = Transformer(7, **SMALL, layers=1, norm="pre", dropout=0.5)
    logits = apply(model, initialized(model), np.full((40, 2), 3, np.int32), key=KEY)
    assert len(np.unique(np.round(logits, 4), axis=0)) == 40


def test_dropout_preserves_the_mean_of_a_linear_readout():
    """The logits of one hidden layer are linear in its mask: their mean is the evaluation."""
    model = MLP(7, hidden=(64,), vocabulary=1, dropout=0.3)
    params = initialized(model)
    tokens = jnp.asarray(equations(model, 4))
    draws = np.stack([apply(model, params, tokens, key=key) for key in jax.random.split(KEY, 400)])
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - model.apply(params, tokens)) < 4.5 * error)


def test_weight_noise_moves_all_parameters_in_training_only():
    inner = MLP(7, hidden=(12,), vocabulary=1, dropout=0.0)
    model = models.with_weight_noise(inner, 0.1)
    tokens = jnp.asarray(equations(inner))
    params = initialized(inner)
    clean = inner.apply(params, tokens)
    np.testing.assert_array_equal(model.apply(params, tokens), clean)
    np.testing.assert_array_equal(model.apply(params, tokens, weight_noise=5.0), clean)
    assert not np.allclose(model.apply(params, tokens, key=KEY), clean)
    none = model.apply(params, tokens, key=KEY, weight_noise=jnp.float32(0))
    np.testing.assert_allclose(none, clean, rtol=1e-5, atol=1e-6)
    half = model.apply(params, tokens, key=KEY, weight_noise=0.05) - clean
    whole = model.apply(params, tokens, key=KEY, weight_noise=0.1) - clean
    assert 1.5 < np.linalg.norm(whole) / np.linalg.norm(half) < 2.5


@dataclasses.dataclass(frozen=True)
class Bare:
    """Returns its parameters, to see what training does to them."""

    def init(self, key, tokens):
        return {"a": jnp.zeros((400, 100)), "b": {"c": jnp.ones(10_000)}}

    def apply(self, params, tokens, *, key=None):
        return jnp.concatenate([params["a"].ravel(), params["b"]["c"]])


def test_weight_noise_is_gaussian_and_new_for_each_key():
    model = models.with_weight_noise(Bare(), 0.02)
    params = model.init(KEY, None)
    draw = lambda seed: np.asarray(model.apply(params, None, key=jax.random.key(seed)))
    first, second = draw(0), draw(1)
    a, b = first[:40_000] / 0.02, (first[40_000:] - 1) / 0.02
    for part in (a, b):
        assert scipy.stats.kstest(part, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(a[:10_000], b)[0, 1]) < 0.04  # leaves do not share their noise
    assert abs(np.corrcoef(first[:40_000], second[:40_000])[0, 1]) < 0.02


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: noise.random_bits(0, 3), "key"),
        (lambda: noise.random_bits(KEY, -1), "size"),
        (lambda: noise.normal(None, (3,)), "key"),
        (lambda: noise.normal(KEY, 3), "shape"),
        (lambda: noise.normal(KEY, (2.5,)), r"shape\[0\]"),
        (lambda: noise.dropout(0, jnp.ones(3), 0.1), "key"),
        (lambda: noise.dropout(KEY, "ones", 0.1), "x"),
        (lambda: noise.dropout(KEY, jnp.ones(3), 1.0), "rate"),
        (lambda: noise.dropout(KEY, jnp.ones(3), None), "rate"),
        (lambda: noise.dropout(KEY, jnp.ones(3), jnp.float32(np.nan)), "rate"),
    ],
)
def test_noise_of_wrong_arguments_is_refused(call, name):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        call()


@dataclasses.dataclass(frozen=True)
class Halves(models.ModelBase):
    """Shows its parameters as logits; one of the two does not train."""

    def frozen_params(self):
        return ("fixed",)

    def init(self, key, tokens):
        return {"fixed": jnp.ones(5), "free": jnp.ones(5)}

    def apply(self, params, tokens, *, key=None):
        return jnp.stack([params["fixed"], params["free"]])


def test_frozen_parameters_get_no_noise():
    noisy = models.with_weight_noise(Halves(), 0.5)
    tokens = jnp.zeros((2, 2), int)
    fixed, free = noisy.apply(noisy.init(KEY, tokens), tokens, key=KEY)
    np.testing.assert_array_equal(fixed, 1.0)
    assert (free != 1.0).all()


def test_dropout_and_weight_noise_are_lane_columns():
    model = models.with_weight_noise(MLP(5, hidden=(16,), vocabulary=1, dropout=0.0), 0.0)
    recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw)
    lanes = grokjax.grid(dropout=[0.0, 0.5], weight_noise=[0.0, 0.3], alpha=0.8, learning_rate=1e-2)
    result = grokjax.run_sweep(
        recipe, tasks.modular_addition(5), lanes, max_steps=5, eval_every=5, stop=None,
        devices=jax.devices()[:1], progress=False,
    )  # fmt: skip
    loss = np.asarray(result.dataset.train_loss)
    assert np.all(loss[:, 0] == loss[0, 0])  # evaluation of the same start has no noise
    assert len(np.unique(loss[:, -1])) == 4
