"""Optimizers of the field: functions of hyperparameters that return an optax transformation.

Every keyword argument can be a lane column of a sweep, so it may be a traced scalar. To add an
optimizer write such a function, in any file; it is rebuilt inside each lane from that lane's
numbers, and never recompiled for new ones.
"""

from typing import Any

import optax

Scalar = Any  # a float, or a traced scalar inside a sweep


def gradient_descent(
    learning_rate: Scalar, weight_decay: Scalar = 0.0
) -> optax.GradientTransformation:
    """Plain gradient descent: `params -= learning_rate * (gradient + weight_decay * params)`."""
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(learning_rate))


def momentum(
    learning_rate: Scalar, momentum: Scalar = 0.9, weight_decay: Scalar = 0.0
) -> optax.GradientTransformation:
    """Heavy ball: `params -= learning_rate * trace`, `trace = momentum * trace + gradient`.

    The decay term `weight_decay * params` is part of the gradient, as in torch's SGD. At the same
    learning rate the effective step is `1 / (1 - momentum)` times that of gradient descent.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.sgd(learning_rate, momentum=momentum)
    )


def nesterov(
    learning_rate: Scalar, momentum: Scalar = 0.9, weight_decay: Scalar = 0.0
) -> optax.GradientTransformation:
    """Nesterov momentum: `params -= learning_rate * (gradient + momentum * trace)`."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.sgd(learning_rate, momentum=momentum, nesterov=True),
    )


def adam(
    learning_rate: Scalar, b1: Scalar = 0.9, b2: Scalar = 0.98, eps: Scalar = 1e-8
) -> optax.GradientTransformation:
    """Adam. Differs: `b2` is 0.98 by default, as in the grokking literature, not 0.999.

    Reference: Kingma and Ba 2015; b2 of Power et al. 2022, appendix A.1.2.
    """
    return optax.adam(learning_rate, b1=b1, b2=b2, eps=eps)


def adamw(
    learning_rate: Scalar,
    weight_decay: Scalar = 1.0,
    b1: Scalar = 0.9,
    b2: Scalar = 0.98,
    eps: Scalar = 1e-8,
) -> optax.GradientTransformation:
    """Adam with decoupled decay: `params -= learning_rate * (adam + weight_decay * params)`.

    Defaults are those of Power et al. 2022. Useful weight decays depend on the parameterization
    of the model: Gromov's 5 belongs to `QuadraticMLP(parameterization="standard")` and drives the
    mean-field network to zero.

    Reference: Loshchilov and Hutter 2019.
    """
    return optax.adamw(learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)


def rmsprop(
    learning_rate: Scalar, decay: Scalar = 0.9, eps: Scalar = 1e-8, weight_decay: Scalar = 0.0
) -> optax.GradientTransformation:
    """RMSprop: `nu = decay * nu + (1 - decay) * gradient^2`, steps of `gradient / sqrt(nu)`.

    `weight_decay` is decoupled, as in `adamw`. Reference: Tieleman and Hinton 2012.
    """
    return optax.chain(
        optax.scale_by_rms(decay=decay, eps=eps),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
