"""Tangent kernels: whether a network is lazy, moving in the features it began with, or rich.

A kernel on rows i, j and classes q, r is `sum_theta df_q(x_i)/dtheta df_r(x_j)/dtheta`. Functions
here are pure and can be compiled by their caller; only `regression` computes on the host.

    from grokjax import kernels
    at_start = kernels.trace(model, initial, probe)
    now = kernels.trace(model, params, probe)
    kernels.distance(now, at_start), kernels.alignment(now, kernels.label_kernel(labels))
"""

from grokjax.kernels.centred import Centred
from grokjax.kernels.comparison import alignment, distance, label_kernel, norm_ratio
from grokjax.kernels.motion import linearized, relative_motion, span_fraction
from grokjax.kernels.quadratic import expected_scale, infinite_width, quadratic, quadratic_trace
from grokjax.kernels.regression import Regression, regression
from grokjax.kernels.tangent import product, tangent, trace

__all__ = [
    "Centred",
    "Regression",
    "alignment",
    "distance",
    "expected_scale",
    "infinite_width",
    "label_kernel",
    "linearized",
    "norm_ratio",
    "product",
    "quadratic",
    "quadratic_trace",
    "regression",
    "relative_motion",
    "span_fraction",
    "tangent",
    "trace",
]


def __dir__() -> list[str]:
    return __all__
