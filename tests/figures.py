"""Results to draw, and what is found in a figure."""

import numpy as np
import pytest

from grokjax.results import SweepResult, build_dataset, concatenate

BUDGET = 1000
STEPS = np.arange(0, BUDGET + 1, 20)
WATCHED = BUDGET - 2 * 20  # with a patience of 3 measurements
ALPHAS = (0.3, 0.5, 0.7)
SEEDS = 6


def make(scale=1.0):
    """Lanes of alpha 0.3 never grok and the first of them diverges; the others grok at `times`."""
    alpha, seed = np.repeat(ALPHAS, SEEDS), np.tile(np.arange(SEEDS), 3)
    times = np.where(alpha == 0.3, np.inf, scale * (800 - 1000 * alpha + 20 * seed))
    times = np.ceil(times / 20) * 20
    final = np.minimum(times + 40, BUDGET).astype(int)
    final[0] = 100
    measured = final[:, None] >= STEPS
    test = np.where(measured, (times[:, None] <= STEPS).astype(float), np.nan)
    train = np.where(measured, (STEPS >= 40).astype(float), np.nan)
    history = {
        "train_accuracy": train,
        "test_accuracy": test,
        "train_loss": 1.1 - train,
        "test_loss": 1.1 - test,
        "ipr": 0.04 + 0.5 * test,
        "norm_w1": 1 + test,
        "gradient_norm_w1": 1 + train,
    }
    diverged = np.arange(len(times)) == 0
    columns = {"alpha": alpha, "seed": seed}
    return SweepResult(build_dataset(columns, STEPS, history, final, diverged, {}))


@pytest.fixture(scope="module")
def result():
    return make()


@pytest.fixture(scope="module")
def two():
    return concatenate([make(), make(0.5)], optimizer=["sgd", "adamw"])


def lines(ax, label):
    return [line for line in ax.lines if line.get_label() == label]


def drawn(ax):
    """The lines with data: neither keys of the legend nor lines across the axes."""
    return [line for line in ax.lines if len(line.get_xdata()) and line.get_gid() is None]


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.fixture(scope="module")
def guessing(two):
    return SweepResult(two.dataset.assign_attrs(chance=0.2))
