"""Transformations to put before or after an optimizer, and the optimizers they make."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from grokjax.checks import check_integer
from grokjax.optimizers.standard import Scalar, adam, adamw, warmed_up

Optimizer = Callable[..., optax.GradientTransformation]  # of hyperparameters


def chain(*parts: Optimizer) -> Optimizer:
    """An optimizer of several parts, which see the gradient in this order.

    Its arguments are those of all parts; one that two parts have goes to both. Chains of equal
    parts are equal, so that a recipe with a new one compiles nothing.

    Args:
      *parts: functions of hyperparameters that return an optax transformation, at module level.

    Raises:
      ValueError: without parts, or for one whose arguments have no names.
    """
    return _Chain(parts)


@dataclasses.dataclass(frozen=True)
class _Chain:
    parts: tuple[Optimizer, ...]

    def __post_init__(self):
        if not self.parts:
            raise ValueError("chain needs at least one part, such as optimizers.adamw.")
        merged = {}
        for part in self.parts:
            for name, parameter in inspect.signature(part).parameters.items():
                if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                    raise ValueError(
                        f"{part!r} takes {parameter}, but arguments become lane columns by their "
                        "names; write a function that names them."
                    )
                merged.setdefault(name, parameter)
        # What has no default comes first, as signatures demand.
        ordered = sorted(merged.values(), key=lambda x: x.default is not x.empty)
        signature = inspect.Signature(
            [x.replace(kind=x.POSITIONAL_OR_KEYWORD) for x in ordered],
            return_annotation=optax.GradientTransformation,
        )
        object.__setattr__(self, "__signature__", signature)  # what inspect.signature reads

    def __call__(self, *args: Scalar, **kwargs: Scalar) -> optax.GradientTransformation:
        given = inspect.signature(self).bind(*args, **kwargs).arguments
        names = [inspect.signature(part).parameters for part in self.parts]
        return optax.chain(
            *(
                part(**{name: x for name, x in given.items() if name in own})
                for part, own in zip(self.parts, names, strict=True)
            )
        )


def with_update_noise(optimizer: Optimizer) -> Optimizer:
    """An optimizer with noise in its steps, and the lane column `update_noise` beside its own.

    `params -= learning_rate * (direction + update_noise * N(0, 1))`; see `add_update_noise`.
    """
    return chain(optimizer, add_update_noise)


def add_update_noise(
    learning_rate: Scalar, update_noise: Scalar = 0.0, warmup: Scalar = 0
) -> optax.GradientTransformationExtraArgs:
    """Adds `learning_rate * update_noise * N(0, 1)` to the updates: for the end of a chain.

    The random numbers come from the extra argument `key` of `update`, which a sweep passes, new in
    every step and derived from the lane's order seed.

    Reference: S1 figure 4, Power et al. 2022, figure 2. Differs: their code divides the noise of
    step t by `1 - b1^t`, which for `b1 = 0.9` enlarges it in the first 20 steps.

    Raises:
      ValueError: in `update` without a key.
    """
    scale = optax.scale_by_learning_rate(warmed_up(learning_rate, warmup), flip_sign=False)

    def update(updates, state, params=None, *, key=None, **_):
        if key is None:
            raise ValueError(
                "add_update_noise draws from the extra argument `key` of update; call "
                "update(gradient, state, params, key=jax.random.fold_in(key, step))."
            )
        leaves, structure = jax.tree.flatten(updates)
        key = jax.random.fold_in(key, _UPDATE_NOISE)
        noise = structure.unflatten(
            update_noise * jax.random.normal(jax.random.fold_in(key, place), leaf.shape, leaf.dtype)
            for place, leaf in enumerate(leaves)
        )
        noise, state = scale.update(noise, state)
        return jax.tree.map(jnp.add, updates, noise), state

    return optax.GradientTransformationExtraArgs(scale.init, update)


_UPDATE_NOISE = 0x6E6F6973  # what sets this use of a step's key apart from the model's


class _MeanState(NamedTuple):
    step: jax.Array  # int32[]
    mean: Any  # the gradients' exponential mean


def grokfast_ema_filter(
    ema_decay: Scalar = 0.98, lamb: Scalar = 2.0
) -> optax.GradientTransformation:
    """Amplifies the slow part of the gradient: `gradient += lamb * mean`.

    `mean = ema_decay * mean + (1 - ema_decay) * gradient`, from the first gradient on. To be put
    before an optimizer. The paper's name of `ema_decay` is alpha.

    Reference: Lee et al. 2024 (Grokfast-EMA), and its published code.
    """

    def init(params):
        return _MeanState(jnp.int32(0), jax.tree.map(jnp.zeros_like, params))

    def update(updates, state, params=None):
        decay = jnp.where(state.step == 0, 0.0, ema_decay)
        mean = jax.tree.map(lambda e, g: decay * e + (1 - decay) * g, state.mean, updates)
        updates = jax.tree.map(lambda g, e: g + lamb * e, updates, mean)
        return updates, _MeanState(state.step + 1, mean)

    return optax.GradientTransformation(init, update)


class _WindowState(NamedTuple):
    step: jax.Array  # int32[]
    window: Any  # the last gradients, [window, ...]


@dataclasses.dataclass(frozen=True)
class grokfast_ma_filter:
    """Amplifies the slow part of the gradient: `gradient += lamb * mean` of the last `window` ones.

    A function of `lamb`: `grokfast_ma_filter(100)(lamb=5.0)` is the transformation, to be put
    before an optimizer as in `chain(grokfast_ma_filter(50), nesterov)`. Nothing is added until
    there are `window` gradients; the current one counts. It keeps, and each step reads, `window`
    copies of the parameters; `grokfast_ema_filter` keeps one.

    Reference: Lee et al. 2024 (Grokfast-MA), and its published code, which by default waits so too.

    Raises:
      ValueError: if `window` is not a positive integer.
    """

    window: int = 100

    def __post_init__(self):
        check_integer("window", self.window, at_least=1)

    def __call__(self, lamb: Scalar = 5.0) -> optax.GradientTransformation:
        """The transformation."""

        def init(params):
            empty = lambda w: jnp.zeros((self.window, *w.shape), w.dtype)
            return _WindowState(jnp.int32(0), jax.tree.map(empty, params))

        def update(updates, state, params=None):
            place = state.step % self.window
            window = jax.tree.map(lambda old, g: old.at[place].set(g), state.window, updates)
            gain = jnp.where(state.step + 1 >= self.window, lamb, 0.0)
            # Not a running sum: its rounding errors, from when gradients were large, would stay.
            updates = jax.tree.map(lambda g, w: g + gain * jnp.mean(w, axis=0), updates, window)
            return updates, _WindowState(state.step + 1, window)

        return optax.GradientTransformation(init, update)


def orthograd_filter() -> optax.GradientTransformation:
    """The gradient orthogonal to the weights, at its old norm, for each parameter array.

    `g - (w.g / w.w) w`, times `||g|| / ||g - (w.g / w.w) w||`. To be put before an optimizer: what
    only scales the weights up lowers the loss without learning.

    Reference: Prieto et al. 2025, and its published code. Differs: a gradient parallel to the
    weights gives no step, where the code blows up the rounding error that is left of it.
    """

    def orthogonal(g, w):
        rest = g - jnp.sum(w * g) / (jnp.sum(w * w) + 1e-30) * w
        norm, left = (jnp.sqrt(jnp.sum(x * x)) for x in (g, rest))
        nothing = left <= 8 * jnp.finfo(g.dtype).eps * norm
        return jnp.where(nothing, 0.0, rest * (norm / jnp.where(nothing, 1.0, left)))

    def update(updates, state, params=None):
        return jax.tree.map(orthogonal, updates, params), state

    return optax.GradientTransformation(optax.init_empty_state, update)


#: AdamW after `grokfast_ema_filter`; lane columns of both.
grokfast_ema = chain(grokfast_ema_filter, adamw)
#: AdamW after `grokfast_ma_filter` with the published window of 100 gradients.
grokfast_ma = chain(grokfast_ma_filter(), adamw)
#: Adam after `orthograd_filter`, without decay, as Prieto et al. run it.
orthograd = chain(orthograd_filter, adam)
