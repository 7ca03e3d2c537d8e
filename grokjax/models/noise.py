"""Noise of training: cheap random masks, dropout, and Gaussian noise on the weights.

Threefry masks take a third of a training step on a CPU. Here threefry makes the keys, as anywhere
in JAX, and an integer hash spreads the two words of a key over the elements of its mask.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from grokjax.checks import check_integer, check_integers, check_jax_array, check_key, check_number
from grokjax.models import arguments
from grokjax.models.protocol import Wrapper, check_model, frozen_params


def random_bits(key: jax.Array, size: int) -> jax.Array:
    """Random words, uint32[size]: `mix(mix(i ^ mix(w0)) ^ w1)` for element i and the key's words.

    One `mix`, lowbias32, would do for one mask. With `mix(i ^ w)` alone, keys whose words share
    their leading bits would give each other's words in another order. The words depend on the key
    and on i only, in any company; they are statistically good, and not for cryptography.

    Raises:
      ValueError: for a key that is none, or a negative size.

    Reference: C. Wellons, hash-prospector, 2018 (lowbias32).
    """
    words = jax.random.key_data(check_key("key", key))[-2:]
    size = check_integer("size", size, at_least=0)
    return _mix(_mix(jnp.arange(size, dtype=jnp.uint32) ^ _mix(words[0])) ^ words[1])


def _mix(x: jax.Array) -> jax.Array:
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    return x ^ (x >> 16)


def dropout(key: jax.Array | None, x: jax.Array, rate: Any) -> jax.Array:
    """Elements set to zero with probability `rate`, and the others divided by `1 - rate`.

    Args:
      key: None in evaluation, which leaves `x` as it is.
      x: float[...].
      rate: in [0, 1), a number or a traced scalar; 0 leaves `x` as it is.

    The probability is `rate` rounded up to a multiple of 2^-24, the resolution of float32.

    Raises:
      ValueError: for a key that is none, an `x` that is no array of numbers, or another rate.

    Reference: Srivastava et al. 2014, in the inverted form.
    """
    arguments.check_noise_key(key)
    x = check_jax_array("x", x, kinds="f")
    arguments.check_rate("rate", rate, at_least=0, below=1)
    if key is None or (isinstance(rate, float | int) and rate == 0):
        return x
    kept = (random_bits(key, x.size) >> 8).astype(jnp.float32) >= rate * np.float32(2**24)
    return jnp.where(kept.reshape(x.shape), x / (1 - rate), 0.0)


def normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal numbers of `random_bits`, float32[shape], through the inverse error function.

    They have 2^24 different values, up to 5.3 in magnitude.

    Raises:
      ValueError: for a key that is none, or a shape that is no tuple of sizes.
    """
    shape = check_integers("shape", shape, at_least=0, such_as="(100, 100)")
    centres = (random_bits(key, math.prod(shape)) >> 8).astype(jnp.float32) * 2**-23
    return math.sqrt(2) * jax.lax.erf_inv(centres - (1 - 2**-24)).reshape(shape)


@dataclasses.dataclass(frozen=True)
class WeightNoise(Wrapper):
    """A model whose training steps see its parameters with noise: see `with_weight_noise`.

    Attributes:
      model: the model inside.
      std: of the noise.

    Raises:
      ValueError: for a model that is none, or an `std` that is no number of at least 0.
    """

    model: Any
    std: float = 0.01

    def __post_init__(self):
        check_model(self.model)
        object.__setattr__(self, "std", check_number("std", self.std, at_least=0))

    def check_columns(self, columns: Mapping[str, np.ndarray]) -> None:
        """Refuses a negative lane column `weight_noise`; for others the model inside decides."""
        arguments.check_column(columns, "weight_noise", at_least=0)
        super().check_columns(columns)

    def init(self, key: jax.Array, tokens: jax.Array) -> Any:
        """Initial parameters of the model inside."""
        return self.model.init(key, tokens)

    def apply(
        self,
        params: Any,
        tokens: jax.Array,
        *,
        key: jax.Array | None = None,
        weight_noise: Any = None,
        **numbers: Any,
    ) -> jax.Array:
        """Logits, with noise on the parameters where a key is given.

        Args:
          params: those of the model inside.
          tokens: int32[..., S].
          key: of the noise, and of the model's own; None for evaluation.
          weight_noise: standard deviation in place of `std`.
          numbers: keywords of the model's own `apply`.

        Raises:
          ValueError: for a key that is none, a negative `weight_noise`, and as the model inside.
        """
        std = self.std if weight_noise is None else weight_noise
        arguments.check_rate("weight_noise", std, at_least=0)
        arguments.check_noise_key(key)
        if key is None:
            return self.model.apply(params, tokens, **numbers)
        own, key = jax.random.split(key)
        paths, structure = jax.tree.flatten_with_path(params)
        keys = jax.random.split(own, len(paths))
        frozen = frozen_params(self.model)

        def noisy(path: Any, leaf: Any, key: jax.Array) -> jax.Array:
            leaf = check_jax_array("params", leaf)
            if getattr(path[0], "key", None) in frozen:
                return leaf
            return leaf + std * normal(key, leaf.shape)

        leaves = [noisy(path, leaf, key) for (path, leaf), key in zip(paths, keys, strict=True)]
        return self.model.apply(structure.unflatten(leaves), tokens, key=key, **numbers)


def with_weight_noise(model: Any, std: float = 0.01) -> WeightNoise:
    """The model, trained at `params + std * N(0, 1)`, drawn anew in every training step.

    All parameters that train get noise, biases and embeddings too; evaluation gets none. The
    gradient at the noisy parameters moves the clean ones. A lane column `weight_noise` sets `std`
    for each lane.

    Raises:
      ValueError: for a model that is none, or an `std` that is no number of at least 0.

    Reference: Power et al. 2022, appendix A.1.2, and their code; "Model and Training Efficiency",
    figure 4, last panel.
    """
    return WeightNoise(model, std)
