import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

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


def test_a_task_shows_its_sizes_by_the_names_of_its_attributes():
    shown = repr(tasks.modular_addition(5))
    assert shown == "Task('n1+n2 mod 5', num_rows=25, num_classes=5)"


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
    task = dataclasses.replace(task, train_only=extra)
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


GROUPS = [(n, False) for n in (2, 3, 4, 5)] + [(n, True) for n in (3, 4, 5)]


@pytest.mark.parametrize(("n", "alternating"), GROUPS)
def test_permutation_groups_are_groups(n, alternating):
    task = tasks.permutation_group(n, alternating=alternating)
    size = task.num_classes
    assert size == np.prod(range(1, n + 1)) // (2 if alternating else 1)
    assert task.num_rows == size**2
    table = task.labels.reshape(size, size)
    everything = np.arange(size)
    assert np.array_equal(table[0], everything)
    assert np.array_equal(table[:, 0], everything)
    for lines in (table, table.T):  # so every element has an inverse on both sides
        assert np.array_equal(np.sort(lines, axis=1), np.tile(everything, (size, 1)))
    a, b, c = np.random.default_rng(n).integers(size, size=(3, 2000))
    assert np.array_equal(table[table[a, b], c], table[a, table[b, c]])
    assert np.array_equal(table, table.T) == (size <= 3)


def test_permutations_are_in_lexicographic_order_and_apply_the_last_factor_first():
    elements = list(itertools.permutations(range(4)))
    task = tasks.permutation_group(4)
    for (a, b), label in zip(task.tokens[::7], task.labels[::7], strict=True):
        assert elements[label] == tuple(elements[a][elements[b][x]] for x in range(4))
    even = [e for e in elements if sum(e[i] > e[j] for i in range(4) for j in range(i, 4)) % 2 == 0]
    assert even[1] == (0, 2, 3, 1)
    product = tasks.permutation_group(4, alternating=True).labels.reshape(12, 12)[1, 1]
    assert even[product] == (0, 3, 1, 2)


def test_the_three_operations_of_power_agree_with_the_product():
    product = tasks.permutation_group(4).labels.reshape(24, 24)
    conjugate = tasks.permutation_group(4, "a b a^-1").labels.reshape(24, 24)
    sandwich = tasks.permutation_group(4, "a b a").labels.reshape(24, 24)
    for a, b in itertools.product(range(24), repeat=2):
        assert product[conjugate[a, b], a] == product[a, b]
        assert sandwich[a, b] == product[product[a, b], a]
    assert tasks.permutation_group(5).chance == pytest.approx(1 / 120)
    # Conjugates of the identity are the identity.
    assert (conjugate == 0).sum() == 24


TERMS = [
    [(1, (3, 0)), (1, (1, 2)), (1, (0, 1))],
    [(2, (1, 1)), (-3, (0, 0))],
    [(4, (2, 0, 1)), (1, (0, 5, 0))],
    [(1, (60,))],  # beyond 64-bit integers
]


@pytest.mark.parametrize("p", [2, 6, 7])
@pytest.mark.parametrize("terms", TERMS)
def test_polynomials_agree_with_integers(p, terms):
    task = tasks.modular_polynomial(p, terms)
    assert task.num_rows == p ** len(terms[0][1])
    for row, label in zip(task.tokens.tolist(), task.labels.tolist(), strict=True):
        value = sum(
            c * np.prod([n**a for n, a in zip(row, exponents, strict=True)], dtype=object)
            for c, exponents in terms
        )
        assert label == value % p


def test_polynomials_are_named_as_they_are_written():
    names = [tasks.modular_polynomial(7, terms).name for terms in TERMS]
    assert names == [
        "n1^3+n1n2^2+n2 mod 7",
        "2n1n2+4 mod 7",
        "4n1^2n3+n2^5 mod 7",
        "n1^60 mod 7",
    ]


