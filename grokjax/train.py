"""One training run, as pure functions: `init_lane`, `train_step`, `measure`, `train_chunk`.

Nothing here knows of batches of runs, devices or progress bars, and nothing is compiled: `sweep`
maps these functions over lanes and slots.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from grokjax import measures as measures_module
from grokjax import tasks
from grokjax.checks import check_integer
from grokjax.losses import LossFn
from grokjax.models import Model, Params, sweepable
from grokjax.tasks import Split, Task

MeasureFn = Callable[[Params, jax.Array, Task, Split], dict[str, jax.Array]]
StopFn = Callable[[dict[str, jax.Array]], jax.Array]
PRECISIONS = ("default", "high", "highest")
EVALUATION_ROWS = 2**14  # of the table at once, when measuring: bounds the memory of large tables


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that does not vary between the lanes of a sweep.

    Attributes:
      model: a frozen dataclass with `init` and `apply`, see `models.Model`. Entries of its
        parameters that its attribute `frozen` names, if it has one, stay as they began.
      loss: per-example loss, such as `losses.mse`.
      optimizer: a function of hyperparameters returning an `optax.GradientTransformation`; each of
        its arguments can be a lane column.
      batch_size: None trains on all training rows at once. An integer makes minibatches of
        `min(batch_size, ceil(n_train / 2))` rows: every epoch visits each of the lane's training
        rows once, in an order of its own; an epoch's last batch may be smaller.
      penalty: None, or a function of the parameters that is added to the mean loss; its keyword
        arguments can be lane columns.
      measures: functions `(params, logits, task, split) -> dict of scalars`, recorded beside loss
        and accuracy.
      precision: of matrix products, a `jax.default_matmul_precision`: "default" allows TF32 on
        GPUs and bfloat16 on TPUs.

    Raises:
      ValueError: for a batch size below 1, an unknown precision, an unhashable part.
    """

    model: Model
    loss: LossFn
    optimizer: Callable[..., optax.GradientTransformation]
    batch_size: int | None = None
    penalty: Callable[..., jax.Array] | None = None
    measures: tuple[MeasureFn, ...] = ()
    precision: str = "highest"

    def __post_init__(self):
        object.__setattr__(self, "measures", tuple(self.measures))
        if self.batch_size is not None:
            otherwise = "None for the full batch"
            check_integer("batch_size", self.batch_size, at_least=1, otherwise=otherwise)
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}, got {self.precision!r}.")
        for field in dataclasses.fields(self):
            try:
                hash(getattr(self, field.name))
            except TypeError:
                raise ValueError(
                    f"Recipe.{field.name} is not hashable: {getattr(self, field.name)!r}; use "
                    "module-level functions and frozen dataclasses."
                ) from None

    def hyperparameters(self) -> dict[str, inspect.Parameter]:
        """What lane columns may set: arguments of the optimizer, the penalty and the model."""
        return _keywords(self.optimizer) | self._penalty_keywords() | sweepable(self.model)

    def _penalty_keywords(self) -> dict[str, inspect.Parameter]:
        if self.penalty is None:
            return {}
        keywords = _keywords(self.penalty)
        keywords.pop(next(iter(keywords)))  # the parameters themselves
        return keywords

    def build_optimizer(self, numbers: dict[str, Any]) -> optax.GradientTransformation:
        """The optimizer of a lane with these hyperparameters, traced or not."""
        names = _keywords(self.optimizer)
        optimizer = self.optimizer(**{name: x for name, x in numbers.items() if name in names})
        frozen = getattr(self.model, "frozen", ())
        if not frozen:
            return optimizer
        # A zero gradient is not enough: weight decay and update noise would still move them.
        return optax.multi_transform(
            {"trained": optimizer, "frozen": optax.set_to_zero()},
            lambda params: {name: "frozen" if name in frozen else "trained" for name in params},
        )

    def apply(
        self, params: Params, tokens: jax.Array, numbers: dict[str, Any], key: Any = None
    ) -> jax.Array:
        """The logits of a lane with these hyperparameters; `key` is given in training."""
        names = sweepable(self.model)
        numbers = {name: x for name, x in numbers.items() if name in names}
        return self.model.apply(params, tokens, key=key, **numbers)

    def evaluate_penalty(self, params: Params, numbers: dict[str, Any]) -> jax.Array | float:
        """The penalty of a lane with these hyperparameters; 0 without one."""
        if self.penalty is None:
            return 0.0
        names = self._penalty_keywords()
        return self.penalty(params, **{name: x for name, x in numbers.items() if name in names})


class Lane(NamedTuple):
    """The coordinates of a run, as numbers: all that tells one lane from another.

    Optional fields are None when no lane of the sweep uses them, and then cost nothing.
    """

    init_seed: Any  # uint32[]
    split_seed: Any  # uint32[]
    order_seed: Any  # uint32[]
    num_train: Any  # int32[], training rows
    hyperparameters: dict[str, Any]  # float32[] each
    init_scale: Any = None  # float32[], factor on the initial parameters
    logit_scale: Any = None  # float32[], factor on the logits, in loss and measurements
    label_noise: Any = None  # float32[], fraction of training rows with random answers


