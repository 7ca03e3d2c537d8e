"""A typed function as a command: its options, its errors, its interruptions, its output."""

import contextlib
import difflib
import inspect
import io
import itertools
import os
import pathlib
import re
import signal
import sys
import sysconfig
import textwrap
import threading
import traceback
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import jax
import tyro

from grokjax.checks import shown
from grokjax.command.record import from_here

LIBRARY = str(pathlib.Path(__file__).parent.parent)  # the package grokjax
OTHERS = (sysconfig.get_path("stdlib"), "site-packages", "dist-packages", "<frozen")
# How Python says that it cannot read a value, and what to say instead.
PLAINLY = {
    r"Error parsing (\S+): invalid literal for int\(\) with base 10: (.+)":
        r"\1 must be an integer, got \2.",
    r"Error parsing (\S+): could not convert string to float: (.+)":
        r"\1 must be a number, got \2.",
    r"Error parsing (\S+): Could not find valid parse for arguments: \[(.+)\]":
        r"\1 has a value of the wrong kind, got \2; --help says which it takes.",
}  # fmt: skip
CACHE = inspect.Parameter(
    "cache",
    inspect.Parameter.KEYWORD_ONLY,
    default=True,
    annotation=typing.Annotated[
        bool, tyro.conf.arg(help="keep compiled programs, which then start sooner the next time.")
    ],
)


def run_as_command(function: Callable[..., Any]) -> None:
    """Calls a function with the options of the command line.

    Every keyword argument is an option with its docstring's help. An experiment begins with its
    question, the first paragraph of its file, so that something is seen at once. Bad input, and a
    place that cannot be written to, is one line on the terminal and exit status 2; if it is no
    check that failed but code of the user's own, another line says where. An interruption (Ctrl-C,
    SIGTERM or SIGHUP) is one line and status 130. Nobody has to read what is printed: a closed pipe
    ends nothing. On a machine without accelerator every CPU core becomes a device, so
    that lanes train on all of them. Compiled programs are kept for the next time in the folder that
    `cache_folder` names, unless the command line says `--no-cache`, or JAX's own setting something
    else.
    """
    output: Any = _Output(sys.stdout)
    with contextlib.redirect_stdout(output), _interruptible():
        try:
            call, cache = _parsed(function)
            if hasattr(function, "values_at"):  # before what takes long, such as importing figures
                for line in _about(function).partition("\n\n")[0].splitlines():
                    print(textwrap.fill(line, 80), flush=True)
            # Before the first computation, and without overruling a choice in the environment.
            if "JAX_NUM_CPU_DEVICES" not in os.environ and "XLA_FLAGS" not in os.environ:
                jax.config.update("jax_num_cpu_devices", cores())
            config: Any = jax.config
            if cache and config.jax_compilation_cache_dir is None:
                config.update("jax_compilation_cache_dir", str(cache_folder()))
                config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
            call()
        except (ValueError, OSError) as error:
            # JAX's own notes are about its traceback, of which nothing is shown here.
            notes = [x for x in getattr(error, "__notes__", ()) if "JAX" not in x]
            _fail("\n".join([str(error), *notes, *_place(error)]))
        except KeyboardInterrupt as error:
            print(str(error) or "interrupted", file=sys.stderr)
            sys.exit(130)
        finally:
            output.flush()


def cores() -> int:
    """CPU cores that this process may use, where that is known; else those there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_folder() -> pathlib.Path:
    """Where compiled programs are kept: `grokjax` in the user's folder for caches."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (pathlib.Path(home) if home else pathlib.Path.home() / ".cache") / "grokjax"


def _parsed(function: Callable[..., Any]) -> tuple[Callable[[], Any], bool]:
    """The call that the command line asks for, and whether to keep compiled programs."""
    _check_function(function)
    given = [text for text in sys.argv[1:] if text.startswith("--")]
    given = [text.partition("=")[0].replace("_", "-") for text in given]
    if twice := [text for text in given if given.count(text) > 1]:
        raise ValueError(f"{twice[0]} is given twice; give it once, with all of its values.")
    signature = _at_scale(function)
    parameters = [*map(_without_none, signature.parameters.values()), CACHE]
    signature = signature.replace(parameters=parameters)
    options = ["--" + name.replace("_", "-") for name in signature.parameters]
    known = {*options, *("--no-" + text[2:] for text in options), "--help"}
    if unknown := [text for text in given if text not in known]:
        near = [text for text in options if text.startswith(unknown[0])]
        near += difflib.get_close_matches(unknown[0], options)
        meant = f"; did you mean {near[0]}?" if near else "; --help lists the options."
        raise ValueError(f"there is no option {unknown[0]}{meant}")

    def later(*args: Any, cache: bool, **kwargs: Any) -> tuple[Callable[[], Any], bool]:
        for name, value in kwargs.items():
            if value == () != signature.parameters[name].default:
                raise ValueError(f"--{name.replace('_', '-')} needs at least one value.")
        return lambda: function(*args, **kwargs), cache

    stub: Any = later
    stub.__signature__, stub.__doc__ = signature, function.__doc__
    stub.__annotations__ = {k: v.annotation for k, v in signature.parameters.items()}
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(stub, description=_about(function))
    except SystemExit as exit:
        if exit.code:
            # A framed box of several lines: what is wrong stands under the title, above a rule.
            lines = [line.strip(" │╭╮╰╯\n") for line in complaint.getvalue().splitlines()[1:]]
            lines = ["" if set(line) <= {"─", "-"} else line for line in lines]
            first = re.sub(r"\s+", " ", "\n".join(lines).strip().split("\n\n")[0])
            for theirs, ours in PLAINLY.items():
                first = re.sub(theirs, ours, first)
            _fail(first)
        raise


