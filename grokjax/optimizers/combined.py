"""Transformations to put before or after an optimizer, and the optimizers they make."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from grokjax.checks import check_array, check_integer, check_key, check_number, check_size, shown
from grokjax.optimizers.arguments import BOUNDS, checked
from grokjax.optimizers.standard import Scalar, adam, adamw, warmed_up

Optimizer = Callable[..., optax.GradientTransformation]  # of hyperparameters


def chain(*parts: Optimizer) -> Optimizer:
    """An optimizer of several parts, which see the gradient in this order.

    Its arguments are those of all parts; one that two parts have goes to both. Chains of equal
    parts are equal, so that a recipe with a new one compiles nothing.

    Args:
      *parts: functions of hyperparameters that return an optax transformation, at module level.

    Raises:
      ValueError: without parts, for one that is no function, or whose arguments have no names, and
        when it is called for one that returns no optax transformation.
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
            for name, parameter in _parameters(part).items():
                if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
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
        made = []
        for part in self.parts:
            own = _parameters(part)
            made.append(part(**{name: x for name, x in given.items() if name in own}))
            if not (hasattr(made[-1], "init") and hasattr(made[-1], "update")):
                raise ValueError(
                    f"the part {part!r} must return an optax transformation, such as optax.sgd(1.0)"
                    f", got {shown(made[-1])}."
                )
        return optax.chain(*made)


def _parameters(part: Any) -> Mapping[str, inspect.Parameter]:
    """The arguments of a part of a chain."""
    try:
        return inspect.signature(part).parameters
    except (TypeError, ValueError):
        raise ValueError(
            "parts of a chain must be functions of hyperparameters that return an optax "
            f"transformation, such as optimizers.adamw, got {shown(part)}."
        ) from None


def check_hyperparameters(optimizer: Optimizer, columns: Mapping[str, np.ndarray]) -> None:
    """Refuses lane columns that mean nothing to an optimizer, such as a negative learning rate.

    Only arguments of this library's optimizers are looked at, alone or as parts of a chain: to
    another one the same names may mean something else.

    Args:
      optimizer: of a recipe.
      columns: lane columns, [L] each; others than the optimizer's arguments are ignored.

    Raises:
      ValueError: naming the first column and number that is out of its range.
    """
    own = _own_arguments(optimizer) & BOUNDS.keys()
    for name in [name for name in columns if name in own]:
        what = f"lane column {name!r}"
        values = check_array(what, columns[name], shape=("lanes",))
        for extreme in (values.min(), values.max()) if values.size else ():
            check_number(what, extreme.item(), **BOUNDS[name])


def _own_arguments(optimizer: Any) -> set[str]:
    """Names of the arguments that go to optimizers of this library."""
    if isinstance(optimizer, _Chain):
        return set().union(*map(_own_arguments, optimizer.parts))
    if isinstance(optimizer, functools.partial):
        return _own_arguments(optimizer.func)
    package = __name__.rpartition(".")[0]
    own = str(getattr(optimizer, "__module__", "")).rpartition(".")[0] == package
    return set(_parameters(optimizer)) if own else set()


def with_update_noise(optimizer: Optimizer) -> Optimizer:
    """An optimizer with noise in its steps, and the lane column `update_noise` beside its own.

    `params -= learning_rate * (direction + update_noise * N(0, 1))`; see `add_update_noise`.

    Raises:
      ValueError: for anything that `chain` refuses.
    """
    return chain(optimizer, add_update_noise)


