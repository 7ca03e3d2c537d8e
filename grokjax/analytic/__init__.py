"""Networks that solve modular arithmetic exactly, with weights written down in closed form.

    analytic_weights          parameters of a `QuadraticMLP` of a given width, for n + m
    analytic_addition         c_1 n_1 + ... + c_S n_S, all constructions
    analytic_function         outer(f_1(n) + f_2(m))
    analytic_multiplication   n^a m^b, p prime
    analytic_polynomial       sums of such products
    evaluate                  accuracy, error and margin on the whole table, in true float32

All are built in float64 and returned in float32.
"""

from grokjax.analytic.addition import analytic_addition as analytic_addition
from grokjax.analytic.addition import analytic_weights as analytic_weights
from grokjax.analytic.compositions import analytic_function as analytic_function
from grokjax.analytic.compositions import analytic_multiplication as analytic_multiplication
from grokjax.analytic.compositions import discrete_log as discrete_log
from grokjax.analytic.compositions import primitive_root as primitive_root
from grokjax.analytic.evaluation import Evaluation as Evaluation
from grokjax.analytic.evaluation import RandomPhaseTheory as RandomPhaseTheory
from grokjax.analytic.evaluation import ReducedPrecision as ReducedPrecision
from grokjax.analytic.evaluation import evaluate as evaluate
from grokjax.analytic.evaluation import random_phase_theory as random_phase_theory
from grokjax.analytic.frequencies import best_frequencies as best_frequencies
from grokjax.analytic.frequencies import check_frequencies as check_frequencies
from grokjax.analytic.frequencies import margin as margin
from grokjax.analytic.polynomials import PolynomialNetwork as PolynomialNetwork
from grokjax.analytic.polynomials import analytic_polynomial as analytic_polynomial
