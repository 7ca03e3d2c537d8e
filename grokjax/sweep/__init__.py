"""Sweeps: lane tables, slots and refill, the device programs, and `run_sweep`.

Inside, from the ground up: `lanes` (tables and their checks), `schedule` (who sits where),
`programs` (the only jit, vmap and shard_map of the library), `tuning` (how many slots), `records`
(what is known of each lane), `store` (the files it takes to resume), `progress`, `engine` (the
loop) and `run` (`run_sweep` and the checks of what was asked for).
"""

from grokjax.sweep.lanes import grid as grid
from grokjax.sweep.lanes import zip_lanes as zip_lanes
from grokjax.sweep.programs import lane_mesh as lane_mesh
from grokjax.sweep.run import log_spaced as log_spaced
from grokjax.sweep.run import run_sweep as run_sweep
