"""The grokking step as a power law of lane columns, fitted to censored times."""

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts are imported when they are used

from grokjax.checks import check_array, check_choice, check_confidence
from grokjax.survival.times import Estimate, check_lanes


class PowerLaw(NamedTuple):
    """The grokking step as a product of powers of columns, as `power_law` fits it.

        step = constant * prod_c (column_c / centre_c)^exponent_c * exp(scale * noise)

    Attributes:
      exponents: of each column, with their intervals.
      centres: the geometric mean of each column.
      constant: the median step where every column is at its centre.
      scale: of the noise, whose median is 0.
      distribution: of the steps, "log-normal", "log-logistic" or "Weibull".
      aic: Akaike's criterion: the lower, the better the fit.
    """

    exponents: dict[str, Estimate]
    centres: dict[str, float]
    constant: float
    scale: float
    distribution: str
    aic: float

    def median(self, **columns: Any) -> np.ndarray:
        """The median grokking step of lanes with these columns, one value or an array each.

        Raises:
          ValueError: for other columns than those of the law, or numbers that are not positive.
        """
        if set(columns) != set(self.exponents):
            raise ValueError(
                f"this power law needs the columns {', '.join(self.exponents)}, got "
                f"{', '.join(columns) or 'none'}."
            )
        median = np.float64(self.constant)
        for name, column in columns.items():
            values = _positive(name, column)
            median = median * (values / self.centres[name]) ** self.exponents[name].value
        return np.asarray(median)

    def cumulative_hazard(self, step: Any, **columns: Any) -> np.ndarray:
        """`-log` of the probability that lanes with these columns have not grokked after `step`.

        At the step at which each lane grokked, or up to which it was watched, these are the
        Cox-Snell residuals: exponential with mean 1, and censored as the lanes are, if the law is
        right.

        Raises:
          ValueError: for steps that are negative or no numbers, and as `median`.

        Reference: Cox and Snell 1968.
        """
        steps = check_array("step", step, kinds="iuf", finite=True).astype(float)
        if (steps < 0).any():
            raise ValueError(f"step must not be negative, got {steps.min():g}.")
        with np.errstate(divide="ignore"):  # nothing grokked by step 0
            z = (np.log(steps) - np.log(self.median(**columns))) / self.scale
        shape = _DISTRIBUTIONS[self.distribution]
        return np.asarray(shape.hazard(z + shape.middle))


def power_law(
    grokking_step: Any,
    watched_step: Any,
    confidence: float = 0.95,
    *,
    distribution: str = "log-normal",
    **columns: Any,
) -> PowerLaw:
    """The grokking step as a product of powers of columns, by maximum likelihood.

        step = constant * prod_c (column_c / centre_c)^exponent_c * exp(scale * noise)

    This is an accelerated failure time model, fitted by lifelines, which
    `pip install "grokjax[survival]"` installs. The noise is standard normal ("log-normal"),
    standard logistic ("log-logistic"), or the logarithm of an exponential variable in units of its
    median ("Weibull"). A lane that grokked contributes the density of its step, and one that did
    not the probability of a step after `watched_step`. Lanes count as independent, so give them
    different seeds.

    Args:
      grokking_step: [L], NaN for a lane that never grokked.
      watched_step: [L], the last step at which each lane could have been seen to grok.
      confidence: the level of the intervals, which are Wald's.
      distribution: "log-normal", "log-logistic" or "Weibull"; that of the lowest `aic` fits best.
      **columns: [L], positive numbers that vary, such as `weight_decay=dataset.weight_decay`.

    Raises:
      ValueError: if no column is given, or one is not positive, or is a product of powers of the
        others; if a lane grokked at step 0; or if fewer lanes grokked than there are numbers to
        fit, or the likelihood has no maximum.
      ImportError: without lifelines.

    Reference: Lawless 2003, chapter 6.
    """
    confidence = check_confidence(confidence)
    check_choice("distribution", distribution, tuple(_DISTRIBUTIONS))
    grokking_step, watched_step = check_lanes(grokking_step, watched_step)
    grokked = ~np.isnan(grokking_step)
    if (grokking_step[grokked] == 0).any():
        raise ValueError(
            "a power law is of positive steps, and a lane grokked at step 0; leave out lanes that "
            "had grokked before they were trained."
        )
    logs = _log_columns(columns, len(grokking_step))
    if grokked.sum() < logs.shape[1] + 2:
        raise ValueError(
            f"a power law of {logs.shape[1]} columns needs at least {logs.shape[1] + 2} lanes that "
            f"grokked, got {grokked.sum()} of {len(grokked)}; train more lanes, or longer."
        )
    # To be watched until step 0 tells nothing, as to be watched for half a step does, whose
    # logarithm is finite.
    observed = np.maximum(np.where(grokked, grokking_step, watched_step), 0.5)
    centre = logs.mean(axis=0)
    shape = _DISTRIBUTIONS[distribution]
    location, scale, variance, aic = _maximum_likelihood(shape, logs - centre, observed, grokked)
    half = scipy.stats.norm.ppf((1 + confidence) / 2) * np.sqrt(variance)
    exponents = (
        Estimate(float(x), float(x - error), float(x + error))
        for x, error in zip(location[1:], half, strict=True)
    )
    return PowerLaw(
        dict(zip(columns, exponents, strict=True)),
        dict(zip(columns, np.exp(centre).tolist(), strict=True)),
        math.exp(location[0] + scale * shape.middle),
        scale,
        distribution,
        aic,
    )


