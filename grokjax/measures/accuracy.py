"""Accuracies: of training and test rows, and of test rows whose mirror is trained on."""

import jax.numpy as jnp

from grokjax.measures.network import (
    Network,
    Scalars,
    check_network,
    check_two_operands,
    masked_mean,
)


def accuracies(network: Network) -> Scalars:
    """Fraction of right answers among training and test rows: `argmax_q logits_q = label`."""
    split = check_network(network).split
    right = jnp.argmax(network.logits, axis=-1) == split.labels
    return {
        "train_accuracy": masked_mean(right, split.train),
        "test_accuracy": masked_mean(right, split.test),
    }


def mirrored(network: Network) -> Scalars:
    """Accuracy on test rows (n, m) whose mirror (m, n) is trained on, and on all other test rows.

    A network to which the order of its operands makes no difference has, of a commutative
    operation, the first kind right when it has memorized: a share alpha of its test rows, although
    it has not generalized. NaN without such rows; a row (n, n), its own mirror, is of the other.

    Returns:
      `mirrored_accuracy`: fraction of right answers on test rows whose mirror is trained on.
      `unmirrored_accuracy`: fraction of right answers on the other test rows.

    Raises:
      ValueError: for a task of more or less than two operands.
    """
    task, split = check_network(network).task, network.split
    check_two_operands(network, "mirrored")
    first, second = jnp.asarray(task.tokens).T
    size = task.num_classes  # operands are less; padded equations have no mirror
    real = (first >= 0) & (second >= 0)
    place = jnp.where(real, size * first + second, size**2)
    mirror = jnp.where(real, size * second + first, size**2)
    trained = jnp.zeros(size**2, bool).at[place].set(split.train, mode="drop")
    has_mirror = trained.at[mirror].get(mode="fill", fill_value=False)
    right = jnp.argmax(network.logits, axis=-1) == split.labels
    return {
        "mirrored_accuracy": masked_mean(right, split.test & has_mirror),
        "unmirrored_accuracy": masked_mean(right, split.test & ~has_mirror),
    }
