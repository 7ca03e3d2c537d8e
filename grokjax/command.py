"""A typed function as a command: how every file of `experiments/` is run."""

import contextlib
import functools
import io
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import tyro

from grokjax.results import SweepResult

Setting = TypeVar("Setting", bound=NamedTuple)


def run_as_command(function: Callable[..., Any]) -> None:
    """Calls a function with the options of the command line.

    Every keyword argument is an option with its docstring's help. Bad input, and a place that
    cannot be written to, is one line on the terminal and exit status 2. On a machine without
    accelerator every CPU core becomes a device, so that lanes train on all of them.
    """
    call = _parsed(function)
    # Before the first computation, and without overruling a choice made in the environment.
    if "JAX_NUM_CPU_DEVICES" not in os.environ and "XLA_FLAGS" not in os.environ:
        jax.config.update("jax_num_cpu_devices", cores())
    try:
        call()
    except (ValueError, OSError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def override(setting: Setting, **options: Any) -> Setting:
    """A setting (a named tuple) with the options that were given: those that are not None."""
    return setting._replace(**{k: v for k, v in options.items() if v is not None})


def whole(result: SweepResult, lanes: Mapping[str, Any]) -> SweepResult:
    """A sweep's result, if it has all of the lanes: for experiments that go on from it.

    Raises:
      KeyboardInterrupt: if Ctrl-C left lanes out. `run_as_command` then ends, unless the experiment
        keeps what is finished; with checkpoints the same command goes on.
    """
    if result.dataset.sizes["lane"] < len(next(iter(lanes.values()))):
        raise KeyboardInterrupt
    return result


def cores() -> int:
    """CPU cores that this process may use, where that is known; else those there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _parsed(function: Callable[..., Any]) -> Callable[[], Any]:
    """The call that the command line asks for."""

    @functools.wraps(function)
    def later(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        return lambda: function(*args, **kwargs)

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


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