class LaneState(NamedTuple):
    """A run in progress: what training changes, and the rows it trains on."""

    lane: Lane
    params: Params
    opt_state: Any
    step: jax.Array  # int32[]
    order: jax.Array  # int32[P], the first num_train rows are trained on
    labels: jax.Array | None  # int32[P], only with label noise
    epoch_order: jax.Array | None  # int32[P], only with minibatches
    held: jax.Array  # int32[], consecutive measurements at which the stop condition held
    done: jax.Array  # bool[], a lane that is done is never changed again
    diverged: jax.Array  # bool[]


@dataclasses.dataclass(frozen=True)
class grokked:
    """Stops a lane when test accuracy has been at least `threshold` for `patience` measurements.

    Any other function of a measurement's scalars will do for `run_sweep(stop=...)`: the lane stops
    once it was true at `patience` measurements in a row (its attribute of that name, or 1).
    """

    threshold: float = 0.99
    patience: int = 3

    def __post_init__(self):
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must be in (0, 1], got {self.threshold}.")
        check_integer("patience", self.patience, at_least=1)

    def __call__(self, scalars: dict[str, jax.Array]) -> jax.Array:
        """Whether test accuracy has reached the threshold."""
        return scalars["test_accuracy"] >= self.threshold


# Purposes of a lane's random keys: one seed gives independent streams.
_INIT, _SPLIT, _ORDER, _NOISE, _LABELS = range(5)


def _key(seed: Any, purpose: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(seed), purpose)


def split_key(seed: Any) -> jax.Array:
    """The random key of a lane's split, for `tasks.split_order`."""
    return _key(seed, _SPLIT)


def init_key(seed: Any) -> jax.Array:
    """The random key of a lane's initial parameters, for `model.init`."""
    return _key(seed, _INIT)


def init_lane(recipe: Recipe, task: Task, lane: Lane, params: Any = None) -> LaneState:
    """A run at step 0, from its coordinates alone, or from given initial parameters."""
    if params is None:
        params = recipe.model.init(init_key(lane.init_seed), jnp.asarray(task.tokens[:1]))
    if lane.init_scale is not None:
        params = jax.tree.map(lambda leaf: lane.init_scale * leaf, params)
    order = tasks.split_order(task, split_key(lane.split_seed))
    labels = None
    if lane.label_noise is not None:
        key = _key(lane.split_seed, _LABELS)
        labels = tasks.corrupt_labels(task, order, lane.num_train, lane.label_noise, key)
    return LaneState(
        lane=lane,
        params=params,
        opt_state=recipe.build_optimizer(lane.hyperparameters).init(params),
        step=jnp.int32(0),
        order=order,
        labels=labels,
        epoch_order=None if recipe.batch_size is None else order,
        held=jnp.int32(0),
        done=jnp.bool_(False),
        diverged=jnp.bool_(False),
    )


def split_of(task: Task, state: LaneState) -> Split:
    """The rows that a run trains on and is tested on."""
    split = tasks.split(task, state.order, state.lane.num_train)
    return split if state.labels is None else split._replace(labels=state.labels)


def _logits(recipe: Recipe, lane: Lane, params: Params, tokens: jax.Array, key=None) -> jax.Array:
    logits = recipe.apply(params, tokens, lane.hyperparameters, key)
    return logits if lane.logit_scale is None else lane.logit_scale * logits


def train_step(
    recipe: Recipe,
    state: LaneState,
    tokens: jax.Array,
    labels: jax.Array,
    weights: jax.Array,
) -> LaneState:
    """One optimizer step on `sum(weights * loss(logits, labels)) + penalty`.

    Args:
      recipe: what the lanes share.
      state: the run.
      tokens: int32[B, S], the rows of this step.
      labels: int32[B].
      weights: float[B], 1/(number of rows) on the rows and 0 on padding.
    """
    key = jax.random.fold_in(_key(state.lane.order_seed, _NOISE), state.step)
    model_key, update_key = jax.random.split(key)

    def objective(params):
        losses = recipe.loss(_logits(recipe, state.lane, params, tokens, model_key), labels)
        # `where`: the loss of a padded row may be anything, and 0 * inf is NaN.
        data_term = jnp.sum(jnp.where(weights > 0, weights * losses, 0.0))
        return data_term + recipe.evaluate_penalty(params, state.lane.hyperparameters)

    optimizer = recipe.build_optimizer(state.lane.hyperparameters)
    optimizer = optax.with_extra_args_support(optimizer)  # those without noise ignore the key
    gradient = jax.grad(objective)(state.params)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params, key=update_key)
    params = optax.apply_updates(state.params, updates)
    return state._replace(params=params, opt_state=opt_state, step=state.step + 1)


