"""The reference of a module as Markdown: every public name, with its signature and its docstring.

Docstrings are Markdown: `code`, formulas set off by their indentation, and the sections of Google's
style. A name in backticks that is public somewhere is a link.
"""

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grokjax

INTERNAL = {"checks"}  # what every argument goes through, and nobody calls
SECTIONS = ("Args", "Attributes", "Differs", "Example", "Raises", "Reference", "Returns", "Yields")


# --------------------------------------------------------------------------------------------
# What is public
# --------------------------------------------------------------------------------------------


def modules() -> list[str]:
    """The public modules: `grokjax`, and its packages and files."""
    found = [module.name for module in pkgutil.iter_modules(grokjax.__path__)]
    return ["grokjax", *(f"grokjax.{name}" for name in found if name not in INTERNAL)]


def public_names(module: str) -> list[str]:
    """The public names of a module: `__all__`, or the functions and classes that it defines."""
    loaded = importlib.import_module(module)
    if (names := getattr(loaded, "__all__", None)) is not None:
        return sorted(name for name in names if not inspect.ismodule(getattr(loaded, name)))
    return sorted(
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module
    )


def methods(cls: type) -> list[str]:
    """The public methods and properties that a class defines itself."""
    kinds = (types.FunctionType, property, classmethod, staticmethod, functools.cached_property)
    return [
        name
        for name, value in vars(cls).items()
        if not name.startswith("_") and isinstance(value, kinds)
    ]


@functools.cache
def homes() -> dict[str, str]:
    """Where each public name is documented, as `module.name`, by all ways to write it."""
    found: dict[str, str] = {}
    ambiguous: set[str] = set()
    for module in modules():
        try:
            names = [] if module == "grokjax" else public_names(module)
        except ModuleNotFoundError:  # it needs what is not installed, as `grokjax.pytorch` torch
            continue
        for name in names:
            whole = f"{module}.{name}"
            value = getattr(importlib.import_module(module), name)
            members = methods(value) if inspect.isclass(value) else []
            for path in [name, *(f"{name}.{member}" for member in members)]:
                home = f"{module}.{path}"
                found |= {home: home, home.removeprefix("grokjax."): home}
                if found.setdefault(path, home) != home:
                    ambiguous.add(path)
            if getattr(grokjax, name, None) is value:
                found[f"grokjax.{name}"] = whole
    return {name: home for name, home in found.items() if name not in ambiguous}


# --------------------------------------------------------------------------------------------
# What is said of it
# --------------------------------------------------------------------------------------------


def documentation(module: str, name: str) -> str:
    """What a public name of a module says of itself: its docstring, or for data its comment."""
    value: Any = getattr(importlib.import_module(module), name)
    if kind_of(value) == "class" or inspect.isroutine(value) or hasattr(value, "__wrapped__"):
        text = inspect.getdoc(value) or ""
        return "" if text.startswith(f"{name}(") else text  # which dataclasses write themselves
    given = f"`{name} = {shown(value)}`\n\n" if kind_of(value) == "data" else ""
    return given + comment(module, name)


def kind_of(value: Any) -> str:
    """What Sphinx calls a value: "class", "function" or, types that have a name too, "data"."""
    if typing.get_origin(value):
        return "data"
    if inspect.isclass(value):
        return "class"
    return "function" if callable(value) else "data"


def shown(value: Any) -> str:
    """A value of the module as text, without addresses of memory."""
    text = re.sub(r"<function (\w+) at 0x\w+>", r"\1", repr(value))
    return re.sub(r"\b(typing|collections\.abc|jax\.jaxlib\._jax|grokjax\.[\w.]+)\.", "", text)


def comment(module: str, name: str) -> str:
    """The comment of an assignment: behind it, or above it and others that follow at once."""
    for path in sources(module):
        lines = path.read_text().splitlines()
        for node in ast.parse("\n".join(lines)).body:
            targets = node.targets if isinstance(node, ast.Assign) else [node]
            if name not in [getattr(getattr(t, "target", t), "id", None) for t in targets]:
                continue
            if behind := re.search(r"\s# (.*)$", lines[node.end_lineno - 1]):
                return f"{behind[1][0].upper()}{behind[1][1:]}."
            above = node.lineno - 1
            while above and lines[above - 1].strip() and not lines[above - 1].startswith("#"):
                above -= 1
            begin = above
            while begin and lines[begin - 1].startswith("#"):
                begin -= 1
            return "\n".join(line.lstrip("#: ") for line in lines[begin:above])
    return ""


def sources(module: str) -> Iterator[Path]:
    """The files of a module, where what it gives to others may be written."""
    loaded = importlib.import_module(module)
    own = Path(inspect.getfile(loaded))
    yield from sorted(own.parent.glob("*.py")) if hasattr(loaded, "__path__") else [own]


