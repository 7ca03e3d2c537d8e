"""What the arguments of this library's optimizers may be, by their names."""

from typing import Any

from grokjax.checks import check_jax_array, check_number, is_concrete

#: Bounds of the numbers that mean anything; the others need only be finite.
BOUNDS: dict[str, dict[str, Any]] = {
    "learning_rate": {"at_least": 0},
    "weight_decay": {"at_least": 0},
    "warmup": {"at_least": 0},
    "momentum": {"at_least": 0, "below": 1},
    "b1": {"at_least": 0, "below": 1},
    "b2": {"at_least": 0, "below": 1},
    "decay": {"at_least": 0, "below": 1},
    "ema_decay": {"at_least": 0, "below": 1},
    "eps": {"above": 0},
    "lamb": {},
    "update_noise": {"at_least": 0},
}


def checked(**arguments: Any) -> tuple[Any, ...]:
    """Arguments of an optimizer by their names, in the order given.

    Traced ones have to be scalars, and their numbers are unknown. A learning rate may also be a
    schedule, a function of the step.

    Raises:
      ValueError: for anything but one number within `BOUNDS`.
    """
    return tuple(_checked(name, value) for name, value in arguments.items())


def _checked(name: str, value: Any) -> Any:
    schedule = name == "learning_rate"
    if schedule and callable(value):
        return value
    if not is_concrete(value):
        return check_jax_array(name, value, shape=(), kinds="iuf")
    otherwise = "a schedule, a function of the step" if schedule else ""
    number = check_number(name, value, otherwise=otherwise, **BOUNDS[name])
    # Only xarray's numbers are nothing that optax could multiply by.
    return number if hasattr(value, "dims") else value
