"""Sweeps: every lane of a table trained side by side, in slots that finished lanes leave to others.

Inside, from the ground up: `identity` (what a part is), `plan` (what is asked for, checked),
`schedule` (who sits where), `devices` (the slots, and the only jit, vmap and shard_map of the
library), `tuning` (how many slots), `ledger` (what is known of each lane), `snapshot` and `store`
(the files it takes to resume), `observers` (who is told), `loop` (the engine), `resume` (going on
from files) and `run` (`run_sweep`).
"""

from grokjax.sweep.devices import lane_mesh
from grokjax.sweep.observers import Measured
from grokjax.sweep.plan import log_spaced
from grokjax.sweep.run import SweepInterrupted, run_sweep

__all__ = ["Measured", "SweepInterrupted", "lane_mesh", "log_spaced", "run_sweep"]


def __dir__() -> list[str]:
    return __all__
