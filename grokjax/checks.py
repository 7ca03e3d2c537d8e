"""Checks of arguments at the public edge: one for each kind of argument, one wording for all.

Every check returns its value in the form that the code behind it uses, or raises a `ValueError`
that names the argument, what is allowed, and what was given.
"""

import math
import operator
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def check_integer(
    name: str,
    value: Any,
    *,
    at_least: float = -math.inf,
    below: float = math.inf,
    otherwise: str = "",
) -> int:
    """`value` as a Python int: anything that Python takes for an index, except booleans.

    Args:
      name: of the argument, for the message.
      value: what was given.
      at_least: the smallest integer allowed.
      below: the smallest integer that is too large.
      otherwise: what is allowed beside integers, for the message, as "None for the full batch".

    Raises:
      ValueError: for anything else; the message names the argument, what is allowed and the value.

    Example:
      >>> check_integer("batch_size", 0, at_least=1, otherwise="None for the full batch")
      Traceback (most recent call last):
      ValueError: batch_size must be a positive integer, or None for the full batch, got 0.
    """
    single = _single(value)
    try:
        number = math.nan if isinstance(single, bool | np.bool_) else operator.index(single)
    except TypeError:
        number = math.nan
    if not at_least <= number < below:  # NaN fails too
        positive = at_least == 1
        allowed = "a positive integer" if positive else "an integer"
        bounds = [] if positive or at_least == -math.inf else [f"of at least {at_least}"]
        bounds += [f"below {below}"] if below < math.inf else []
        allowed += f" {' and '.join(bounds)}" if bounds else ""
        allowed += f", or {otherwise}" if otherwise else ""
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}.")
    return int(number)


def check_integers(
    name: str,
    values: Any,
    *,
    length: int | None = None,
    at_least: float = -math.inf,
    below: float = math.inf,
    such_as: str = "(1, 2)",
) -> tuple[int, ...]:
    """`values` as a tuple of Python ints.

    Args:
      name: of the argument, for the message.
      values: what was given: any iterable of integers, but no text.
      length: how many there have to be; None allows any number, none included.
      at_least: the smallest integer allowed.
      below: the smallest integer that is too large.
      such_as: an example, for the message.

    Raises:
      ValueError: for anything else.
    """
    try:
        listed = None if isinstance(values, str | bytes | Mapping) else list(values)
    except TypeError:
        listed = None
    if listed is None:
        raise ValueError(f"{name} must be integers, such as {such_as}, got {shown(values)}.")
    if length is not None and len(listed) != length:
        raise ValueError(
            f"{name} must be {length} integers, such as {such_as}, got {len(listed)}: "
            f"{shown(values)}."
        )
    return tuple(
        check_integer(f"{name}[{i}]", value, at_least=at_least, below=below)
        for i, value in enumerate(listed)
    )


def check_number(
    name: str,
    value: Any,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
    otherwise: str = "",
) -> float:
    """`value` as a finite Python float; neither a boolean nor text is a number.

    Args:
      name: of the argument, for the message.
      value: what was given.
      at_least: the smallest number allowed.
      above: a number that is just too small.
      at_most: the largest number allowed.
      below: a number that is just too large.
      otherwise: what is allowed beside numbers, for the message.

    Raises:
      ValueError: for anything else.
    """
    number = math.nan
    single = _single(value)
    kind = getattr(getattr(single, "dtype", None), "kind", "f")  # NumPy drops imaginary parts
    if not isinstance(single, bool | str | bytes) and kind not in "bcSU":
        try:
            number = float(single)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
    inside = at_least <= number <= at_most and above < number < below
    if not (inside and math.isfinite(number)):
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (
                ("of at least", at_least),
                ("above", above),
                ("of at most", at_most),
                ("below", below),
            )
            if math.isfinite(bound)
        ]
        allowed = f"a finite number {' and '.join(bounds)}".strip()
        allowed += f", or {otherwise}" if otherwise else ""
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}.")
    return number


def check_text(name: str, value: Any, such_as: str) -> str:
    """Text.

    Args:
      name: of the argument, for the message.
      value: what was given.
      such_as: an example, for the message.

    Raises:
      ValueError: for anything else.
    """
    if not isinstance(value, str):
        raise ValueError(f'{name} must be text, such as "{such_as}", got {shown(value)}.')
    return str(value)


def check_confidence(value: Any, name: str = "confidence") -> float:
    """The level of a confidence interval, a number between 0 and 1.

    Raises:
      ValueError: for anything else; 95 is taken for 95 %, and 0.95 proposed.
    """
    try:
        return check_number(name, value, above=0, below=1)
    except ValueError as error:
        remedy = "use 0.95 for 95 %"
        if isinstance(value, int | float) and 1 < value < 100:
            remedy = f"use {value / 100:g} for {value:g} %"
        raise ValueError(f"{str(error)[:-1]}; {remedy}.") from None


