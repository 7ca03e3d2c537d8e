"""Optimizers as the sources use them, each with warmup."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from grokjax.optimizers.arguments import checked

Scalar = Any  # a float, or a traced scalar inside a sweep; a learning rate may be a schedule


def gradient_descent(
    learning_rate: Scalar, weight_decay: Scalar = 0.0, warmup: Scalar = 0
) -> optax.GradientTransformation:
    """Plain gradient descent: `params -= learning_rate * (gradient + weight_decay * params)`.

    Raises:
      ValueError: for numbers that are none or out of their range, such as a negative learning rate.
    """
    learning_rate, weight_decay, warmup = checked(
        learning_rate=learning_rate, weight_decay=weight_decay, warmup=warmup
    )
    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.sgd(warmed_up(learning_rate, warmup))
    )


def momentum(
    learning_rate: Scalar,
    momentum: Scalar = 0.9,
    weight_decay: Scalar = 0.0,
    warmup: Scalar = 0,
) -> optax.GradientTransformation:
    """Heavy ball: `params -= learning_rate * trace`, `trace = momentum * trace + gradient`.

    The decay term `weight_decay * params` is part of the gradient, as in torch's SGD. At the same
    learning rate the effective step is `1 / (1 - momentum)` times that of gradient descent.

    Raises:
      ValueError: for numbers that are none or out of their range, such as a negative learning rate.
    """
    learning_rate, momentum, weight_decay, warmup = checked(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, warmup=warmup
    )
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.sgd(warmed_up(learning_rate, warmup), momentum=momentum),
    )


def nesterov(
    learning_rate: Scalar,
    momentum: Scalar = 0.9,
    weight_decay: Scalar = 0.0,
    warmup: Scalar = 0,
) -> optax.GradientTransformation:
    """Nesterov momentum: `params -= learning_rate * (gradient + momentum * trace)`.

    `weight_decay * params` is part of the gradient: L2, as in torch's `SGD(nesterov=True)`.

    Raises:
      ValueError: for numbers that are none or out of their range, such as a negative learning rate.
    """
    learning_rate, momentum, weight_decay, warmup = checked(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, warmup=warmup
    )
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.sgd(warmed_up(learning_rate, warmup), momentum=momentum, nesterov=True),
    )


def adam(
    learning_rate: Scalar,
    b1: Scalar = 0.9,
    b2: Scalar = 0.98,
    eps: Scalar = 1e-8,
    warmup: Scalar = 0,
) -> optax.GradientTransformation:
    """Adam. Differs: `b2` is 0.98 by default, as in the grokking literature, not 0.999.

    Raises:
      ValueError: for numbers that are none or out of their range, such as a negative learning rate.

    Reference: Kingma and Ba 2015; b2 of Power et al. 2022, appendix A.1.2.
    """
    learning_rate, b1, b2, eps, warmup = checked(
        learning_rate=learning_rate, b1=b1, b2=b2, eps=eps, warmup=warmup
    )
    return optax.adam(warmed_up(learning_rate, warmup), b1=b1, b2=b2, eps=eps)


def adamw(
    learning_rate: Scalar,
    weight_decay: Scalar = 1.0,
    b1: Scalar = 0.9,
    b2: Scalar = 0.98,
    eps: Scalar = 1e-8,
    warmup: Scalar = 0,
) -> optax.GradientTransformation:
    """Adam with decoupled decay: `params -= learning_rate * (adam + weight_decay * params)`.

    Defaults are those of Power et al. 2022. Useful weight decays depend on the parameterization
    of the model: Gromov's 5 belongs to `QuadraticMLP(parameterization="standard")` and drives the
    mean-field network to zero.

    Raises:
      ValueError: for numbers that are none or out of their range, such as a negative learning rate.

    Reference: Loshchilov and Hutter 2019.
    """
    learning_rate, weight_decay, b1, b2, eps, warmup = checked(
        learning_rate=learning_rate, weight_decay=weight_decay, b1=b1, b2=b2, eps=eps, warmup=warmup
    )
    rate = warmed_up(learning_rate, warmup)
    return optax.adamw(rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)


def adamw_to_init(
    learning_rate: Scalar,
    weight_decay: Scalar = 1.0,
    b1: Scalar = 0.9,
    b2: Scalar = 0.98,
    eps: Scalar = 1e-8,
    warmup: Scalar = 0,
) -> optax.GradientTransformation:
    """Adam with decay to the initial weights, `learning_rate * weight_decay * (start - params)`.

    `start` are the parameters that training began with, kept in the optimizer's state.

    Raises:
      ValueError: for numbers that are none or out of their range, such as a negative learning rate.

    Reference: Power et al. 2022, section 3.3 ("weight decay towards the initialization").
    """
    learning_rate, weight_decay, b1, b2, eps, warmup = checked(
        learning_rate=learning_rate, weight_decay=weight_decay, b1=b1, b2=b2, eps=eps, warmup=warmup
    )
    return optax.chain(
        optax.scale_by_adam(b1=b1, b2=b2, eps=eps),
        _add_distance_to_start(weight_decay),
        optax.scale_by_learning_rate(warmed_up(learning_rate, warmup)),
    )


def rmsprop(
    learning_rate: Scalar,
    decay: Scalar = 0.9,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
    warmup: Scalar = 0,
) -> optax.GradientTransformation:
    """RMSprop: `nu = decay * nu + (1 - decay) * gradient^2`, step `gradient / (sqrt(nu) + eps)`.

    As torch's, whose `decay` is 0.99 by default. Differs: `weight_decay` is decoupled, as in
    `adamw`; for a decay in the gradient use `Recipe(penalty=losses.l2)`.

    Raises:
      ValueError: for numbers that are none or out of their range, such as a negative learning rate.

    Reference: Tieleman and Hinton 2012.
    """
    learning_rate, decay, eps, weight_decay, warmup = checked(
        learning_rate=learning_rate, decay=decay, eps=eps, weight_decay=weight_decay, warmup=warmup
    )
    return optax.chain(
        optax.scale_by_rms(decay=decay, eps=eps, eps_in_sqrt=False),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(warmed_up(learning_rate, warmup)),
    )


def warmed_up(learning_rate: Scalar, warmup: Scalar) -> Scalar:
    """The learning rate, as a schedule if it warms up."""
    if isinstance(warmup, int | float) and warmup == 0:
        return learning_rate  # not asked for: no counter in the state

    def rate(step):
        # Not a minimum: a lane whose warmup is 0, among others, must not divide by it.
        ramp = jnp.asarray(step, float) / jnp.maximum(warmup, 1)
        whole: Any = learning_rate(step) if callable(learning_rate) else learning_rate
        return whole * jnp.where(step < warmup, ramp, 1.0)

    return rate


class _StartState(NamedTuple):
    start: Any


def _add_distance_to_start(weight_decay: Scalar) -> optax.GradientTransformation:
    """Adds `weight_decay * (params - start)` to the updates."""

    def update(updates, state, params=None):
        if params is None:
            raise ValueError(
                "adamw_to_init needs the parameters; call update(gradient, state, params)."
            )
        decayed = lambda u, w, start: u + weight_decay * (w - start)
        return jax.tree.map(decayed, updates, params, state.start), state

    return optax.GradientTransformation(lambda params: _StartState(params), update)
