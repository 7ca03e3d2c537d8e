"""Measures: functions of a network that a sweep records at every measurement.

A measure maps `(params, logits, task, split)` to a dict of scalars: `logits` float[P, C] are those
of the whole table, in evaluation mode. Give any number of them to `Recipe(measures=(...))`; their
keys become variables of the result. Loss and accuracy are always measured.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from grokjax import spectral
from grokjax.losses import LossFn
from grokjax.models import Model
from grokjax.tasks import Split, Task

Scalars = dict[str, jax.Array]


def accuracies(params: Any, logits: jax.Array, task: Task, split: Split) -> Scalars:
    """Fraction of right answers among training and test rows: `argmax_q logits_q = label`."""
    right = jnp.argmax(logits, axis=-1) == split.labels
    return {
        "train_accuracy": masked_mean(right, split.train),
        "test_accuracy": masked_mean(right, split.test),
    }


def weight_norms(params: Any, logits: jax.Array, task: Task, split: Split) -> Scalars:
    """Euclidean norm of every parameter array, `norm_<name>`, and of all together, `norm`."""
    return _norms("norm", params)


def ipr(params: Any, logits: jax.Array, task: Task, split: Split) -> Scalars:
    """Inverse participation ratio of a `QuadraticMLP`'s weights, averaged over its neurons.

    1 for weights of one frequency each, 0.04 for random ones at p = 97.

    Reference: Gromov 2023, equations 20 and 21; convention of `spectral.network_ipr`.
    """
    return {"ipr": jnp.mean(spectral.network_ipr(params))}


def mirrored(params: Any, logits: jax.Array, task: Task, split: Split) -> Scalars:
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
    if task.operands != 2:
        raise ValueError(
            f"mirrored needs equations of two operands, and {task.name!r} has {task.operands}."
        )
    first, second = jnp.asarray(task.tokens).T
    size = task.num_classes  # operands are less; padded equations have no mirror
    real = (first >= 0) & (second >= 0)
    place = jnp.where(real, size * first + second, size**2)
    mirror = jnp.where(real, size * second + first, size**2)
    trained = jnp.zeros(size**2, bool).at[place].set(split.train, mode="drop")
    has_mirror = trained.at[mirror].get(mode="fill", fill_value=False)
    right = jnp.argmax(logits, axis=-1) == split.labels
    return {
        "mirrored_accuracy": masked_mean(right, split.test & has_mirror),
        "unmirrored_accuracy": masked_mean(right, split.test & ~has_mirror),
    }


def corruption(params: Any, logits: jax.Array, task: Task, split: Split) -> Scalars:
    """Accuracy on training rows whose labels are corrupted, and on those whose are not.

    A row counts as corrupted if the label it is trained with is not the true one; a random label
    that happens to be true corrupts nothing. NaN without such rows.

    Returns:
      `memorized`: fraction of the corrupted rows that get the label they are trained with.
      `inverted`: fraction of the corrupted rows that get their true answer all the same.
      `uncorrupted_accuracy`: fraction of right answers among the other training rows.

    Reference: Doshi et al. 2023, section 2.
    """
    truth = jnp.asarray(task.labels)
    answer = jnp.argmax(logits, axis=-1)
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
    that groks is in coexistence.

    Args:
      test_accuracy: fraction of right answers on the test rows; arrays broadcast.
      memorized: see `corruption`.
      uncorrupted_accuracy: see `corruption`.
      threshold: above one half.

    Raises:
      ValueError: for another threshold.

    Reference: the phases of Doshi et al. 2023, section 2. Differs: the conditions are this
    library's.
    """
    if not 0.5 < threshold <= 1:
        raise ValueError(f"threshold must be in (0.5, 1], got {threshold!r}.")
    test, memorized, uncorrupted = np.broadcast_arrays(
        *(np.asarray(x, float) for x in (test_accuracy, memorized, uncorrupted_accuracy))
    )
    memorized = np.where(np.isnan(memorized), uncorrupted, memorized)
    generalizes, memorizes = test >= threshold, memorized >= threshold
    return np.select(
        [
            generalizes & memorizes,
            generalizes & (memorized <= 1 - threshold),
            generalizes,
            uncorrupted < threshold,
            memorizes,
        ],
        ["coexistence", "full inversion", "partial inversion", "forgetting", "memorization"],
        "confusion",
    )


@dataclasses.dataclass(frozen=True)
class gradient_norms:
    """Euclidean norm of the training loss' gradient, `gradient_norm_<name>`, and of all together.

    Costs one more backward pass over the table at each measurement.
    """

    model: Model
    loss: LossFn

    def __call__(self, params: Any, logits: jax.Array, task: Task, split: Split) -> Scalars:
        """The norms, of the mean loss over the training rows."""

        def train_loss(params):
            losses = self.loss(self.model.apply(params, jnp.asarray(task.tokens)), split.labels)
            return masked_mean(losses, split.train)

        return _norms("gradient_norm", jax.grad(train_loss)(params))


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean of the values where the mask is true; NaN where it nowhere is."""
    # `where` and not a product: a NaN outside the mask must not leak into the mean.
    return jnp.sum(jnp.where(mask, values, 0.0)) / jnp.sum(mask)


def _norms(name: str, tree: Any) -> Scalars:
    squares = {
        "_".join(str(getattr(entry, "key", entry)) for entry in path): jnp.sum(leaf**2)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    norms = {f"{name}_{leaf}": jnp.sqrt(value) for leaf, value in squares.items()}
    return {name: jnp.sqrt(sum(squares.values(), jnp.float32(0.0))), **norms}
