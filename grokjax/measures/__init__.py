"""Measures: functions of a network that a sweep records at every measurement.

A measure maps a `Network`, which is a network at one step of its training, to a dict of scalars.
Give any number of them to `Recipe(measures=(...))`; their keys become variables of the result. Loss
and accuracy are always measured. A function of one's own is as good as those here:

    def largest_logit(network):
        return {"largest_logit": network.logits.max()}

Outside of a sweep, `network_of` makes the network that they are given:

    measures.ipr(measures.network_of(model, params, task, loss=losses.mse))
"""

from grokjax.measures.accuracy import accuracies as accuracies
from grokjax.measures.accuracy import mirrored as mirrored
from grokjax.measures.circuits import distance_irrelevance as distance_irrelevance
from grokjax.measures.circuits import fourier_gini as fourier_gini
from grokjax.measures.circuits import fourier_losses as fourier_losses
from grokjax.measures.circuits import gradient_symmetry as gradient_symmetry
from grokjax.measures.corruption import corruption as corruption
from grokjax.measures.corruption import corruption_phase as corruption_phase
from grokjax.measures.network import Network as Network
from grokjax.measures.network import Scalars as Scalars
from grokjax.measures.network import evaluate as evaluate
from grokjax.measures.network import masked_mean as masked_mean
from grokjax.measures.network import network_of as network_of
from grokjax.measures.norms import gradient_norms as gradient_norms
from grokjax.measures.norms import ipr as ipr
from grokjax.measures.norms import weight_norms as weight_norms
