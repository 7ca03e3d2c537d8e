"""What the lanes of a sweep share."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax
import optax

from grokjax.checks import check_integer
from grokjax.losses import LossFn
from grokjax.models import Model, Params, sweepable
from grokjax.tasks import Split, Task

MeasureFn = Callable[[Params, jax.Array, Task, Split], dict[str, jax.Array]]
PRECISIONS = ("default", "high", "highest")
FULL_BATCH = 2**31 - 1  # as the batch size of a lane: all of its training rows in every step


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that does not vary between the lanes of a sweep.

    Attributes:
      model: a frozen dataclass with `init` and `apply`, see `models.Model`. Entries of its
        parameters that its attribute `frozen` names, if it has one, stay as they began.
      loss: per-example loss, such as `losses.mse`.
      optimizer: a function of hyperparameters returning an `optax.GradientTransformation`; each of
        its arguments can be a lane column.
      batch_size: None trains on all training rows at once. An integer makes minibatches of
        `min(batch_size, ceil(n_train / 2))` rows: every epoch visits each of the lane's training
        rows once, in an order of its own; an epoch's last batch may be smaller. Also a lane column,
        in which `inf` stands for all training rows at once.
      penalty: None, or a function of the parameters that is added to the mean loss; its keyword
        arguments can be lane columns.
      measures: functions `(params, logits, task, split) -> dict of scalars`, recorded beside loss
        and accuracy.
      precision: of matrix products, a `jax.default_matmul_precision`: "default" allows TF32 on
        GPUs and bfloat16 on TPUs.

    Raises:
      ValueError: for a batch size below 1, an unknown precision, an unhashable part.
    """

    model: Model
    loss: LossFn
    optimizer: Callable[..., optax.GradientTransformation]
    batch_size: int | None = None
    penalty: Callable[..., jax.Array] | None = None
    measures: tuple[MeasureFn, ...] = ()
    precision: str = "highest"

    def __post_init__(self):
        object.__setattr__(self, "measures", tuple(self.measures))
        if self.batch_size is not None:
            check_integer(
                "batch_size",
                self.batch_size,
                at_least=1,
                below=FULL_BATCH,
                otherwise="None for the full batch",
            )
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}, got {self.precision!r}.")
        for field in dataclasses.fields(self):
            try:
                hash(getattr(self, field.name))
            except TypeError:
                raise ValueError(
                    f"Recipe.{field.name} is not hashable: {getattr(self, field.name)!r}; use "
                    "module-level functions and frozen dataclasses."
                ) from None

    def hyperparameters(self) -> dict[str, inspect.Parameter]:
        """What lane columns may set: arguments of the optimizer, the penalty and the model."""
        return _keywords(self.optimizer) | self._penalty_keywords() | sweepable(self.model)

    def _penalty_keywords(self) -> dict[str, inspect.Parameter]:
        if self.penalty is None:
            return {}
        keywords = _keywords(self.penalty)
        keywords.pop(next(iter(keywords)))  # the parameters themselves
        return keywords

    def build_optimizer(self, numbers: dict[str, Any]) -> optax.GradientTransformation:
        """The optimizer of a lane with these hyperparameters, traced or not."""
        names = _keywords(self.optimizer)
        optimizer = self.optimizer(**{name: x for name, x in numbers.items() if name in names})
        frozen = getattr(self.model, "frozen", ())
        if not frozen:
            return optimizer
        # A zero gradient is not enough: weight decay and update noise would still move them.
        return optax.multi_transform(
            {"trained": optimizer, "frozen": optax.set_to_zero()},
            lambda params: {name: "frozen" if name in frozen else "trained" for name in params},
        )

    def apply(
        self, params: Params, tokens: jax.Array, numbers: dict[str, Any], key: Any = None
    ) -> jax.Array:
        """The logits of a lane with these hyperparameters; `key` is given in training."""
        names = sweepable(self.model)
        numbers = {name: x for name, x in numbers.items() if name in names}
        return self.model.apply(params, tokens, key=key, **numbers)

    def evaluate_penalty(self, params: Params, numbers: dict[str, Any]) -> jax.Array | float:
        """The penalty of a lane with these hyperparameters; 0 without one."""
        if self.penalty is None:
            return 0.0
        names = self._penalty_keywords()
        return self.penalty(params, **{name: x for name, x in numbers.items() if name in names})


def _keywords(fn: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(fn).parameters)
