"""What became of training rows whose labels are corrupted."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from grokjax.checks import check_array, check_number
from grokjax.measures.network import Network, Scalars, check_network, masked_mean


def corruption(network: Network) -> Scalars:
    """Accuracy on training rows whose labels are corrupted, and on those whose are not.

    A row counts as corrupted if the label it is trained with is not the true one; a random label
    that happens to be true corrupts nothing. NaN without such rows.

    Returns:
      `memorized`: fraction of the corrupted rows that get the label they are trained with.
      `inverted`: fraction of the corrupted rows that get their true answer all the same.
      `uncorrupted_accuracy`: fraction of right answers among the other training rows.

    Reference: Doshi et al. 2023, section 2.
    """
    split = check_network(network).split
    truth = jnp.asarray(network.task.labels)
    answer = jnp.argmax(network.logits, axis=-1)
    corrupted = split.train & (split.labels != truth)
    return {
        "memorized": masked_mean(answer == split.labels, corrupted),
        "inverted": masked_mean(answer == truth, corrupted),
        "uncorrupted_accuracy": masked_mean(answer == truth, split.train & ~corrupted),
    }


def corruption_phase(
    test_accuracy: Any, memorized: Any, uncorrupted_accuracy: Any, threshold: float = 0.9
) -> np.ndarray:
    """What a network made of corrupted labels, from its final accuracies: an array of names.

    With `high` for at least `threshold`, and `low` for at most `1 - threshold`:

        coexistence        test_accuracy high, memorized high
        partial inversion  test_accuracy high, memorized between
        full inversion     test_accuracy high, memorized low
        memorization       test_accuracy not high, memorized and uncorrupted_accuracy high
        confusion          test_accuracy and memorized not high, uncorrupted_accuracy high
        forgetting         test_accuracy and uncorrupted_accuracy not high: not even the rows that
                           are right are remembered

    Without corrupted rows (`memorized` NaN) the uncorrupted ones stand for them, so that a network
    that groks is in coexistence; without uncorrupted rows the corrupted ones stand for those. A
    network whose accuracies are not known, such as one that never ran, has no phase: "". That is
    where `test_accuracy` is NaN, or both of the others are.

    Args:
      test_accuracy: fraction of right answers on the test rows; arrays broadcast.
      memorized: see `corruption`.
      uncorrupted_accuracy: see `corruption`.
      threshold: above one half.

    Raises:
      ValueError: for another threshold, accuracies outside [0, 1], or shapes that do not broadcast.

    Reference: the phases of Doshi et al. 2023, section 2. Differs: the conditions are this
    library's.
    """
    threshold = check_number("threshold", threshold, above=0.5, at_most=1)
    given = {
        "test_accuracy": test_accuracy,
        "memorized": memorized,
        "uncorrupted_accuracy": uncorrupted_accuracy,
    }
    for name, values in given.items():
        given[name] = values = check_array(name, values, kinds="iuf").astype(float)
        if (outside := (values < 0) | (values > 1)).any():
            raise ValueError(
                f"{name} must be fractions between 0 and 1, or NaN, got {values[outside].flat[0]}."
            )
    try:
        test, memorized, uncorrupted = np.broadcast_arrays(*given.values())
    except ValueError:
        shapes = {name: list(values.shape) for name, values in given.items()}
        raise ValueError(f"accuracies must have shapes that broadcast, got {shapes}.") from None
    memorized = np.where(np.isnan(memorized), uncorrupted, memorized)
    uncorrupted = np.where(np.isnan(uncorrupted), memorized, uncorrupted)
    generalizes, memorizes = test >= threshold, memorized >= threshold
    return np.select(
        [
            np.isnan(test) | np.isnan(memorized),
            generalizes & memorizes,
            generalizes & (memorized <= 1 - threshold),
            generalizes,
            uncorrupted < threshold,
            memorizes,
        ],
        ["", "coexistence", "full inversion", "partial inversion", "forgetting", "memorization"],
        "confusion",
    )
