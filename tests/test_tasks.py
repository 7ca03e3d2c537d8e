import itertools

import jax
import numpy as np
import pytest

from grokjax import tasks

MODULI = (2, 3, 4, 5, 6, 7, 9, 12)


@pytest.mark.parametrize("p", MODULI)
@pytest.mark.parametrize("operands", [1, 2, 3])
def test_addition_is_the_whole_table_once(p, operands):
    task = tasks.modular_addition(p, operands)
    rows = [tuple(row) for row in task.tokens.tolist()]
    assert rows == list(itertools.product(range(p), repeat=operands))
    assert task.labels.tolist() == [sum(row) % p for row in rows]
    assert task.num_classes == p


@pytest.mark.parametrize("p", MODULI)
def test_named_functions_agree_with_integers(p):
    pairs = list(itertools.product(range(p), repeat=2))
    cases = [
        (tasks.modular_subtraction(p), lambda n, m: n - m),
        (tasks.modular_multiplication(p), lambda n, m: n * m),
        (tasks.modular_addition(p, coefficients=(2, 3)), lambda n, m: 2 * n + 3 * m),
        (
            tasks.modular_function(p, lambda n, m: n**3 + n * m**2 + m, "f"),
            lambda n, m: n**3 + n * m**2 + m,
        ),
    ]
    for task, fn in cases:
        assert task.labels.tolist() == [fn(n, m) % p for n, m in pairs], task.name


@pytest.mark.parametrize("p", [2, 3, 5, 7, 11, 13])
def test_division_undoes_multiplication(p):
    task = tasks.modular_division(p)
    n, m = task.tokens.T
    assert task.num_rows == p * (p - 1)
    assert np.all(task.labels * m % p == n)


def test_a_cayley_table_is_read_row_by_row():
    elements = list(itertools.permutations(range(3)))
    table = [
        [elements.index(tuple(a[i] for i in b)) for b in elements] for a in elements
    ]  # S_3, not commutative
    task = tasks.from_table(table)
    assert task.num_classes == 6
    assert task.labels.reshape(6, 6).tolist() == table
    assert task.chance == pytest.approx(1 / 6)


def test_sampled_tables_are_reproducible_true_and_without_repetition():
    task = tasks.modular_addition(31, 5, num_rows=2000, key=jax.random.key(1))
    again = tasks.modular_addition(31, 5, num_rows=2000, key=jax.random.key(1))
    other = tasks.modular_addition(31, 5, num_rows=2000, key=jax.random.key(2))
    assert np.array_equal(task.tokens, again.tokens)
    assert not np.array_equal(task.tokens, other.tokens)
    assert len(np.unique(task.tokens, axis=0)) == 2000
    assert np.all(task.tokens.sum(axis=1) % 31 == task.labels)
    assert task.tokens.min() >= 0
    assert task.tokens.max() <= 30


def test_sampling_the_whole_table_gives_the_table():
    whole = tasks.modular_addition(5, 2, num_rows=25, key=jax.random.key(0))
    assert np.array_equal(whole.tokens, tasks.modular_addition(5).tokens)


@pytest.mark.parametrize("p", [3, 4, 7, 10])
def test_splits_have_exactly_round_alpha_rows_and_are_nested(p):
    task = tasks.modular_addition(p)
    order = tasks.split_order(task, jax.random.key(p))
    assert sorted(order.tolist()) == list(range(p * p))
    previous = np.zeros(p * p, bool)
    for alpha in np.linspace(0.15, 0.85, 8):
        count = tasks.num_train_rows(task, alpha)
        assert count == round(alpha * p * p)
        split = tasks.split(task, order, count)
        assert int(split.train.sum()) == count
        assert not np.any(split.train & split.test)
        assert np.all(split.train | split.test)
        assert np.all(split.train >= previous)
        previous = np.asarray(split.train)


def test_every_row_is_equally_likely_to_be_trained_on():
    task = tasks.modular_addition(4)
    orders = jax.vmap(lambda key: tasks.split_order(task, key))(
        jax.random.split(jax.random.key(0), 4000)
    )
    share = np.bincount(np.asarray(orders[:, :8]).ravel(), minlength=16) / 4000
    assert np.abs(share - 0.5).max() < 5 * np.sqrt(0.25 / 4000)


