"""Results: what a sweep measured, as one labelled dataset, and its files.

result.dataset.grokking_step            # lane -> step, NaN where it never grokked
result.table().test_accuracy            # by alpha, seed, ..., time
result.final("test_accuracy")           # lane -> the last one measured
result.network(0)([[3, 4]])             # logits of a trained network
result.save("results/first")            # results.nc, config.json, params.nc
grokjax.load_result("results/first")
"""

from grokjax.results.dataset import build_dataset, lane_columns
from grokjax.results.environment import environment
from grokjax.results.network import TrainedNetwork
from grokjax.results.result import SweepResult, concatenate, load_result

__all__ = [
    "SweepResult",
    "TrainedNetwork",
    "build_dataset",
    "concatenate",
    "environment",
    "lane_columns",
    "load_result",
]


def __dir__() -> list[str]:
    return __all__
