"""Measures of single networks, against counts done by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import measures, tasks


def measured(answers, labels, train):
    """`corruption` of a network that gives these answers to the rows of a table."""
    task = tasks.Task(np.zeros((6, 1), np.int32), np.arange(6, dtype=np.int32), 6, "six")
    train = jnp.asarray(train, bool)
    split = tasks.Split(train, ~train, jnp.asarray(labels))
    logits = jax.nn.one_hot(jnp.asarray(answers), 6)
    return {k: float(v) for k, v in measures.corruption(None, logits, task, split).items()}


def test_corruption_counts_each_kind_of_row():
    # The true answers are 0 ... 5. Rows 1, 2 and 3 are corrupted, row 5 is tested.
    numbers = measured([0, 4, 2, 0, 5, 1], labels=[0, 4, 4, 4, 4, 5], train=[1, 1, 1, 1, 1, 0])
    assert numbers["memorized"] == pytest.approx(1 / 3)  # row 1
    assert numbers["inverted"] == pytest.approx(1 / 3)  # row 2
    assert numbers["uncorrupted_accuracy"] == pytest.approx(1 / 2)  # row 0, and not row 4


def test_corruption_of_clean_labels_is_nan():
    numbers = measured(range(6), labels=range(6), train=[1, 1, 1, 0, 0, 0])
    assert np.isnan([numbers["memorized"], numbers["inverted"]]).all()
    assert numbers["uncorrupted_accuracy"] == 1


def test_corruption_does_not_count_random_labels_that_are_true():
    task = tasks.modular_addition(5)
    order = tasks.split_order(task, jax.random.key(0))
    labels = tasks.corrupt_labels(task, order, 20, 1.0, jax.random.key(1))
    split = tasks.split(task, order, 20)._replace(labels=labels)
    lucky = int((split.train & (labels == task.labels)).sum())
    assert 0 < lucky < 20  # all labels are random, and some are right
    truth = jax.nn.one_hot(task.labels, 5)
    numbers = measures.corruption(None, truth, task, split)
    assert [float(x) for x in numbers.values()] == [0, 1, 1]


# Test accuracy, memorized, uncorrupted accuracy.
PHASES = [
    ((1.0, 1.0, 1.0), "coexistence"),
    ((0.9, 0.9, 0.5), "coexistence"),
    ((1.0, np.nan, 1.0), "coexistence"),
    ((1.0, 0.5, 1.0), "partial inversion"),
    ((1.0, 0.89, 1.0), "partial inversion"),
    ((1.0, 0.05, 1.0), "full inversion"),
    ((1.0, 0.0, 1.0), "full inversion"),
    ((0.0, 1.0, 1.0), "memorization"),
    ((0.89, 0.9, 0.9), "memorization"),
    ((0.0, np.nan, 1.0), "memorization"),
    ((0.0, 1.0, 0.8), "forgetting"),
    ((0.0, 0.1, 1.0), "confusion"),
    ((0.89, 0.89, 0.9), "confusion"),
    ((0.01, 0.01, 0.01), "forgetting"),
]


def test_phases_of_final_accuracies():
    accuracies = np.array([numbers for numbers, _ in PHASES]).T
    assert measures.corruption_phase(*accuracies).tolist() == [phase for _, phase in PHASES]
    assert measures.corruption_phase(0.8, 0.8, 0.8, threshold=0.75) == "coexistence"


@pytest.mark.parametrize("threshold", [0.5, 1.1, float("nan")])
def test_thresholds_must_tell_high_from_low(threshold):
    with pytest.raises(ValueError, match="threshold must be in"):
        measures.corruption_phase(1, 1, 1, threshold)
