"""A typed function as a command: how every file of `experiments/` is run."""

import os
import sys
from collections.abc import Callable
from typing import Any

import jax
import tyro


def run_as_command(function: Callable[..., Any]) -> None:
    """Calls a function with the options of the command line.

    Every keyword argument is an option with its docstring's help. Bad input, and a place that
    cannot be written to, is one line on the terminal and exit status 2. On a machine without
    accelerator every CPU core becomes a device, so that lanes train on all of them.
    """
    # Before the first computation, and without overruling a choice made in the environment.
    chosen = "JAX_NUM_CPU_DEVICES" in os.environ or "XLA_FLAGS" in os.environ
    if not chosen:
        jax.config.update("jax_num_cpu_devices", _cores())
    try:
        tyro.cli(function)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # the cores this process may use, where that is known
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
