"""A lane is the same in any company also with every optimization of the compiler.

Other tests run without the slow ones, see `conftest.py`. Here a few of them run as users do.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXACT = [
    "tests/test_sweep.py::test_devices_do_not_matter[1]",
    "tests/test_sweep.py::test_new_seeds_leave_old_lanes_alone",
]


def test_lanes_are_exact_with_every_optimization():
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", *EXACT]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "XLA_FLAGS": ""}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
