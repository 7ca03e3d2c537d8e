"""Optimizers of the field: functions of hyperparameters that return an optax transformation.

Every argument can be a lane column of a sweep, so it may be a traced scalar. To add an optimizer
write such a function, in any file; it is rebuilt inside each lane from that lane's numbers, and
never recompiled for new ones. `chain` puts two of them together: `chain(grokfast_ema_filter,
nesterov)` is an optimizer whose lane columns are the arguments of both.

`warmup`, where it is an argument, raises the learning rate linearly over that many steps:
`learning_rate * min(1, step / warmup)`, where the first update has step 0, and so changes nothing.

Numbers that mean nothing, such as a negative learning rate, are refused with a `ValueError` where
they are known: when an optimizer is made of Python's, and in a sweep before anything is compiled.
"""

from grokjax.optimizers.combined import (
    Optimizer,
    add_update_noise,
    chain,
    check_hyperparameters,
    grokfast_ema,
    grokfast_ema_filter,
    grokfast_ma,
    grokfast_ma_filter,
    orthograd,
    orthograd_filter,
    with_update_noise,
)
from grokjax.optimizers.standard import (
    Scalar,
    adam,
    adamw,
    adamw_to_init,
    gradient_descent,
    momentum,
    nesterov,
    rmsprop,
)

__all__ = [
    "Optimizer",
    "Scalar",
    "adam",
    "adamw",
    "adamw_to_init",
    "add_update_noise",
    "chain",
    "check_hyperparameters",
    "gradient_descent",
    "grokfast_ema",
    "grokfast_ema_filter",
    "grokfast_ma",
    "grokfast_ma_filter",
    "momentum",
    "nesterov",
    "orthograd",
    "orthograd_filter",
    "rmsprop",
    "with_update_noise",
]


def __dir__() -> list[str]:
    return __all__
