"""Closed-form functions of sums, products and polynomials."""

import jax
import numpy as np
import pytest

from grokjax import analytic, models, tasks


def identity(n):
    return n


def square(n):
    return n * n


@pytest.mark.parametrize("p", [7, 12])
@pytest.mark.parametrize(
    ("inner", "outer", "fn"),
    [
        ((square, square), None, lambda n, m: n**2 + m**2),
        ((identity, identity), square, lambda n, m: (n + m) ** 2),
        ((square, lambda n: 3 * n), lambda t: t**3 + 1, lambda n, m: (n**2 + 3 * m) ** 3 + 1),
    ],
)
def test_functions_of_sums_are_exact_with_the_one_hot(p, inner, outer, fn):
    task = tasks.modular_function(p, fn, "function")
    result = analytic.evaluate(*analytic.analytic_function(p, inner, outer), task)
    assert result.accuracy == 1
    assert result.mse < 1e-10


def test_inner_functions_need_one_frequency_only():
    model, params = analytic.analytic_function(23, (square, square), construction="clock")
    task = tasks.modular_function(23, lambda n, m: n**2 + m**2, "n^2+m^2")
    assert model.width == 6
    assert analytic.evaluate(model, params, task).accuracy == 1


def test_readouts_of_an_outer_function():
    """SCIENCE.md B3: half of the answers with one branch, nearly none with one frequency."""
    p = 97
    task = tasks.modular_function(p, lambda n, m: (n + m) ** 2, "(n+m)^2")
    accuracies = [
        analytic.evaluate(
            *analytic.analytic_function(p, (identity, identity), square, **options), task
        ).accuracy
        for options in ({}, {"readout": "inverse"}, {"construction": "clock"})
    ]
    assert accuracies[0] == 1
    assert accuracies[1] == pytest.approx(0.51, abs=0.01)
    assert accuracies[2] == pytest.approx(0.04, abs=0.01)


def test_functions_of_many_operands():
    model, params = analytic.analytic_function(5, (square, identity, square), lambda t: 2 * t * t)
    labels = [2 * (a * a + b + c * c) ** 2 % 5 for a, b, c in tasks.modular_addition(5, 3).tokens]
    logits = model.apply(params, tasks.modular_addition(5, 3).tokens)
    np.testing.assert_allclose(logits, np.eye(5)[labels], atol=1e-5)


@pytest.mark.parametrize("p", [3, 5, 7, 11, 13, 17, 19, 23, 97])
def test_discrete_logarithm(p):
    root, log = analytic.primitive_root(p), analytic.discrete_log(p)
    assert log[0] == -1
    assert sorted(log[1:]) == list(range(p - 1))
    assert all(pow(root, int(x), p) == n for n, x in enumerate(log) if n)


@pytest.mark.parametrize("p", [5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 97, 199])
def test_seven_neurons_multiply(p):
    model, params = analytic.analytic_multiplication(p)
    assert model.width == 7
    w1 = np.asarray(params["w1"])
    hidden = (w1[0][:, None, :] + w1[1][None, :, :]) ** 2
    answers = np.outer(np.arange(p), np.arange(p)) % p
    assert (np.argmax(hidden @ np.asarray(params["w2"]), axis=2) == answers).all()


@pytest.mark.parametrize("construction", ["clock", "one_hot", "pizza"])
@pytest.mark.parametrize("exponents", [(1, 1), (2, 3), (1, 0), (0, 0)])
def test_products_of_powers(construction, exponents):
    a, b = exponents
    task = tasks.modular_function(11, lambda n, m: n**a * m**b, "product")
    network = analytic.analytic_multiplication(11, exponents, construction=construction)
    assert analytic.evaluate(*network, task).accuracy == 1


def test_a_negative_exponent_divides():
    network = analytic.analytic_multiplication(13, (1, -1))
    assert analytic.evaluate(*network, tasks.modular_division(13)).accuracy == 1


@pytest.mark.parametrize("p", [3, 5, 11])
def test_one_hot_products_where_no_operand_is_zero(p):
    model, params = analytic.analytic_multiplication(p, construction="one_hot")
    assert model.width == 3 * p - 5
    task = tasks.modular_multiplication(p)
    logits = np.asarray(model.apply(params, task.tokens))
    zeros = (task.tokens == 0).sum(axis=1)
    np.testing.assert_allclose(logits[zeros == 0], np.eye(p)[task.labels[zeros == 0]], atol=3e-6)
    np.testing.assert_allclose(logits[zeros > 0, 0], zeros[zeros > 0] ** 2, atol=1e-5)