def train_steps(
    recipe: Recipe, task: Task, state: LaneState, num_steps: jax.Array, rows: int
) -> LaneState:
    """`num_steps` steps of a run; `rows` is a static bound on the rows of one step."""
    tokens = jnp.asarray(task.tokens)
    labels = jnp.asarray(task.labels) if state.labels is None else state.labels
    num_train = state.lane.num_train

    if recipe.batch_size is None:
        # Gathered once a chunk: only training rows are touched, padded to a shared size.
        chosen = state.order[:rows]
        tokens, labels = tokens[chosen], labels[chosen]
        weights = jnp.where(jnp.arange(rows) < num_train, 1.0 / num_train, 0.0)
        step = lambda _, state: train_step(recipe, state, tokens, labels, weights)
    else:
        step = lambda _, state: _minibatch_step(recipe, state, tokens, labels, rows)
    return jax.lax.fori_loop(0, num_steps, step, state)


def step_rows(recipe: Recipe, num_train: Any) -> Any:
    """Rows of one step of a run: all of its training rows, or those of a minibatch."""
    if recipe.batch_size is None:
        return num_train
    half = (num_train + 1) // 2
    return jnp.minimum(recipe.batch_size, half)


def _minibatch_step(
    recipe: Recipe, state: LaneState, tokens: jax.Array, labels: jax.Array, rows: int
) -> LaneState:
    """A step on the next rows of the run's current epoch."""
    assert state.epoch_order is not None
    num_train = state.lane.num_train
    batch = step_rows(recipe, num_train)
    steps_per_epoch = (num_train + batch - 1) // batch
    epoch, place = state.step // steps_per_epoch, state.step % steps_per_epoch

    def shuffled():
        key = jax.random.fold_in(_key(state.lane.order_seed, _ORDER), epoch)
        draw = jax.random.uniform(key, state.order.shape)
        # Training rows first, in a random order.
        return state.order[jnp.argsort(jnp.where(jnp.arange(draw.size) < num_train, draw, jnp.inf))]

    order = jax.lax.cond(place == 0, shuffled, lambda: state.epoch_order)
    positions = place * batch + jnp.arange(rows)
    valid = (jnp.arange(rows) < batch) & (positions < num_train)
    chosen = order.at[positions].get(mode="clip")
    weights = jnp.where(valid, 1.0 / jnp.sum(valid), 0.0)
    state = state._replace(epoch_order=order)
    return train_step(recipe, state, tokens[chosen], labels[chosen], weights)


def measure(recipe: Recipe, task: Task, state: LaneState) -> dict[str, jax.Array]:
    """All scalars of a run at its current step: loss, accuracy and the recipe's measures."""
    split = split_of(task, state)
    logits = _table_logits(recipe, state, jnp.asarray(task.tokens))
    losses = recipe.loss(logits, split.labels)
    scalars = {
        "train_loss": measures_module.masked_mean(losses, split.train),
        "test_loss": measures_module.masked_mean(losses, split.test),
    }
    for fn in (measures_module.accuracies, *recipe.measures):
        new = fn(state.params, logits, task, split)
        if repeated := scalars.keys() & new.keys():
            raise ValueError(f"two measures return the same names: {sorted(repeated)}; rename one.")
        scalars |= new
    return {name: jnp.asarray(value, jnp.float32) for name, value in scalars.items()}


def _table_logits(recipe: Recipe, state: LaneState, tokens: jax.Array) -> jax.Array:
    """Logits of the whole table, a large one in equal batches."""
    total = tokens.shape[0]
    batches = -(-total // EVALUATION_ROWS)
    if batches == 1:
        return _logits(recipe, state.lane, state.params, tokens)
    size = -(-total // batches)
    filled = jnp.resize(tokens, (batches, size, tokens.shape[1]))  # repeats the first rows
    logits = jax.lax.map(lambda rows: _logits(recipe, state.lane, state.params, rows), filled)
    return logits.reshape(batches * size, -1)[:total]


def record(
    recipe: Recipe, task: Task, stop: StopFn | None, state: LaneState, max_steps: jax.Array
) -> tuple[LaneState, dict[str, jax.Array]]:
    """Measures a run and decides whether it is done: stopped, diverged or out of steps."""
    with jax.default_matmul_precision(recipe.precision):
        scalars = measure(recipe, task, state)
    finite = jnp.isfinite(scalars["train_loss"])
    for leaf in jax.tree.leaves(state.params):
        finite &= jnp.all(jnp.isfinite(leaf))
    held = state.held
    stopped = jnp.bool_(False)
    if stop is not None:
        held = jnp.where(stop(scalars), held + 1, 0)
        stopped = held >= getattr(stop, "patience", 1)
    done = stopped | ~finite | (state.step >= max_steps)
    return state._replace(held=held, done=state.done | done, diverged=~finite), scalars


def train_chunk(
    recipe: Recipe,
    task: Task,
    stop: StopFn | None,
    state: LaneState,
    num_steps: jax.Array,
    max_steps: jax.Array,
    rows: int,
) -> tuple[LaneState, dict[str, jax.Array]]:
    """Trains a run up to its next measurement, and measures it; one that is done is left alone."""
    num_steps = jnp.where(state.done, 0, jnp.minimum(num_steps, max_steps - state.step))
    with jax.default_matmul_precision(recipe.precision):
        state = train_steps(recipe, task, state, num_steps, rows)
    return record(recipe, task, stop, state, max_steps)


def _keywords(fn: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(fn).parameters)
