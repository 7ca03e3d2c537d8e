"""The options of an experiment: one typed function, its scales, and what its help says."""

import difflib
import functools
import importlib.util
import inspect
import pathlib
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from grokjax.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_path,
    check_text,
    shown,
)
from grokjax.command.record import command_line
from grokjax.command.sweeps import Study


class Bounds(NamedTuple):
    """Which numbers an option may have, in its annotation: `Annotated[float, Bounds(above=0)]`.

    Attributes:
      at_least: the lowest one.
      above: a number that it must exceed.
      at_most: the highest one.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None


Count = Annotated[int, Bounds(at_least=0)]  # an integer that may be 0
Share = Annotated[float, Bounds(at_least=0, at_most=1)]
Positive = Annotated[float, Bounds(above=0)]

# What an option of this name is where the docstring of an experiment says nothing else.
USUAL = {
    "p": "the modulus.",
    "width": "hidden units.",
    "widths": "hidden units.",
    "alpha": "the fraction of the table trained on.",
    "alphas": "fractions of the table to train on.",
    "seeds": "networks of each kind, with seeds 0, 1, ...",
    "max_steps": "training steps of each network, at most.",
    "eval_every": "steps between measurements.",
    "moduli": "values of p.",
    "network": "which one.",
    "learning_rate": "of AdamW.",
    "weight_decay": "of AdamW.",
    "weight_decays": "of AdamW; 0 is none.",
    "decays": "weight decays of AdamW; 0 is none.",
}
# What every experiment has beside its own options, with its help.
COMMON = {
    "scale": "the size of the study; it sets the options that are not given.",
    "output": "folder for the dataset, the configuration and the figures.",
    "checkpoints": "folder to keep checkpoints in: the same command goes on from them after an "
    "interruption, and trains only what is new.",
    "progress": "show how far the sweeps are, in a terminal.",
    "report": "write a page of the sweeps too, report.html, which any browser opens.",
}


def experiment(
    folder: str | None = None,
    *,
    cases: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]] | None = None,
    pages: bool = True,
    **scales: Mapping[str, Any],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A function as an experiment: with a scale, an output folder, checkpoints and progress.

        @experiment(paper={"p": 97})
        def width_sweep(study: Study, *, p: int = 23, widths: tuple[int, ...] = (16, 64)): ...

        width_sweep(scale="paper", widths=(32,))

    The function gets a `Study` and the value of each of its options: the one that was given, or
    that of the scale, or the default in its signature, which is the one of the scale "quick". An
    integer is at least 1, a float not negative and finite, and a tuple has at least one entry and
    none twice, unless the annotation has other `Bounds`, or the default is an empty tuple.

    Its docstring has to say what an option is only where it is not what `USUAL` says of that name.

    Args:
      folder: where results go, below `results/`; by default the function's name.
      cases: what the scales are when an option has a certain value, as in
        `{"model": {"mlp": {"quick": {"p": 31}, "paper": {"p": 97}}}}`.
      pages: whether there are sweeps to write a page of, with the option `report`.
      **scales: what each further scale sets differently.

    Returns:
      A decorator. The function that it makes returns what the decorated one returns.

    Raises:
      ValueError: for a function that is no experiment, as its parameters are, and a scale that sets
        something that is no option; and by the function it makes, for a bad option.
    """
    if callable(folder):
        raise ValueError(
            f"@experiment above {_name_of(folder)} needs parentheses: write @experiment()."
        )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        own = {
            name: parameter
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        kinds = typing.get_type_hints(function, include_extras=True)
        _check_parameters(function, kinds)
        _check_scales(function.__name__, list(own), scales, cases or {})
        defaults = {name: parameter.default for name, parameter in own.items()}

        def values_at(scale: str, given: Mapping[str, Any]) -> dict[str, Any]:
            """What a scale sets, if options are given that it depends on."""
            values = defaults | dict(scales.get(scale, {}))
            for name, by_value in (cases or {}).items():
                values |= by_value.get(given.get(name, values[name]), {}).get(scale, {})
            return values

        home = pathlib.Path("results") / (folder or function.__name__)

        @functools.wraps(function)
        def call(
            scale: str = "quick",
            *,
            output: Any = home,
            checkpoints: Any = None,
            progress: bool = True,
            report: bool = False,
            **options: Any,
        ) -> Any:
            check_choice("scale", scale, ("quick", *scales))
            if check_flag("report", report):
                _check_pages(function.__name__, pages)
            if unknown := [name for name in options if name not in own]:
                raise ValueError(
                    f"{function.__name__} has no option {unknown[0]!r}; it has {', '.join(own)}."
                )
            usual = values_at(scale, options)
            checked = {
                name: ()
                if isinstance(value, tuple) and value == () == defaults[name]
                else check_option(name, value, kinds[name])
                for name, value in (usual | options).items()
            }
            told = {k: v for k, v in checked.items() if v != usual[k]}
            study = Study(
                function.__name__,
                scale,
                check_path("output", output),
                None if checkpoints is None else check_path("checkpoints", checkpoints),
                check_flag("progress", progress),
                report,
                checked,
                command_line(inspect.getsourcefile(function), scale, told),
            )
            return function(study, **checked)

        keyword = inspect.Parameter.KEYWORD_ONLY
        names = Literal[("quick", *scales)]  # type: ignore[valid-type]
        common = [
            inspect.Parameter("output", keyword, default=home, annotation=pathlib.Path),
            inspect.Parameter("checkpoints", keyword, default=None, annotation=pathlib.Path | None),
            inspect.Parameter("progress", keyword, default=True, annotation=bool),
            *([inspect.Parameter("report", keyword, default=False, annotation=bool)] * pages),
        ]
        first = inspect.Parameter(
            "scale",
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default="quick",
            annotation=names,
        )
        typed = [own[name].replace(annotation=kinds[name]) for name in own]
        signature = inspect.Signature([first, *typed, *common])
        made: Any = call
        made.__signature__ = signature.replace(return_annotation=kinds.get("return", Any))
        made.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
        offered = {name: text for name, text in COMMON.items() if pages or name != "report"}
        made.__doc__ = _documented(inspect.getdoc(function) or "", list(own), scales, offered)
        made.values_at = values_at
        return made

    return decorate


def _name_of(function: Any) -> str:
    return getattr(function, "__name__", repr(function))


def _check_parameters(function: Callable[..., Any], kinds: Mapping[str, Any]) -> None:
    """That a function takes a study, and else typed options by name, each with its quick value."""
    name, template = function.__name__, "(study: Study, *, p: int = 23)"
    first, *others = [*inspect.signature(function).parameters.values(), None]
    if first is None or first.kind is not first.POSITIONAL_OR_KEYWORD or first.name != "study":
        raise ValueError(
            f"{name} needs a first parameter `study`, and a * before its options: write "
            f"def {name}{template}."
        )
    for option in others[:-1]:
        if option.kind is not option.KEYWORD_ONLY:
            raise ValueError(
                f"{option.name} of {name} is no option: options have names and stand behind a *; "
                f"write def {name}{template}."
            )
        if option.name in (*COMMON, "cache"):
            raise ValueError(
                f"{name} has an option {option.name!r}, which every experiment has already; "
                "give it another name."
            )
        if option.name not in kinds:
            raise ValueError(
                f"the option {option.name!r} of {name} needs a type: write {option.name}: int = 23,"
                " or what it is."
            )
        if option.default is option.empty:
            raise ValueError(
                f"the option {option.name!r} of {name} needs a default, which is its value at the "
                "scale quick."
            )


def _check_scales(
    name: str,
    own: list[str],
    scales: Mapping[str, Any],
    cases: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> None:
    """That scales set options, and nothing else."""
    if "quick" in scales:
        raise ValueError(
            f"the scale quick of {name} is the defaults in its signature; set it there."
        )
    for option in cases:
        _check_known(f"cases of {name} are those of", option, own)
    each = [(scale, values, "") for scale, values in scales.items()] + [
        (scale, values, f", with {option}={value!r},")
        for option, by_value in cases.items()
        for value, by_scale in by_value.items()
        for scale, values in by_scale.items()
    ]
    for scale, values, case in each:
        if not isinstance(values, Mapping):
            raise ValueError(
                f"the scale {scale!r} of {name} must be the options that it sets, such as "
                f'{scale}={{"p": 97}}, got {shown(values)}.'
            )
        for option in values:
            _check_known(f"the scale {scale!r} of {name}{case} sets", option, own)


def _check_known(what: str, option: str, own: list[str]) -> None:
    if option not in own:
        near = difflib.get_close_matches(option, own, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(own) or 'none'}."
        raise ValueError(f"{what} {option!r}, which is no option; {remedy}")


def check_option(name: str, value: Any, kind: Any) -> Any:
    """An option of an experiment, of the kind that an annotation says.

    Args:
      name: of the option, for the message.
      value: what was given.
      kind: int, at least 1; float, finite and not negative; either one in Annotated with other
        `Bounds`; str, a literal, or a tuple of them: at least one entry and none twice, if it can
        have any length. Of a union with None it is the other kind; what else there is is not
        checked.

    Raises:
      ValueError: for anything else.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    bounds: dict[str, Any] = {}
    if origin is Annotated:
        found = next((x for x in arguments[1:] if isinstance(x, Bounds)), Bounds())
        bounds = {k: v for k, v in found._asdict().items() if v is not None}
        kind = arguments[0]
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if type(None) in arguments:
        others = [x for x in arguments if x is not type(None)]
        return value if value is None or len(others) > 1 else check_option(name, value, others[0])
    if origin is tuple:
        return _check_entries(name, value, arguments)
    if origin is typing.Literal:
        return check_choice(name, value, arguments)
    if kind is int:
        return check_integer(name, value, **(bounds or {"at_least": 1}))
    if kind is float:
        return check_number(name, value, **(bounds or {"at_least": 0}))
    if kind is bool:
        return check_flag(name, value)
    return check_text(name, value, "a name") if kind is str else value


def _check_pages(name: str, pages: bool) -> None:
    """That a page can be written, before anything is trained."""
    if not pages:
        raise ValueError(f"{name} keeps no networks, of which there could be a page; omit report.")
    if missing := [x for x in ("altair", "vl_convert") if importlib.util.find_spec(x) is None]:
        raise ValueError(
            f'a page needs {missing[0]}; pip install "grokjax[report]" installs it, or omit report.'
        )


def choose(what: str, names: Sequence[str], known: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of things that there are.

    Args:
      what: they name, for the message, as "optimizer".
      names: those that were given.
      known: all there are.

    Raises:
      ValueError: for no name, one that is unknown, or one that is given twice.
    """
    chosen: tuple[str, ...] = check_option(f"{what}s", names, tuple[str, ...])
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(f"unknown {what} {unknown[0]!r}; use any of {', '.join(known)}.")
    return chosen


def _check_entries(name: str, values: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    """A tuple: of one kind and any length, (kind, ...), or of as many kinds as it has entries."""
    try:
        entries = None if isinstance(values, str | Mapping) else list(values)
    except TypeError:
        entries = None
    if entries is None:
        example = f"({shown(values)},)" if kinds[1:] == (Ellipsis,) else f"{len(kinds)} of them"
        raise ValueError(f"{name} must be a tuple, got {shown(values)}; give {example}.")
    any_length = kinds[1:] == (Ellipsis,)
    if not entries or not (any_length or len(entries) == len(kinds)):
        needed = "at least one value" if any_length else f"{len(kinds)} values"
        raise ValueError(f"{name} needs {needed}, got {shown(values)}.")
    each = [kinds[0]] * len(entries) if any_length else kinds
    numbered = enumerate(zip(entries, each, strict=True))
    checked = tuple(check_option(f"{name}[{i}]", entry, kind) for i, (entry, kind) in numbered)
    if any_length and len(set(checked)) < len(checked):
        twice = next(entry for entry in checked if checked.count(entry) > 1)
        raise ValueError(f"{name} has {twice!r} twice; give every value once.")
    return checked


def _documented(
    doc: str, own: list[str], scales: Mapping[str, Mapping[str, Any]], common: Mapping[str, str]
) -> str:
    """A docstring of all options: its own, the usual ones, those that all experiments have.

    With the values of further scales.
    """
    head, found, rest = re.match(
        r"(.*?)(?:\n\nArgs:\n(.*?))?((?:\n\n(?:Returns|Raises):.*)?)$", doc, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    said = {}
    for entry in re.split(r"\n(?=  \S)", found or ""):
        name, _, text = entry.strip().partition(":")
        said[name] = " ".join(text.split())
    entries = {name: said.get(name, USUAL.get(name, "")) for name in own}
    for scale, values in scales.items():
        for name, value in values.items():
            entries[name] = f"{entries[name]} At scale {scale}: {_short(value)}.".strip()
    entries = {"scale": common["scale"], **entries} | dict(common)
    lines = [f"  {name}: {text}" for name, text in entries.items() if text]
    return "\n".join([head, "", "Args:", *lines]) + rest


def _short(value: Any) -> str:
    """A value as on the command line, without the middle of a long list."""
    if not isinstance(value, tuple):
        return f"{value:g}" if isinstance(value, float) else str(value)
    texts = [_short(entry) for entry in value]
    return " ".join(texts if len(texts) <= 8 else [*texts[:3], "...", *texts[-2:]])
