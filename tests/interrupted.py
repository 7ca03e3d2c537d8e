"""A sweep of some seconds, for tests that interrupt it."""

import argparse
import errno
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import jax
import orbax.checkpoint as ocp

import grokjax
from grokjax import losses, measures, models, optimizers, tasks
from grokjax.results import files


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--vectorize", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-steps", type=int, default=1500)
    parser.add_argument("--every", type=float, default=0.0)
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--full", action="store_true", help="process 0 finds its disk full")
    parser.add_argument("--late", action="store_true", help="process 1 is slow to read files")
    parser.add_argument("--processes", nargs=2, metavar=("ADDRESS", "RANK"))
    arguments = parser.parse_args()
    cache = Path(__file__).parent.parent / ".jax_cache"
    jax.config.update("jax_num_cpu_devices", arguments.devices)
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    if arguments.processes:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        address, rank = arguments.processes
        jax.distributed.initialize(address, num_processes=2, process_id=int(rank))
    if arguments.full and jax.process_index() == 0:

        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        files.write = ocp.AsyncCheckpointer.save = full
    if arguments.late and jax.process_index() == 1:
        read_text = Path.read_text

        def late(*given, **named):
            time.sleep(0.5)
            return read_text(*given, **named)

        Path.read_text = late
    told = []

    def slowly(measured):
        if not told:
            print("measured", flush=True)
        told.append(measured)
        time.sleep(arguments.slow)

    try:
        result = run(
            arguments.directory,
            seeds=arguments.seeds,
            vectorize=arguments.vectorize,
            max_steps=arguments.max_steps,
            checkpoint_every=arguments.every,
            observe=slowly if arguments.slow else (),
        )
    except grokjax.SweepInterrupted as interruption:
        print(interruption, file=sys.stderr, flush=True)
        os._exit(130)
    except (ValueError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(2)
    lanes, slot_steps = result.dataset.sizes["lane"], result.dataset.attrs["slot_steps"]
    print(f"finished {lanes} lanes, {slot_steps} slot-steps", flush=True)
    if arguments.processes:
        jax.distributed.shutdown()
    os._exit(0)  # without the seconds that background threads may take to end


def run(directory, *, seeds=3, max_steps=1500, **settings):
    """The sweep itself; `directory=None` keeps nothing."""
    recipe = grokjax.Recipe(
        models.QuadraticMLP(11, 24, parameterization="standard"),
        losses.mse,
        optimizers.adamw,
        measures=(measures.weight_norms,),
    )
    lanes = grokjax.grid(
        alpha=[0.3, 0.45, 0.6, 0.85], seed=range(seeds), learning_rate=1e-2, weight_decay=3.0
    )
    return grokjax.run_sweep(
        recipe, tasks.modular_addition(11), lanes, max_steps=max_steps, eval_every=50,
        slots=2, directory=directory, **{"progress": False, **settings},
    )  # fmt: skip


if __name__ == "__main__":
    main()
