"""Networks that solve modular arithmetic exactly, with weights written down in closed form.

    analytic_weights          parameters of a `QuadraticMLP` of a given width, for n + m
    analytic_addition         c_1 n_1 + ... + c_S n_S, all constructions
    analytic_function         outer(f_1(n) + f_2(m))
    analytic_multiplication   n^a m^b, p prime
    analytic_polynomial       sums of such products
    evaluate                  accuracy, error and margin on the whole table, in true float32

All are built in float64 and returned in float32.
"""

from grokjax.analytic.addition import analytic_addition, analytic_weights
from grokjax.analytic.compositions import (
    analytic_function,
    analytic_multiplication,
    discrete_log,
    primitive_root,
)
from grokjax.analytic.evaluation import (
    Evaluation,
    RandomPhaseTheory,
    ReducedPrecision,
    evaluate,
    random_phase_theory,
)
from grokjax.analytic.frequencies import best_frequencies, check_frequencies, margin
from grokjax.analytic.polynomials import PolynomialNetwork, analytic_polynomial

__all__ = [
    "Evaluation",
    "PolynomialNetwork",
    "RandomPhaseTheory",
    "ReducedPrecision",
    "analytic_addition",
    "analytic_function",
    "analytic_multiplication",
    "analytic_polynomial",
    "analytic_weights",
    "best_frequencies",
    "check_frequencies",
    "discrete_log",
    "evaluate",
    "margin",
    "primitive_root",
    "random_phase_theory",
]


def __dir__() -> list[str]:
    return __all__
