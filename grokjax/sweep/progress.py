"""What a person sees while a sweep runs: one line in a terminal or notebook, nothing in a pipe."""

import time
from typing import Any, NamedTuple, Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text


class Status(NamedTuple):
    """A sweep at one moment."""

    lanes: int
    finished: int
    running: int
    grokked: int
    lane_steps: int  # training steps taken so far
    steps_left: float  # expected


class Display(Protocol):
    """Shows a status, now and then; a context manager."""

    def __enter__(self) -> "Display": ...
    def __exit__(self, *exception) -> None: ...
    def __call__(self, status: Status) -> None:
        """Shows the status."""


def display(show: bool) -> Display:
    """The display that suits where the output goes."""
    console = Console()
    if show and console.is_jupyter:
        return _Notebook()
    if show and console.is_terminal:
        return _Terminal(console)
    return _Quiet()


class _Quiet:
    def __enter__(self):
        self.start = time.perf_counter()
        return self

    def __exit__(self, *exception):
        pass

    def __call__(self, status: Status):
        pass


class _Terminal(_Quiet):
    def __init__(self, console: Console):
        self.live = Live(console=console, auto_refresh=False)

    def __enter__(self):
        self.live.start()
        return super().__enter__()

    def __exit__(self, *exception):
        self.live.stop()

    def __call__(self, status: Status):
        self.live.update(Text(line(status, time.perf_counter() - self.start)), refresh=True)


class _Notebook(_Quiet):
    # Not rich's Live, which asks for ipywidgets.
    def __enter__(self):
        from IPython.display import display

        self.handle: Any = display({"text/plain": ""}, raw=True, display_id=True)
        return super().__enter__()

    def __call__(self, status: Status):
        text = line(status, time.perf_counter() - self.start)
        self.handle.update({"text/plain": text}, raw=True)


def line(status: Status, seconds: float) -> str:
    """One line about a sweep that has run for some seconds."""
    rate = status.lane_steps / max(seconds, 1e-9)
    waiting = status.lanes - status.finished - status.running
    filled = round(20 * status.finished / status.lanes)
    left = "--:--" if not status.lane_steps else _clock(status.steps_left / rate)
    return (
        f"{'█' * filled}{'░' * (20 - filled)} {status.finished}/{status.lanes} lanes finished, "
        f"{status.running} running, {waiting} waiting · {status.grokked} grokked · "
        f"{rate:,.0f} steps/s · {left} left"
    )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"
