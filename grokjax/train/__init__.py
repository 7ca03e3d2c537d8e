"""One training run, as pure functions: `trajectory`, or `init_lane`, `train_step` and `measure`.

Nothing here knows of batches of runs, devices or progress bars, and nothing is compiled: `sweep`
maps these functions over lanes and slots. In order, each module importing those before it:

    recipe       what the lanes of a sweep share
    lane         the coordinates and the state of a run, and its start
    table        the lanes of a sweep as columns: made, checked, and stacked
    measurement  loss, accuracy and measures; when a run stops
    gradient     the gradient of a step, automatic or written out
    steps        optimizer steps up to the next measurement
    run          one whole run, to be compiled, mapped and differentiated
"""

from grokjax.train.lane import (
    Lane,
    LaneState,
    batch_size,
    epoch_steps,
    init_lane,
    is_done,
    row_losses,
    split_of,
    step_rows,
)
from grokjax.train.measurement import StopFn, grokked, measure, patience, record, success
from grokjax.train.recipe import BUILT_IN, FULL_BATCH, MeasureFn, Recipe, describe
from grokjax.train.run import lanes, measurement_steps, trajectory
from grokjax.train.steps import train_chunk, train_step, train_steps, train_to
from grokjax.train.table import (
    Lanes,
    LaneTable,
    check_lanes,
    grid,
    lane_keys,
    padded_rows,
    zip_lanes,
)

__all__ = [
    "BUILT_IN",
    "FULL_BATCH",
    "Lane",
    "LaneState",
    "LaneTable",
    "Lanes",
    "MeasureFn",
    "Recipe",
    "StopFn",
    "batch_size",
    "check_lanes",
    "describe",
    "epoch_steps",
    "grid",
    "grokked",
    "init_lane",
    "is_done",
    "lane_keys",
    "lanes",
    "measure",
    "measurement_steps",
    "padded_rows",
    "patience",
    "record",
    "row_losses",
    "split_of",
    "step_rows",
    "success",
    "train_chunk",
    "train_step",
    "train_steps",
    "train_to",
    "trajectory",
    "zip_lanes",
]


def __dir__() -> list[str]:
    return __all__