def test_alpha_of_a_sample_is_a_fraction_of_the_whole_table():
    task = tasks.modular_addition(11, 4, num_rows=2000, key=jax.random.key(0))
    assert task.table_rows == 11**4
    order = tasks.split_order(task, jax.random.key(1))
    for alpha in (0.01, 0.05, 0.1):
        count = tasks.num_train_rows(task, alpha)
        assert count == round(alpha * 11**4)
        assert int(tasks.split(task, order, count).test.sum()) == 2000 - count
    assert tasks.modular_addition(11, 4).table_rows is None
    # A sample of the whole table splits as the table does.
    whole = tasks.modular_addition(5, num_rows=25, key=jax.random.key(0))
    assert tasks.num_train_rows(whole, 0.3) == tasks.num_train_rows(tasks.modular_addition(5), 0.3)
    restricted = tasks.restrict_operand(whole, 0.4, jax.random.key(0))
    assert (restricted.table_rows, restricted.num_rows) == (10, 10)


@pytest.fixture(scope="module")
def mixed():
    """Sums of four operands, and all those of two and three to train on."""
    task = tasks.modular_addition(7, 4, num_rows=600, key=jax.random.key(0))
    return tasks.with_extra_training(task, *(tasks.modular_addition(7, k) for k in (2, 3)))


def test_extra_training_rows_are_padded_true_and_come_last(mixed):
    assert mixed.num_rows == 600 + 49 + 343
    assert mixed.tokens.dtype == mixed.labels.dtype == np.int32
    operands = np.where(mixed.tokens == tasks.PAD, 0, mixed.tokens)
    assert np.array_equal(operands.sum(axis=1) % 7, mixed.labels)
    padding = (mixed.tokens == tasks.PAD).sum(axis=1)
    assert padding.tolist() == [0] * 600 + [2] * 49 + [1] * 343
    assert np.array_equal(mixed.train_only, padding > 0)


def test_extra_training_rows_are_in_every_training_set(mixed):
    order = tasks.split_order(mixed, jax.random.key(0))
    for alpha in (0.02, 0.1, 0.2):
        count = tasks.num_train_rows(mixed, alpha)
        assert count == round(alpha * 7**4) + 392
        split = tasks.split(mixed, order, count)
        assert np.all(np.asarray(split.train)[600:])
        assert int(split.test.sum()) == 600 - round(alpha * 7**4)


def test_extra_training_rows_can_be_added_twice(mixed):
    again = tasks.with_extra_training(mixed, tasks.modular_addition(7, 1))
    assert again.train_only.sum() == 392 + 7
    assert again.table_rows == 7**4


def test_primes():
    assert [p for p in range(30) if tasks.is_prime(p)] == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    assert tasks.next_prime(24) == 29


# -- what a task is ------------------------------------------------------------------------------

TOKENS, LABELS = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]


def xor(**changes):
    return tasks.Task(**(dict(tokens=TOKENS, labels=LABELS, num_classes=2, name="xor") | changes))


@pytest.mark.parametrize("kind", [list, tuple, np.array, np.uint8, np.int64, xarray.DataArray])
def test_lists_and_integers_of_any_size_become_int32(kind):
    task = xor(tokens=kind(TOKENS), labels=kind(LABELS), num_classes=np.int64(2))
    assert task.tokens.dtype == task.labels.dtype == np.int32
    assert (task.tokens.tolist(), task.labels.tolist()) == (TOKENS, LABELS)
    assert type(task.num_classes) is int
    assert tasks.check_task(task) is task


def test_more_operands_than_answers_are_declared():
    n, m = tasks.modular_addition(5).tokens.T
    less = tasks.Task(np.stack([n, m], 1), (n < m).astype(int), 2, "<", num_tokens=5)
    assert (less.vocabulary, less.num_classes, xor().vocabulary) == (5, 2, 2)
    assert tasks.restrict_operand(less, 0.4, jax.random.key(0)).num_rows == 10
    three = tasks.Task([[0, 3, 4]], [1], 2, "a<b<c", num_tokens=5)
    assert tasks.with_extra_training(three, less).vocabulary == 5


