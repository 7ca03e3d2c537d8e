"""Hyperparameters of optimizers: numbers of every kind, and those that mean nothing."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray

from grokjax import optimizers

START = {"a": np.ones((3, 4)), "b": np.ones(5)}
RATE = {"learning_rate": 0.1}


def anything(**numbers):
    return optax.sgd(**numbers)


def positional(learning_rate, /):
    return optax.sgd(learning_rate)


def no_transformation(learning_rate):
    return learning_rate


BAD = [
    (lambda: optimizers.chain(), "at least one part"),
    (lambda: optimizers.chain(anything), r"takes \*\*numbers, but .* names"),
    (lambda: optimizers.chain(positional), "takes learning_rate, but .* names"),
    (lambda: optimizers.chain(3), "must be functions of hyperparameters .* got 3"),
    (lambda: optimizers.chain(None), "must be functions of hyperparameters .* got None"),
    (lambda: optimizers.chain(optax.sgd(0.1)), "must be functions of hyperparameters"),
    (lambda: optimizers.chain(optimizers.adam, "adam"), "must be functions .* got 'adam'"),
    (lambda: optimizers.chain(dict), "must be functions of hyperparameters"),
    (
        lambda: optimizers.chain(no_transformation)(0.1),
        "must return an optax transformation, .* 0.1",
    ),
    (lambda: optimizers.with_update_noise(3), "must be functions of hyperparameters .* got 3"),
    (lambda: optimizers.grokfast_ma_filter(0), "window must be a positive integer, got 0"),
    (lambda: optimizers.grokfast_ma_filter("9"), "window must be a positive integer, got '9'"),
    (
        lambda: optimizers.grokfast_ma_filter(10**9)().init(START),
        "17,000,000,000 numbers, .* smaller window, or grokfast_ema_filter",
    ),
    (lambda: optimizers.grokfast_ma_filter(3)(None), "lamb must be a finite number"),
    (lambda: optimizers.grokfast_ema_filter(1.0), "ema_decay must be .* below 1, got 1.0"),
    (lambda: optimizers.grokfast_ema(0.1, lamb="2"), "lamb must be a finite number, got '2'"),
    (lambda: optimizers.add_update_noise(0.1, -1.0), "update_noise must be .* at least 0"),
    (lambda: optimizers.orthograd_filter().update(START, None), "needs the weights; call update"),
    (
        lambda: optimizers.adamw_to_init(0.1).update(
            START, optimizers.adamw_to_init(0.1).init(START)
        ),
        "needs the parameters; call update",
    ),
    (lambda: optimizers.grokfast_ma_filter(2.5), "window must be a positive integer, got 2.5"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


PLAIN = [
    optimizers.gradient_descent,
    optimizers.momentum,
    optimizers.nesterov,
    optimizers.adam,
    optimizers.adamw,
    optimizers.adamw_to_init,
    optimizers.rmsprop,
    optimizers.grokfast_ema,
    optimizers.orthograd,
    optimizers.with_update_noise(optimizers.adam),
]
NO_NUMBERS = ["0.1", None, True, float("nan"), float("inf"), [0.1, 0.2], np.ones(2), 1j]
MEANINGLESS = {
    "learning_rate": [-0.1],
    "weight_decay": [-1e-3],
    "warmup": [-5],
    "momentum": [-0.1, 1, 1.5],
    "b1": [-0.1, 1],
    "b2": [-0.1, 1.0],
    "decay": [1],
    "ema_decay": [1],
    "eps": [0, -1e-8],
    "update_noise": [-0.1],
    "lamb": [],
}


@pytest.mark.parametrize("optimizer", PLAIN, ids=lambda x: getattr(x, "__name__", "chain"))
def test_numbers_that_mean_nothing_are_refused_by_name(optimizer):
    names = list(inspect.signature(optimizer).parameters)
    assert names
    for name in names:
        for value in (*NO_NUMBERS, *MEANINGLESS[name]):
            with pytest.raises(ValueError, match=rf"{name} must be a finite number.* got "):
                optimizer(**RATE | {name: value})


@pytest.mark.parametrize("kind", [float, np.float64, np.float32, jnp.float32, xarray.DataArray])
@pytest.mark.parametrize("optimizer", PLAIN, ids=lambda x: getattr(x, "__name__", "chain"))
def test_numbers_of_every_kind_are_numbers(optimizer, kind):
    parameters = inspect.signature(optimizer).parameters
    made = optimizer(**{name: kind(0.5) for name in parameters})
    plain = optimizer(**dict.fromkeys(parameters, 0.5))
    start, gradient = jnp.array([1.0, -2.0, 3.0]), jnp.array([0.5, 0.1, -0.2])
    moved = []
    for one in (made, plain):
        one = optax.with_extra_args_support(one)
        moved.append(one.update(gradient, one.init(start), start, key=jax.random.key(0))[0])
    np.testing.assert_allclose(*moved, rtol=1e-6)


def test_what_is_not_quite_nothing_is_allowed():
    optimizers.adamw(0, weight_decay=0, b1=0, b2=0, warmup=0)
    optimizers.momentum(1e6, momentum=0)
    optimizers.grokfast_ema_filter(0, lamb=-1.0)  # leaves out the slow part


def test_traced_numbers_are_taken_as_they_are_and_must_be_scalars():
    start = jax.tree.map(jnp.asarray, START)
    size = jax.jit(lambda rate: len(jax.tree.leaves(optimizers.adam(rate).init(start))))
    assert size(-1.0) == 5
    with pytest.raises(
        ValueError, match=r"learning_rate must be an array of real numbers of shape"
    ):
        jax.jit(lambda rate: optimizers.adam(rate).init(start))(jnp.ones(2))


def of_a_user(learning_rate, momentum=2.0):
    """Its momentum is something else, and its learning rate may be negative."""
    return optax.sgd(-learning_rate)


LIBRARY = [
    optimizers.momentum,
    optimizers.chain(of_a_user, optimizers.momentum),
    optimizers.chain(optimizers.grokfast_ema_filter, optimizers.chain(optimizers.momentum)),
    functools.partial(optimizers.momentum, warmup=3),
]
NOT_ITS = [
    of_a_user,
    functools.partial(of_a_user),
    optimizers.chain(of_a_user, optimizers.orthograd_filter),
    optimizers.chain(of_a_user, optimizers.grokfast_ma_filter(3)),
]


@pytest.mark.parametrize("optimizer", LIBRARY)
def test_columns_of_this_librarys_optimizers_are_checked(optimizer):
    columns = {"seed": np.array([-1, -1]), "momentum": np.array([0.0, 0.9]), "b1": np.array([7, 7])}
    optimizers.check_hyperparameters(optimizer, columns | {"learning_rate": np.zeros(2)})
    for name, values, message in (
        ("learning_rate", [0.1, -1.0], "of at least 0, got -1.0"),
        ("learning_rate", [np.nan, 1.0], "of at least 0, got nan"),
        ("momentum", [1, 0], "of at least 0 and below 1, got 1"),
        ("learning_rate", ["0.1", "1"], "array of real numbers"),
    ):
        bad = columns | {name: np.array(values)}
        with pytest.raises(ValueError, match=f"lane column '{name}' must be .*{message}"):
            optimizers.check_hyperparameters(optimizer, bad)


@pytest.mark.parametrize("optimizer", NOT_ITS)
def test_columns_of_other_optimizers_are_not(optimizer):
    columns = {"learning_rate": np.array([-1.0]), "momentum": np.array([3.0])}
    optimizers.check_hyperparameters(optimizer, columns)


def test_columns_of_a_chain_are_those_of_its_library_parts():
    chain = optimizers.with_update_noise(of_a_user)
    optimizers.check_hyperparameters(chain, {"momentum": np.array([3.0])})
    with pytest.raises(ValueError, match=r"'learning_rate' .* at least 0"):
        optimizers.check_hyperparameters(chain, {"learning_rate": np.array([-1.0])})
