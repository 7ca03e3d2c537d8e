"""A typed function as a command, and the sweeps it runs: how every experiment is written."""

import contextlib
import dataclasses
import functools
import inspect
import io
import os
import pathlib
import re
import signal
import sys
import threading
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar

import jax
import numpy as np
import tyro

from grokjax.checks import check_choice, check_integer, check_number, check_text, shown
from grokjax.results import SweepResult, concatenate
from grokjax.sweep import SweepInterrupted, run_sweep
from grokjax.tasks import Task
from grokjax.train import Recipe

Setting = TypeVar("Setting", bound=NamedTuple)


class Sweeps:
    """The sweeps of an experiment, and a report on them that an interruption does not prevent.

        with Sweeps() as sweeps:
            for width in widths:
                columns = {"width": width}
                sweeps.run(recipe(width), task, lanes, max_steps=500, columns=columns, ...)
        return sweeps.report(output, draw, print_table)

    Ctrl-C, SIGTERM or SIGHUP ends the block. What was finished by then is reported, marked as
    interrupted, and then the interruption raised; with nothing finished the block raises it.

    Args:
      running: whether networks that an interruption finds in training are part of the report, with
        their curves so far; their outcome is "interrupted".

    Attributes:
      results: of the sweeps so far.
      interruption: what ended the block, or None.
    """

    def __init__(self, *, running: bool = False):
        self.results: list[SweepResult] = []
        self.interruption: KeyboardInterrupt | None = None
        self._running = running
        self._begun = 0
        self._where = "before the first sweep"
        self._goes_on = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if not isinstance(error, KeyboardInterrupt):
            return False
        if not self.results:
            if isinstance(error, SweepInterrupted):
                raise SweepInterrupted(
                    f"interrupted {self._where}, of which nothing is written{self._goes_on}.",
                    error.result,
                ) from error
            return False
        self.interruption = error
        return True

    def run(
        self,
        recipe: Recipe,
        task: Task,
        lanes: Mapping[str, Any],
        *,
        title: str = "",
        columns: Mapping[str, Any] | None = None,
        kept: bool = True,
        then: Callable[[SweepResult], SweepResult] | None = None,
        **options: Any,
    ) -> SweepResult:
        """The result of a sweep, which `report` will be on too.

        Args:
          recipe: as in `run_sweep`.
          task: likewise.
          lanes: likewise.
          title: what is printed before, with how many networks there are, where progress is shown.
          columns: one value each for all lanes, to tell sweeps apart that are reported together.
          kept: False for a sweep that only prepares others.
          then: adds to the result what takes a while to compute of it; as in `keep`.
          **options: of `run_sweep`.

        Raises:
          SweepInterrupted: as `run_sweep`; what is finished is kept before.
        """
        self._begun += 1
        number = max((np.size(column) for column in lanes.values()), default=1)
        if title and options.get("progress", True):
            print(f"{title}: {number} networks, at most {options['max_steps']} steps each")
        try:
            result = run_sweep(recipe, task, lanes, **options)
        except SweepInterrupted as interruption:
            result = interruption.result
            finished = result.dataset.outcome.values != "interrupted"
            self._where = (
                f"in sweep {self._begun}, with {finished.sum()} of its {number} networks finished"
            )
            if options.get("directory") is not None:
                self._goes_on = "; the same call goes on from its checkpoints"
            if kept:
                self.keep(result if self._running else result.select(finished), columns, then)
            raise
        self._where = f"after sweep {self._begun}"
        if kept:
            self.keep(result, columns, then)
        return result

    def keep(
        self,
        result: SweepResult,
        columns: Mapping[str, Any] | None = None,
        then: Callable[[SweepResult], SweepResult] | None = None,
    ) -> None:
        """Takes a result into the report, with further lane columns of one value each.

        Args:
          result: any; one without lanes is left out.
          columns: the value of each.
          then: adds to the result. If that is interrupted, the result stays as it is.
        """
        lanes = result.dataset.sizes["lane"]
        if not lanes:
            return
        repeated = {name: ("lane", np.repeat(x, lanes)) for name, x in (columns or {}).items()}
        result = dataclasses.replace(result, dataset=result.dataset.assign_coords(repeated))
        self.results.append(result)
        if then is not None:
            self.results[-1] = then(result)

    def joined(self) -> SweepResult:
        """All results in one, marked with the attribute `interrupted` after an interruption."""
        result = self.results[0] if len(self.results) == 1 else concatenate(self.results)
        if self.interruption is not None:
            result.dataset.attrs["interrupted"] = 1
        return result

    def report(
        self,
        output: pathlib.Path,
        draw: Callable[[SweepResult, pathlib.Path], Sequence[pathlib.Path]],
        table: Callable[[SweepResult], Any],
        *,
        result: SweepResult | None = None,
    ) -> SweepResult:
        """The result, after it is saved, drawn and printed.

        After an interruption a figure or table that needs networks that are missing is left out.

        Args:
          output: the folder that it is saved in.
          draw: makes figures of the result in the folder, and returns their paths.
          table: prints the result.
          result: in place of `joined()`, if something was added to that.

        Raises:
          SweepInterrupted: in the end, if there was an interruption; with this result.
        """
        result = self.joined() if result is None else result
        result.save(output)
        paths = [output / "results.nc", *(self._tried("figure", draw, result, output) or [])]
        self._tried("table", table, result)
        if self.interruption is not None:
            print(f"interrupted {self._where}")
        for path in paths:
            print(path)
        if self.interruption is not None:
            raise SweepInterrupted(
                f"interrupted {self._where}: what was finished is in {output}{self._goes_on}.",
                result,
            ) from self.interruption
        return result

    def _tried(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """The value of a function, or None where it fails on what an interruption has left."""
        try:
            return function(*arguments)
        except Exception as error:
            if self.interruption is None:
                raise
            print(f"no {what} of so few networks ({type(error).__name__}: {error})")
            return None


def run_as_command(function: Callable[..., Any]) -> None:
    """Calls a function with the options of the command line.

    Every keyword argument is an option with its docstring's help. Bad input, and a place that
    cannot be written to, is one line on the terminal and exit status 2; an interruption (Ctrl-C,
    SIGTERM or SIGHUP) is one line and status 130. Nobody has to read what is printed: a closed pipe
    ends nothing. On a machine without accelerator every CPU core becomes a device, so that lanes
    train on all of them.
    """
    output: Any = _Output(sys.stdout)
    with contextlib.redirect_stdout(output), _interruptible():
        try:
            call = _parsed(function)
            # Before the first computation, and without overruling a choice in the environment.
            if "JAX_NUM_CPU_DEVICES" not in os.environ and "XLA_FLAGS" not in os.environ:
                jax.config.update("jax_num_cpu_devices", cores())
            call()
        except (ValueError, OSError) as error:
            _fail(str(error))
        except KeyboardInterrupt as error:
            print(str(error) or "interrupted", file=sys.stderr)
            sys.exit(130)
        finally:
            output.flush()


def override(setting: Setting, **options: Any) -> Setting:
    """A setting (a named tuple) with the options that were given: those that are not None.

    Raises:
      ValueError: for an option that is not of the kind that the setting's annotation says. Integers
        are counts, at least 1; floats are finite and not negative; a tuple of any length has at
        least one entry, and no entry twice.
    """
    kinds = typing.get_type_hints(type(setting))
    given = {name: value for name, value in options.items() if value is not None}
    return setting._replace(**{k: check_option(k, v, kinds[k]) for k, v in given.items()})


def check_option(name: str, value: Any, kind: Any) -> Any:
    """An option of an experiment, of the kind that an annotation says; see `override`.

    Args:
      name: of the option, for the message.
      value: what was given.
      kind: int, float, str, a literal, or a tuple of them; anything else is not checked.

    Raises:
      ValueError: for anything else.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return _check_entries(name, value, arguments)
    if origin is typing.Literal:
        return check_choice(name, value, arguments)
    if kind is int:
        return check_integer(name, value, at_least=1)
    if kind is float:
        return check_number(name, value, at_least=0)
    return check_text(name, value, "a name") if kind is str else value


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


def cores() -> int:
    """CPU cores that this process may use, where that is known; else those there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_entries(name: str, values: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    """A tuple: of one kind and any length, (kind, ...), or of as many kinds as it has entries."""
    try:
        entries = [] if isinstance(values, str | Mapping) else list(values)
    except TypeError:
        entries = []
    any_length = kinds[1:] == (Ellipsis,)
    if not entries or not (any_length or len(entries) == len(kinds)):
        number = "at least one value" if any_length else f"{len(kinds)} values"
        raise ValueError(f"{name} needs {number}, got {shown(values)}.")
    each = [kinds[0]] * len(entries) if any_length else kinds
    numbered = enumerate(zip(entries, each, strict=True))
    checked = tuple(check_option(f"{name}[{i}]", entry, kind) for i, (entry, kind) in numbered)
    if any_length and len(set(checked)) < len(checked):
        twice = next(entry for entry in checked if checked.count(entry) > 1)
        raise ValueError(f"{name} has {twice!r} twice; give every value once.")
    return checked


def _parsed(function: Callable[..., Any]) -> Callable[[], Any]:
    """The call that the command line asks for."""
    parameters = inspect.signature(function).parameters

    @functools.wraps(function)
    def later(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        for name, value in kwargs.items():
            if value == () != parameters[name].default:
                raise ValueError(f"--{name.replace('_', '-')} needs at least one value.")
        return lambda: function(*args, **kwargs)

    given = [text.partition("=")[0].replace("_", "-") for text in sys.argv[1:]]
    given = [text for text in given if text.startswith("--")]
    if twice := [text for text in given if given.count(text) > 1]:
        raise ValueError(f"{twice[0]} is given twice; give it once, with all of its values.")
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(later)
    except SystemExit as exit:
        if exit.code:
            # A framed box of several lines: what is wrong stands above the first rule.
            lines = [line.strip(" │╭╮╰╯─\n") for line in complaint.getvalue().splitlines()[1:]]
            first = lines[: lines.index("")] if "" in lines else lines
            _fail(re.sub(r"\s+", " ", " ".join(first)))
        raise


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
