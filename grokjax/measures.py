"""Measures: functions of a network that a sweep records at every measurement.

A measure maps `(params, logits, task, split)` to a dict of scalars: `logits` float[P, C] are those
of the whole table, in evaluation mode. Give any number of them to `Recipe(measures=(...))`; their
keys become variables of the result. Loss and accuracy are always measured.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

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
