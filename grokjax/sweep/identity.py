"""What a part of a sweep is, told apart from any other: for the files that a sweep resumes from.

A function is its module, its qualified name, its code, its defaults, and the values that it closes
over or reads from its module. Two lambdas, or two functions called `mse`, so differ, while the same
function in a process started later is the same. Functions and classes of the libraries that a sweep
is made of are their names alone: a new release of one is recorded in the results, not refused.
"""

import dataclasses
import dis
import functools
import hashlib
import importlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

LIBRARIES = ("grokjax", "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "builtins", "functools")
PLAIN = bool | int | float | complex | str | bytes | np.dtype | np.generic
LIBRARIES += ("operator", "math", "typing", "collections", "dataclasses")


def fingerprint(part: Any) -> str:
    """Sixteen hexadecimal digits that differ for parts that differ, in every process alike.

    Args:
      part: a model, function, rule or number: made of functions, dataclasses, containers, arrays
        and plain values.

    Raises:
      ValueError: for what cannot be identified, such as a generator or an open file, naming it.
    """
    total = hashlib.sha256()
    for word in _words(part, (), {}):
        total.update(word.encode() + b"\0")
    return total.hexdigest()[:16]


def digest(tree: Any) -> str:
    """Sixteen hexadecimal digits of the arrays of a pytree: structure, types, shapes, numbers."""
    leaves, structure = jax.tree.flatten(tree)
    total = hashlib.sha256(str(structure).encode())
    for leaf in leaves:
        array = np.ascontiguousarray(leaf)
        total.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return total.hexdigest()[:16]


def _words(part: Any, above: tuple[Any, ...], told: dict[int, Any]) -> Iterator[str]:
    """A part as words.

    Args:
      part: what it is.
      above: the parts that it is inside of.
      told: functions and classes by their number in memory, which are told once: those of a module
        call each other in more ways than could be followed.
    """
    if any(part is other for other in above):
        yield f"recursion {[part is other for other in above].index(True)}"
        return
    if isinstance(part, types.FunctionType | type):
        if id(part) in told:
            yield f"told {list(told).index(id(part))}"
            return
        told[id(part)] = part
    inside = (*above, part)
    if part is None or isinstance(part, PLAIN):
        yield f"{type(part).__name__} {part!r}"
    elif isinstance(part, np.ndarray) and part.dtype != object:
        yield f"array {digest(part)}"
    elif isinstance(part, jax.Array):
        data = jax.random.key_data(part) if _is_key(part) else part
        yield f"array {digest(np.asarray(data))}"
    elif isinstance(part, tuple | list):
        yield f"{type(part).__name__} {len(part)}"
        for item in part:
            yield from _words(item, inside, told)
    elif isinstance(part, set | frozenset):
        yield f"set {sorted(fingerprint(item) for item in part)}"
    elif isinstance(part, Mapping):
        yield f"mapping {len(part)}"
        for key, value in part.items():
            yield from _words(key, inside, told)
            yield from _words(value, inside, told)
    elif isinstance(part, types.ModuleType):
        yield f"module {part.__name__}"
    elif _is_library(part):
        yield f"library {part.__module__}.{getattr(part, '__qualname__', '')}"
    elif isinstance(part, type):
        yield from _class(part, inside, told)
    elif isinstance(part, types.MethodType):
        yield "method"
        yield from _words(part.__self__, inside, told)
        yield from _words(part.__func__, inside, told)
    elif isinstance(part, functools.partial):
        yield "partial"
        yield from _words((part.func, part.args, part.keywords), inside, told)
    elif isinstance(part, types.FunctionType):
        yield from _function(part, inside, told)
    elif isinstance(part, staticmethod | classmethod):
        yield type(part).__name__
        yield from _words(part.__func__, inside, told)
    elif isinstance(part, property | functools.cached_property):
        yield "property"
        getters = (part.fget, part.fset) if isinstance(part, property) else (part.func,)
        yield from _words(getters, inside, told)
    elif isinstance(part, types.BuiltinFunctionType | np.ufunc):
        yield f"builtin {getattr(part, '__module__', None)}.{part.__name__}"
    elif dataclasses.is_dataclass(part):
        yield from _words(type(part), inside, told)
        for field in dataclasses.fields(part):
            if field.name != "parent":  # of a flax module: where it is used, not what it is
                yield field.name
                yield from _words(getattr(part, field.name, None), inside, told)
    elif hasattr(part, "__wrapped__") and callable(part):  # jax.jit, custom_jvp and their like
        yield f"wrapped by {type(part).__name__}"
        yield from _words(part.__wrapped__, inside, told)
        attributes = getattr(part, "__dict__", {})  # the rules of a custom gradient among them
        rules = {k: v for k, v in sorted(attributes.items()) if callable(v) and k != "__wrapped__"}
        yield from _words(rules, inside, told)
    else:
        try:  # what makes an equal object: its class, and its state
            _, made_of, *state = part.__reduce_ex__(2)
        except Exception:
            raise ValueError(
                f"an object of the type {type(part).__module__}.{type(part).__qualname__} cannot "
                "be identified, so an interrupted sweep could not tell it from another one; use "
                "functions, frozen dataclasses, arrays and plain values, or leave directory= out."
            ) from None
        yield "object"
        yield from _words(type(part), inside, told)
        yield from _words(
            (made_of, *(list(x) if isinstance(x, Iterator) else x for x in state)), inside, told
        )


def _function(
    part: types.FunctionType, inside: tuple[Any, ...], told: dict[int, Any]
) -> Iterator[str]:
    yield f"function {part.__module__}.{part.__qualname__}"
    yield from _code(part.__code__, part.__doc__)
    yield from _words((part.__defaults__, part.__kwdefaults__), inside, told)
    cells = part.__closure__ or ()
    for name, cell in zip(part.__code__.co_freevars, cells, strict=True):
        yield f"closes over {name}"
        try:
            contents = cell.cell_contents
        except ValueError:  # not filled yet: only a name
            continue
        yield from _words(contents, inside, told)
    for name in sorted(set(_globals(part.__code__))):
        if name in part.__globals__:
            yield f"reads {name}"
            yield from _words(part.__globals__[name], inside, told)


def _code(code: types.CodeType, doc: str | None) -> Iterator[str]:
    """Instructions and constants, without the docstring and where the code stands in its file."""
    yield f"code {code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_flags}"
    constants = code.co_consts
    if doc and constants[:1] == (doc,):
        constants = (None, *constants[1:])
    for constant in constants:
        if isinstance(constant, types.CodeType):
            yield from _code(constant, None)
        elif isinstance(constant, frozenset):  # its order depends on the process
            yield f"frozenset {sorted(map(repr, constant))}"
        else:
            yield repr(constant)


def _globals(code: types.CodeType) -> Iterator[str]:
    """Names that the code, and code inside of it, reads from the module."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals(constant)


def _class(part: type, inside: tuple[Any, ...], told: dict[int, Any]) -> Iterator[str]:
    """A class of the user's: its name, bases, and what its body defines."""
    yield f"class {part.__module__}.{part.__qualname__}"
    for base in part.__bases__:
        yield from _words(base, inside, told)
    written = {"__call__", "__init__", "__post_init__"}
    for name, value in sorted(vars(part).items()):
        if name.startswith("__") and name not in written:
            continue
        function = getattr(value, "__wrapped__", value)
        if getattr(getattr(function, "__code__", None), "co_filename", "") == "<string>":
            continue  # written by dataclasses, from the fields
        if isinstance(function, types.FunctionType | staticmethod | classmethod | property):
            yield f"defines {name}"
            yield from _words(function, inside, told)
        elif function is None or isinstance(function, bool | int | float | str | tuple):
            yield f"defines {name} {function!r}"


def _is_library(part: Any) -> bool:
    """Whether a library gives the part this name: functions and classes, decorated or not."""
    module, name = getattr(part, "__module__", None), getattr(part, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return False
    if module.split(".")[0] not in LIBRARIES:
        return False
    if isinstance(part, type):
        return True
    try:
        found: Any = importlib.import_module(module)
        for piece in name.split("."):
            found = getattr(found, piece)
    except (ImportError, AttributeError):
        return False
    return found is part or getattr(part, "__wrapped__", part) is found


def _is_key(array: jax.Array) -> bool:
    return jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key)