WRONG = [
    ({"tokens": [0, 1, 2, 3]}, r"tokens must be an array of integers of shape \[P, S\]"),
    ({"tokens": [[0], [1, 1]]}, r"tokens must be an array of integers of shape \[P, S\]"),
    ({"tokens": np.array(TOKENS, float)}, "tokens must be an array of integers"),
    ({"tokens": np.array(TOKENS, bool)}, "tokens must be an array of integers"),
    ({"tokens": "abc"}, "tokens must be an array of integers"),
    ({"tokens": None}, "tokens must be an array of integers"),
    ({"tokens": np.zeros((4, 0), int)}, r"tokens must have at least one entry, got shape \[4, 0\]"),
    ({"tokens": np.zeros((0, 2), int), "labels": []}, "tokens must have at least one entry"),
    ({"tokens": [[0, 2]] * 4}, "from 0 to 1, and PAD = -1 in unused places, got 2; .* num_tokens"),
    ({"tokens": [[0, 2]] * 4, "num_tokens": 2}, "got 2; num_tokens must be larger"),
    ({"tokens": [[0, 2**40]] * 4}, f"got {2**40}"),
    ({"tokens": [[-2, 0]] * 4}, "got -2"),
    ({"labels": [0, 1, 2, 0]}, "labels must be integers from 0 to 1, got 2; num_classes"),
    ({"labels": [0, 1, -1, 0]}, "labels must be integers from 0 to 1, got -1"),
    ({"labels": [0.0, 1.0, 1.0, 0.0]}, "labels must be an array of integers"),
    ({"labels": [0, 1, 1]}, r"of shape \[4\], got int64 \[3\]"),
    ({"labels": "0110"}, "labels must be an array of integers"),
    ({"num_classes": 0}, "num_classes must be a positive integer"),
    ({"num_classes": 2.0}, "num_classes must be a positive integer"),
    ({"name": None}, "name must be text"),
    ({"train_only": [1, 0, 0, 0]}, "train_only must be an array of booleans"),
    ({"train_only": [True]}, r"train_only must be an array of booleans of shape \[4\]"),
    ({"train_only": "no"}, "train_only must be an array of booleans"),
    ({"table_rows": 3}, "table_rows=3 must be at least the 4 rows at hand"),
    ({"table_rows": 3, "train_only": [True, False, False, False]}, None),
    ({"table_rows": 4.5}, "table_rows must be a positive integer, or None"),
    ({"num_tokens": 0}, "num_tokens must be a positive integer .* or None"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_task_is_complete_or_refused_where_it_is_made(changes, message):
    if message is None:
        assert tasks.check_task(xor(**changes)).table_rows == 3
        return
    with pytest.raises(ValueError, match=message):
        xor(**changes)


def test_tasks_of_traced_arrays_and_of_no_arrays_at_all_can_be_made():
    task = xor()
    assert jax.tree.map(np.shape, task).tokens == (4, 2)
    assert jax.tree.map(lambda x: None, task).labels is None
    assert jax.eval_shape(lambda t: t, task).tokens.shape == (4, 2)
    assert jax.tree.structure(task) == jax.tree.structure(xor())
    assert jax.tree.structure(task) != jax.tree.structure(xor(num_tokens=2))
    (path, _), *_ = jax.tree_util.tree_flatten_with_path(task)[0]
    assert jax.tree_util.keystr(path) == ".tokens"
    again = jax.jit(lambda t: dataclasses.replace(t, labels=1 - t.labels))(task)
    assert again.labels.tolist() == [1, 0, 0, 1]
    stacked = jax.tree.map(lambda x: np.stack([x, x]), task)
    assert jax.vmap(lambda t: t.labels.sum())(stacked).tolist() == [2, 2]
    axes = dataclasses.replace(task, tokens=None, labels=0)
    many = dataclasses.replace(task, labels=jnp.stack([task.labels] * 3))
    assert jax.vmap(lambda t: t.labels.sum(), in_axes=(axes,))(many).shape == (3,)


def test_check_task_sees_what_the_constructor_could_not():
    task = xor(train_only=[True, False, False, False])
    assert tasks.check_task(jax.tree.map(jnp.asarray, task)).name == "xor"
    wide = jax.tree.map(lambda x: x.astype(np.int64), xor())
    assert tasks.check_task(wide).tokens.dtype == np.int32
    assert jax.jit(lambda t: tasks.check_task(t).labels)(task).tolist() == LABELS
    for change, message in (
        (lambda x: jnp.asarray(x) + 1, "tokens must be integers from 0 to 1"),
        (lambda x: x.astype(float), "tokens must be an array of integers"),
        (lambda x: x[None], r"of shape \[P, S\], got int32 \[1, 4, 2\]"),
        (lambda x: None, "tokens must be an array of integers"),
    ):
        with pytest.raises(ValueError, match=message):
            tasks.check_task(jax.tree.map(change, xor()))
    task.labels[0] = 7  # arrays can be written to after all
    with pytest.raises(ValueError, match="labels must be integers from 0 to 1, got 7"):
        tasks.check_task(task)


@pytest.mark.parametrize("thing", [None, "task", 3, tasks.Task, {"tokens": TOKENS}])
def test_what_is_no_task_is_refused_everywhere(thing):
    five, key, order = tasks.modular_addition(5), jax.random.key(0), np.arange(25)
    for call in (
        lambda: tasks.check_task(thing),
        lambda: tasks.restrict_operand(thing, 0.5, key),
        lambda: tasks.with_extra_training(thing, five),
        lambda: tasks.with_extra_training(five, thing),
        lambda: tasks.num_train_rows(thing, 0.5),
        lambda: tasks.split_order(thing, key),
        lambda: tasks.split(thing, order, 5),
        lambda: tasks.corrupt_labels(thing, order, 5, 0.5, key),
    ):
        with pytest.raises(ValueError, match="task must be a Task, such as tasks"):
            call()


# -- functions that leave 64 bits ----------------------------------------------------------------

TOO_LARGE = {
    "power": lambda n, m: n**40,
    "reduced too late": lambda n, m: n**40 % 97,
    "product": lambda n, m: (n * m + 1) ** 10,
    "numpy": lambda n, m: np.power(n, 30) + m,
    "jax": lambda n, m: jnp.asarray(n) ** 40,
    "only the last row": lambda n, m: (n * m) ** 4 * 1282,
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_functions_that_leave_64_bits_are_refused(name):
    with pytest.raises(ValueError, match=r"integers too large for int64, .* reduce modulo p=97"):
        tasks.modular_function(97, TOO_LARGE[name], name)


random = np.random.default_rng(0)
FINE = {
    "reduced": lambda n, m: (n**4 % 97) * (n**4 % 97) + m,
    "look-up": lambda n, m: np.arange(97)[::-1][n] * m,
    "choice": lambda n, m: np.where(n < m, n, 2 * m),
    "bits": lambda n, m: n ^ m,
    "division": lambda n, m: n // (m + 1) - m,
    "constant": lambda n, m: 3,
    "another random table in every call": lambda n, m: random.integers(0, 97, n.shape),
    "jax in 64 bits": lambda n, m: jnp.power(n, 6) + m,
    "just below the limit": lambda n, m: (n * m) ** 4 * 1278,
}


@pytest.mark.parametrize("name", FINE)
def test_other_functions_are_not(name):
    task = tasks.modular_function(97, FINE[name], name)
    if "random" not in name:
        with jax.enable_x64(True):
            values = [int(FINE[name](*map(np.int64, row))) for row in task.tokens[::97]]
        assert np.array_equal(np.array(values) % 97, task.labels[::97])


BAD = [
    (lambda: tasks.modular_addition(1), "at least 2, got 1"),
    (lambda: tasks.modular_addition(0), "at least 2"),
    (lambda: tasks.modular_addition(-7), "at least 2"),
    (lambda: tasks.modular_addition(7.0), "at least 2, got 7.0"),
    (lambda: tasks.modular_addition("97"), "at least 2, got '97'"),
    (lambda: tasks.modular_addition(True), "at least 2, got True"),
    (lambda: tasks.modular_addition(5, 0), "operands must be a positive integer"),
    (lambda: tasks.modular_addition(5, coefficients=(1, 2, 3)), "must be 2 integers, .* got 3"),
    (lambda: tasks.modular_addition(5, coefficients=(1, 0.5)), r"coefficients\[1\] must be an int"),
    (lambda: tasks.modular_addition(5, coefficients=5), "coefficients must be integers, such as"),
    (
        lambda: tasks.modular_addition(5, coefficients="11"),
        "coefficients must be integers, such as",
    ),
    (lambda: tasks.modular_addition(97, 5), "num_rows"),
    (lambda: tasks.modular_addition(7, 10**9), "more rows than 64-bit integers can number"),
    (lambda: tasks.modular_addition(2**31, 1), "more rows than 64-bit integers can number"),
    (lambda: tasks.modular_addition(10**5000), "p must be an integer below"),
    (lambda: tasks.modular_addition(5, num_rows=3, key=0), r"use jax.random.key\(0\)"),
    (lambda: tasks.modular_addition(5, key="a"), "key must be a JAX random key"),
    (
        lambda: tasks.modular_addition(5, num_rows=2.5, key=jax.random.key(0)),
        "or None for all rows",
    ),
    (lambda: tasks.modular_addition(97, 5, num_rows=10), "needs a key"),
    (lambda: tasks.modular_addition(5, num_rows=26, key=jax.random.key(0)), "25 rows"),
    (lambda: tasks.modular_addition(5, num_rows=0, key=jax.random.key(0)), "positive integer"),
    (lambda: tasks.modular_division(12), "prime modulus, got p=12.*such as 13"),
    (lambda: tasks.modular_division(1), "at least 2"),
    (lambda: tasks.modular_division(10**18 + 9), "more rows"),  # before it looks for divisors
    (lambda: tasks.modular_function(5, lambda n, m: n / (m + 1), "f"), "integer arithmetic"),
    (
        lambda: tasks.modular_function(5, lambda n: n, "f"),
        "fn must map 2 integer arrays .* takes 1",
    ),
    (lambda: tasks.modular_function(5, 3, "f"), "fn must be a function of two integer arrays"),
    (lambda: tasks.modular_function(5, lambda n, m: n, 3), "name must be text"),
    (lambda: tasks.modular_function(5, lambda n, m: n[:3], "f"), "shape"),
    (lambda: tasks.from_table([[0, 1], [1, 2]]), "0..1"),
    (lambda: tasks.from_table([[0, 1, 2], [1, 2, 0]]), r"integers of shape \[p, p\]"),
    (
        lambda: tasks.from_table([[0, 1], [1]]),
        r"integers of shape \[p, p\], got \[\[0, 1\], \[1\]\]",
    ),
    (lambda: tasks.from_table([[0.0, 1.0], [1.0, 0.0]]), "table must be an array of integers"),
    (lambda: tasks.from_table(None), "table must be an array of integers"),
    (lambda: tasks.from_table([[0, 1], [1, 0]], name=2), "name must be text"),
    (lambda: tasks.restrict_operand(tasks.modular_addition(5), 0.1, jax.random.key(0)), "0.2"),
    (lambda: tasks.restrict_operand(tasks.modular_addition(5), 1.5, jax.random.key(0)), "1.5"),
    (
        lambda: tasks.restrict_operand(tasks.modular_addition(5), None, jax.random.key(0)),
        "fraction",
    ),
    (lambda: tasks.restrict_operand(tasks.modular_addition(5), 0.5, 0), "key must be a JAX random"),
    (
        lambda: tasks.restrict_operand(tasks.Task([[-1, 0]], [0], 9, "0"), 0.2, jax.random.key(0)),
        "no row",
    ),
    (lambda: tasks.permutation_group(1), "at least 2 and below 7, got 1"),
    (lambda: tasks.permutation_group(7), "below 7, got 7"),
    (lambda: tasks.permutation_group(2, alternating=True), "at least 3"),
    (lambda: tasks.permutation_group(3, "b a"), '"a b a\\^-1" or "a b a", got \'b a\''),
    (lambda: tasks.permutation_group(3, alternating="no"), "alternating must be True or False"),
    (lambda: tasks.check_modulus(7, "a"), "at_least must be an integer"),
    (lambda: tasks.is_prime(7.0), "p must be an integer"),
    (lambda: tasks.next_prime("7"), "p must be an integer"),
    (lambda: tasks.is_prime(2**61 - 1), "p must be an integer below 9007199254740992"),
    (lambda: tasks.modular_polynomial(5, 5), "one exponent for each operand"),
    (lambda: tasks.modular_polynomial(5, "ab"), "one exponent for each operand"),
    (lambda: tasks.modular_polynomial(5, [(1, 2)]), r"exponents of terms\[0\] must be integers"),
    (lambda: tasks.modular_polynomial(5, []), "one exponent for each operand"),
    (lambda: tasks.modular_polynomial(5, [(1, ())]), "one exponent for each operand"),
    (lambda: tasks.modular_polynomial(5, [(1, (1,)), (1, (1, 2))]), "one exponent for each"),
    (lambda: tasks.modular_polynomial(5, [(1, (1, -1))]), "at least 0, got -1"),
    (lambda: tasks.modular_polynomial(5, [(0.5, (1, 1))]), r"coefficient of terms\[0\] must be an"),
    (lambda: tasks.modular_polynomial(97, [(1, (1,) * 5)]), "give num_rows"),
    (lambda: tasks.with_extra_training(tasks.modular_addition(5)), "at least one"),
    (
        lambda: tasks.with_extra_training(tasks.modular_addition(5), tasks.modular_addition(7)),
        "7 classes and 2 operands",
    ),
    (
        lambda: tasks.with_extra_training(tasks.modular_addition(5), tasks.modular_addition(5, 3)),
        "at most as many operands",
    ),
    (
        lambda: tasks.with_extra_training(tasks.modular_addition(5), tasks.modular_addition(5)),
        "without common rows",
    ),
    (
        lambda: tasks.num_train_rows(
            tasks.modular_addition(11, 4, num_rows=100, key=jax.random.key(0)), 0.01
        ),
        "no test row among the 100 .* a sample of 14,641; use an alpha between .* sample more rows",
    ),
    (lambda: tasks.num_train_rows(tasks.modular_addition(5), 0.01), "no training row"),
    (lambda: tasks.num_train_rows(tasks.modular_addition(5), 0.999), "no test row"),
    (lambda: tasks.num_train_rows(tasks.modular_addition(5), float("nan")), "alpha=nan"),
    (lambda: tasks.num_train_rows(tasks.modular_addition(5), 1.0), "between 0 and 1"),
    (lambda: tasks.num_train_rows(tasks.modular_addition(5), None), "alpha=None"),
    (lambda: tasks.num_train_rows(tasks.modular_addition(5), "0.5"), "alpha='0.5'"),
    (lambda: tasks.num_train_rows(xor(train_only=[True] * 4), 0.5), "all 4 rows .* train_only"),
    (lambda: tasks.split_order(tasks.modular_addition(5), 0), "key must be a JAX random key"),
    (
        lambda: tasks.split(xor(), [0, 1, 2], 2),
        r"order must be an array of integers of shape \[4\]",
    ),
    (lambda: tasks.split(xor(), [0, 1, 2, 2], 2), "order must hold each of the rows 0 to 3 once"),
    (lambda: tasks.split(xor(), [0.0, 1.0, 2.0, 3.0], 2), "order must be an array of integers"),
    (lambda: tasks.split(xor(), [3, 2, 1, 0], 5), "num_train must be an integer .* below 5"),
    (lambda: tasks.split(xor(), [3, 2, 1, 0], 0.5), "num_train must be an integer"),
    (
        lambda: tasks.corrupt_labels(xor(), np.arange(4), 2, 1.5, jax.random.key(0)),
        "fraction must be a finite number of at least 0 and of at most 1",
    ),
    (lambda: tasks.corrupt_labels(xor(), np.arange(4), 2, 0.5, 3), "key must be a JAX random key"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_named_with_its_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()
