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
import optax

LossFn = Callable[[jax.Array, jax.Array], jax.Array]  # float[..., C], int[...] -> float[...]


def mse(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean squared error to the one-hot answer, averaged over the classes.

    `1/C sum_q (logits_q - [q = label])^2`; 1/C for zero logits.

    Reference: Gromov 2023, section 2 (the mean over samples and classes of torch's MSELoss).
    """
    return jnp.mean((logits - _one_hot(logits, labels)) ** 2, axis=-1)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Negative log-probability of the answer: `log sum_q exp(logits_q) - logits_label`."""
    return optax.losses.softmax_cross_entropy_with_integer_labels(_widest(logits), labels)


def stablemax_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Negative log-probability of the answer under StableMax: `log sum_q s_q - log s_label`.

    `s = logit + 1` for positive logits and `1 / (1 - logit)` for negative ones: where the
    exponential of a softmax saturates, gradients here fall as a power of the logit. It is the cross
    entropy of the logits `log s = sign(logit) log(1 + |logit|)`, and so cannot overflow.

    Reference: Prieto et al. 2025. Differs: they always compute it in float64.
    """
    x = _widest(logits)
    # jnp.where and not |logit|, which has no slope at 0, where log s has the slope 1.
    up, down = jnp.log1p(jnp.where(x >= 0, x, 0.0)), jnp.log1p(jnp.where(x < 0, -x, 0.0))
    return cross_entropy(jnp.where(x >= 0, up, -down), labels)


def softmax_mse(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Squared distance of the probabilities to the one-hot answer, summed over the classes.

    `(prob_label - 1)^2 + sum_{q != label} prob_q^2`, between 0 and 2.

    Reference: S1 section 2. Differs: the sign is positive; with S1's printed minus the loss would
    be maximized.
    """
    return jnp.sum((jax.nn.softmax(logits) - _one_hot(logits, labels)) ** 2, axis=-1)


def l2(params: Any, *, l2: Any = 0.0) -> jax.Array:
    """L2 penalty `l2 / 2 ||params||^2`, for `Recipe(penalty=losses.l2)` and a lane column `l2`.

    Reference: S1 section 2, with its alpha named `l2`.
    """
    return 0.5 * l2 * sum(jnp.vdot(leaf, leaf).real for leaf in jax.tree.leaves(params))


def _widest(logits: jax.Array) -> jax.Array:
    return logits.astype(jnp.promote_types(logits.dtype, jax.dtypes.canonicalize_dtype(float)))


def _one_hot(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