def test_products_of_three_operands():
    network = analytic.analytic_multiplication(7, (1, 2, 1))
    tokens = tasks.modular_addition(7, 3).tokens
    answers = tokens[:, 0] * tokens[:, 1] ** 2 * tokens[:, 2] % 7
    logits = network[0].apply(network[1], tokens)
    np.testing.assert_array_equal(np.argmax(logits, axis=1), answers)


def test_random_phase_products():
    network = analytic.analytic_multiplication(
        23, construction="random_phase", width=441, key=jax.random.key(0)
    )
    assert analytic.evaluate(*network, tasks.modular_multiplication(23)).accuracy == 1


POLYNOMIALS = {
    "n^3+nm^2+m": ([(1, (3, 0)), (1, (1, 2)), (1, (0, 1))], lambda n, m: n**3 + n * m**2 + m),
    "n^2+m^2+nm": ([(1, (2, 0)), (1, (0, 2)), (1, (1, 1))], lambda n, m: n**2 + m**2 + n * m),
    "2nm+3": ([(2, (1, 1)), (3, (0, 0))], lambda n, m: 2 * n * m + 3),
    "5m^2": ([(5, (0, 2))], lambda n, m: 5 * m**2),
}


@pytest.mark.parametrize("name", POLYNOMIALS)
@pytest.mark.parametrize("p", [3, 11])
def test_polynomials_are_exact(name, p):
    terms, fn = POLYNOMIALS[name]
    result = analytic.evaluate(
        *analytic.analytic_polynomial(p, terms), tasks.modular_function(p, fn, name)
    )
    assert result.accuracy == 1
    assert result.mse < 1e-10


def test_random_phase_polynomials_have_the_error_of_their_adder():
    terms, fn = POLYNOMIALS["n^3+nm^2+m"]
    model, params = analytic.analytic_polynomial(
        11,
        terms,
        construction="random_phase",
        width=501,
        adder_width=2000,
        key=jax.random.key(0),
    )
    result = analytic.evaluate(model, params, tasks.modular_function(11, fn, "polynomial"))
    assert result.accuracy == 1
    assert result.mse == pytest.approx(analytic.random_phase_theory(11, 2000, 3).mse, rel=0.25)


def test_polynomial_network_is_a_model():
    terms, _ = POLYNOMIALS["2nm+3"]
    model, params = analytic.analytic_polynomial(5, terms)
    again, _ = analytic.analytic_polynomial(5, terms)
    assert isinstance(model, models.Model)
    assert model == again
    assert hash(model) == hash(again)
    tokens = np.zeros((4, 3, 2), np.int32)
    random = model.init(jax.random.key(0), tokens)
    assert jax.tree.structure(random) == jax.tree.structure(params)
    assert jax.tree.map(np.shape, random) == jax.tree.map(np.shape, params)
    assert model.apply(random, tokens).shape == (4, 3, 5)
    assert isinstance(analytic.ReducedPrecision(model.adder), models.Model)


def test_polynomial_networks_are_evaluated_on_their_own_tasks_with_their_own_parameters():
    terms, fn = POLYNOMIALS["2nm+3"]
    model, params = analytic.analytic_polynomial(5, terms)
    task = tasks.modular_function(5, fn, "2nm+3")
    assert analytic.evaluate(model, params, task).right_logit == pytest.approx(1)
    assert analytic.PolynomialNetwork(list(model.experts), model.adder) == model
    other = params | {"adder": analytic.analytic_weights(5, 6)}
    for bad_params, bad_task, message in (
        (None, task, "is missing"),
        (params["adder"], task, "'experts/0/w1' is missing"),
        (other, task, r"'adder/w1' must be \[2, 5, 13\], got \[2, 5, 6\]"),
        (params, tasks.modular_addition(7), "the model has p=5, but the task"),
        (params, tasks.modular_addition(5, 3), "operands=2, but the task"),
    ):
        with pytest.raises(ValueError, match=message):
            analytic.evaluate(model, bad_params, bad_task)
    with pytest.raises(ValueError, match="key must be a JAX random key"):
        model.init(0, task.tokens)
    with pytest.raises(ValueError, match="have 1 operands"):
        model.apply(params, task.tokens[:, :1])


def test_large_exponents_are_reduced_before_they_leave_64_bits():
    exponents = (10**18 + 1, 3 * 10**17)
    task = tasks.modular_polynomial(11, [(1, exponents)])
    assert analytic.evaluate(*analytic.analytic_multiplication(11, exponents), task).accuracy == 1


