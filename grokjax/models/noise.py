"""Noise of training: cheap random masks, dropout, and Gaussian noise on the weights.

Threefry masks take a third of a training step on a CPU. Here threefry makes the keys, as anywhere
in JAX, and an integer hash spreads the two words of a key over the elements of its mask.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def random_bits(key: jax.Array, size: int) -> jax.Array:
    """Random words, uint32[size]: `mix(mix(i ^ mix(w0)) ^ w1)` for element i and the key's words.

    One `mix`, lowbias32, would do for one mask. With `mix(i ^ w)` alone, keys whose words share
    their leading bits would give each other's words in another order. The words depend on the key
    and on i only, in any company; they are statistically good, and not for cryptography.

    Reference: C. Wellons, hash-prospector, 2018 (lowbias32).
    """
    words = jax.random.key_data(key)[-2:]
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

    Reference: Srivastava et al. 2014, in the inverted form.
    """
    if key is None or (isinstance(rate, float | int) and rate == 0):
        return x
    kept = (random_bits(key, x.size) >> 8).astype(jnp.float32) >= rate * np.float32(2**24)
    return jnp.where(kept.reshape(x.shape), x / (1 - rate), 0.0)


def normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal numbers of `random_bits`, float32[shape], through the inverse error function.

    They have 2^24 different values, up to 5.3 in magnitude.
    """
    centres = (random_bits(key, math.prod(shape)) >> 8).astype(jnp.float32) * 2**-23
    return math.sqrt(2) * jax.lax.erf_inv(centres - (1 - 2**-24)).reshape(shape)


@dataclasses.dataclass(frozen=True)
class WeightNoise:
    """A model whose training steps see its parameters with noise: see `with_weight_noise`.

    Attributes:
      model: the model inside.
      std: of the noise.
    """

    model: Any
    std: float = 0.01

    def __post_init__(self):
        if not (self.std >= 0 and math.isfinite(self.std)):
            raise ValueError(f"std must be a number of at least 0, got {self.std!r}.")

    @property
    def p(self) -> int:
        """The modulus of the model inside, if it has one."""
        return self.model.p

    @property
    def operands(self) -> int:
        """The number of operands of the model inside, if it is fixed."""
        return self.model.operands

    @property
    def frozen(self) -> tuple[str, ...]:
        """Parameters of the model inside that no optimizer moves."""
        return getattr(self.model, "frozen", ())

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
        """
        if key is None:
            return self.model.apply(params, tokens, **numbers)
        std = self.std if weight_noise is None else weight_noise
        own, key = jax.random.split(key)
        leaves, structure = jax.tree.flatten(params)
        keys = jax.random.split(own, len(leaves))
        noisy = [
            leaf + std * normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)
        ]
        return self.model.apply(structure.unflatten(noisy), tokens, key=key, **numbers)


def with_weight_noise(model: Any, std: float = 0.01) -> WeightNoise:
    """The model, trained at `params + std * N(0, 1)`, drawn anew in every training step.

    All parameters get noise, biases and embeddings too; evaluation gets none. The gradient at the
    noisy parameters moves the clean ones. A lane column `weight_noise` sets `std` for each lane.

    Raises:
      ValueError: for a negative `std`.

    Reference: Power et al. 2022, appendix A.1.2, and their code; S1 figure 4, last panel.
    """
    return WeightNoise(model, std)
