"""Spectra of weights and of functions on Z_p: power, participation ratios, phases.

Arrays in, arrays out; every function works under `jit` and `vmap`. Spectra are taken over the
residues 0 ... p-1. A network that works on relabelled residues, f(n) or a discrete logarithm, has
its peaks over the labels: pass its weights through `relabel` first.
"""

from grokjax.spectral.neurons import CircularSummary as CircularSummary
from grokjax.spectral.neurons import Phases as Phases
from grokjax.spectral.neurons import circular_summary as circular_summary
from grokjax.spectral.neurons import phases as phases
from grokjax.spectral.neurons import wrap as wrap
from grokjax.spectral.participation import CONVENTIONS as CONVENTIONS
from grokjax.spectral.participation import Convention as Convention
from grokjax.spectral.participation import cosine_ipr as cosine_ipr
from grokjax.spectral.participation import ipr as ipr
from grokjax.spectral.participation import network_ipr as network_ipr
from grokjax.spectral.participation import noise_ipr as noise_ipr
from grokjax.spectral.series import SeriesPower as SeriesPower
from grokjax.spectral.series import series_masks as series_masks
from grokjax.spectral.series import series_power as series_power
from grokjax.spectral.transforms import power as power
from grokjax.spectral.transforms import power_2d as power_2d
from grokjax.spectral.transforms import relabel as relabel