class _Distribution(NamedTuple):
    """A distribution of steps, and how lifelines has it.

    Attributes:
      fitter: its class.
      location: its parameter that is linear in the logarithms of the columns.
      width: its parameter whose logarithm is that of the scale, times `sign`.
      sign: 1 or -1.
      middle: the median of the noise, as lifelines counts it.
      hazard: the cumulative hazard of the noise.
    """

    fitter: str
    location: str
    width: str
    sign: int
    middle: float
    hazard: Callable[[Any], Any]


_DISTRIBUTIONS = {
    "log-normal": _Distribution(
        "LogNormalAFTFitter", "mu_", "sigma_", 1, 0.0, lambda z: -scipy.stats.norm.logsf(z)
    ),
    "log-logistic": _Distribution(
        "LogLogisticAFTFitter", "alpha_", "beta_", -1, 0.0, lambda z: np.logaddexp(0.0, z)
    ),
    "Weibull": _Distribution(
        "WeibullAFTFitter", "lambda_", "rho_", -1, math.log(math.log(2)), np.exp
    ),
}


def _positive(name: str, column: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A column of a power law."""
    values = check_array(name, column, kinds="iuf", shape=shape, finite=True).astype(float)
    if not (values > 0).all():
        raise ValueError(
            f"{name} must be positive in a power law, got {values.min():g}; select the lanes where "
            "it is."
        )
    return values


def _log_columns(columns: Mapping[str, Any], lanes: int) -> np.ndarray:
    """The logarithms of columns, none of which the others determine: [L, C]."""
    if not columns:
        raise ValueError(
            "a power law needs at least one column, such as weight_decay=dataset.weight_decay."
        )
    logs = np.empty((lanes, len(columns)))
    for i, (name, column) in enumerate(columns.items()):
        logs[:, i] = np.log(_positive(name, column, (lanes,)))
        varying = logs[:, : i + 1] - logs[:, : i + 1].mean(axis=0)
        if np.linalg.matrix_rank(varying, tol=1e-9 * max(1, lanes)) <= i:
            others = f" that {', '.join(list(columns)[:i])} do not determine" if i else ""
            raise ValueError(
                f"{name} has no variation{others}, so its exponent cannot be told; leave it out, "
                "or train lanes in which it varies by itself."
            )
    return logs


def _maximum_likelihood(
    shape: _Distribution, logs: np.ndarray, observed: np.ndarray, grokked: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray, float]:
    """Intercept and exponents [1 + C], scale, variances of the exponents [C], Akaike's criterion.

    Raises:
      ImportError: without lifelines.
      ValueError: where the likelihood has no maximum.
    """
    try:
        import lifelines
        import lifelines.exceptions
    except ImportError as error:
        raise ImportError(
            'a power law is fitted by lifelines; pip install "grokjax[survival]" installs it.'
        ) from error
    import pandas

    names = [f"column_{i}" for i in range(logs.shape[1])]
    columns = dict(zip(names, logs.T, strict=True))
    table = pandas.DataFrame(columns | {"observed": observed, "grokked": grokked})
    with warnings.catch_warnings():
        # Of lifelines about newer versions of pandas, and of what its optimizer tries on its way.
        for category in (DeprecationWarning, FutureWarning, RuntimeWarning):
            warnings.simplefilter("ignore", category)
        try:
            fit = getattr(lifelines, shape.fitter)().fit(table, "observed", "grokked")
        except lifelines.exceptions.ConvergenceError as error:
            raise ValueError(
                f"the likelihood of these {len(observed)} lanes, of which {grokked.sum()} grokked, "
                "has no maximum; train more lanes, or longer, or fit fewer columns."
            ) from error
    keys = [(shape.location, name) for name in ("Intercept", *names)]
    variances = np.diag(fit.variance_matrix_.loc[keys[1:], keys[1:]])
    scale = math.exp(shape.sign * fit.params_[shape.width, "Intercept"])
    return fit.params_[keys].to_numpy(), scale, variances, float(fit.AIC_)
