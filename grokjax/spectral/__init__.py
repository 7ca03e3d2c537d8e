"""Spectra of weights and of functions on Z_p: power, participation ratios, phases.

Arrays in, arrays out; every function works under `jit` and `vmap`. Spectra are taken over the
residues 0 ... p-1. A network that works on relabelled residues, f(n) or a discrete logarithm, has
its peaks over the labels: pass its weights through `relabel` first.
"""

from grokjax.spectral.neurons import CircularSummary, Phases, circular_summary, phases, wrap
from grokjax.spectral.participation import (
    CONVENTIONS,
    Convention,
    cosine_ipr,
    ipr,
    network_ipr,
    noise_ipr,
)
from grokjax.spectral.series import SeriesPower, series_masks, series_power
from grokjax.spectral.transforms import power, power_2d, relabel

__all__ = [
    "CONVENTIONS",
    "CircularSummary",
    "Convention",
    "Phases",
    "SeriesPower",
    "circular_summary",
    "cosine_ipr",
    "ipr",
    "network_ipr",
    "noise_ipr",
    "phases",
    "power",
    "power_2d",
    "relabel",
    "series_masks",
    "series_power",
    "wrap",
]


def __dir__() -> list[str]:
    return __all__
