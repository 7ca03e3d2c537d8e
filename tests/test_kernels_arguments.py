"""Rows, parameters, kernels and labels that cannot be are refused by name."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from kernel_networks import (
    Deep,
    Linear,
)

from grokjax import kernels, models, tasks

NETWORK = models.QuadraticMLP(5, 4)
NETWORK_PARAMS = NETWORK.init(jax.random.key(0))
TABLE = tasks.modular_addition(5)
ROWS = TABLE.tokens[:4]
ON_ROWS = {
    "tangent": lambda model, params, rows, **options: kernels.tangent(
        model, params, rows, **options
    ),
    "trace": lambda model, params, rows, **options: kernels.trace(model, params, rows, **options),
    "product": lambda model, params, rows, **options: kernels.product(
        model, params, rows, np.ones((4, 5)), **options
    ),
    "linearized": lambda model, params, rows, **options: kernels.linearized(
        model, params, params, rows, **options
    ),
    "span_fraction": lambda model, params, rows, **options: kernels.span_fraction(
        model, params, params, rows, **options
    ),
    "quadratic": kernels.quadratic,
    "quadratic_trace": kernels.quadratic_trace,
    "infinite_width": lambda model, params, rows: kernels.infinite_width(rows),
}
GENERAL = list(ON_ROWS)[:5]


@pytest.mark.parametrize("name", ON_ROWS)
def test_rows_that_are_none_are_refused(name):
    wrong = [None, "ab", 3, [], [[1, 2], [3]], ROWS * 1.0, ROWS > 2, ROWS[0], ROWS[None]]
    for rows in wrong:
        with pytest.raises(
            ValueError, match=r"tokens must be an array of integers of shape \[P, S"
        ):
            ON_ROWS[name](NETWORK, NETWORK_PARAMS, rows)
    for rows in (ROWS[:0], ROWS[:, :0]):
        with pytest.raises(ValueError, match="tokens must have one row or more"):
            ON_ROWS[name](NETWORK, NETWORK_PARAMS, rows)
    with pytest.raises(ValueError, match=r"tokens must be .* -1 for none, got -9"):
        ON_ROWS[name](NETWORK, NETWORK_PARAMS, ROWS - 9)
    if name != "infinite_width":  # which is the same for every p and number of operands
        with pytest.raises(ValueError, match=r"tokens must be from 0 to 4, .* got 7"):
            ON_ROWS[name](NETWORK, NETWORK_PARAMS, ROWS + 7)
        with pytest.raises(ValueError, match="the equations have 1 operands"):
            ON_ROWS[name](NETWORK, NETWORK_PARAMS, ROWS[:, :1])


@pytest.mark.parametrize("name", ["tangent", "trace", "quadratic", "quadratic_trace"])
def test_other_rows_are_checked_like_the_first(name):
    for other, message in (
        (ROWS[0], "other must be an array of integers"),
        (ROWS[:0], "other must have one row or more"),
        (ROWS[:, :1], "as many operands, got 2 and 1"),
        (ROWS + 7, "tokens must be from 0 to 4"),
    ):
        with pytest.raises(ValueError, match=message):
            getattr(kernels, name)(NETWORK, NETWORK_PARAMS, ROWS, other)


@pytest.mark.parametrize("name", list(ON_ROWS)[:7])
def test_networks_that_are_none_are_refused(name):
    call = ON_ROWS[name]
    for model in (None, "model", models.QuadraticMLP):
        with pytest.raises(ValueError, match="model must be a"):
            call(model, NETWORK_PARAMS, ROWS)
    wrong = [
        None,
        {},
        "params",
        {"w1": NETWORK_PARAMS["w1"]},
        {"w1": "a", "w2": "b"},
        models.QuadraticMLP(5, 6).init(jax.random.key(0)),
        models.QuadraticMLP(7, 4).init(jax.random.key(0)),
        jax.tree.map(lambda leaf: leaf[None], NETWORK_PARAMS),
        jax.tree.map(lambda leaf: leaf + 1j, NETWORK_PARAMS),
    ]
    for params in wrong:
        with pytest.raises(
            ValueError, match=r"(params|initial) must be the model's|of params|of in"
        ):
            call(NETWORK, params, ROWS)


@pytest.mark.parametrize("name", GENERAL)
def test_parameters_that_a_model_from_outside_cannot_take_are_explained(name):
    model, call = Deep(5), ON_ROWS[name]
    with pytest.raises(ValueError, match="'weights/embed' is missing; 'weights/inner' is"):
        call(model, NETWORK_PARAMS, ROWS)
    for size in (0, -1, 2.5, "a", None, True):
        with pytest.raises(ValueError, match="batch_size must be a positive integer, got"):
            call(NETWORK, NETWORK_PARAMS, ROWS, batch_size=size)
    integers = jax.tree.map(lambda leaf: leaf.astype(int), NETWORK_PARAMS)
    with pytest.raises(ValueError, match=r"each array of .* must be an array of real numbers"):
        call(NETWORK, integers, ROWS)  # there is no gradient


def test_a_model_from_outside_without_logits_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Sum(Linear):
        def apply(self, params, tokens, *, key=None):
            return jnp.sum(params["w"])

    model = Sum(5)
    with pytest.raises(ValueError, match=r"must return logits float\[P, C\]"):
        kernels.trace(model, model.init(jax.random.key(0), ROWS), ROWS)


def test_models_from_outside_may_take_other_parameters_than_they_make():
    params = {"w": jnp.ones((3, 5, 5))}  # three operands, of which two are used
    assert kernels.trace(Linear(5), params, ROWS).shape == (4, 4)


def test_closed_forms_of_other_models_are_refused():
    for fn in (kernels.quadratic, kernels.quadratic_trace):
        with pytest.raises(ValueError, match=r"models.QuadraticMLP, which alone.*got Deep\(p=5"):
            fn(Deep(5), NETWORK_PARAMS, ROWS)
        with pytest.raises(ValueError, match="without normalization"):
            fn(dataclasses.replace(NETWORK, normalize=True), NETWORK_PARAMS, ROWS)
    for model, message in (
        (Deep(5), "models.QuadraticMLP, which alone"),
        (models.QuadraticMLP, "which alone"),
        (dataclasses.replace(NETWORK, activation=jnp.abs), r"that of x\^2"),
        (dataclasses.replace(NETWORK, normalize=True), r"that of x\^2"),
    ):
        with pytest.raises(ValueError, match=message):
            kernels.expected_scale(model)


def test_vectors_without_a_number_for_each_row_and_class_are_refused():
    for vector in (np.ones(4), np.ones((4, 4)), np.ones((3, 5))):
        with pytest.raises(ValueError, match=r"for each row and class, \[4, 5\], got"):
            kernels.product(NETWORK, NETWORK_PARAMS, ROWS, vector)
    for vector in (None, "a", [["a"]], np.ones((4, 5)) * 1j):
        with pytest.raises(ValueError, match="vector must be an array of real numbers"):
            kernels.product(NETWORK, NETWORK_PARAMS, ROWS, vector)


@pytest.mark.parametrize(
    "options",
    [{"iterations": x} for x in (0, -1, 2.5, "a", None, True)]
    + [{"tolerance": x} for x in (-1.0, 1.0, np.nan, "a", None, [1e-6])],
)
def test_bad_iterations_and_tolerances_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} must be"):
        kernels.span_fraction(NETWORK, NETWORK_PARAMS, NETWORK_PARAMS, ROWS, **options)


def test_parameters_of_two_networks_have_no_motion():
    narrow, other = models.QuadraticMLP(5, 3).init(jax.random.key(0)), {"w": np.ones(3)}
    for params in (narrow, other, None, {}, {"w1": "a", "w2": "b"}):
        for call in (
            lambda params: kernels.relative_motion(params, NETWORK_PARAMS),
            lambda params: kernels.linearized(NETWORK, params, NETWORK_PARAMS, ROWS),
            lambda params: kernels.span_fraction(NETWORK, params, NETWORK_PARAMS, ROWS),
        ):
            with pytest.raises(ValueError, match=r"parameters of one network: 'w1'|w1 must be an"):
                call(params)
    with pytest.raises(ValueError, match="initial must be parameters, got None"):
        kernels.relative_motion(NETWORK_PARAMS, None)


@pytest.mark.parametrize("fn", [kernels.alignment, kernels.distance, kernels.norm_ratio])
def test_kernels_that_are_no_kernels_are_not_compared(fn):
    square = np.eye(4)
    for wrong in (np.ones((3, 4)), np.ones(4), np.ones((4, 4, 2, 3)), np.ones((4, 4, 2)), 3.0, []):
        for pair in ((wrong, wrong), (square, wrong), (wrong, square)):
            with pytest.raises(ValueError, match=r"must be \[P, P\] or \[P, P, C, C\], got"):
                fn(*pair)
    with pytest.raises(ValueError, match=r"same shape, got \[4, 4\] and \[3, 3\]"):
        fn(square, np.eye(3))
    for wrong in (None, "a", [["a"]], square * 1j):
        with pytest.raises(ValueError, match="must be an array of real numbers"):
            fn(square, wrong)
    with pytest.raises(ValueError, match=r"must be \[P, P\] or"):
        jax.jit(fn)(np.ones((3, 4)), np.ones((3, 4)))


def test_what_cannot_be_centred_is_refused():
    for fn in (kernels.alignment, kernels.distance):
        with pytest.raises(ValueError, match="cannot be centred"):
            fn(np.ones((2, 2, 3, 3)), np.ones((2, 2, 3, 3)), centred=True)
        with pytest.raises(ValueError, match="centred must be True or False, got 'no'"):
            fn(np.eye(2), np.eye(2), centred="no")


def test_the_alignment_of_a_zero_kernel_is_not_a_number():
    """Such a network has collapsed, which is data: the others of a sweep are still compared."""
    assert np.isnan(kernels.alignment(np.zeros((3, 3)), np.eye(3)))
    assert np.isnan(jax.jit(kernels.alignment)(np.zeros((3, 3)), np.eye(3)))


def test_labels_that_are_no_integers_have_no_kernel():
    for labels in (None, "ab", 3, [1.5], [[1, 2]], ["a"], [True]):
        with pytest.raises(ValueError, match=r"labels must be an array of integers of shape \[P\]"):
            kernels.label_kernel(labels)


KERNEL = np.asarray(kernels.infinite_width(TABLE.tokens))
HALF = np.arange(25) < 13
LABELS = np.asarray(TABLE.labels)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kernel": KERNEL[:3]}, "need a kernel of shape"),
        ({"kernel": np.ones((25, 25, 4, 4))}, "need a kernel of shape"),
        ({"kernel": "a"}, "kernel must be an array of"),
        ({"kernel": None}, "kernel must be an array of"),
        ({"kernel": KERNEL * 1j}, "kernel must be an array of"),
        ({"kernel": np.where(np.eye(25), np.nan, KERNEL)}, "not finite"),
        ({"kernel": KERNEL + np.arange(25)}, "kernel must be symmetric.* differ by 24 from"),
        ({"kernel": -KERNEL}, "no negative numbers on its diagonal, got -28"),
        ({"kernel": -KERNEL, "ridge": 1e4}, "no negative numbers on its diagonal"),
        ({"kernel": np.ones((25, 25)) - np.eye(25)}, "no negative eigenvalues, got one of -1 bes"),
        ({"labels": LABELS * 1.0}, "labels must be an array of integers"),
        ({"labels": "a"}, "labels must be an array of integers"),
        ({"labels": LABELS[None]}, "labels must be an array of integers"),
        ({"labels": np.array([], int)}, "one for each row, got none"),
        ({"labels": LABELS - 1}, "labels must be from 0 to 3, got -1"),
        ({"labels": LABELS + 3, "num_classes": 5}, "labels must be from 0 to 4, got 7"),
        ({"labels": LABELS + 10**9}, "answers of 1000000005 classes would hold .* from 0"),
        ({"num_classes": 0}, "num_classes must be a positive integer, got 0"),
        ({"num_classes": "a"}, "num_classes must be a positive integer"),
        (
            {"train": np.arange(13)},
            r"train must be .* booleans of shape \[25\], got int64 \[13\]; ",
        ),
        ({"train": HALF * 1}, r"use np.isin\(np.arange\(25\), numbers\)"),
        ({"train": HALF[:13]}, "train must be an array of booleans"),
        ({"train": None}, "train must be an array of booleans"),
        ({"train": np.ones(25, bool)}, "some but not all of the 25 rows, got 25 marked"),
        ({"train": np.zeros(25, bool)}, "some but not all of the 25 rows, got 0 marked"),
        ({"ridge": -1.0}, "ridge must be a finite number of at least 0, got -1"),
        ({"ridge": "a"}, "ridge must be a finite number"),
        ({"ridge": np.inf}, "ridge must be a finite number"),
        ({"ridge": None}, "ridge must be a finite number"),
        ({"initial": np.zeros((25, 4))}, r"initial must be .* of shape \[25, 5\], got"),
        ({"initial": np.full((25, 5), np.nan)}, "initial must be .* finite; got nan"),
        ({"initial": "a"}, "initial must be an array"),
    ],
)
def test_regression_of_wrong_arguments_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        kernels.regression(**{"kernel": KERNEL, "labels": LABELS, "train": HALF} | wrong)


def test_asymmetry_within_the_classes_is_found():
    kernel = np.einsum("ij,qr->ijqr", KERNEL, np.eye(5) + np.eye(5, k=1))
    with pytest.raises(ValueError, match="kernel must be symmetric"):
        kernels.regression(kernel, LABELS, HALF)


def test_kernels_that_are_rounded_or_zero_are_kernels():
    rough = KERNEL + 1e-3 * np.random.default_rng(0).normal(size=(25, 25))
    assert kernels.regression(rough, LABELS, HALF).train_accuracy == 1
    assert kernels.regression(jnp.asarray(KERNEL, jnp.bfloat16), LABELS, HALF).train_accuracy == 1
    still = kernels.regression(np.zeros((25, 25)), LABELS, HALF, initial=np.eye(5)[LABELS])
    assert still.test_accuracy == 1  # a network that cannot move stays where it is


def test_rows_labels_and_kernels_may_be_arrays_of_every_kind():
    expected = kernels.trace(NETWORK, NETWORK_PARAMS, ROWS)
    found = kernels.regression(KERNEL, LABELS, HALF)
    for kind in (np.ndarray.tolist, jnp.asarray, xarray.DataArray):
        trace = kernels.trace(NETWORK, NETWORK_PARAMS, kind(ROWS))
        np.testing.assert_array_equal(trace, expected)
        np.testing.assert_array_equal(kernels.label_kernel(kind(LABELS)).shape, (25, 25))
        assert kernels.alignment(kind(KERNEL), kind(KERNEL)) == pytest.approx(1, rel=1e-5)
        again = kernels.regression(kind(KERNEL), kind(LABELS), kind(HALF))
        np.testing.assert_allclose(again.predictions, found.predictions, atol=1e-4)