def markdown(docstring: str, module: str) -> list[str]:
    """A docstring as lines of Markdown, with links to the public names in it."""
    lines: list[str] = []
    section, code = "", False
    for line in docstring.splitlines():
        indent = len(line) - len(line.lstrip())
        heading = re.match(rf"({'|'.join(SECTIONS)}):(?:\s+(.*))?$", line)
        if heading:
            lines += [*(["```"] if code else []), "", f"**{heading[1]}**", ""]
            section, code = heading[1], False
            lines += [linked(heading[2], module)] if heading[2] else []
        elif section == "Example" and indent and not code:
            lines += ["```python", line[2:]]
            code = True
        elif code:
            if line and not indent:
                lines += ["```", "", line]
                section, code = "", False
            else:
                lines.append(line[2:])
        elif section in ("Args", "Attributes", "Raises") and (
            item := re.match(r"  ([*\w., ]+?):\s+(.*)$", line)
        ):
            names = ", ".join(f"`{name}`" for name in item[1].split(", "))
            lines.append(f"- {names}: {linked(item[2], module)}")
        elif section in ("Args", "Attributes", "Raises") and indent >= 4:
            lines.append("  " + linked(line.strip(), module))
        elif section and indent:
            lines.append(linked(line[2:], module))
        else:
            if not indent and line:
                section = ""
            elif indent >= 4 and lines and lines[-1] and not lines[-1].startswith("    "):
                lines.append("")  # code begins, which Markdown wants to be set off
            lines.append(line if indent >= 4 else linked(line, module))
    return [*lines, *(["```"] if code else []), ""]


def linked(line: str, module: str) -> str:
    """A line whose names in backticks lead to what they name."""

    def link(found: re.Match) -> str:
        name = found[1]
        if "." in name or name in grokjax.__all__ or name[0].isupper() or _is_own(module, name):
            home = homes().get(f"{module}.{name}") or homes().get(name)
            return f"{{py:obj}}`{name} <{home}>`" if home else found[0]
        return found[0]

    return re.sub(r"(?<![`{}])`([A-Za-z_][\w.]*)`(?!`)", link, line)


@functools.cache
def _is_own(module: str, name: str) -> bool:
    """Whether a name is one of the module, and not that of an argument in it."""
    own = {other: getattr(importlib.import_module(module), other) for other in public_names(module)}
    return name in own and not any(
        name in inspect.signature(value).parameters
        for value in own.values()
        if inspect.isfunction(value)
    )


def signature(value: Any) -> str:
    """The arguments of a function or class, with their defaults; shapes are in the text."""
    try:
        given = inspect.signature(value)
    except (TypeError, ValueError):
        return "()"
    parameters = [
        p.replace(
            annotation=p.empty,
            default=p.default if p.default is p.empty else _Shown(shown(p.default)),
        )
        for p in given.parameters.values()
        if p.name not in ("self", "cls")
    ]
    return str(inspect.Signature(parameters))


class _Shown(str):
    """Text that is its own `repr`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


# --------------------------------------------------------------------------------------------
# All of a module
# --------------------------------------------------------------------------------------------


def reference(module: str) -> tuple[list[str], list[str]]:
    """The Markdown of a module's reference, and the public names that have no documentation."""
    loaded = importlib.import_module(module)
    text = [f"::::::{{py:module}} {module}", "::::::", ""]
    text += markdown(inspect.getdoc(loaded) or "", module)
    missing = [] if inspect.getdoc(loaded) else [module]
    for name in public_names(module):
        value = getattr(loaded, name)
        home = homes().get(f"{module}.{name}")
        if module == "grokjax" and home:
            text += [f"- {linked(f'`{home}`', module)}: {first_sentence(home)}"]
            continue
        said = documentation(module, name)
        missing += [] if said else [f"{module}.{name}"]
        kind = kind_of(value)
        arguments = "" if kind == "data" else signature(value)
        text += [f":::::{{py:{kind}}} {name}{arguments}", "", *markdown(said, module)]
        for member in methods(value) if kind == "class" else []:
            inside = vars(value)[member]
            said = inspect.getdoc(getattr(value, member)) or ""
            missing += [] if said else [f"{module}.{name}.{member}"]
            role = "property" if isinstance(inside, property) else "method"
            arguments = "" if role == "property" else signature(getattr(value, member))
            text += [f"::::{{py:{role}}} {member}{arguments}", "", *markdown(said, module), "::::"]
        text += [":::::", ""]
    return text, missing


def first_sentence(home: str) -> str:
    """The first line of what a public name says of itself."""
    module, name = home.rsplit(".", 1)
    return linked(documentation(module, name).split("\n")[0], module)
