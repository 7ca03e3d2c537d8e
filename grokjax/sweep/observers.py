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
SETTLED = 2.0  # seconds of training after which its speed says how long the rest takes


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
        """Tells every observer of each measurement that came of one call to the devices."""
        for observer in list(self.observers):
            try:
                for one in measured:
                    observer(one)
                if isinstance(observer, ProgressLine):
                    observer.show()
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
    several = isinstance(observe, Iterable) and not isinstance(observe, str)
    listed = list(observe) if several and not callable(observe) else [observe]
    return [check_callable("observe", observer, such_as) for observer in listed]


class ProgressLine:
    """One line about a sweep in a terminal or notebook, nothing in a pipe: an observer.

    Until the first call to the devices has trained something it says "compiling". Speed and
    remaining time are counted from there on, so that they say nothing of compiling, and shown after
    two seconds. As long as no lane has finished, "<" says that the time is the one of all budgets.

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
        self.first: tuple[float, int] | None = None  # time and steps, when training had begun
        self.last = self.first  # the same, after the latest call
        self.shown = time.perf_counter()
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
            if self._show is not None:
                self._show(self.line())
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
        """Counts a measurement."""
        lane = measured.lane
        self.steps[lane], self.begun[lane] = measured.step, True
        self.finished[lane] = bool(measured.ended)
        self.grokked += measured.ended == "stopped"

    def show(self) -> None:
        """Takes the time, and shows the line again if it has stood for a while."""
        now, steps = time.perf_counter(), int(self.steps.sum())
        if steps > self.before:
            self.last = now, steps
            self.first = self.first or self.last
        if self._show is not None and now - self.shown >= REFRESH:
            self._show(self.line())
            self.shown = now

    def line(self) -> str:
        """The line, at most 80 letters."""
        done = int(self.finished.sum())
        running = int(self.begun.sum()) - done
        filled = round(16 * done / self.lanes)
        full, empty, dot = "#-|" if self._plain else "█░·"
        text = f"{full * filled}{empty * (16 - filled)} {done}/{self.lanes} lanes"
        text += f", {running} running, {self.grokked} grokked"
        if self.first is None or self.last is None:
            return f"{text} {dot} compiling"[:80]
        seconds, steps = self.last[0] - self.first[0], self.last[1] - self.first[1]
        if seconds >= SETTLED and steps:
            text += f" {dot} {steps / seconds:,.0f} steps/s"
            if done < self.lanes:
                bound = "" if done else "< "
                text += f" {dot} {bound}{_clock(self._steps_left() * seconds / steps)} left"
        return text[:80]

    def _steps_left(self) -> float:
        """Steps that all lanes together still have to take, as far as those so far tell.

        Lanes that finish first are those that finish early. So the steps of a lane are estimated as
        all steps taken for each lane that has finished, which is right however many still run if a
        lane is as likely to finish at any step; at most the budget.
        """
        done = int(self.finished.sum())
        each = min(self.steps.sum() / done, self.budget) if done else self.budget
        running = self.begun & ~self.finished
        waiting = self.lanes - int(self.begun.sum())
        return waiting * each + np.minimum(each, self.budget - self.steps[running]).sum()


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
