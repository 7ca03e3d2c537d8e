"""What the methods of models are given: equations, parameters, rates, tasks and lane columns.

Shapes and types are checked always, also where arrays are traced; numbers only where they can be
looked at.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from grokjax.checks import check_jax_array, check_key, check_number, is_concrete, shown
from grokjax.tasks import PAD, Task

SHOWN = 4  # differences that a message lists


def check_tokens(tokens: Any, *, p: int | None = None, operands: int | None = None) -> Any:
    """Equations as an array that can be indexed: int32 or wider, [..., S].

    Args:
      tokens: what was given.
      p: how many operands the model knows; None to look at no number.
      operands: S, if the model fixes it.

    Raises:
      ValueError: for anything but integers, for another S, and for operands that are neither `PAD`
        nor from 0 to p - 1, which JAX would clip in silence.
    """
    try:
        tokens = check_jax_array("tokens", tokens, shape=[..., "S"], kinds="iu")
    except ValueError as error:
        raise ValueError(f"{str(error)[:-1]}; use equations such as task.tokens.") from None
    has = tokens.shape[-1]
    if operands is None and has == 0:
        raise ValueError(f"tokens must have one operand or more, got shape {list(tokens.shape)}.")
    if operands not in (None, has):
        raise ValueError(
            f"the equations have {has} operands, and the model operands={operands}; build it with "
            f"operands={has}."
        )
    if p is not None and tokens.size and is_concrete(tokens):
        values = np.asarray(tokens)
        outside = values[(values >= p) | (values < PAD)]
        if outside.size:
            raise ValueError(
                f"tokens must be from 0 to {p - 1}, or {PAD} for none, got {outside.flat[0]}."
            )
    # The signs of an equation, and PAD, need not fit into a smaller or an unsigned type.
    narrow = tokens.dtype.kind == "u" or tokens.dtype.itemsize < 4
    return tokens.astype(np.int32) if narrow else tokens


def check_init(key: Any, tokens: Any, *, operands: int | None = None) -> Any:
    """The equations that parameters are made for; the key has to be a key.

    Raises:
      ValueError: for anything but a random key and equations.
    """
    check_key("key", key)
    return check_tokens(tokens, operands=operands)


def check_noise_key(key: Any) -> None:
    """Refuses what is neither None, for evaluation, nor a key for a training step's noise.

    Raises:
      ValueError: for anything else.
    """
    if key is not None:
        check_key("key", key, otherwise="None for evaluation")


def check_rate(name: str, rate: Any, *, at_least: float, below: float = math.inf) -> None:
    """Refuses what is neither a number within bounds nor a traced scalar.

    Args:
      name: of the argument, for the message.
      rate: what was given.
      at_least: the smallest number allowed.
      below: a number that is just too large.

    Raises:
      ValueError: for anything else.
    """
    if is_concrete(rate):
        check_number(name, rate, at_least=at_least, below=below)
    else:
        check_jax_array(name, rate, shape=[], kinds="iuf")


def check_column(
    columns: Mapping[str, np.ndarray], name: str, *, at_least: float, below: float = math.inf
) -> None:
    """Refuses a lane column, if there is one of this name, for its first number outside the bounds.

    Args:
      columns: lane columns.
      name: of the one that is checked.
      at_least: the smallest number allowed.
      below: a number that is just too large.

    Raises:
      ValueError: naming the column and the number.
    """
    for value in dict.fromkeys(np.asarray(columns.get(name, ())).tolist()):  # each number once
        check_number(f"lane column {name!r}", value, at_least=at_least, below=below)


def check_fit(task: Task, p: int, operands: int | None = None) -> None:
    """Refuses a task of another modulus, or of another number of operands if that is given.

    Raises:
      ValueError: naming what the task has, and what to build.
    """
    tokens, classes = task.vocabulary, task.num_classes
    wants = max(tokens, classes)
    if p != wants:
        has = f"{classes} classes" if classes == wants else f"{tokens} different operands"
        raise ValueError(
            f"the model has p={p}, but the task {task.name!r} has {has}; build it with p={wants}."
        )
    if operands not in (None, task.operands):
        raise ValueError(
            f"the model has operands={operands}, but the task {task.name!r} has {task.operands}; "
            f"build it with operands={task.operands}."
        )


def check_entries(params: Any, *names: str) -> None:
    """Refuses parameters that are no mapping with exactly these entries.

    Raises:
      ValueError: naming what is missing and what is too much.
    """
    if not isinstance(params, Mapping) or set(params) != set(names):
        has = sorted(map(str, params)) if isinstance(params, Mapping) else shown(params)
        raise ValueError(
            f"params must be the model's, as its init gives them, with the entries "
            f"{sorted(names)}, got {has}."
        )


def check_params(
    model: Any, params: Any, shapes: Mapping[str, tuple[int, ...]], name: str = "params"
) -> Any:
    """Parameters whose arrays are those of a model.

    Args:
      model: whose they should be, for the message.
      params: a tree of arrays.
      shapes: of all arrays, by their paths, as `shapes_of` gives them.
      name: of the argument, for the message.

    Raises:
      ValueError: naming what differs.
    """
    if wrong := differences(params, shapes):
        raise ValueError(
            f"{name} must be the model's, as its init gives them: {wrong}; the model is "
            f"{shown(model)}."
        )
    plain = jax.Array | np.ndarray | np.generic | float | int
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, plain) else np.asarray(leaf), params)


@functools.lru_cache(maxsize=256)
def shapes_of(model: Any, operands: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a model's initial parameters by their paths; nothing is computed."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((1, operands), np.int32)
    return shapes_in(jax.eval_shape(model.init, key, tokens))


def shapes_in(params: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of arrays in a tree by their paths, as "layer_1/kernel"."""
    return {path: np.shape(leaf) for path, leaf in _by_path(params)}


