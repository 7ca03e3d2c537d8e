"""A sweep's directory: finished lanes, the state of running ones, and what it takes to resume.

    sweep.json      what the sweep is, and the steps it measures at; another sweep is refused
    .lock           held by the process that is working here
    segments/N/     lanes that finished before checkpoint N, a result each
    segments/index.json  which segments there are, and how many lanes each has
    state/N/        running lanes at checkpoint N (orbax), the last two
    state/N.sha256  sealed when everything of it is on the disk
    state/layout.json  how lanes are laid out, so that the sweep goes on as it began
    results.nc, config.json, params.nc   the result, once all lanes are finished
    carry.nc        the state of lanes that spent their budget, to go on from with a larger one

A file appears under its name only when it is complete, so the process may be killed at any moment.
Process 0 writes; what goes wrong while it does is raised on every process of the sweep.
"""

import contextlib
import datetime
import hashlib
import json
import os
import shutil
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import jax
import numpy as np

from grokjax.results import SweepResult, files, load_result
from grokjax.sweep.devices import from_first
from grokjax.sweep.plan import Plan

KEEP = 2  # checkpoints of running lanes: the last one, and one to fall back to
MESSAGE = 2048  # bytes of an error that other processes are told


class Segment(NamedTuple):
    """Finished lanes, and of those that spent their budget what it takes to go on."""

    result: SweepResult
    carry: Mapping[str, Any] | None = None  # "row": int[n], in the result; "state": leaves [n, ...]