def test_train_only_rows_are_trained_on_at_every_alpha_and_never_tested():
    task = tasks.modular_addition(5)
    extra = np.arange(25) % 7 == 0
    task = tasks.dataclasses.replace(task, train_only=extra)
    order = tasks.split_order(task, jax.random.key(3))
    for alpha in (0.2, 0.5, 0.8):
        count = tasks.num_train_rows(task, alpha)
        assert count == extra.sum() + round(alpha * (25 - extra.sum()))
        split = tasks.split(task, order, count)
        assert np.all(np.asarray(split.train)[extra])
        assert int(split.train.sum()) == count


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_label_noise_touches_exactly_its_share_of_training_rows(fraction):
    task = tasks.modular_addition(31)
    order = tasks.split_order(task, jax.random.key(0))
    count = tasks.num_train_rows(task, 0.5)
    split = tasks.split(task, order, count)
    labels = tasks.corrupt_labels(task, order, count, fraction, jax.random.key(1))
    changed = np.asarray(labels != task.labels)
    assert not np.any(changed & np.asarray(split.test))
    # A random answer is right once in 31 times.
    expected = round(fraction * count) * 30 / 31
    assert abs(changed.sum() - expected) <= 5 * np.sqrt(expected / 31 + 1e-9)
    more = tasks.corrupt_labels(task, order, count, min(1.0, fraction + 0.2), jax.random.key(1))
    assert np.all(np.asarray(more)[changed] == np.asarray(labels)[changed])


def test_restricting_an_operand_keeps_whole_rows_of_the_table():
    task = tasks.restrict_operand(tasks.modular_addition(10), 0.35, jax.random.key(0))
    kept, counts = np.unique(task.tokens[:, 0], return_counts=True)
    assert len(kept) == 3
    assert np.all(counts == 10)
    assert np.all(task.tokens.sum(axis=1) % 10 == task.labels)


def test_primes():
    assert [p for p in range(30) if tasks.is_prime(p)] == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    assert tasks.next_prime(24) == 29


BAD = [
    (lambda: tasks.modular_addition(1), "at least 2, got 1"),
    (lambda: tasks.modular_addition(0), "at least 2"),
    (lambda: tasks.modular_addition(-7), "at least 2"),
    (lambda: tasks.modular_addition(7.0), "integer, got 7.0"),
    (lambda: tasks.modular_addition("97"), "integer, got '97'"),
    (lambda: tasks.modular_addition(True), "at least 2, got True"),
    (lambda: tasks.modular_addition(5, 0), "operands must be at least 1"),
    (lambda: tasks.modular_addition(5, coefficients=(1, 2, 3)), "3 entries for operands=2"),
    (lambda: tasks.modular_addition(5, coefficients=(1, 0.5)), "coefficients must be integers"),
    (lambda: tasks.modular_addition(97, 5), "num_rows"),
    (lambda: tasks.modular_addition(97, 5, num_rows=10), "needs a key"),
    (lambda: tasks.modular_addition(5, num_rows=26, key=jax.random.key(0)), "25 rows"),
    (lambda: tasks.modular_addition(5, num_rows=0, key=jax.random.key(0)), "at least 1"),
    (lambda: tasks.modular_division(12), "prime modulus, got p=12.*such as 13"),
    (lambda: tasks.modular_division(1), "at least 2"),
    (lambda: tasks.modular_function(5, lambda n, m: n / (m + 1), "f"), "integer arithmetic"),
    (lambda: tasks.modular_function(5, lambda n, m: n[:3], "f"), "shape"),
    (lambda: tasks.from_table([[0, 1], [1, 2]]), "0..1"),
    (lambda: tasks.from_table([[0, 1, 2], [1, 2, 0]]), "square"),
    (lambda: tasks.restrict_operand(tasks.modular_addition(5), 0.1, jax.random.key(0)), "0.2"),
    (lambda: tasks.restrict_operand(tasks.modular_addition(5), 1.5, jax.random.key(0)), "1.5"),
    (lambda: tasks.num_train_rows(tasks.modular_addition(5), 0.01), "no training row"),
    (lambda: tasks.num_train_rows(tasks.modular_addition(5), 0.999), "no test row"),
    (lambda: tasks.num_train_rows(tasks.modular_addition(5), float("nan")), "alpha=nan"),
    (lambda: tasks.num_train_rows(tasks.modular_addition(5), 1.0), "between 0 and 1"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_named_with_its_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()
