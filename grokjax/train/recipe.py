"""What the lanes of a sweep share."""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from grokjax.checks import check_callable, check_choice, check_integer, needs_value, shown
from grokjax.losses import LossFn
from grokjax.measures import Network, Scalars
from grokjax.models import Model, Params
from grokjax.models.protocol import check_model, frozen_params, keywords

MeasureFn = Callable[[Network], Scalars]
PRECISIONS = ("default", "high", "highest")
FULL_BATCH = 2**31 - 1  # as the batch size of a lane: all of its training rows in every step

#: Lane columns that mean the same in every sweep; no argument of an optimizer, penalty or model
#: may have the name of one, because it would silently get that column.
SEEDS = ("seed", "init_seed", "split_seed", "order_seed")
SCALES = ("init_scale", "logit_scale")
BUILT_IN = (*SEEDS, "alpha", *SCALES, "label_noise", "batch_size", "replica")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that does not vary between the lanes of a sweep.

    A *lane* is one training run of a sweep; its *columns* are the numbers that tell it from others.

    Attributes:
      model: a frozen dataclass with `init` and `apply`, see `models.Model`.
      loss: per-example loss, such as `losses.mse`: one number for each row, never reduced.
      optimizer: a function of hyperparameters returning an `optax.GradientTransformation`; each of
        its arguments can be a lane column.
      batch_size: None trains on all training rows at once. An integer makes minibatches of
        `min(batch_size, ceil(n_train / 2))` rows: every epoch visits each of the lane's training
        rows once, in an order of its own; an epoch's last batch may be smaller. Also a lane column,
        in which `inf` stands for all training rows at once.
      penalty: None, or a function of the parameters that is added to the mean loss; its keyword
        arguments can be lane columns.
      measures: functions of a `measures.Network` that return a dict of scalars, recorded beside
        loss and accuracy.
      precision: of matrix products, a `jax.default_matmul_precision`: "default" allows TF32 on
        GPUs and bfloat16 on TPUs.

    Raises:
      ValueError: for a part of the wrong kind, a batch size below 1, an unknown precision, an
        unhashable part, and for arguments of two parts, or of a part and the library, that have one
        name.
    """

    model: Model
    loss: LossFn
    optimizer: Callable[..., optax.GradientTransformation]
    batch_size: int | None = None
    penalty: Callable[..., jax.Array] | None = None
    measures: tuple[MeasureFn, ...] = ()
    precision: str = "highest"

    def __post_init__(self):
        check_model(self.model)
        check_callable("loss", self.loss, "a per-example loss, such as losses.mse")
        _check_optimizer(self.optimizer)
        if self.penalty is not None:
            check_callable("penalty", self.penalty, "None, or a function such as losses.l2")
        given = self.measures
        if callable(given) or isinstance(given, str) or not hasattr(given, "__iter__"):
            raise ValueError(
                "measures must be functions, such as (measures.weight_norms,), with the comma also "
                f"where there is one, got {shown(given)}."
            )
        object.__setattr__(self, "measures", tuple(given))
        for measure in self.measures:
            check_callable("each of the measures", measure, "a function of a measures.Network")
        if self.batch_size is not None:
            check_integer(
                "batch_size",
                self.batch_size,
                at_least=1,
                below=FULL_BATCH,
                otherwise="None for the full batch",
            )
        check_choice("precision", self.precision, PRECISIONS)
        for field in dataclasses.fields(self):
            try:
                hash(getattr(self, field.name))
            except TypeError:
                raise ValueError(
                    f"Recipe.{field.name} is not hashable: {shown(getattr(self, field.name))}; use "
                    "module-level functions and frozen dataclasses."
                ) from None
        self.hyperparameters()

    def hyperparameters(self) -> dict[str, inspect.Parameter]:
        """What lane columns may set: arguments of the optimizer, the penalty and the model.

        Raises:
          ValueError: for a name that two of them have, or that is a column of the library's own.
        """
        parts = {
            "optimizer": _keywords("optimizer", self.optimizer),
            "penalty": self._penalty_keywords(),
            "model": keywords(self.model),
        }
        found: dict[str, inspect.Parameter] = {}
        owners: dict[str, str] = dict.fromkeys(BUILT_IN, "")
        for part, arguments in parts.items():
            for name, parameter in arguments.items():
                if name in owners:
                    other = owners[name]
                    meaning = f"an argument of the {other}" if other else "a lane column of its own"
                    raise ValueError(
                        f"the {part} {describe(getattr(self, part))} has an argument {name!r}, "
                        f"which is {meaning} too: a lane column of that name would set both. Give "
                        f"the argument another name, in a function that calls the {part}."
                    )
                owners[name], found[name] = part, parameter
        return found

    def _penalty_keywords(self) -> dict[str, inspect.Parameter]:
        if self.penalty is None:
            return {}
        return _keywords("penalty", self.penalty, first="the parameters")

    def build_optimizer(self, numbers: dict[str, Any]) -> optax.GradientTransformation:
        """The optimizer of a lane with these hyperparameters, traced or not.

        Raises:
          ValueError: if the recipe's optimizer does not return an optax transformation, or needs
            the values of hyperparameters to do so, which only the compiled program has.
        """
        names = _keywords("optimizer", self.optimizer)
        try:
            optimizer = self.optimizer(**{name: x for name, x in numbers.items() if name in names})
        except Exception as error:  # an optimizer of somebody else's may raise anything
            if problem := needs_value(error):
                raise ValueError(
                    f"the optimizer {describe(self.optimizer)} {problem}, or make it an argument "
                    f"of a function that returns the optimizer. JAX says: {error}"
                ) from error
            raise
        if not (callable(getattr(optimizer, "init", None)) and hasattr(optimizer, "update")):
            raise ValueError(
                f"the optimizer {describe(self.optimizer)} must return an "
                f"optax.GradientTransformation, got {shown(optimizer)}."
            )
        frozen = frozen_params(self.model)
        if not frozen:
            return optimizer
        # A zero gradient is not enough: weight decay and update noise would still move them.

        def labels(params: Params) -> dict[str, str]:
            if wrong := [name for name in frozen if name not in params]:
                raise ValueError(
                    f"the model {describe(self.model)} freezes {wrong[0]!r}, which is no entry of "
                    f"its parameters; there are {list(params)}."
                )
            return {name: "frozen" if name in frozen else "trained" for name in params}

        return optax.multi_transform({"trained": optimizer, "frozen": optax.set_to_zero()}, labels)

    def apply(
        self, params: Params, tokens: jax.Array, numbers: dict[str, Any], key: Any = None
    ) -> jax.Array:
        """The logits of a lane with these hyperparameters; `key` is given in training."""
        names = keywords(self.model)
        numbers = {name: x for name, x in numbers.items() if name in names}
        return self.model.apply(params, tokens, key=key, **numbers)

    def evaluate_penalty(self, params: Params, numbers: dict[str, Any]) -> jax.Array | float:
        """The penalty of a lane with these hyperparameters; 0 without one."""
        if self.penalty is None:
            return 0.0
        names = self._penalty_keywords()
        return self.penalty(params, **{name: x for name, x in numbers.items() if name in names})

    def check_step(self, params: Params, opt_state: Any, numbers: dict[str, Any]) -> None:
        """Refuses a penalty or an optimizer that no step can be taken with; nothing is computed.

        Args:
          params: shapes of a network's parameters.
          opt_state: shapes of its optimizer's state.
          numbers: hyperparameters of a lane.

        Raises:
          ValueError: for a penalty that is no real scalar, updates that are not of the form of the
            parameters, and for either that fails.
        """
        penalty = _shapes("penalty", self.penalty, self.evaluate_penalty, params, numbers)
        is_real = hasattr(penalty, "dtype") and not jnp.issubdtype(
            penalty.dtype, np.complexfloating
        )
        if not is_real or penalty.shape != ():
            raise ValueError(
                f"the penalty {describe(self.penalty)} must return a real scalar, such as "
                f"losses.l2 does, got {shown(penalty)}."
            )

        def update(opt_state: Any, params: Params, numbers: dict[str, Any]) -> Params:
            optimizer = optax.with_extra_args_support(self.build_optimizer(numbers))
            return optimizer.update(params, opt_state, params, key=jax.random.key(0))[0]

        updates = _shapes("optimizer", self.optimizer, update, opt_state, params, numbers)
        if jax.tree.map(jnp.shape, updates) != jax.tree.map(jnp.shape, params):
            raise ValueError(
                f"the optimizer {describe(self.optimizer)} must return updates of the form of the "
                f"parameters, got {shown(updates)}."
            )


def describe(part: Any) -> str:
    """A part of a recipe as people name it: functions by their names, dataclasses by their fields.

    Unlike a repr it is the same in every process.

    Example:
      >>> from grokjax import losses, models
      >>> describe(losses.mse), describe(models.power(3))
      ('mse', 'power(degree=3)')
    """
    if isinstance(part, functools.partial):
        given = [describe(x) for x in part.args]
        given += [f"{name}={describe(x)}" for name, x in part.keywords.items()]
        return f"{describe(part.func)}({', '.join(['...', *given])})"
    if isinstance(part, types.MethodType):
        return f"{describe(part.__self__)}.{part.__name__}"
    if isinstance(part, type):
        return part.__qualname__
    if dataclasses.is_dataclass(part):
        fields = [f for f in dataclasses.fields(part) if f.repr]
        inside = ", ".join(f"{f.name}={describe(getattr(part, f.name, None))}" for f in fields)
        return f"{type(part).__qualname__}({inside})"
    if isinstance(part, tuple | list):
        inside = ", ".join(map(describe, part))
        return f"({inside}{',' if len(part) == 1 else ''})"
    if callable(part):
        return getattr(part, "__qualname__", None) or type(part).__qualname__
    if type(part).__repr__ is object.__repr__:
        return type(part).__qualname__
    return repr(part)


def _check_optimizer(optimizer: Any) -> None:
    if not callable(optimizer):
        remedy = ""
        if hasattr(optimizer, "init") and hasattr(optimizer, "update"):
            remedy = (
                "; that is an optimizer whose numbers are fixed already. Write a function of them, "
                "such as def mine(learning_rate): return optax.adam(learning_rate)"
            )
        raise ValueError(
            "optimizer must be a function of hyperparameters that returns an "
            f"optax.GradientTransformation, such as optimizers.adamw, got {shown(optimizer)}"
            f"{remedy}."
        )


def _shapes(part: str, given: Any, fn: Callable[..., Any], *arguments: Any) -> Any:
    """The shapes that a part of a recipe returns."""
    try:
        return jax.eval_shape(fn, *arguments)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        if problem := needs_value(error):
            raise ValueError(
                f"the {part} {describe(given)} {problem}. JAX says: {error}"
            ) from error
        raise ValueError(
            f"the {part} {describe(given)} fails in a training step: "
            f"{type(error).__name__}: {error}"
        ) from error


def _keywords(part: str, fn: Callable[..., Any], first: str = "") -> dict[str, inspect.Parameter]:
    """The named arguments of a function, apart from the first one if that is what `first` says."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        raise ValueError(
            f"the {part} {describe(fn)} does not say what arguments it takes; write a function "
            "with named arguments that calls it."
        ) from None
    named_only = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    if first:
        if not parameters or parameters[0].kind in named_only:
            raise ValueError(
                f"the {part} {describe(fn)} must be a function of {first}, such as losses.l2, and "
                "takes no such argument."
            )
        parameters = parameters[1:]
    found = {}
    for parameter in parameters:
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ValueError(
                f"the {part} {describe(fn)} takes {parameter.name!r} by its position only, and "
                "lane columns are given by name; leave out the / in its arguments."
            )
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            found[parameter.name] = parameter
    return found
