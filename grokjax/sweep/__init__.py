"""Sweeps: lane tables, slots and refill, the device programs, and `run_sweep`.

Inside, from the ground up: `lanes` (tables and their checks), `schedule` (who sits where),
`programs` (the only jit, vmap and shard_map of the library), `progress`, and `engine` (the loop).
"""

from grokjax.sweep.engine import run_sweep as run_sweep
from grokjax.sweep.lanes import grid as grid
from grokjax.sweep.lanes import zip_lanes as zip_lanes
from grokjax.sweep.programs import lane_mesh as lane_mesh
