"""What closed-form networks do on their whole table, and what theory says they do."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used: together they take as long as jax

from grokjax import tasks
from grokjax.analytic.constructions import MAX_OPERANDS
from grokjax.checks import check_integer, is_concrete, shown
from grokjax.models import Params, QuadraticMLP
from grokjax.models.arguments import check_noise_key, check_params, check_rate, shapes_of
from grokjax.models.noise import dropout as drop
from grokjax.models.protocol import Wrapper, check_model, check_task
from grokjax.tasks import Task

BLOCK_ENTRIES = 2**20  # logits held at once


class Evaluation(NamedTuple):
    """A network on its whole table.

    Attributes:
      accuracy: share of rows whose largest logit is the right one.
      mse: mean squared distance to the one-hot answer, over rows and classes.
      margin: smallest gap, over all rows, between the right logit and the largest other one;
        negative if a row is wrong.
      right_logit: mean of the right logits, about 1 for closed-form weights (1/2 for the pizza).
        Weights evaluated in the other parameterization, which no shape shows, are off by a factor
        of `(S p)^(S/2) width`.
    """

    accuracy: float
    mse: float
    margin: float
    right_logit: float


def evaluate(model: Any, params: Params, task: Task) -> Evaluation:
    """Accuracy, error and margin over the whole table, in true float32.

    Closed-form networks of few frequencies have small margins: six neurons at p = 251 drop to
    about 75 % with the reduced precision that GPUs and TPUs use for float32 by default. Here
    matrix products are computed at the highest precision, whatever the default is. The table is
    taken in blocks, so its size is no matter.

    A network whose logits are not numbers answers nothing right. Weights do not say which
    parameterization they belong to, so a model of the other one is accepted: look at
    `right_logit`, and pass models and weights on together, as `analytic_addition` returns them.

    Args:
      model: any model; the right logit is meant to be 1 for `mse`.
      params: its parameters.
      task: the table; rows need not be complete, as in a sample of many operands.

    Raises:
      ValueError: for anything but a model and a task, for a task that is not the model's, and for
        parameters that are not the model's, or traced.
    """
    check_model(model)
    task = tasks.check_task(task)
    check_task(model, task)
    if not is_concrete(params):
        raise ValueError(
            "params must be numbers, and inside jit, vmap or grad they are not; call "
            "model.apply there, and evaluate outside."
        )
    params = check_params(model, params, shapes_of(model, task.operands))
    tokens, labels = np.asarray(task.tokens), np.asarray(task.labels)
    rows = max(1, BLOCK_ENTRIES // task.num_classes)
    gaps, errors, correct, right_logits = [], 0.0, 0, 0.0
    for start in range(0, task.num_rows, rows):
        with jax.default_matmul_precision("highest"):
            logits = np.array(model.apply(params, jnp.asarray(tokens[start : start + rows])))
        if start == 0:
            _check_logits(logits, task)
        answers = labels[start : start + rows]
        right = np.arange(len(answers)), answers
        known = ~np.isnan(logits).any(axis=1)
        correct += int(((logits.argmax(axis=1) == answers) & known).sum())
        values = logits[right]
        right_logits += float(values.sum(dtype=np.float64))
        logits[right] -= 1
        errors += float(np.square(logits).sum(dtype=np.float64))
        logits[right] = -np.inf
        gaps.append((values - logits.max(axis=1)).min())
    return Evaluation(
        accuracy=correct / task.num_rows,
        mse=errors / (task.num_rows * logits.shape[1]),
        margin=float(np.min(gaps)),  # NaN if one is
        right_logit=right_logits / task.num_rows,
    )


def _check_logits(logits: np.ndarray, task: Task) -> None:
    rows = min(task.num_rows, max(1, BLOCK_ENTRIES // task.num_classes))
    if logits.ndim != 2 or len(logits) != rows or logits.shape[1] < task.num_classes:
        raise ValueError(
            f"the model must give logits [{rows}, C] for as many equations, with C at least the "
            f"{task.num_classes} classes of {task.name!r}, got {list(logits.shape)}."
        )


@dataclasses.dataclass(frozen=True)
class ReducedPrecision(Wrapper):
    """A quadratic network whose matrix products round their operands, as accelerators do.

    A model in, a model out: on any machine, 10 mantissa bits show what TF32 does and 7 bits what
    bfloat16 does. Weights and activations are rounded, sums are float32. How many answers are
    lost depends on the scale of the weights too, since rounding does.

    Attributes:
      model: the network.
      mantissa_bits: bits kept of the 23 of a float32.

    Raises:
      ValueError: for a model that is no `QuadraticMLP`, or bits that are no integer from 0 to 23.
    """

    model: QuadraticMLP
    mantissa_bits: int = 10

    def __post_init__(self):
        if not isinstance(self.model, QuadraticMLP):
            raise ValueError(
                "model must be a QuadraticMLP, whose layers can be rounded, got "
                f"{shown(self.model)}."
            )
        bits = check_integer("mantissa_bits", self.mantissa_bits, at_least=0, below=24)
        object.__setattr__(self, "mantissa_bits", bits)

    def init(self, key: jax.Array, tokens: jax.Array) -> Params:
        """Parameters of the network."""
        return self.model.init(key, tokens)

    def apply(
        self,
        params: Params,
        tokens: jax.Array,
        *,
        key: jax.Array | None = None,
        dropout: Any = None,
    ) -> jax.Array:
        """Logits of the network from rounded weights and rounded activations."""
        check_noise_key(key)
        rate = self.model.dropout if dropout is None else dropout
        check_rate("dropout", rate, at_least=0, below=1)
        params = check_params(self, params, shapes_of(self, self.model.operands))
        params = jax.tree.map(self._round, params)
        hidden = self.model.activation(self.model.preactivations(params, tokens))
        return self.model.output_scale * (self._round(drop(key, hidden, rate)) @ params["w2"])

    def _round(self, x: jax.Array) -> jax.Array:
        return jax.lax.reduce_precision(
            jnp.asarray(x), exponent_bits=8, mantissa_bits=self.mantissa_bits
        )


class RandomPhaseTheory(NamedTuple):
    """What random phases give, in units of the right logit, which is 1 on average.

    Attributes:
      noise: standard deviation of a wrong logit; `2 / sqrt(width)` for two operands.
      signal_to_noise: `1 / noise`; `sqrt(width) / 2` for two operands.
      mse: expected mean squared error over rows and classes; about `4 / width` for two operands.
      error_bound: upper bound on the expected share of wrong answers, for Gaussian noise.
    """

    noise: float
    signal_to_noise: float
    mse: float
    error_bound: float


def random_phase_theory(p: int, width: int, operands: int = 2) -> RandomPhaseTheory:
    """Noise, error and accuracy expected of the construction "random_phase".

    A neuron gives a logit the variance `E[(cos x_1 + ... + cos x_S)^(2S)] / 2` times the square
    of its amplitude `2^S / (width S!)`, of which `1 / (2 width^2)` belongs to the wanted term and
    the rest is noise, independent between neurons. The wanted term is 1 at the right class and
    `-1 / (p - 1)` at the others, so one of those wins with probability
    `Q(p / (p - 1) / (sqrt(2) noise))`. The bound adds up p - 1 of these, although they mostly
    happen together: at p = 97 and two operands it is 5 to 10 times too high.

    Raises:
      ValueError: for a p below 2, and a width or operands below 1.

    Reference: the expansion is Gromov 2023, equation 11; the variances are this library's.
    Differs: the variance at the right class is larger by 1/16 for two operands.
    """
    p = tasks.check_modulus(p)
    width = check_integer("width", width, at_least=1, below=2**62)
    operands = check_integer("operands", operands, at_least=1, below=MAX_OPERANDS + 1)
    # E[exp(t cos x)] = I_0(t) = sum_k (t/2)^(2k) / k!^2, so the moment is a coefficient of I_0^S.
    bessel = np.array([0.25**k / math.factorial(k) ** 2 for k in range(operands + 1)])
    series = np.ones(1)
    for _ in range(operands):
        series = np.convolve(series, bessel)
    moment = math.factorial(2 * operands) * series[operands]
    gain = 2**operands / math.factorial(operands)
    noise = math.sqrt((gain**2 * moment - 1) / (2 * width))
    overtaken = scipy.special.ndtr(-p / (p - 1) / (math.sqrt(2) * noise))
    return RandomPhaseTheory(
        noise=noise,
        signal_to_noise=1 / noise,
        mse=noise**2 + 1 / (p * (p - 1)),
        error_bound=float(min(1.0, (p - 1) * overtaken)),
    )
