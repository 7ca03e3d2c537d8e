"""What the host knows of every lane of a sweep, and the labelled results made of it."""

from typing import Any

import jax
import numpy as np

from grokjax.models import Params
from grokjax.results import SweepResult, build_dataset
from grokjax.sweep.plan import Plan
from grokjax.train import LaneState

NO_COSTS = {"slot_steps": 0, "wall_seconds": 0.0, "compilations": 0}


class Ledger:
    """The measurements of every lane, growing as the devices report them.

    A lane's k-th measurement is the one at step `plan.measure_at[k]`. A lane is finished when it
    stopped, diverged, or spent the budget; once it is stored, its measurements are in the files of
    the sweep and no longer here.

    Attributes:
      plan: the sweep.
      count: int64[L], measurements so far.
      stopped: bool[L], ended by the stop rule.
      diverged: bool[L].
      stored: bool[L], finished and in the files of the sweep.
      kept: of each lane, trees of parameters: the final one, or one for each measurement.
      spent: of lanes that spent the budget, the state to go on from with a larger one.
      costs: of lanes that are not stored yet: `slot_steps`, `wall_seconds` and `compilations`.
      origin: where numbers of this process come from, as attributes: versions, device, date.
      checkpoints: how many checkpoints the sweep has had.
      segments: the numbers of the files that stored lanes are in.
    """

    def __init__(self, plan: Plan):
        lanes = len(plan)
        self.plan = plan
        self.count = np.zeros(lanes, np.int64)
        self.stopped = np.zeros(lanes, bool)
        self.diverged = np.zeros(lanes, bool)
        self.stored = np.zeros(lanes, bool)
        self.kept: list[list[Params]] = [[] for _ in range(lanes)]
        self.spent: dict[int, LaneState] = {}
        self._digests: np.ndarray | None = None
        self.costs: dict[str, Any] = dict(NO_COSTS)
        self.origin: dict[str, Any] = {}
        self.checkpoints = 0
        self.segments: list[int] = []
        # Room for twice what was needed so far: Python's lists of floats would take ten times more.
        self._values: list[np.ndarray] = [self._room(0)] * lanes

    @property
    def step(self) -> np.ndarray:
        """int64[L], the last step at which each lane was measured; 0 before it was."""
        return self.plan.measure_at[np.maximum(self.count - 1, 0)]

    @property
    def finished(self) -> np.ndarray:
        """bool[L]."""
        return self.stopped | self.diverged | (self.count == len(self.plan.measure_at))

    def is_finished(self, lane: int) -> bool:
        """Whether one lane is; `finished` of all of them takes as long as there are lanes."""
        ended = self.stopped[lane] or self.diverged[lane]
        return bool(ended) or self.count[lane] == len(self.plan.measure_at)

    def next_step(self, lane: int) -> int:
        """The step at which an unfinished lane is measured next."""
        return int(self.plan.measure_at[self.count[lane]])

    def values(self, lane: int) -> np.ndarray:
        """float32[T, names], what was measured of a lane, as far as it is here."""
        return self._values[lane][: self.count[lane]]

    def add(self, lane: int, scalars: np.ndarray, stopped: bool, diverged: bool) -> int:
        """Adds a measurement, float32[names]; returns the steps taken since the last one."""
        place = int(self.count[lane])
        before = int(self.plan.measure_at[max(place - 1, 0)])
        if place == len(self._values[lane]):
            room = self._room(min(2 * place + 8, len(self.plan.measure_at)))
            room[:place] = self._values[lane]
            self._values[lane] = room
        self._values[lane][place] = scalars
        self.count[lane] = place + 1
        self.stopped[lane], self.diverged[lane] = stopped, diverged
        return int(self.plan.measure_at[place]) - before

    def restore(self, lane: int, values: np.ndarray, stopped: bool, diverged: bool) -> None:
        """Puts back the measurements that a lane had, float32[T, names]."""
        self._values[lane] = np.array(values, np.float32)
        self.count[lane] = len(values)
        self.stopped[lane], self.diverged[lane] = stopped, diverged

    def store(self, lanes: np.ndarray) -> None:
        """Lets go of lanes that are in the files of the sweep now, and of what they cost."""
        for lane in lanes:
            self._values[lane], self.kept[lane] = self._room(0), []
            self.spent.pop(int(lane), None)
        self.stored[lanes] = True
        self.costs |= NO_COSTS

    def result(self, lanes: np.ndarray) -> SweepResult:
        """Some of the lanes, none of them stored, labelled; unfinished ones are "interrupted"."""
        plan = self.plan
        longest = int(self.count[lanes].max()) if len(lanes) else 0
        steps = plan.measure_at[:longest]
        values = np.full((len(plan.names), len(lanes), len(steps)), np.nan, np.float32)
        for i, lane in enumerate(lanes):
            values[:, i, : self.count[lane]] = self.values(lane).T
        rule = plan.success
        dataset = build_dataset(
            {name: column[lanes] for name, column in plan.table.columns.items()},
            steps,
            dict(zip(plan.names, values, strict=True)),
            self.step[lanes],
            self.diverged[lanes],
            plan.attributes()
            | {"lane_steps": int(self.step[lanes].sum())}
            | self.costs
            | self.origin,
            stopped=self.stopped[lanes],
            running=~self.finished[lanes],
            threshold=rule.threshold,
            patience=rule.patience,
        )
        if plan.initial is not None:
            dataset["initial_digest"] = "lane", self.digests(lanes)
        return SweepResult(dataset, self._params(lanes, len(steps)), plan.recipe.model, plan.task)

    def carry(self, lanes: np.ndarray) -> dict[str, Any] | None:
        """What it takes to go on with those of some lanes that spent the budget, if any.

        Returns:
          `row`: int[n], their places among the lanes; `state`: leaves of their states, [n, ...].
        """
        rows = [row for row, lane in enumerate(lanes.tolist()) if lane in self.spent]
        if not rows:
            return None
        states = [jax.tree.leaves(self.spent[int(lanes[row])]) for row in rows]
        stacked = [np.stack(leaves) for leaves in zip(*states, strict=True)]
        return {"row": np.array(rows), "state": stacked}

    def _params(self, lanes: np.ndarray, steps: int) -> Params | None:
        """Parameters with lanes first; those of every measurement with the time second."""
        if not len(lanes) or not self.kept[lanes[0]]:
            return None
        kept = [self.kept[lane] for lane in lanes]
        if self.plan.keep_params == "final":
            return jax.tree.map(lambda *leaves: np.stack(leaves), *(trees[-1] for trees in kept))

        def along_time(*leaves: np.ndarray) -> np.ndarray:
            empty = np.nan if leaves[0].dtype.kind in "fV" else 0  # where it was not measured
            whole = np.full((len(lanes), steps, *leaves[0].shape), empty, leaves[0].dtype)
            unused = iter(leaves)
            for i, trees in enumerate(kept):
                for k in range(len(trees)):
                    whole[i, k] = next(unused)
            return whole

        return jax.tree.map(along_time, *[tree for trees in kept for tree in trees])

    def digests(self, lanes: np.ndarray) -> np.ndarray:
        """What tells the initial parameters of lanes apart, uint64[lanes]; 0 without any."""
        if self._digests is None:
            self._digests = self.plan.initial_digests()
        return self._digests[lanes]

    def _room(self, measurements: int) -> np.ndarray:
        return np.empty((measurements, len(self.plan.names)), np.float32)
