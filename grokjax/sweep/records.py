"""What the host knows of every lane of a sweep, and the labelled result made of it."""

import dataclasses
from typing import Any

import jax
import numpy as np

from grokjax.models import Params
from grokjax.results import SweepResult, build_dataset
from grokjax.sweep.lanes import Lanes
from grokjax.train import grokked


@dataclasses.dataclass
class Records:
    """The measurements of every lane, growing as the device reports them.

    Attributes:
      names: of the scalars that are measured.
      step: int64[L], the last step measured.
      finished: bool[L].
      diverged: bool[L].
      stopped: bool[L], left before the budget was spent.
      history: of each lane, its steps and rows of scalars in the order of `names`.
      params: of each lane, once it is finished, its parameters; or those of every measurement.
    """

    names: tuple[str, ...]
    step: np.ndarray
    finished: np.ndarray
    diverged: np.ndarray
    stopped: np.ndarray
    history: list[list[tuple[int, np.ndarray]]]
    params: list[Any]

    @classmethod
    def of(cls, names: tuple[str, ...], lanes: int) -> "Records":
        """Nothing known yet."""
        return cls(
            names=names,
            step=np.zeros(lanes, np.int64),
            finished=np.zeros(lanes, bool),
            diverged=np.zeros(lanes, bool),
            stopped=np.zeros(lanes, bool),
            history=[[] for _ in range(lanes)],
            params=[None] * lanes,
        )

    def add(self, lane: int, step: int, scalars: np.ndarray) -> int:
        """Adds a measurement, float[names]; returns the steps taken since the last one."""
        taken = step - int(self.step[lane])
        self.step[lane] = step
        self.history[lane].append((step, scalars))
        return taken

    def finish(self, lane: int, diverged: bool, budget: int) -> None:
        """Marks a lane as finished at its last measurement."""
        self.finished[lane] = True
        self.diverged[lane] = diverged
        self.stopped[lane] = self.step[lane] < budget

    def result(
        self,
        lanes: np.ndarray,
        columns: Lanes,
        attributes: dict[str, Any],
        rule: Any,
        steps: np.ndarray | None = None,
    ) -> SweepResult:
        """Some of the lanes, labelled.

        Args:
          lanes: which.
          columns: the coordinates of all lanes.
          attributes: of the dataset.
          rule: the stop rule, which defines grokked.
          steps: of the time axis; by default those at which one of the lanes was measured.
        """
        if steps is None:
            steps = np.array(sorted({step for i in lanes for step, _ in self.history[i]}), int)
        values = np.full((len(self.names), len(lanes), len(steps)), np.nan, np.float32)
        for i, lane in enumerate(lanes):
            for step, scalars in self.history[lane]:
                values[:, i, np.searchsorted(steps, step)] = scalars
        rule = rule if isinstance(rule, grokked) else grokked()
        dataset = build_dataset(
            {name: column[lanes] for name, column in columns.items()},
            steps,
            dict(zip(self.names, values, strict=True)),
            self.step[lanes],
            self.diverged[lanes],
            attributes,
            threshold=rule.threshold,
            patience=rule.patience,
        )
        return SweepResult(dataset, self._params(lanes, steps))

    def _params(self, lanes: np.ndarray, steps: np.ndarray) -> Params | None:
        """Parameters with lanes first; those of every measurement with the time second."""
        kept = [self.params[lane] for lane in lanes]
        if not kept or kept[0] is None:
            return None
        if not isinstance(kept[0], list):
            return jax.tree.map(lambda *leaves: np.stack(leaves), *kept)

        def along_time(*leaves: np.ndarray) -> np.ndarray:
            stacked = np.full((len(lanes), len(steps), *leaves[0].shape), np.nan, np.float32)
            unused = iter(leaves)
            for i, lane in enumerate(lanes):
                for step, _ in self.history[lane]:
                    stacked[i, np.searchsorted(steps, step)] = next(unused)
            return stacked

        return jax.tree.map(along_time, *[params for lane in kept for params in lane])
