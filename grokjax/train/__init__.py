"""One training run, as pure functions: `trajectory`, or `init_lane`, `train_step` and `measure`.

Nothing here knows of batches of runs, devices or progress bars, and nothing is compiled: `sweep`
maps these functions over lanes and slots. In order, each module importing those before it:

    recipe       what the lanes of a sweep share
    lane         the coordinates and the state of a run, and its start
    table        the lanes of a sweep as columns: made, checked, and stacked
    measurement  loss, accuracy and measures; when a run stops
    steps        optimizer steps up to the next measurement
    run          one whole run, to be compiled, mapped and differentiated
"""

from grokjax.train.lane import Lane as Lane
from grokjax.train.lane import LaneState as LaneState
from grokjax.train.lane import batch_size as batch_size
from grokjax.train.lane import init_lane as init_lane
from grokjax.train.lane import is_done as is_done
from grokjax.train.lane import row_losses as row_losses
from grokjax.train.lane import split_of as split_of
from grokjax.train.lane import step_rows as step_rows
from grokjax.train.measurement import StopFn as StopFn
from grokjax.train.measurement import grokked as grokked
from grokjax.train.measurement import measure as measure
from grokjax.train.measurement import patience as patience
from grokjax.train.measurement import record as record
from grokjax.train.measurement import success as success
from grokjax.train.recipe import BUILT_IN as BUILT_IN
from grokjax.train.recipe import FULL_BATCH as FULL_BATCH
from grokjax.train.recipe import MeasureFn as MeasureFn
from grokjax.train.recipe import Recipe as Recipe
from grokjax.train.recipe import describe as describe
from grokjax.train.run import lanes as lanes
from grokjax.train.run import measurement_steps as measurement_steps
from grokjax.train.run import trajectory as trajectory
from grokjax.train.steps import train_chunk as train_chunk
from grokjax.train.steps import train_step as train_step
from grokjax.train.steps import train_steps as train_steps
from grokjax.train.table import Lanes as Lanes
from grokjax.train.table import LaneTable as LaneTable
from grokjax.train.table import check_lanes as check_lanes
from grokjax.train.table import grid as grid
from grokjax.train.table import lane_keys as lane_keys
from grokjax.train.table import padded_rows as padded_rows
from grokjax.train.table import zip_lanes as zip_lanes
