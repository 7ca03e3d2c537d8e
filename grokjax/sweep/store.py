"""A sweep's directory: finished lanes, the state of running ones, and what it takes to resume.

    sweep.json      what the sweep is; another sweep is refused
    segments/N/     lanes that finished before checkpoint N, a result each
    state/N/        running lanes at checkpoint N (orbax), the last two
    state/N.sha256  sealed when everything of it is on the disk
    state/layout.json  how lanes are laid out, so that the sweep goes on as it began
    results.nc, config.json, params.nc   the result, once all lanes are finished

A file appears under its name only when it is complete, so the process may be killed at any moment.
"""

import contextlib
import hashlib
import json
import os
import shutil
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from grokjax.results import SweepResult, load_result
from grokjax.results.files import replacing

KEEP = 2  # checkpoints of running lanes: the last one, and one to fall back to


class Store:
    """The files of one sweep.

    Args:
      directory: where they are, or will be.
      identity: what the sweep is; every entry must match that of the sweep found there.

    Raises:
      ValueError: if the directory holds another sweep, or cannot be written to.
    """

    def __init__(self, directory: str | os.PathLike, identity: dict[str, Any]):
        self.directory = Path(directory).absolute()
        self.writer = jax.process_index() == 0
        self._checkpointer: Any = None
        self._sealing: threading.Thread | None = None
        self._check(json.loads(json.dumps(identity)))

    def _check(self, identity: dict[str, Any]) -> None:
        path = self.directory / "sweep.json"
        try:
            if self.writer:
                for folder in ("segments", "state"):
                    (self.directory / folder).mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    with replacing(path) as temporary:
                        temporary.write_text(json.dumps(identity, indent=2) + "\n")
                (self.directory / "state" / ".writable").touch()
                shutil.rmtree(self.directory / ".old", ignore_errors=True)
            together("store")
            found = json.loads(path.read_text())
        except OSError as error:
            raise ValueError(
                f"directory={str(self.directory)!r} cannot be written to ({error}); choose another."
            ) from error
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path} is damaged ({error}); delete the directory to start over."
            ) from error
        for name in [*identity, *found]:
            if identity.get(name) != found.get(name):
                raise ValueError(
                    f"directory={str(self.directory)!r} holds another sweep: its {name} is "
                    f"{found.get(name)!r}, this one's is {identity.get(name)!r}; choose another "
                    "directory, or delete that one."
                )

    # -- finished lanes -------------------------------------------------------------------------

    def finished(self) -> list[SweepResult]:
        """The lanes that are finished, in one or several results."""
        numbers = self.segments()
        return [load_result(self.directory / "segments" / str(number)) for number in numbers]

    def segments(self) -> list[int]:
        """The numbers of the segments there are."""
        return self._numbers("segments", "results.nc")

    def open_segments(self, checkpoint: int | None) -> None:
        """Prepares to go on from a checkpoint; None: with finished lanes alone.

        The result of a complete sweep becomes its first segment. Lanes that finished after the
        checkpoint are running at it, so they are dropped: they will finish again.
        """
        if self.writer:
            numbers = self.segments()
            if not numbers and (self.directory / "results.nc").exists():
                load_result(self.directory).save(self.directory / "segments" / "0")
            for number in numbers:
                if checkpoint is not None and number > checkpoint:
                    self._discard(self.directory / "segments" / str(number))
        together("segments")

    def add_segment(self, number: int, result: SweepResult) -> None:
        """Keeps lanes that have finished since the checkpoint before this one."""
        if self.writer:
            result.save(self.directory / "segments" / str(number))

    def complete(self, result: SweepResult) -> None:
        """Writes the result of the whole sweep, and then removes what it took to resume."""
        self.close()
        if self.writer:
            result.save(self.directory)
            # The state first: without segments it would be taken for that of a running sweep.
            for folder in ("state", "segments"):
                self._discard(self.directory / folder)
        together("complete")

    # -- running lanes --------------------------------------------------------------------------

    def save_state(self, number: int, tree: Any) -> None:
        """Writes the state of the running lanes in the background.

        `tree` may hold device arrays, which are copied before this returns, and NumPy arrays.
        """
        import orbax.checkpoint as ocp

        self._wait()
        if self._checkpointer is None:
            self._checkpointer = ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler())
        path = self.directory / "state" / str(number)
        with _as_os_error():
            self._checkpointer.save(path, args=ocp.args.PyTreeSave(tree), force=True)
        self._sealing = threading.Thread(target=self._seal, args=(path,), daemon=True)
        self._sealing.start()

    def load_state(self) -> tuple[int, Any] | None:
        """The last good state and its checkpoint's number; None if there is none.

        A damaged state is passed over, with a warning, for the one before it.
        """
        import orbax.checkpoint as ocp

        for number in reversed(self._numbers("state", "")):
            path = self.directory / "state" / str(number)
            if not path.with_suffix(".sha256").exists():
                continue  # was being written when the process was killed
            if path.with_suffix(".sha256").read_text() == digest(path):
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

    def keep_layout(self, devices: int, layout: tuple[int, bool]) -> None:
        """Remembers slots and `vectorize` that were chosen for so many devices."""
        if self.writer:
            # On a full disk the choice is made again next time.
            with (
                contextlib.suppress(OSError),
                replacing(self.directory / "state" / "layout.json") as temporary,
            ):
                temporary.write_text(json.dumps([devices, *layout]))
        together("layout")

    def layout(self, devices: int) -> tuple[int, bool] | None:
        """What was remembered for so many devices, if anything."""
        try:
            before, slots, vectorize = json.loads(
                (self.directory / "state" / "layout.json").read_text()
            )
        except (OSError, ValueError):
            return None
        return (slots, vectorize) if before == devices else None

    def close(self) -> None:
        """Waits for what is being written."""
        self._wait()
        if self._checkpointer is not None:
            self._checkpointer.close()
            self._checkpointer = None

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
            if not self.writer:
                return
            with replacing(path.with_suffix(".sha256")) as temporary:
                temporary.write_text(digest(path))
            for number in self._numbers("state", "")[:-KEEP]:
                (path.parent / f"{number}.sha256").unlink(missing_ok=True)
                shutil.rmtree(path.parent / str(number), ignore_errors=True)
        except Exception:
            return  # raised again, on the main thread, by `_wait`

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


def digest(path: Path) -> str:
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
