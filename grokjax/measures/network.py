"""What a measure sees of a network in training, and the one place that calls measures."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from grokjax.checks import check_callable, check_number, needs_value, shown
from grokjax.models import Model, Params
from grokjax.models.protocol import check_logits, check_model, check_task
from grokjax.tasks import Split, Task

Scalars = dict[str, jax.Array]


class Network(NamedTuple):
    """A network at one step of its training, as measures see it.

    Everything is that of the lane: its logit scale, its values of the model's keywords, its penalty
    and, with label noise, the labels that it is trained on (`split.labels`).

    Attributes:
      params: its parameters.
      logits: float[P, C], its logits for every row of the table, without dropout or noise.
      split: which rows it trains on and is tested on, and the labels of all rows.
      task: the table.
      forward: the logits as a function of parameters and tokens; `apply` has defaults for it.
      loss: the loss of each row, `loss(logits, labels)`: float[P, C], int[P] -> float[P].
      penalty: what is added to the mean loss, as a function of the parameters; 0 without one.
    """

    params: Params
    logits: jax.Array
    split: Split
    task: Task
    forward: Callable[[Params, jax.Array], jax.Array]
    loss: Callable[[jax.Array, jax.Array], jax.Array]
    penalty: Callable[[Params], Any]

    def apply(self, tokens: Any = None, params: Params | None = None) -> jax.Array:
        """Logits of some equations, int[..., S] -> float[..., C]: of the table when not given.

        Args:
          tokens: the equations.
          params: in place of the network's own, to differentiate in them for example.
        """
        tokens = self.task.tokens if tokens is None else tokens
        return self.forward(self.params if params is None else params, jnp.asarray(tokens))

    def objective(self, params: Params | None = None) -> jax.Array:
        """What full-batch training descends: the mean loss of the training rows, plus the penalty.

        Args:
          params: in place of the network's own, to differentiate in them for example.
        """
        params = self.params if params is None else params
        losses = self.loss(self.apply(params=params), self.split.labels)
        return masked_mean(losses, self.split.train) + self.penalty(params)


def network_of(
    model: Model,
    params: Params,
    task: Task,
    split: Split | None = None,
    *,
    loss: Callable[[jax.Array, jax.Array], jax.Array],
    penalty: Callable[[Params], Any] | None = None,
    logit_scale: Any = None,
    **numbers: Any,
) -> Network:
    """The network of given parameters, for calling measures outside of a sweep.

    Its matrix products have the highest precision, as in a sweep by default.

    Args:
      model: such as the recipe's.
      params: of one network.
      task: the table.
      split: which rows are trained on, from `tasks.split`; all of them when not given.
      loss: the loss of each row, such as `losses.mse`.
      penalty: None, or a function of the parameters alone, as
        `lambda params: losses.l2(params, l2=1e-3)`.
      logit_scale: None, or the factor on the logits.
      **numbers: values of the model's keywords, those that can be lane columns.

    Raises:
      ValueError: for an argument of the wrong kind, parameters that do not fit the model, a task
        that it cannot learn, or a split of another table.

    Example:
      >>> from grokjax import analytic, losses, measures, models, tasks
      >>> model, task = models.QuadraticMLP(7, 6), tasks.modular_addition(7)
      >>> network = measures.network_of(
      ...     model, analytic.analytic_weights(7, 6), task, loss=losses.mse
      ... )
      >>> float(measures.accuracies(network)["train_accuracy"])
      1.0
    """
    check_model(model)
    if not isinstance(task, Task):
        raise ValueError(
            f"task must be a Task, such as tasks.modular_addition(7), got {shown(task)}."
        )
    check_task(model, task)
    rows = task.num_rows
    if split is None:
        train = jnp.ones(rows, bool)
        split = Split(train, ~train, jnp.asarray(task.labels))
    split = _check_split(split, rows)
    if penalty is not None:
        check_callable("penalty", penalty, "None, or a function of the parameters")
    if logit_scale is not None and not isinstance(logit_scale, Tracer):
        check_number("logit_scale", logit_scale, otherwise="None")

    def forward(params: Params, tokens: jax.Array) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            logits = model.apply(params, tokens, **numbers)
        return logits if logit_scale is None else logit_scale * logits

    try:
        logits = forward(params, jnp.asarray(task.tokens))
    except Exception as error:  # a model of somebody else's may raise anything
        raise ValueError(
            f"params do not fit the model {shown(model)}, or it does not fit {task}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if jnp.ndim(logits) != 2 or logits.shape[0] != rows:
        raise ValueError(
            f"params must be those of one network, with logits of shape [{rows}, C] for {task}; "
            f"the model {shown(model)} gives shape {list(jnp.shape(logits))}."
        )
    check_logits(model, task, logits, rows)
    _check_loss(loss, logits, split.labels)
    return Network(params, logits, split, task, forward, loss, penalty or (lambda params: 0.0))


def _check_split(split: Any, rows: int) -> Split:
    try:
        parts = [jnp.asarray(part) for part in split] if isinstance(split, Split) else []
    except (TypeError, ValueError):
        parts = []
    if [(part.shape, part.dtype.kind) for part in parts] != [((rows,), kind) for kind in "bbi"]:
        raise ValueError(
            f"split must be a Split of the {rows} rows of the table, from tasks.split, or None, "
            f"got {shown(split)}."
        )
    return Split(*parts)


def _check_loss(loss: Any, logits: jax.Array, labels: jax.Array) -> None:
    check_callable("loss", loss, "a per-example loss, such as losses.mse")
    try:
        shape: Any = jax.eval_shape(loss, logits, labels).shape
    except Exception as error:  # a loss of somebody else's may raise anything
        shape = f"{type(error).__name__}: {error}"
    if shape != labels.shape:
        raise ValueError(
            f"loss must be one number for each of the {len(labels)} rows, such as losses.mse, and "
            f"{shown(loss)} of logits {list(logits.shape)} and labels {list(labels.shape)} gives "
            f"{shape}."
        )


def evaluate(
    measures: Iterable[Callable[[Network], Mapping[str, Any]]],
    network: Network,
    always: Iterable[str] = (),
) -> Scalars:
    """The scalars of all measures of a network, in one dict.

    Everything here is known before a value is, so a sweep finds it before it compiles.

    Args:
      measures: functions of a network that return a dict of real scalars.
      network: what they see.
      always: names of scalars that are measured without them, and that none of them may return.

    Raises:
      ValueError: for a measure that cannot be called, does not fit the network, is given twice,
        returns something else, or returns a name that another one returned; the message names the
        measure.
    """
    network = check_network(network)
    try:
        listed = None if isinstance(measures, str | Mapping) else list(measures)
    except TypeError:
        listed = None
    if listed is None:
        raise ValueError(
            f"measures must be functions, such as (measures.weight_norms,), got {shown(measures)}."
        )
    scalars: Scalars = {}
    always = frozenset(always)
    owners: dict[str, Any] = {}
    for measure in listed:
        name = _name_of(measure)
        check_callable("each of the measures", measure, "a function of a measures.Network")
        if isinstance(measure, type):
            raise ValueError(f"the measure {name} is a class; give one of its kind, as {name}().")
        try:
            returned = measure(network)
        except ValueError as error:
            raise ValueError(f"in the measure {name}: {error}") from error
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(_failure(name, network, error)) from error
        if not isinstance(returned, Mapping):
            raise ValueError(
                f"the measure {name} must return a dict of scalars, such as "
                f'{{"{name}": value}}, got {shown(returned)}.'
            )
        for key, value in returned.items():
            if not isinstance(key, str) or not key:
                raise ValueError(f"the measure {name} must name its scalars, got {key!r}.")
            if key in always:
                raise ValueError(
                    f"the measure {name} and the sweep itself both return {key!r}, which is "
                    "measured always; leave it out of the measure, or rename it."
                )
            if key in owners and owners[key] == measure:
                raise ValueError(f"the measure {name} is given twice; give it once.")
            if key in owners:
                raise ValueError(
                    f"the measures {_name_of(owners[key])} and {name} both return {key!r}; rename "
                    "one."
                )
            owners[key] = measure
            scalars[key] = _scalar(name, key, value)
    return scalars


def _failure(name: str, network: Network, error: Exception) -> str:
    """What to say of a measure that raised an error of Python's or JAX's own."""
    raised = f"the measure {name} raised {type(error).__name__}"
    if problem := needs_value(error):
        return f"{raised}: it {problem}. JAX says: {error}"
    entries = ""
    if isinstance(error, KeyError) and isinstance(network.params, Mapping):
        entries = f": the parameters of this one have the entries {list(network.params)}"
    return (
        f"{raised}: {error}; a measure is a function of one measures.Network, and has to fit the "
        f"model and the task{entries}."
    )


def _name_of(measure: Any) -> str:
    while isinstance(measure, functools.partial):
        measure = measure.func
    name = getattr(measure, "__name__", type(measure).__name__)
    return name if isinstance(name, str) else type(measure).__name__


def _scalar(measure: str, key: str, value: Any) -> jax.Array:
    allowed = f"{key!r} of the measure {measure} must be a real scalar"
    try:
        array = jnp.asarray(value)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"{allowed}, got {shown(value)}.") from None
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    if array.shape or not any(jnp.issubdtype(array.dtype, kind) for kind in kinds):
        raise ValueError(
            f"{allowed}, got {array.dtype} {list(array.shape)}; take its mean, one entry, or its "
            "absolute value."
        )
    return array


def check_network(network: Any) -> Network:
    """The one argument of every measure.

    Raises:
      ValueError: for anything but a `Network`.
    """
    if not isinstance(network, Network):
        raise ValueError(
            "a measure's one argument must be a measures.Network, such as measures.network_of("
            f"model, params, task, loss=losses.mse), got {shown(network)}."
        )
    return network


def check_two_operands(network: Network, measure: str) -> None:
    """Refuses tables that a measure of two operands cannot be taken of.

    Raises:
      ValueError: for a task of more or less than two operands.
    """
    if network.task.operands != 2:
        raise ValueError(
            f"{measure} needs equations of two operands, and {network.task.name!r} has "
            f"{network.task.operands}; leave it out of the measures."
        )


def parameter(
    network: Network, path: Sequence[Any], ndim: Sequence[int], measure: str
) -> jax.Array:
    """One array of the parameters, with as many axes as a measure needs.

    Args:
      network: what the measure sees.
      path: the keys that lead to it.
      ndim: how many axes it may have.
      measure: the name of the measure, for messages.

    Raises:
      ValueError: if the network has no such array.
    """
    wanted = f"{measure} needs the array {'/'.join(map(str, path))} of the parameters"
    found = network.params
    for name in path:
        names: list[Any] = []
        if isinstance(found, Mapping):
            names = list(found)
        elif isinstance(found, list | tuple):
            names = list(range(len(found)))
        if name not in names:
            raise ValueError(f"{wanted}; there is no {name!r}, only {names}.")
        found = found[name]
    if jax.tree.structure(found) != jax.tree.structure(0) or np.ndim(found) not in tuple(ndim):
        raise ValueError(
            f"{wanted}, with {' or '.join(map(str, ndim))} axes; got the shape "
            f"{shown(jax.tree.map(np.shape, found))}."
        )
    return jnp.asarray(found)


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean of the values where the mask is true; NaN where it nowhere is.

    Args:
      values: numbers of any shape.
      mask: bool, of the same shape.

    Raises:
      ValueError: if the mask is not boolean, or values and mask differ in shape.
    """
    try:
        values, mask = jnp.asarray(values), jnp.asarray(mask)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(
            f"values and mask must be arrays, got {shown(values)} and {shown(mask)}."
        ) from None
    if values.shape != mask.shape or mask.dtype != bool:
        raise ValueError(
            "mask must be booleans of the shape of the values, got values "
            f"{values.dtype} {list(values.shape)} and mask {mask.dtype} {list(mask.shape)}."
        )
    # `where` and not a product: a NaN outside the mask must not leak into the mean.
    return jnp.sum(jnp.where(mask, values, 0.0)) / jnp.sum(mask)