class Store:
    """The files of one sweep.

    Args:
      directory: where they are, or will be.
      plan: the sweep; it must be that found there, with the same or a larger budget.

    Raises:
      ValueError: if the directory holds something else, is in use, or cannot be written to.
    """

    def __init__(self, directory: Path, plan: Plan):
        self.directory = directory.absolute()
        self.writer = jax.process_index() == 0
        self._lock: int | None = None
        self._checkpointer: Any = None
        self._sealing: threading.Thread | None = None
        identity = json.loads(json.dumps(plan.identity()))
        self.mark = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        try:
            self._as_writer(lambda: self._claim(identity, plan.measure_at.tolist()))
        except OSError as error:
            self.release()
            raise ValueError(
                f"directory={str(self.directory)!r} cannot be written to ({error}); choose another."
            ) from error
        except ValueError:
            self.release()
            raise

    # -- who works here, and on what ------------------------------------------------------------

    def _claim(self, identity: dict[str, Any], steps: list[int]) -> None:
        """Takes the directory for this process and this sweep."""
        for folder in ("segments", "state"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        self._take_lock()
        for left in self.directory.rglob(".*.partial"):  # by a process that was killed
            left.unlink(missing_ok=True)
        shutil.rmtree(self.directory / ".old", ignore_errors=True)
        path = self.directory / "sweep.json"
        result = self.directory / files.RESULT
        if not path.exists() and result.exists():
            raise ValueError(
                f"directory={str(self.directory)!r} holds a result that SweepResult.save wrote, "
                "and no sweep that could go on; choose another directory."
            )
        found = {**identity, "measure_at": []}
        if path.exists():
            try:
                found = json.loads(path.read_text())
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"{path} is damaged ({error}); delete the directory to start over."
                ) from error
        before = found.pop("measure_at", [])
        for name in [*identity, *found]:
            if identity.get(name) != found.get(name):
                raise ValueError(
                    f"directory={str(self.directory)!r} holds another sweep: its {name} is "
                    f"{found.get(name)!r}, this one's is {identity.get(name)!r}; choose another "
                    "directory, or delete that one."
                )
        if result.exists() and (mark := _mark(result)) != self.mark:
            raise ValueError(
                f"{result} is not the result of the sweep in its directory, but of "
                f"{mark or 'another'}: something was saved over it; choose another directory."
            )
        self._check_steps(before, steps)
        if before != steps:
            with files.replacing(path) as temporary:
                whole = {**identity, "measure_at": steps}
                temporary.write_text(json.dumps(whole, indent=2) + "\n")
        (self.directory / "state" / ".writable").touch()

    def _check_steps(self, before: list[int], now: list[int]) -> None:
        """A sweep goes on with the same measurements, or with more of them after the last."""
        if before == now[: len(before)]:
            return
        where = f"directory={str(self.directory)!r} holds a sweep"
        if now == before[: len(now)]:
            raise ValueError(
                f"{where} of max_steps={before[-1]}, more than the {now[-1]} asked for; use "
                f"max_steps={before[-1]} or more, and read earlier measurements with result.at."
            )
        if now[-1] > before[-1] and before[-1] not in now:
            raise ValueError(
                f"{where} that was measured at step {before[-1]}, the end of its budget, and the "
                "sweep asked for is not; to raise a budget, measure at all the steps that were "
                "measured before, with eval_every as a list of steps if need be."
            )
        raise ValueError(
            f"{where} that is measured at other steps than those of eval_every and "
            f"max_steps={now[-1]}: its max_steps is {before[-1]}; choose another directory."
        )

    def _take_lock(self) -> None:
        """Makes this the only process that works here; the system lets go when it ends."""
        try:
            import fcntl
        except ImportError:  # a system without: the user has to see to it
            return
        path = self.directory / ".lock"
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(handle, 200).decode(errors="replace") or "another process"
                os.close(handle)
                raise ValueError(
                    f"directory={str(self.directory)!r} is in use by {holder}; wait until it has "
                    "ended, or choose another directory."
                ) from None
            except OSError as error:  # some network file systems have no locks
                os.close(handle)
                warnings.warn(
                    f"{path} cannot be locked ({error}); see to it that no other process works "
                    "there.",
                    stacklevel=2,
                )
                return
            same = path.exists() and os.path.samestat(os.fstat(handle), path.stat())
            if same:  # and not one that its holder has just removed
                break
            os.close(handle)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()} since {now}".encode())
        self._lock = handle

    def release(self) -> None:
        """Lets another process work here."""
        if self._lock is not None:
            with contextlib.suppress(OSError):  # what is not empty, or not ours any more, stays
                (self.directory / "state" / ".writable").unlink(missing_ok=True)
                for folder in ("segments", "state"):  # of a sweep that had its result already
                    (self.directory / folder).rmdir()
            (self.directory / ".lock").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    # -- finished lanes -------------------------------------------------------------------------

    def prepare(self, checkpoint: int | None) -> None:
        """Prepares to go on from a checkpoint; None: with finished lanes alone.

        The result of a complete sweep becomes its first segment. Lanes that finished after the
        checkpoint are running at it, so they are dropped: they will finish again.
        """

        def write() -> None:
            numbers = self._numbers("segments", files.RESULT)
            if not numbers and (self.directory / files.RESULT).exists():
                whole = load_result(self.directory)
                carry = files.read_carry(self.directory)
                folder = self.directory / "segments" / "0"
                files.write(folder, whole.dataset, whole.params, carry)
                self._write_index({0: whole.dataset.sizes["lane"]})
            dropped = [n for n in numbers if checkpoint is not None and n > checkpoint]
            for number in dropped:
                self._discard(self.directory / "segments" / str(number))
            if dropped:
                index = self._index()
                self._write_index({n: lanes for n, lanes in index.items() if n not in dropped})

        self._as_writer(write)

    def segments(self, known: list[int]) -> list[Segment]:
        """The finished lanes that are here, in the order in which they were written.

        A segment that is missing or damaged is passed over, with a warning: its lanes train again.

        Args:
          known: numbers of segments that there have to be, beside those of the index.
        """
        index = self._index()
        numbers = self._numbers("segments", files.RESULT)
        for number in sorted({*index, *known} - set(numbers)):
            lanes = f"{index[number]} lanes" if number in index else "lanes"
            warnings.warn(
                f"{self.directory / 'segments' / str(number)} is missing; its {lanes} train again.",
                stacklevel=2,
            )
        segments = []
        for number in numbers:
            folder = self.directory / "segments" / str(number)
            try:
                segments.append(Segment(load_result(folder), files.read_carry(folder)))
            except ValueError as error:
                warnings.warn(f"{error} Its lanes train again.", stacklevel=2)
        return segments

    def whole(self) -> Segment | None:
        """The result of the sweep as it was completed last, if nothing has been added since."""
        complete = (self.directory / files.RESULT).exists()
        if not complete or self._numbers("segments", files.RESULT):
            return None
        return Segment(load_result(self.directory), files.read_carry(self.directory))

    def last_segment(self) -> int:
        """The largest number of a segment; 0 without any."""
        return max([0, *self._numbers("segments", files.RESULT)])

    def add_segment(self, number: int, segment: Segment) -> None:
        """Keeps lanes that have finished since the checkpoint before this one."""

        def write() -> None:
            folder = self.directory / "segments" / str(number)
            files.write(folder, segment.result.dataset, segment.result.params, segment.carry)
            self._write_index(self._index() | {number: segment.result.dataset.sizes["lane"]})

        self._as_writer(write)

    def complete(self, segment: Segment) -> None:
        """Writes the result of the whole sweep, and then removes what it took to resume."""
        self.close()
        together("complete")  # everybody has read the segments

        def write() -> None:
            result = segment.result
            files.write(self.directory, result.dataset, result.params, segment.carry)
            # The state first: without segments it would be taken for that of a running sweep.
            for folder in ("state", "segments"):
                if (self.directory / folder).exists():
                    self._discard(self.directory / folder)

        self._as_writer(write)

    def _index(self) -> dict[int, int]:
        """Segments that were written, and how many lanes each of them has."""
        try:
            text = (self.directory / "segments" / "index.json").read_text()
            return {int(number): int(lanes) for number, lanes in json.loads(text).items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def _write_index(self, index: dict[int, int]) -> None:
        with files.replacing(self.directory / "segments" / "index.json") as temporary:
            temporary.write_text(json.dumps(index))

    # -- running lanes --------------------------------------------------------------------------

    def save_state(self, number: int, tree: Any) -> None:
        """Writes the state of the running lanes, host arrays, in the background."""

        def write() -> None:
            import orbax.checkpoint as ocp

            self._wait()
            if self._checkpointer is None:
                alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})
                self._checkpointer = ocp.AsyncCheckpointer(
                    ocp.PyTreeCheckpointHandler(multiprocessing_options=alone),
                    multiprocessing_options=alone,
                )
            path = self.directory / "state" / str(number)
            with _as_os_error():
                self._checkpointer.save(path, args=ocp.args.PyTreeSave(tree), force=True)
            self._sealing = threading.Thread(target=self._seal, args=(path,), daemon=True)
            self._sealing.start()

        self._as_writer(write)

    def load_state(self) -> tuple[int, Any] | None:
        """The last good state and its checkpoint's number; None if there is none.

        A damaged state is passed over, with a warning, for the one before it.
        """
        import orbax.checkpoint as ocp

        for number in reversed(self._numbers("state", "")):
            path = self.directory / "state" / str(number)
            if not path.with_suffix(".sha256").exists():
                continue  # was being written when the process was killed
            if path.with_suffix(".sha256").read_text() == checksum(path):
                reader = ocp.PyTreeCheckpointer()
                shape: Any = reader.metadata(path).item_metadata
                shape = shape.tree
                to_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shape)
                arguments = ocp.args.PyTreeRestore(restore_args=to_numpy)
                return number, reader.restore(path, args=arguments)
            warnings.warn(
                f"the checkpoint {path} is damaged; falling back to the one before it, if any.",
                stacklevel=2,
            )
        return None

    def keep_layout(self, devices: int, layout: tuple[int, bool, int]) -> None:
        """Remembers the `Layout` that was chosen for so many devices."""

        def write() -> None:
            with files.replacing(self.directory / "state" / "layout.json") as temporary:
                temporary.write_text(json.dumps([devices, *layout]))

        with contextlib.suppress(OSError):  # on a full disk the choice is made again next time
            self._as_writer(write)

    def layout(self, devices: int) -> tuple[int, bool, int] | None:
        """What was remembered for so many devices, if anything.

        Process 0 reads it for all: it may write another one before the slowest has opened the file.
        """
        text = ""
        if self.writer:
            with contextlib.suppress(OSError):
                text = (self.directory / "state" / "layout.json").read_text()
        try:
            before, slots, vectorize, measurements = json.loads(_text_from_first(text))
        except ValueError:
            return None
        return (slots, vectorize, measurements) if before == devices else None

    def close(self) -> None:
        """Waits for what is being written.

        Raises:
          OSError: if it could not be written.
        """

        def write() -> None:
            try:
                self._wait()
            finally:
                if self._checkpointer is not None:
                    self._checkpointer.close()
                    self._checkpointer = None

        self._as_writer(write)

    def _wait(self) -> None:
        if self._sealing is not None:
            self._sealing.join()
            self._sealing = None
            with _as_os_error():
                self._checkpointer.wait_until_finished()  # raises what went wrong

    def _seal(self, path: Path) -> None:
        """In the background: once the state is on the disk, says so, and drops older ones."""
        try:
            self._checkpointer.wait_until_finished()
            with files.replacing(path.with_suffix(".sha256")) as temporary:
                temporary.write_text(checksum(path))
            for number in self._numbers("state", "")[:-KEEP]:
                (path.parent / f"{number}.sha256").unlink(missing_ok=True)
                shutil.rmtree(path.parent / str(number), ignore_errors=True)
        except Exception:
            return  # raised again, on the main thread, by `_wait`

    # -- inside ---------------------------------------------------------------------------------

    def _as_writer(self, do: Callable[[], None]) -> None:
        """Has process 0 do something with files; every process learns how it went.

        Otherwise one process would go on to the next step of the sweep, which all take together,
        while another had stopped: both would wait forever.
        """
        if jax.process_count() == 1:
            do()
            return
        problem = ""
        if self.writer:
            try:
                do()
            except (OSError, ValueError) as error:
                kind = "OSError" if isinstance(error, OSError) else "ValueError"
                problem = f"{kind} {error}"
        kind, _, message = _text_from_first(problem).partition(" ")
        if kind:
            raise {"OSError": OSError, "ValueError": ValueError}[kind](message)

    def _discard(self, folder: Path) -> None:
        """Removes a folder whole or not at all: first its name, then its files."""
        old = self.directory / ".old"
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        shutil.rmtree(old, ignore_errors=True)

    def _numbers(self, folder: str, complete: str) -> list[int]:
        paths = (self.directory / folder).glob("*")
        return sorted(
            int(path.name) for path in paths if path.name.isdigit() and (path / complete).exists()
        )


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """What goes wrong while files are written is an OSError, whatever the writer calls it."""
    try:
        yield
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def checksum(path: Path) -> str:
    """A checksum of all files below a folder, names included."""
    total = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(str(file.relative_to(path)).encode())
        total.update(file.read_bytes())
    return total.hexdigest()


def together(name: str) -> None:
    """Waits until every process of the sweep is here."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def _mark(path: Path) -> str:
    """Which sweep a result says that it is of."""
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("sweep", ""))
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read ({error}); restore it from a copy, or delete it to train again."
        ) from error


def _text_from_first(text: str) -> str:
    """A text of process 0, on every process."""
    if jax.process_count() == 1:
        return text
    letters = np.zeros(MESSAGE, np.uint8)
    code = np.frombuffer(text.encode()[:MESSAGE], np.uint8)
    letters[: len(code)] = code
    return bytes(from_first(letters)).rstrip(b"\0").decode(errors="replace")
