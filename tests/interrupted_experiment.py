"""An experiment as a command that says when there is something to interrupt.

    python interrupted_experiment.py FLAG SWEEP alpha_sweep --p 5 ...

The file FLAG is written once a lane of the sweep with this number, or of a later one, has trained,
and a lane has ended. From then on every measurement takes a while. Lanes train in one layout: which
one is faster need not be measured here. On SIGABRT the process says where it is.
"""

import faulthandler
import importlib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import jax

from grokjax import command, critical, plotting  # noqa: F401  forked processes have matplotlib
from grokjax.sweep import run_sweep


def main():
    flag, number, name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    begun, ended = [], []
    faulthandler.enable()
    cache = Path(__file__).parent.parent / ".jax_cache"
    jax.config.update("jax_num_cpu_devices", 1)
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)

    def told(measured):
        ended.extend([measured] if measured.ended else [])
        if len(begun) >= number and measured.step > 0 and ended:
            flag.touch()
            time.sleep(0.05)

    def slowly(*args, **options):
        begun.append(args)
        layout = {"slots": 8, "vectorize": False}
        return run_sweep(*args, **{**layout, **options}, observe=told)

    command.sweeps.run_sweep = critical.run_sweep = slowly
    sys.argv = [name, *sys.argv[4:]]
    module = importlib.import_module(f"experiments.{name}")
    command.run_as_command(getattr(module, name.split(".")[-1]))


if __name__ == "__main__":
    main()