def _check_function(function: Any) -> None:
    """That what is to be run is a function, and an experiment if it takes a study."""
    if not callable(function):
        raise ValueError(
            f"run_as_command needs a function, got {shown(function)}; give the function itself, "
            "without parentheses."
        )
    if "study" in inspect.signature(function).parameters:
        name = function.__name__
        raise ValueError(f"{name} is no experiment yet: write @experiment() above def {name}.")


def _without_none(parameter: inspect.Parameter) -> inspect.Parameter:
    """An option whose help says neither that it may be None nor that this is its default."""
    kinds = [kind for kind in typing.get_args(parameter.annotation) if kind is not type(None)]
    if parameter.default is not None or len(kinds) != 1:
        return parameter
    several = typing.get_origin(kinds[0]) is tuple
    name = (typing.get_args(kinds[0])[0] if several else kinds[0]).__name__.upper()
    metavar = f"[{name} [{name} ...]]" if several else name
    plain = tyro.conf.arg(help_behavior_hint="", metavar=metavar)
    return parameter.replace(annotation=typing.Annotated[parameter.annotation, plain])


def _about(function: Callable[..., Any]) -> str:
    """What the file of a function says of itself, or the function, without its arguments."""
    own = inspect.getdoc(inspect.unwrap(function)) or ""
    own = re.split(r"^(?:Args|Returns|Raises):$", own, maxsplit=1, flags=re.MULTILINE)[0]
    return (sys.modules[function.__module__].__doc__ or own).strip()


def _at_scale(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of an experiment, with the values of the scale that the command line names."""
    signature = inspect.signature(function)
    if not hasattr(function, "values_at"):
        return signature
    words = [word for text in sys.argv[1:] for word in text.split("=")]
    given = {a[2:].replace("-", "_"): b for a, b in itertools.pairwise(words) if a[:2] == "--"}
    values = function.values_at(given.pop("scale", "quick"), given)
    parameters = [
        parameter.replace(default=values.get(name, parameter.default))
        for name, parameter in signature.parameters.items()
    ]
    return signature.replace(parameters=parameters)


def _place(error: BaseException) -> list[str]:
    """A line that says where a ValueError is from: nothing if a check refused what was asked for.

    Checks are those of the library, and `raise` in the experiment itself. What else fails does so
    in the code that the library was given, such as a model or a figure, or in another library.
    """
    frames = own = traceback.extract_tb(error.__traceback__)
    cause: BaseException | None = error
    while cause := cause.__cause__:  # what the library told in other words
        frames = [*frames, *traceback.extract_tb(cause.__traceback__)]
    ours = [frame.filename.startswith(LIBRARY) for frame in frames]
    theirs = [
        i
        for i, frame in enumerate(frames)
        if not ours[i] and not any(part in frame.filename for part in OTHERS)
    ]
    if not isinstance(error, ValueError) or not theirs:
        return []
    last = frames[theirs[-1]]
    given = any(ours[theirs[0] : theirs[-1]])  # to the library, which called it
    checked = own[-1].filename.startswith(LIBRARY) or (last.line or "").startswith("raise ")
    if not given and checked:
        return []
    return [f"(raised in {from_here(last.filename)}:{last.lineno})"]


def _fail(message: str) -> typing.NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP as KeyboardInterrupt, between sweeps too, where they would end it all."""

    def handle(number: int, frame: types.FrameType | None) -> None:
        raise KeyboardInterrupt(f"interrupted by {signal.Signals(number).name}")

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    # What is ignored, such as the hang-up of a program under nohup, stays ignored.
    numbers = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


class _Output:
    """Standard output that nobody may be listening to: once it is closed, nothing is written."""

    def __init__(self, stream: Any):
        self._stream = io.StringIO() if stream is None else stream  # None: there is none at all

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes the text, if it can be."""
        with self._quiet():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Writes what was held back."""
        with self._quiet():
            self._stream.flush()

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            # What is in the buffer goes nowhere too, also when the process ends.
            with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())
