"""What a model must have, and what it may have.

A model must have `init` and `apply`, as `Model` says; nothing is inherited and nothing registered.
What it may have beyond these two is in `ModelBase`: a model that inherits from it can refuse tasks
and lane columns that it cannot handle, and keep some of its parameters from training. Nothing else
of a model is ever looked at, so its own fields may have any names.

A model that changes another one inherits from `Wrapper`, which forwards what it does not change.
"""

import inspect
import sys
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from grokjax.checks import shown
from grokjax.tasks import Task

Params = Any  # a nested dict of arrays; tuples and lists in it are allowed


@runtime_checkable
class Model(Protocol):
    """What `Recipe.model` has to be: two pure functions and a hash."""

    def init(self, key: jax.Array, tokens: jax.Array) -> Params:
        """Random parameters for operands shaped as `tokens`: int32[..., S]."""
        ...

    def apply(
        self, params: Params, tokens: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        """Logits: int32[..., S] -> float[..., C]; `key=None` is evaluation, without any noise.

        Keyword arguments beside `key`, such as `dropout`, can be lane columns of a sweep.
        """
        ...


class ModelBase:
    """What a model may say of itself beyond `init` and `apply`, with what is assumed otherwise."""

    def frozen_params(self) -> tuple[str, ...]:
        """Entries of the parameters that stay as they began, whatever the optimizer: none."""
        return ()

    def check_task(self, task: Task) -> None:
        """Refuses a task that this model cannot learn, with a `ValueError`; accepts all of them."""

    def check_columns(self, columns: Mapping[str, np.ndarray]) -> None:
        """Refuses values of lane columns that this model takes, with a `ValueError`.

        Args:
          columns: those lane columns that are keywords of the model's `apply`, float64[L] each.
        """

    def keywords(self) -> dict[str, inspect.Parameter]:
        """Keywords of `apply` that lane columns may set: all keyword-only ones beside `key`."""
        return _keywords(self)


class Wrapper(ModelBase):
    """A model that changes another one, its field `model`, and forwards all that it does not.

    `apply` of a wrapper takes `**numbers` and hands them to the model inside, whose keywords are
    lane columns as before.
    """

    model: Any

    def frozen_params(self) -> tuple[str, ...]:
        """Those of the model inside."""
        return frozen_params(self.model)

    def check_task(self, task: Task) -> None:
        """The model inside decides."""
        check_task(self.model, task)

    def check_columns(self, columns: Mapping[str, np.ndarray]) -> None:
        """The model inside decides."""
        check_columns(self.model, columns)

    def keywords(self) -> dict[str, inspect.Parameter]:
        """Those of the model inside, and the wrapper's own."""
        return keywords(self.model) | _keywords(self)


def check_model(model: Any, name: str = "model") -> Any:
    """Any object with the two methods of a `Model`.

    Args:
      model: what was given.
      name: of the argument, for the message.

    Raises:
      ValueError: for anything else: a class in place of an instance, a flax module that is not
        wrapped, methods that cannot be called as `Model` says.
    """
    such_as = "such as models.QuadraticMLP(p=97, width=500)"
    if isinstance(model, type):
        raise ValueError(
            f"{name} must be a model, {such_as}, got the class {model.__name__}; make one, as in "
            f"{model.__name__}(...)."
        )
    init, apply = getattr(model, "init", None), getattr(model, "apply", None)
    if not (callable(init) and callable(apply)):
        raise ValueError(
            f"{name} must be a model with init and apply, {such_as}, got {shown(model)}."
        )
    linen = sys.modules.get("flax.linen")  # a flax module exists only where flax is imported
    if linen is not None and isinstance(model, linen.Module):
        if "key" not in inspect.signature(type(model).__call__).parameters:
            raise ValueError(
                f"{name} must be a model, {such_as}, got a flax module; use "
                f"models.LinenModel({type(model).__name__}(...))."
            )
        return model
    _check_call(f"{name}.init", init, "(key, tokens)", (None, None), {})
    _check_call(
        f"{name}.apply", apply, "(params, tokens, *, key=None)", (None, None), {"key": None}
    )
    return model


def frozen_params(model: Any) -> tuple[str, ...]:
    """Entries of a model's parameters that no optimizer, decay or noise may move.

    Raises:
      ValueError: for a model that answers with anything but names.
    """
    if not isinstance(model, ModelBase):
        return ()
    names = model.frozen_params()
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f'frozen_params must return a tuple of names, such as ("initial",), got {shown(names)}.'
        )
    return names


def check_task(model: Any, task: Task) -> None:
    """Refuses a task that a model says it cannot learn.

    Raises:
      ValueError: as the model says.
    """
    if isinstance(model, ModelBase):
        model.check_task(task)


def check_logits(model: Any, task: Task, logits: Any, rows: int) -> None:
    """Refuses logits of a model that are none of a task: of another kind, or too few.

    Args:
      model: whose they are, for the message.
      task: whose answers they are compared with.
      logits: for some equations, or their shape and type.
      rows: how many equations there are.

    Raises:
      ValueError: naming what they are, and what they have to be.
    """
    classes = task.num_classes
    real = hasattr(logits, "dtype") and jnp.issubdtype(logits.dtype, np.floating)
    a_row_each = real and logits.ndim == 2 and logits.shape[0] == rows
    if a_row_each and logits.shape[1] >= classes:
        return
    remedy = "return from apply a row of logits for each equation, from the last axis of tokens"
    if a_row_each:
        remedy = f"build the model with {classes} classes"
    raise ValueError(
        f"the model {shown(model)} gives the logits {described(logits)} for {rows} equations, and "
        f"the task {task.name!r} needs real numbers [{rows}, {classes}], or more classes; {remedy}."
    )


def described(tree: Any) -> str:
    """Arrays as messages show them, or a tree of them: "{'w1': float32[2, 11, 48]}"."""
    if isinstance(tree, Mapping):
        inside = ", ".join(f"{name!r}: {described(part)}" for name, part in tree.items())
        return f"{{{inside}}}"
    if isinstance(tree, tuple | list):
        return f"[{', '.join(map(described, tree))}]"
    known = hasattr(tree, "shape") and hasattr(tree, "dtype")
    return f"{tree.dtype}{list(tree.shape)}" if known else shown(tree)


def check_columns(model: Any, columns: Mapping[str, np.ndarray]) -> None:
    """Refuses values of lane columns that a model says it cannot take.

    Args:
      model: any model.
      columns: all lane columns; the model sees those that it takes.

    Raises:
      ValueError: as the model says.
    """
    if isinstance(model, ModelBase):
        own = keywords(model)
        model.check_columns({name: x for name, x in columns.items() if name in own})


def keywords(model: Any) -> dict[str, inspect.Parameter]:
    """Keywords of a model's `apply` that lane columns may set."""
    return model.keywords() if isinstance(model, ModelBase) else _keywords(model)


def _check_call(name: str, method: Any, wanted: str, args: tuple, keywords: dict[str, Any]) -> None:
    """Refuses a method that does not take these arguments, or needs more.

    Arguments that are named only may be without a default: lane columns then have to set them.
    """
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        return  # written in C: it does not say
    named = {
        parameter.name: None
        for parameter in signature.parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    }
    try:
        signature.bind(*args, **(named | keywords))
    except TypeError as error:
        raise ValueError(
            f"{name} must be a method {wanted}, got {name.split('.')[-1]}{signature}: {error}."
        ) from None


def _keywords(model: Any) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(model.apply).parameters
    return {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "key"
    }