def test_the_smallest_primitive_root_is_found_for_large_primes():
    assert analytic.primitive_root(10**9 + 7) == 5
    assert [analytic.primitive_root(p) for p in (3, 5, 7, 23, 41, 191)] == [2, 2, 3, 5, 6, 19]


PART = models.QuadraticMLP(5, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: analytic.analytic_multiplication(9), "prime modulus, got p=9"),
        (lambda: analytic.analytic_multiplication(2), "at least 3"),
        (lambda: analytic.analytic_multiplication(7, (1, 0.5)), "must be an integer"),
        (lambda: analytic.analytic_multiplication(7, width=6), "needs 7 neurons"),
        (lambda: analytic.analytic_multiplication(7, width=0), "width must be a positive integer"),
        (lambda: analytic.analytic_multiplication(7, ()), "exponents must be one or more integers"),
        (lambda: analytic.analytic_multiplication(7, 2), "exponents must be integers"),
        (lambda: analytic.analytic_multiplication(7, (1,) * 40), "numbers, more than the"),
        (lambda: analytic.analytic_multiplication(10**9 + 7), "numbers, more than the"),
        (lambda: analytic.discrete_log(10**9 + 7), "use a smaller p"),
        (lambda: analytic.primitive_root(9.0), "p must be an integer"),
        (lambda: analytic.analytic_function(7, identity), "inner must be functions, one for each"),
        (lambda: analytic.analytic_function(7, ()), "inner must be functions, one for each"),
        (lambda: analytic.analytic_function(7, (identity, None)), r"inner\[1\] must be a function"),
        (lambda: analytic.analytic_function(7, (identity,), 3), "outer must be a function .*None"),
        (
            lambda: analytic.analytic_function(97, (identity, lambda n: n**40)),
            r"inner\[1\] returns integers too large for int64",
        ),
        (
            lambda: analytic.analytic_function(97, (identity,), lambda t: t**40 % 97),
            "outer returns integers too large for int64",
        ),
        (lambda: analytic.analytic_function(7, (identity, np.sin)), r"inner\[1\] must map"),
        (lambda: analytic.analytic_function(7, (identity,), np.sin), "outer must map"),
        (lambda: analytic.analytic_function(7, (identity,), readout="both"), "readout must be"),
        (lambda: analytic.analytic_polynomial(7, []), "terms must be"),
        (lambda: analytic.analytic_polynomial(7, [(1, (1, 1)), (1, (1,))]), "terms must be"),
        (lambda: analytic.analytic_polynomial(8, [(1, (1, 1))]), "prime modulus"),
        (lambda: analytic.analytic_polynomial(7, 5), "terms must be"),
        (lambda: analytic.analytic_polynomial(7, [(1.5, (1, 1))]), "coefficient of terms"),
        (
            lambda: analytic.analytic_polynomial(7, [(1, (1, 1))], beta=-1),
            "beta must be .* above 0",
        ),
        (lambda: analytic.analytic_polynomial(7, [(1, (1, 1))], beta="100"), "beta must be"),
        (lambda: analytic.analytic_polynomial(7, [(1, (1, 1))], key=1), r"use jax.random.key\(1\)"),
        (
            lambda: analytic.PolynomialNetwork(
                (models.QuadraticMLP(5, 3),), models.QuadraticMLP(5, 3)
            ),
            "operands=2 for 1 experts",
        ),
        (lambda: analytic.PolynomialNetwork((), PART), "experts must be one or more"),
        (lambda: analytic.PolynomialNetwork(PART, PART), "experts must be one or more"),
        (lambda: analytic.PolynomialNetwork((PART, PART), None), "adder must be a QuadraticMLP"),
        (lambda: analytic.PolynomialNetwork((PART, PART), PART, 0.0), "beta must be"),
        (
            lambda: analytic.PolynomialNetwork((PART, PART), models.QuadraticMLP(7, 3)),
            r"the same p, .* got p=\[5, 7\]",
        ),
        (
            lambda: analytic.PolynomialNetwork((PART, models.QuadraticMLP(5, 3, 1)), PART),
            r"got p=\[5\] and operands=\[1, 2\]",
        ),
        (
            lambda: analytic.PolynomialNetwork(
                (PART, PART), models.QuadraticMLP(5, 3, normalize=True)
            ),
            "the adder normalize=False",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
