"""`interrupted.py` and its like in processes of their own, forked from one that has imported all.

A process that begins anew takes some seconds to import JAX, and these tests begin dozens.
"""

import importlib
import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

CONTEXT = multiprocessing.get_context("forkserver")


class Forked:
    """A process as `subprocess.Popen` has it, of a script's `main` with these arguments."""

    def __init__(self, *arguments, script="interrupted"):
        _ensure_server()
        out, self._out = CONTEXT.Pipe(duplex=False)
        err, self._err = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(
            target=_main, args=(script, [str(word) for word in arguments], self._out, self._err)
        )
        self._process.start()
        self.pid = self._process.pid
        self._out.close()  # so that reading ends when the process does
        self._err.close()
        self.stdout, self.stderr = (os.fdopen(os.dup(pipe.fileno())) for pipe in (out, err))

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self._process.kill()

    def __del__(self):
        """A test that fails leaves no process, and no open file for another to be blamed for."""
        self._process.kill()
        self.stdout.close()
        self.stderr.close()

    def communicate(self, timeout=120):
        """What was printed to the end, which comes within the timeout, in seconds."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"still running after {timeout} s"
        with self.stdout, self.stderr:
            return self.stdout.read(), self.stderr.read()


def _ensure_server():
    """Starts the process that is forked, which has to find this folder."""
    CONTEXT.set_forkserver_preload(["interrupted", "interrupted_experiment"])
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    with mock.patch.dict(os.environ, PYTHONPATH=paths):
        forkserver.ensure_running()


def _main(script, arguments, out, err):
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    out.close()
    err.close()
    # As a process that begins anew has them: a server of forks ignores Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Line by line, for tests that wait for one.
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
    sys.argv = [f"{script}.py", *arguments]
    importlib.import_module(script).main()