def explain(model: Any, params: Any, operands: int, name: str = "params") -> None:
    """Says what is wrong with parameters, if anything is, after a model could not be evaluated.

    Initial parameters may depend on the number of operands, and a model may take others than it
    makes. So another shape is no error by itself, but the likeliest reason of one.

    Raises:
      ValueError: naming what differs from the model's initial parameters.
    """
    try:
        shapes = shapes_of.__wrapped__(model, operands)
    except Exception:
        return  # what is wrong is something else
    check_params(model, params, shapes, name)


def differences(params: Any, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """What differs between parameters and the shapes that they should have; empty if nothing."""
    has = dict(_by_path(params))
    found = [f"{path!r} is missing" for path in shapes if path not in has]
    for path, leaf in has.items():
        if path not in shapes:
            found.append(f"{path!r} is none of its parameters" if path else f"got {shown(leaf)}")
            continue
        try:
            leaf = check_jax_array(path, leaf)
        except ValueError as error:
            found.append(str(error)[:-1])
            continue
        if leaf.shape != shapes[path]:
            found.append(f"{path!r} must be {list(shapes[path])}, got {list(leaf.shape)}")
    if not found:
        return ""
    more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    lanes = {np.shape(has[path])[0] for path in shapes if _is_stack(has.get(path), shapes[path])}
    remedy = ""
    if len(lanes) == 1 and len(has) == len(shapes) == len(found):
        remedy = (
            f"; these are {lanes.pop()} networks, take one, as in "
            "jax.tree.map(lambda leaf: leaf[0], params)"
        )
    return "; ".join(found[:SHOWN]) + more + remedy


def _is_stack(leaf: Any, shape: tuple[int, ...]) -> bool:
    return np.ndim(leaf) == len(shape) + 1 and np.shape(leaf)[1:] == shape


def _by_path(tree: Any) -> list[tuple[str, Any]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [("/".join(map(_name, path)), leaf) for path, leaf in leaves]


def _name(entry: Any) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return str(entry)
