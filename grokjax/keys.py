"""The random keys of a lane: one seed gives independent streams, one for each purpose.

Each function takes a seed, a Python integer or a traced uint32, and returns a JAX random key. A
lane's randomness depends on its seeds alone, so adding lanes to a sweep never changes old ones.
"""

from typing import Any

import jax

_INIT, _SPLIT, _ORDER, _NOISE, _LABELS = range(5)


def init_key(seed: Any) -> jax.Array:
    """The random key of a lane's initial parameters, for `model.init`."""
    return _key(seed, _INIT)


def split_key(seed: Any) -> jax.Array:
    """The random key of a lane's split, for `tasks.split_order`."""
    return _key(seed, _SPLIT)


def label_key(seed: Any) -> jax.Array:
    """The random key of a lane's label noise, from the seed of its split."""
    return _key(seed, _LABELS)


def order_key(seed: Any, epoch: Any) -> jax.Array:
    """The random key of the order of a lane's minibatches in an epoch."""
    return jax.random.fold_in(_key(seed, _ORDER), epoch)


def noise_key(seed: Any, step: Any) -> jax.Array:
    """The random key of a step's dropout, weight noise and update noise."""
    return jax.random.fold_in(_key(seed, _NOISE), step)


def _key(seed: Any, purpose: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(seed), purpose)
