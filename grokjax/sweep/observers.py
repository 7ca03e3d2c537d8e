"""Who is told what a sweep measures, while it runs: a progress line, and functions of the user."""

import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from grokjax.checks import check_callable
from grokjax.sweep.plan import Plan

REFRESH = 0.1  # seconds between two states of the progress line


class Measured(NamedTuple):
    """One measurement of one lane.

    Attributes:
      lane: its number in the table of lanes.
      coordinates: its columns, such as `{"seed": 0, "alpha": 0.5}`.
      step: at which it was measured.
      values: the measurements by name.
      ended: "" while it trains on; "stopped" by the stop rule, "diverged", or "spent" the budget.
    """

    lane: int
    coordinates: dict[str, float]
    step: int
    values: dict[str, float]
    ended: str

    @classmethod
    def of(cls, plan: Plan, lane: int, step: int, scalars: np.ndarray, ended: str) -> "Measured":
        """A measurement of a planned lane."""
        coordinates = {name: column[lane].item() for name, column in plan.table.columns.items()}
        values = dict(zip(plan.names, scalars.tolist(), strict=True))
        return cls(lane, coordinates, step, values, ended)


Observer = Callable[[Measured], Any]


class Observers:
    """All who are told. One who fails is not called any more, and the sweep goes on."""

    def __init__(self, observers: Iterable[Observer]):
        self.observers = list(observers)

    def __bool__(self) -> bool:
        return bool(self.observers)

    def tell(self, measured: list[Measured]) -> None:
        """Tells every observer of each measurement."""
        for observer in list(self.observers):
            try:
                for one in measured:
                    observer(one)
            except Exception as error:
                self.observers.remove(observer)
                if not isinstance(observer, ProgressLine):  # a closed terminal is nobody's concern
                    warnings.warn(
                        f"the observer {observer!r} failed with {type(error).__name__}: {error}; "
                        "it is not called any more.",
                        stacklevel=2,
                    )


def check_observers(observe: Any) -> list[Observer]:
    """The functions given as `observe`.

    Raises:
      ValueError: for anything that is not a function, or several.
    """
    such_as = "a function of a grokjax.sweep.Measured, or a list of them"
    listed = [observe] if callable(observe) or not isinstance(observe, Iterable) else list(observe)
    return [check_callable("observe", observer, such_as) for observer in listed]


class ProgressLine:
    """One line about a sweep in a terminal or notebook, nothing in a pipe: an observer.

    Args:
      lanes: of the sweep.
      budget: steps of a lane at most.
      steps: int[L], that lanes had taken before.
      finished: bool[L], lanes that were finished before.
    """

    def __init__(self, lanes: int, budget: int, steps: np.ndarray, finished: np.ndarray):
        self.steps, self.finished = np.array(steps), np.array(finished)
        self.begun = self.steps > 0
        self.before, self.budget = int(self.steps.sum()), budget
        self.grokked, self.lanes = 0, lanes
        self.start = self.last = time.perf_counter()
        self._show: Callable[[str], Any] | None = None
        self._close: Callable[[], Any] = lambda: None

    def __enter__(self) -> "ProgressLine":
        console = Console()
        self._plain = not _prints(console)
        try:
            if console.is_jupyter:
                self._show = _notebook()
            elif console.is_terminal:
                live = Live(console=console, auto_refresh=False)
                live.start()
                self._show = lambda text: live.update(Text(text), refresh=True)
                self._close = live.stop
        except (OSError, ValueError):  # the terminal is gone
            self._show = None
        return self

    def __exit__(self, *exception: Any) -> None:
        try:
            if self._show is not None:
                self._show(self.line())
            self._close()
        except (OSError, ValueError):
            return

    def __call__(self, measured: Measured) -> None:
        """Counts a measurement, and shows the line again if it has stood for a while."""
        lane = measured.lane
        self.steps[lane], self.begun[lane] = measured.step, True
        self.finished[lane] = bool(measured.ended)
        self.grokked += measured.ended == "stopped"
        now = time.perf_counter()
        if self._show is not None and now - self.last >= REFRESH:
            self._show(self.line())
            self.last = now

    def line(self) -> str:
        """The line, at most 80 letters."""
        done = int(self.finished.sum())
        running = int(self.begun.sum()) - done
        filled = round(16 * done / self.lanes)
        full, empty, dot = "#-|" if self._plain else "█░·"
        text = f"{full * filled}{empty * (16 - filled)} {done}/{self.lanes} lanes"
        text += f", {running} running, {self.grokked} grokked"
        taken = int(self.steps.sum()) - self.before
        seconds = time.perf_counter() - self.start
        if not taken or not seconds:
            return text[:80]
        rate = taken / seconds
        text += f" {dot} {rate:,.0f} steps/s"
        expected = self.steps[self.finished].mean() if done else self.budget
        left = max(self.lanes * expected - self.steps.sum(), 0.0)
        return f"{text} {dot} {_clock(left / rate)} left"[:80]


def _notebook() -> Callable[[str], Any]:
    # Not rich's Live, which asks for ipywidgets.
    from IPython.display import display

    handle: Any = display({"text/plain": ""}, raw=True, display_id=True)
    return lambda text: handle.update({"text/plain": text}, raw=True)


def _prints(console: Console) -> bool:
    """Whether the letters of the line can be shown."""
    try:
        "█░·".encode(console.encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"
