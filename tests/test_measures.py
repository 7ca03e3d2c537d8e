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


@pytest.mark.parametrize("p", [2, 5, 6])
@pytest.mark.parametrize("alpha", [0.3, 0.7])
def test_a_symmetric_network_that_memorizes_has_the_mirrors_right(p, alpha):
    task = tasks.modular_addition(p)
    order = tasks.split_order(task, jax.random.key(1))
    split = tasks.split(task, order, tasks.num_train_rows(task, alpha))
    trained = {tuple(row) for row in task.tokens[np.asarray(split.train)].tolist()}
    mirrored = np.array([(m, n) in trained for n, m in task.tokens.tolist()])
    known = mirrored | np.asarray(split.train)
    # Right on what it has seen in either order; a wrong answer elsewhere, but for one row.
    others = np.flatnonzero(~known)
    answers = np.where(known, task.labels, (task.labels + 1) % p)
    answers[others[:1]] = task.labels[others[:1]]
    logits = jax.nn.one_hot(answers, p)
    found = jax.jit(measures.mirrored)(None, logits, task, split)
    some = (mirrored & np.asarray(split.test)).any()
    np.testing.assert_equal(float(found["mirrored_accuracy"]), 1.0 if some else np.nan)
    expected = 1 / len(others) if len(others) else np.nan
    np.testing.assert_allclose(float(found["unmirrored_accuracy"]), expected, rtol=1e-6)


def test_rows_without_a_mirror_are_of_the_other_kind():
    """Quotients by zero are no rows, and padded equations are their own kind."""
    quotients = tasks.modular_division(5)
    single = tasks.Task(np.arange(5, dtype=np.int32)[:, None], np.arange(5, dtype=np.int32), 5, "n")
    for task in (quotients, tasks.with_extra_training(tasks.modular_addition(5), single)):
        order = tasks.split_order(task, jax.random.key(0))
        split = tasks.split(task, order, 12)
        trained = {tuple(row) for row in task.tokens[np.asarray(split.train)].tolist()}
        has_mirror = np.array([(m, n) in trained for n, m in task.tokens.tolist()])
        has_mirror &= (task.tokens >= 0).all(axis=1)
        answers = np.where(has_mirror, task.labels, (task.labels + 1) % 5)
        found = measures.mirrored(None, jax.nn.one_hot(answers, 5), task, split)
        assert [float(x) for x in found.values()] == [1, 0]


def test_mirrors_need_two_operands():
    task = tasks.modular_addition(5, 3)
    split = tasks.split(task, tasks.split_order(task, jax.random.key(0)), 12)
    with pytest.raises(ValueError, match=r"two operands, and .* has 3"):
        measures.mirrored(None, jnp.zeros((125, 5)), task, split)


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
