"""Per-example losses, never reduced here, and penalties on the parameters.

A loss maps float[..., C] logits and int[...] labels to float[...]; the training step weighs and
sums it. A penalty maps parameters to a scalar that is added to the mean loss; its keyword arguments
can be swept as lane columns.

Cross entropies are computed in float64 where `jax_enable_x64` is set, whatever the precision of the
logits. In float32 a row whose answer leads by more than about 16 has loss 0, and no gradient at the
logit of its answer (softmax collapse, Prieto et al. 2025): set it to train on beyond that.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from grokjax.checks import check_jax_array, check_number, is_concrete, shown

LossFn = Callable[[jax.Array, jax.Array], jax.Array]  # float[..., C], int[...] -> float[...]


def mse(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean squared error to the one-hot answer, averaged over the classes.

    `1/C sum_q (logits_q - [q = label])^2`; 1/C for zero logits.

    Raises:
      ValueError: for labels that are no classes, or logits and labels that do not fit.

    Reference: Gromov 2023, section 2 (the mean over samples and classes of torch's MSELoss).
    """
    logits, labels, valid = _checked(logits, labels)
    return valid * jnp.mean((logits - _one_hot(logits, labels)) ** 2, axis=-1)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Negative log-probability of the answer: `log sum_q exp(logits_q) - logits_label`.

    Raises:
      ValueError: for labels that are no classes, or logits and labels that do not fit.
    """
    logits, labels, valid = _checked(logits, labels)
    return valid * _cross_entropy(_widest(logits), labels)


def stablemax_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Negative log-probability of the answer under StableMax: `log sum_q s_q - log s_label`.

    `s = logit + 1` for positive logits and `1 / (1 - logit)` for negative ones: where the
    exponential of a softmax saturates, gradients here fall as a power of the logit. It is the cross
    entropy of the logits `log s = sign(logit) log(1 + |logit|)`, and so cannot overflow.

    Raises:
      ValueError: for labels that are no classes, or logits and labels that do not fit.

    Reference: Prieto et al. 2025. Differs: they always compute it in float64.
    """
    logits, labels, valid = _checked(logits, labels)
    x = _widest(logits)
    # jnp.where and not |logit|, which has no slope at 0, where log s has the slope 1.
    up, down = jnp.log1p(jnp.where(x >= 0, x, 0.0)), jnp.log1p(jnp.where(x < 0, -x, 0.0))
    return valid * _cross_entropy(jnp.where(x >= 0, up, -down), labels)


def softmax_mse(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Squared distance of the probabilities to the one-hot answer, summed over the classes.

    `(prob_label - 1)^2 + sum_{q != label} prob_q^2`, between 0 and 2.

    Raises:
      ValueError: for labels that are no classes, or logits and labels that do not fit.

    Reference: "Model and Training Efficiency", section 2. Differs: the sign is positive; with the
    printed minus the loss would
    be maximized.
    """
    logits, labels, valid = _checked(logits, labels)
    return valid * jnp.sum((jax.nn.softmax(logits) - _one_hot(logits, labels)) ** 2, axis=-1)


def l2(params: Any, *, l2: Any = 0.0) -> jax.Array:
    """L2 penalty `l2 / 2 ||params||^2`, for `Recipe(penalty=losses.l2)` and a lane column `l2`.

    Raises:
      ValueError: for a negative `l2`, and for parameters that are no arrays.

    Reference: "Model and Training Efficiency", section 2, with its alpha named `l2`.
    """
    if is_concrete(l2):
        check_number("l2", l2, at_least=0)
    leaves = jax.tree.leaves(params)
    if not leaves:
        raise ValueError(f"params must be arrays, such as those of a model, got {shown(params)}.")
    leaves = [check_jax_array("params", leaf, kinds="iufc") for leaf in leaves]
    return 0.5 * l2 * sum(jnp.vdot(leaf, leaf).real for leaf in leaves)


def _checked(logits: Any, labels: Any) -> tuple[jax.Array, jax.Array, Any]:
    """Logits, labels, and a factor on the losses: NaN where a traced label is no class, else 1.

    The product with 1 changes no bit, and unlike a choice it makes the gradient NaN too.
    """
    logits = jnp.asarray(check_jax_array("logits", logits, shape=(..., "C"), kinds="iuf"))
    labels = check_jax_array("labels", labels, kinds="iu")
    if labels.dtype.itemsize < 4:
        labels = labels.astype(np.int32)  # the number of classes may not fit into its own type
    classes = logits.shape[-1]
    if labels.shape != logits.shape[:-1] or not classes:
        raise ValueError(
            f"logits [..., C] must have a row of classes for each of the labels [...], got logits "
            f"{list(logits.shape)} and labels {list(labels.shape)}."
        )
    if not is_concrete(labels):
        return logits, labels, jnp.where((labels >= 0) & (labels < classes), 1.0, jnp.nan)
    host = np.asarray(labels)
    for label in (host.min(initial=0), host.max(initial=0)):
        if not 0 <= label < classes:
            raise ValueError(
                f"labels must be classes from 0 to {classes - 1}, as there are logits, got {label}."
            )
    return logits, jnp.asarray(labels), 1.0


def _cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    # optax looks the answer's logit up, and the gradient of that is a scatter.
    answer = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    chosen = jnp.sum(jnp.where(answer, logits, 0.0), axis=-1)
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def _widest(logits: jax.Array) -> jax.Array:
    return logits.astype(jnp.promote_types(logits.dtype, jax.dtypes.canonicalize_dtype(float)))


def _one_hot(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
