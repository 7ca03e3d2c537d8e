"""Results that no sweep made, with parameters of every kind."""

import jax
import ml_dtypes
import numpy as np

from grokjax.results import build_dataset

LANES, STEPS = 6, np.arange(5) * 10


def make(columns=None, seed=0, **attrs):
    generator = np.random.default_rng(seed)
    columns = columns or {"alpha": np.repeat([0.3, 0.5], 3), "seed": np.tile(range(3), 2)}
    train = np.sort(generator.random((LANES, 5)), axis=1).astype(np.float32)
    test = train / 2
    train[:, 1:] = 1
    test[:2, 2:] = 1
    test[0, 4:] = train[0, 4:] = np.nan  # retired, too early to have grokked
    history = {"train_accuracy": train, "test_accuracy": test, "w1_norm": train * 7}
    train[4] = 0.5
    diverged = np.arange(LANES) == 3
    final_step = np.array([30, 40, 40, 40, 40, 40])
    return build_dataset(columns, STEPS, history, final_step, diverged, attrs)


def make_params(lanes=LANES):
    generator = np.random.default_rng(1)
    block = {
        "kernel": generator.random((lanes, 2, 4)).astype(ml_dtypes.bfloat16),
        "count": np.arange(lanes, dtype=np.int8),
        "on": np.arange(lanes) % 2 == 0,
        "half": generator.random((lanes, 1)).astype(np.float16),
    }
    return {"w1": generator.standard_normal((lanes, 2, 3, 4)), "layers": {"Dense_0": block}}


def assert_same_params(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
