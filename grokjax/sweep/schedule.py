"""Who sits where: the queue of waiting lanes and the slots, on the host, in plain NumPy.

Every decision depends on lanes and their reports alone, never on time, so each process of a
multi-host sweep takes the same ones, and so does a sweep that was interrupted and resumed.
"""

import dataclasses
import functools
from collections.abc import Callable, Container
from typing import NamedTuple

import numpy as np

EMPTY = -1


class Call(NamedTuple):
    """One device call: the lanes in the places of `order`, `EMPTY` where a place is unused."""

    order: np.ndarray  # int32[devices, G], slot numbers
    count: np.ndarray  # int32[devices]
    targets: np.ndarray  # int32[devices, G, n], the steps of the next n measurements
    lanes: np.ndarray  # int64[devices, G]
    rows: int
    steps: int  # between two of the targets, the same for all lanes; 0: each lane has its own


@dataclasses.dataclass
class Schedule:
    """The slots of every device and the lanes that wait for one.

    Attributes:
      rows: int[L], what the training rows of a lane's step are padded to.
      measure_at: int[T], the steps at which lanes are measured; the first is 0.
      occupant: int[devices, slots], the lane in each slot, or `EMPTY`.
      measured: int[L], measurements asked for so far.
      queue: lanes that wait, next one last.
    """

    rows: np.ndarray
    measure_at: np.ndarray
    occupant: np.ndarray
    measured: np.ndarray
    queue: list[int]

    @classmethod
    def of(
        cls,
        rows: np.ndarray,
        num_train: np.ndarray,
        measure_at: np.ndarray,
        devices: int,
        slots: int,
    ) -> "Schedule":
        """All lanes waiting, those with the fewest training rows first: they take most steps."""
        lanes = len(rows)
        return cls(
            rows=rows,
            measure_at=measure_at,
            occupant=np.full((devices, slots), EMPTY),
            measured=np.zeros(lanes, int),
            queue=sorted(range(lanes), key=lambda lane: (num_train[lane], lane), reverse=True),
        )

    @property
    def slots(self) -> int:
        """Slots of each device."""
        return self.occupant.shape[1]

    @property
    def running(self) -> int:
        """How many lanes sit in slots."""
        return int((self.occupant != EMPTY).sum())

    def keep_waiting(self, wanted: Callable[[int], bool]) -> None:
        """Lets only some of the lanes wait."""
        self.queue = [lane for lane in self.queue if wanted(lane)]

    def sizes(self) -> list[int]:
        """The padded sizes of lanes that train or wait, in the order in which they are needed."""
        training = self.occupant[self.occupant != EMPTY].tolist()
        lanes = [*training, *reversed(self.queue)]
        return list(dict.fromkeys(self.rows[lanes].tolist()))

    def seat(self, lane: int, device: int, slot: int, measured: int) -> None:
        """Puts a lane that has been measured so many times into a slot."""
        self.occupant[device, slot] = lane
        self.measured[lane] = measured

    def free_seat(self) -> tuple[int, int]:
        """The first empty slot of the emptiest device: device, slot."""
        free = self.occupant == EMPTY
        device = int(free.sum(axis=1).argmax())
        return device, int(free[device].argmax())

    def admit(self, again: Container[int] = ()) -> tuple[Call | None, Call | None]:
        """Waiting lanes into empty slots, the emptiest device first.

        Args:
          again: lanes that have trained before, which are measured already.

        Returns:
          The call of new lanes, and that of the others; None where nobody moves.
        """
        calls = []
        seats: tuple[list[tuple[int, int, int]], ...] = ([], [])
        while self.queue and self.running < self.occupant.size:
            device, slot = self.free_seat()
            lane = self.queue.pop()
            self.seat(lane, device, slot, measured=max(1, int(self.measured[lane])))
            seats[lane in again].append((device, slot, lane))
        for moved in seats:
            order = np.zeros(self.occupant.shape, np.int32)
            lanes = np.full(self.occupant.shape, EMPTY)
            count = np.zeros(len(order), np.int32)
            for device, slot, lane in moved:
                lanes[device, count[device]], order[device, count[device]] = lane, slot
                count[device] += 1
            targets = np.zeros((*order.shape, 1), np.int32)
            calls.append(Call(order, count, targets, lanes, 0, 0) if moved else None)
        return calls[0], calls[1]

    def calls(self, vectorize: bool, measurements: int = 1) -> list[Call]:
        """The calls that take every lane that can still train to its next measurements.

        One after another: a call for each padded size, in which a lane costs what it costs.
        Side by side: a call for all lanes that have as many steps to go, which is nearly always all
        of them, padded to the largest lane, in a batch that shrinks with the number of lanes left,
        so that the last slow ones do not drag empty places along.

        Args:
          vectorize: side by side.
          measurements: how many, in a call of lanes side by side.
        """
        last = len(self.measure_at)
        lengths = self._lengths
        key = lambda lane: int(lengths[self.measured[lane] - 1] if vectorize else self.rows[lane])
        # Of what kind each lane is, before any of them is sent on its way.
        active = [
            [
                (key(lane), slot, lane)
                for slot, lane in enumerate(row.tolist())
                if lane != EMPTY and self.measured[lane] < last
            ]
            for row in self.occupant
        ]
        calls = []
        for kind in sorted({kind for seats in active for kind, _, _ in seats}):
            groups = [[(s, lane) for k, s, lane in seats if k == kind] for seats in active]
            rows = max(int(self.rows[lane]) for seats in groups for _, lane in seats)
            if vectorize:
                places = min(self.slots, batch_size(max(map(len, groups))))
                regular = kind == self._common
                calls.append(self._call(groups, places, rows, kind, measurements if regular else 1))
            else:
                calls.append(self._call(groups, self.slots, rows, 0, 1))
        return calls

    @functools.cached_property
    def _lengths(self) -> np.ndarray:
        return np.diff(self.measure_at)

    @functools.cached_property
    def _common(self) -> int:
        return common_steps(self.measure_at)

    def _call(
        self,
        groups: list[list[tuple[int, int]]],
        places: int,
        rows: int,
        steps: int,
        measurements: int,
    ) -> Call:
        shape = (len(groups), places)
        order, targets = np.zeros(shape, np.int32), np.zeros((*shape, measurements), np.int32)
        lanes = np.full(shape, EMPTY)
        for device, group in enumerate(groups):
            for place, (slot, lane) in enumerate(group):
                order[device, place] = slot
                lanes[device, place] = lane
                first = self.measured[lane]
                ahead = self.measure_at[first - 1 : first + measurements]
                if steps:  # those that are not as far apart are left to another call
                    ahead = ahead[: 1 + int(np.append(np.diff(ahead) != steps, True).argmax())]
                targets[device, place] = ahead[-1]
                targets[device, place, : len(ahead) - 1] = ahead[1:]
                self.measured[lane] += len(ahead) - 1
        count = np.array([len(group) for group in groups], np.int32)
        return Call(order, count, targets, lanes, rows, steps)

    def release(self, lane: int) -> tuple[int, int]:
        """Frees a lane's slot and says which it was: device, slot."""
        device, slot = (int(index[0]) for index in np.nonzero(self.occupant == lane))
        self.occupant[device, slot] = EMPTY
        return device, slot


def common_steps(measure_at: np.ndarray) -> int:
    """The number of steps between two measurements that occurs most often."""
    lengths, number = np.unique(np.diff(measure_at), return_counts=True)
    return int(lengths[number.argmax()])


def batch_size(lanes: int) -> int:
    """The smallest of 1, 2, 3, 4, 6, 8, 12, 16, ... that holds so many lanes.

    Two sizes an octave: batches stay nearly full, and a shrinking sweep compiles few of them.
    """
    size = 1
    while size < lanes:
        size = size * 3 // 2 if size & (size - 1) == 0 and size > 1 else -(-size * 4 // 3)
    return size