def check_flag(name: str, value: Any, otherwise: str = "") -> bool:
    """A Python bool.

    Raises:
      ValueError: for anything but True and False: "no" would count as true.
    """
    if not isinstance(value, bool | np.bool_):
        allowed = "True or False" + (f", or {otherwise}" if otherwise else "")
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}.")
    return bool(value)


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """One of a few words.

    Raises:
      ValueError: for another value; the message lists the words.
    """
    choices = tuple(choices)
    if not isinstance(value, str | None) or value not in choices:
        quoted = [f'"{choice}"' if isinstance(choice, str) else repr(choice) for choice in choices]
        allowed = " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}.")
    return value


def check_callable(name: str, value: Any, such_as: str) -> Callable[..., Any]:
    """A function, or anything else that can be called.

    Args:
      name: of the argument, for the message.
      value: what was given.
      such_as: what to give instead, for the message, as "a per-example loss such as losses.mse".

    Raises:
      ValueError: for anything that cannot be called.
    """
    if not callable(value):
        raise ValueError(f"{name} must be {such_as}, got {shown(value)}.")
    return value


def check_mapping(name: str, value: Any, such_as: str) -> Mapping[str, Any]:
    """A mapping whose keys are text.

    Raises:
      ValueError: for anything else.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a mapping, such as {such_as}, got {shown(value)}.")
    if wrong := [key for key in value if not isinstance(key, str)]:
        raise ValueError(f"{name} must have names for keys, got {wrong[0]!r}; such as {such_as}.")
    return value


def check_key(name: str, value: Any, otherwise: str = "") -> Any:
    """A JAX random key, of either kind: `jax.random.key(0)` or `jax.random.PRNGKey(0)`.

    Raises:
      ValueError: for anything else, an integer seed above all.
    """
    import jax

    dtype = getattr(value, "dtype", None)
    typed = dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)
    raw = dtype == np.uint32 and np.shape(value) in ((2,), (4,))
    if not (typed and np.shape(value) == ()) and not raw:
        seed = value if type(value) is int and abs(value) < 2**31 else 0
        allowed = "a JAX random key" + (f", or {otherwise}" if otherwise else "")
        raise ValueError(
            f"{name} must be {allowed}, got {shown(value)}; use jax.random.key({seed})."
        )
    return value


def check_array(
    name: str,
    value: Any,
    *,
    shape: Sequence[Any] | None = None,
    kinds: str = "biuf",
    finite: bool = False,
) -> np.ndarray:
    """`value` as a NumPy array of the wanted kind and shape.

    Args:
      name: of the argument, for the message.
      value: what was given. Only for concrete values; `check_jax_array` takes traced ones too.
      shape: the size of each axis; a letter stands for any size, and the same letter for the same.
        `...` at the beginning stands for any number of axes.
      kinds: the NumPy kinds of numbers allowed: b, i, u, f, c.
      finite: whether NaN and infinity are refused.

    Raises:
      ValueError: for anything else.
    """
    allowed = _allowed(name, shape, kinds)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        raise ValueError(f"{allowed}, got {shown(value)}.") from None
    _check_form(allowed, value, array, shape, kinds)
    if finite and array.dtype.kind not in "biu" and not np.isfinite(array).all():
        raise ValueError(f"{allowed}, all finite; got {array[~np.isfinite(array)].flat[0]}.")
    return array


def check_jax_array(
    name: str, value: Any, *, shape: Sequence[Any] | None = None, kinds: str = "biuf"
) -> Any:
    """`value` as an array for JAX, of the wanted kind and shape; it may be traced.

    JAX's own arrays stay as they are, anything else becomes a NumPy array. No number is looked at,
    so it costs nothing where the result of a computation is not there yet.

    Args:
      name: of the argument, for the message.
      value: what was given.
      shape: as in `check_array`.
      kinds: as in `check_array`.

    Raises:
      ValueError: for anything else.
    """
    import jax
    import jax.numpy as jnp

    allowed = _allowed(name, shape, kinds)
    array = value
    if not isinstance(value, jax.Array):
        mixed = isinstance(value, list | tuple) and not is_concrete(value)  # a list of traced ones
        try:
            array = jnp.asarray(value) if mixed else np.asarray(value)
        except (TypeError, ValueError):
            raise ValueError(f"{allowed}, got {shown(value)}.") from None
    _check_form(allowed, value, array, shape, kinds)
    return array


def is_concrete(*values: Any) -> bool:
    """Whether the numbers in some arrays, or trees of arrays, can be looked at here.

    Those of traced arrays (inside `jit`, `vmap` or `grad`) and of arrays that other processes hold
    a part of cannot.
    """
    import jax
    from jax.core import Tracer

    return all(
        not isinstance(leaf, Tracer) and getattr(leaf, "is_fully_addressable", True)
        for leaf in jax.tree.leaves(values)
    )


def needs_value(error: BaseException) -> str:
    """What to say of a function that needs the value of a traced array; "" of another error.

    The text goes on after the name of the function, and has no full stop.

    Args:
      error: what the function raised, under `jit`, `vmap` or `eval_shape`.
    """
    import jax

    traced = (
        jax.errors.ConcretizationTypeError,
        jax.errors.TracerArrayConversionError,
        jax.errors.TracerIntegerConversionError,
    )
    if not isinstance(error, traced):
        return ""
    paths = re.findall(r"((?:\['\w+'\])+)", str(error))  # as in params['layer']['kernel']
    names = dict.fromkeys(repr(path[2:-2].replace("']['", "/")) for path in paths)
    return (
        f"needs the value of {' and '.join(names) or 'an array'} in Python, as `if`, `float` and "
        "functions of NumPy do. All lanes share one compiled program, in which it is an array "
        "without a value yet: use jnp.where, jax.lax.cond and functions of jax.numpy"
    )


def check_size(what: str, entries: int, remedy: str, *, at_most: int = 2**27) -> None:
    """Refuses what would fill the memory before it is made.

    Args:
      what: would be made, for the message, as "analytic_addition(7, 40)".
      entries: how many numbers it would hold.
      remedy: what to do instead, for the message.
      at_most: the largest number of entries allowed; 2**27 are 1 GiB of float64.

    Raises:
      ValueError: for more entries than that.
    """
    if entries > at_most:
        # Python refuses to write integers of thousands of digits.
        count = f"{entries:,}" if entries < 10**15 else f"about 10^{math.log10(entries):.0f}"
        raise ValueError(
            f"{what} would hold {count} numbers, more than the {at_most:,} that are allowed in "
            f"memory; {remedy}."
        )


def _single(value: Any) -> Any:
    """The number in an xarray.DataArray without dimensions; anything else as it is."""
    return value.item() if hasattr(value, "dims") and getattr(value, "ndim", None) == 0 else value


def _allowed(name: str, shape: Sequence[Any] | None, kinds: str) -> str:
    words = {"b": "booleans", "i": "integers", "u": "integers", "f": "real numbers", "c": "numbers"}
    widest = [words[kind] for kind in "cf" if kind in kinds][:1]  # the others are among these
    wanted = " or ".join(widest or dict.fromkeys(words[kind] for kind in kinds))
    sizes = ("..." if size is ... else str(size) for size in shape or ())
    form = "" if shape is None else f" of shape [{', '.join(sizes)}]"
    return f"{name} must be an array of {wanted}{form}"


def _check_form(
    allowed: str, value: Any, array: Any, shape: Sequence[Any] | None, kinds: str
) -> None:
    """Refuses arrays of another kind or shape."""
    kind = getattr(array.dtype, "kind", "O")  # JAX's random keys have none
    if kind == "V" and array.dtype.isbuiltin == 2:  # bfloat16 and its like
        kind = "f"
    fits = kind in kinds
    if fits and shape is not None:
        wanted, sizes = list(shape), array.shape
        if wanted[:1] == [...]:
            wanted = wanted[1:]
            sizes = sizes[max(0, len(sizes) - len(wanted)) :]
        known: dict[str, int] = {}
        fits = len(sizes) == len(wanted) and all(
            has == (known.setdefault(want, has) if isinstance(want, str) else want)
            for has, want in zip(sizes, wanted, strict=True)
        )
    if not fits:
        large = kind in "biufcV" and array.shape  # its type and size say more than its numbers
        given = f"{array.dtype} {list(array.shape)}" if large else shown(value)
        raise ValueError(f"{allowed}, got {given}.")


def check_path(name: str, value: Any) -> pathlib.Path:
    """The path of a file or folder, from text or a path object.

    Raises:
      ValueError: for anything else, and for text that names nothing.
    """
    try:
        text = os.fsdecode(value) if isinstance(value, str | bytes | os.PathLike) else ""
    except (TypeError, ValueError):
        text = ""
    if not text or "\0" in text:
        raise ValueError(f"{name} must be a path, such as 'results/sweep', got {shown(value)}.")
    return pathlib.Path(text)


def shown(value: Any) -> str:
    """What was given, as a message shows it: its repr, cut where it is long."""
    try:
        text = repr(value)
    except Exception:  # somebody else's repr
        text = f"an object of type {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]}..."