def add_update_noise(
    learning_rate: Scalar, update_noise: Scalar = 0.0, warmup: Scalar = 0
) -> optax.GradientTransformationExtraArgs:
    """Adds `learning_rate * update_noise * N(0, 1)` to the updates: for the end of a chain.

    The random numbers come from the extra argument `key` of `update`, which a sweep passes, new in
    every step and derived from the lane's order seed.

    Reference: "Model and Training Efficiency", figure 4; Power et al. 2022, figure 2. Differs:
    their code divides the noise of step t by `1 - b1^t`, which for `b1 = 0.9` enlarges it in the
    first 20 steps.

    Raises:
      ValueError: for a negative learning rate or noise, and in `update` without a key.
    """
    learning_rate, update_noise, warmup = checked(
        learning_rate=learning_rate, update_noise=update_noise, warmup=warmup
    )
    scale = optax.scale_by_learning_rate(warmed_up(learning_rate, warmup), flip_sign=False)

    def update(updates, state, params=None, *, key=None, **_):
        if key is None:
            raise ValueError(
                "add_update_noise draws from the extra argument `key` of update; call "
                "update(gradient, state, params, key=jax.random.fold_in(key, step))."
            )
        leaves, structure = jax.tree.flatten(updates)
        key = jax.random.fold_in(check_key("key", key), _UPDATE_NOISE)
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

    Raises:
      ValueError: for an `ema_decay` outside [0, 1) or a `lamb` that is no number.

    Reference: Lee et al. 2024 (Grokfast-EMA), and its published code.
    """
    ema_decay, lamb = checked(ema_decay=ema_decay, lamb=lamb)

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


MAX_WINDOW_NUMBERS = 2**32  # 16 GiB of float32 in each lane


@dataclasses.dataclass(frozen=True)
class grokfast_ma_filter:
    """Amplifies the slow part of the gradient: `gradient += lamb * mean` of the last `window` ones.

    A function of `lamb`: `grokfast_ma_filter(100)(lamb=5.0)` is the transformation, to be put
    before an optimizer as in `chain(grokfast_ma_filter(50), nesterov)`. Nothing is added until
    there are `window` gradients; the current one counts. It keeps, and each step reads, `window`
    copies of the parameters; `grokfast_ema_filter` keeps one.

    Reference: Lee et al. 2024 (Grokfast-MA), and its published code, which by default waits so too.

    Raises:
      ValueError: if `window` is not a positive integer, or too large for the parameters; when
        called, for a `lamb` that is no number.
    """

    window: int = 100

    def __post_init__(self):
        object.__setattr__(self, "window", check_integer("window", self.window, at_least=1))

    def __call__(self, lamb: Scalar = 5.0) -> optax.GradientTransformation:
        """The transformation."""
        (lamb,) = checked(lamb=lamb)

        def init(params):
            size = sum(map(jnp.size, jax.tree.leaves(params)))
            check_size(
                f"grokfast_ma_filter({self.window})",
                self.window * size,
                "use a smaller window, or grokfast_ema_filter, which keeps one gradient",
                at_most=MAX_WINDOW_NUMBERS,
            )
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

    Raises:
      ValueError: in `update` without parameters.

    Reference: Prieto et al. 2025, and its published code. Differs: a gradient parallel to the
    weights gives no step, where the code blows up the rounding error that is left of it.
    """

    def orthogonal(g, w):
        rest = g - jnp.sum(w * g) / (jnp.sum(w * w) + 1e-30) * w
        norm, left = (jnp.sqrt(jnp.sum(x * x)) for x in (g, rest))
        nothing = left <= 8 * jnp.finfo(g.dtype).eps * norm
        return jnp.where(nothing, 0.0, rest * (norm / jnp.where(nothing, 1.0, left)))

    def update(updates, state, params=None):
        if params is None:
            raise ValueError(
                "orthograd_filter needs the weights; call update(gradient, state, params)."
            )
        return jax.tree.map(orthogonal, updates, params), state

    return optax.GradientTransformation(optax.init_empty_state, update)


#: AdamW after `grokfast_ema_filter`; lane columns of both.
grokfast_ema = chain(grokfast_ema_filter, adamw)
#: AdamW after `grokfast_ma_filter` with the published window of 100 gradients.
grokfast_ma = chain(grokfast_ma_filter(), adamw)
#: Adam after `orthograd_filter`, without decay, as Prieto et al. run it.
orthograd = chain(orthograd_filter, adam)
