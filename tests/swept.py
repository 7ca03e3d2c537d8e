"""Results for the page of a sweep: what they show is known, and nobody trained them."""

import numpy as np

import grokjax
from grokjax import analytic, models, tasks
from grokjax.results import SweepResult, build_dataset

P, WIDTH, TIMES = 7, 12, 6
TASK = tasks.modular_addition(P)
MODEL = models.QuadraticMLP(P, WIDTH)


def watched(**attrs):
    """Six lanes whose networks go from random weights to the closed form, all the way or half.

    Lanes: alpha 0.4 and 0.7, seeds 0 to 2. Those of alpha 0.7 grok, at steps 30, 30 and 40; those
    of 0.4 never do, and the last of them diverged.
    """
    columns = grokjax.grid(alpha=[0.4, 0.7], seed=range(3))
    lanes, steps = 6, np.arange(TIMES) * 10
    grokking = np.array([np.inf] * 3 + [30, 30, 40])
    train = np.repeat([[0.1, *[1.0] * (TIMES - 1)]], lanes, axis=0)
    test = np.where(steps >= grokking[:, None], 1.0, 0.1 * np.arange(1, lanes + 1)[:, None])
    history = {"train_accuracy": train, "test_accuracy": test}
    history |= {"train_loss": np.exp(-steps / 4) * np.ones((lanes, 1)), "test_loss": 2 - test}
    history["weight_norm"] = np.arange(lanes * TIMES, dtype=float).reshape(lanes, TIMES)
    diverged = np.arange(lanes) == 2
    attrs = {
        "task": TASK.name, "rows": P * P, "keep_params": "all", "precision": "highest",
        "recipe": "Recipe(<b>bold</b> & more)", "lane_steps": 300, "slot_steps": 400,
        "wall_seconds": 1.5, "grokjax": "0.2.0", "device": "cpu", **attrs,
    }  # fmt: skip
    dataset = build_dataset(
        columns, steps, history, np.full(lanes, steps[-1]), diverged, attrs, patience=2
    )
    exact = analytic.analytic_weights(P, WIDTH)
    generator = np.random.default_rng(0)
    params = {}
    for name, weights in exact.items():
        random = generator.standard_normal((lanes, 1, *weights.shape))
        way = np.linspace(0, 1, TIMES)[:, None, None, None][..., : weights.ndim, :]
        way = (
            way.reshape(TIMES, *[1] * weights.ndim)
            * np.where(np.arange(lanes) < 3, 0.3, 1.0)[(slice(None), *[None] * (weights.ndim + 1))]
        )
        params[name] = ((1 - way) * random + way * np.asarray(weights)[None, None]).astype("f4")
    return SweepResult(dataset, params, MODEL, TASK)


def large(lanes=10_000, times=200, measures=6):
    """Ten thousand lanes of random curves: alpha and weight decay of 20 values each, 25 seeds."""
    generator = np.random.default_rng(0)
    columns = grokjax.grid(
        alpha=np.linspace(0.2, 0.8, 20), weight_decay=np.geomspace(0.01, 10, 20),
        seed=range(lanes // 400),
    )  # fmt: skip
    steps = np.arange(times) * 50
    grokking = generator.integers(1, 2 * times, (lanes, 1))
    test = np.where(np.arange(times) >= grokking, 1.0, generator.random((lanes, times)) * 0.5)
    names = ["train_accuracy", "test_accuracy", *(f"measure_{i}" for i in range(measures - 2))]
    history = {name: generator.random((lanes, times)).astype("f4") for name in names}
    history["test_accuracy"] = test
    final = np.full(lanes, steps[-1])
    return SweepResult(build_dataset(columns, steps, history, final, np.zeros(lanes, bool), {}))
