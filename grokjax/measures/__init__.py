"""Measures: functions of a network that a sweep records at every measurement.

A measure maps a `Network`, which is a network at one step of its training, to a dict of scalars.
Give any number of them to `Recipe(measures=(...))`; their keys become variables of the result. Loss
and accuracy are always measured. A function of one's own is as good as those here:

    def largest_logit(network):
        return {"largest_logit": network.logits.max()}

Outside of a sweep, `network_of` makes the network that they are given:

    measures.ipr(measures.network_of(model, params, task, loss=losses.mse))
"""

from grokjax.measures.accuracy import accuracies, mirrored
from grokjax.measures.circuits import (
    distance_irrelevance,
    fourier_gini,
    fourier_losses,
    gradient_symmetry,
)
from grokjax.measures.corruption import corruption, corruption_phase
from grokjax.measures.network import Network, Scalars, evaluate, masked_mean, network_of
from grokjax.measures.norms import gradient_norms, ipr, weight_norms

__all__ = [
    "Network",
    "Scalars",
    "accuracies",
    "corruption",
    "corruption_phase",
    "distance_irrelevance",
    "evaluate",
    "fourier_gini",
    "fourier_losses",
    "gradient_norms",
    "gradient_symmetry",
    "ipr",
    "masked_mean",
    "mirrored",
    "network_of",
    "weight_norms",
]


def __dir__() -> list[str]:
    return __all__
