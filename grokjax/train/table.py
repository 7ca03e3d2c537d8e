"""Lane tables: the columns of a sweep, checked on the host before anything compiles."""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from grokjax import losses, optimizers, tasks
from grokjax.checks import check_mapping, check_size, shown
from grokjax.models.protocol import check_columns
from grokjax.tasks import Task
from grokjax.tasks.splits import check_alpha
from grokjax.train.lane import Lane, batch_size, step_rows
from grokjax.train.recipe import BUILT_IN, FULL_BATCH, SEEDS, Recipe

Lanes = dict[str, np.ndarray]
SMALL_TABLE = 128  # rows


def grid(**columns: Any) -> Lanes:
    """The product of columns: one lane for each combination, the last column varying fastest.

    Args:
      **columns: a sequence of values each, or one value.

    Returns:
      A lane table: equally long arrays by column name.

    Raises:
      ValueError: for an empty column, naming it, an alpha outside of (0, 1), and for more lanes
        than fit into memory.

    Example:
      >>> grid(alpha=[0.3, 0.5], seed=range(3))["seed"]
      array([0, 1, 2, 0, 1, 2])
    """
    values = [_column(name, value) for name, value in columns.items()]
    shape = tuple(len(value) for value in values)
    total = math.prod(shape)
    check_size(f"a grid of {total:,} lanes", total * max(len(shape), 1), "give fewer values")
    index = np.unravel_index(np.arange(total), shape) if shape else ()
    return {name: v[i] for name, v, i in zip(columns, values, index, strict=True)}


def zip_lanes(**columns: Any) -> Lanes:
    """Columns side by side: lane i has the i-th value of each; a single value is repeated.

    Raises:
      ValueError: for an empty column, lengths that differ, or an alpha outside of (0, 1).

    Example:
      >>> zip_lanes(alpha=[0.3, 0.5], seed=7)["seed"]
      array([7, 7])
    """
    values = {name: _column(name, value) for name, value in columns.items()}
    length = max((len(value) for value in values.values()), default=1)
    for name, value in values.items():
        if len(value) not in (1, length):
            raise ValueError(
                f"column {name!r} has {len(value)} values where others have {length}; give one "
                "value for each lane, or a single one."
            )
    return {name: np.broadcast_to(value, length).copy() for name, value in values.items()}


def _column(name: str, value: Any) -> np.ndarray:
    if isinstance(value, range):
        count = max(0, (value.stop - value.start) // value.step)
        check_size(f"column {name!r}", count, "give fewer values")
    value = list(value) if isinstance(value, range | tuple) else value
    try:
        array = np.asarray(value)
        array = array[None] if array.ndim == 0 else array
    except (TypeError, ValueError):  # rows of different lengths, and what is no array at all
        array = np.empty((0, 0))
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"column {name!r} must be one value or a non-empty sequence of values, got "
            f"{shown(value)}."
        )
    # A list may hold a word or a boolean among numbers, of which NumPy makes one type.
    if array.dtype.kind not in "iuf" or isinstance(value, list):
        listed = value if isinstance(value, list) else array.tolist()
        if wrong := [x for x in listed if not _is_number(x)]:
            remedy = "; inf stands for all training rows at once" if name == "batch_size" else ""
            raise ValueError(f"column {name!r} must hold numbers, got {shown(wrong[0])}{remedy}.")
    if array.dtype.kind not in "iuf":  # bfloat16, and integers of more than 64 bits
        array = array.astype(float)
    if name == "alpha":
        known = array[~np.isnan(array)]  # NaN is refused with that of all columns
        for outermost in {known.min(), known.max()} if known.size else ():
            check_alpha(float(outermost))
    return array


def _is_number(value: Any) -> bool:
    """Whether a value is a real number; a boolean is none."""
    if isinstance(value, int | float):
        return not isinstance(value, bool)
    return getattr(getattr(value, "dtype", None), "kind", "") in {"i", "u", "f"}


@dataclasses.dataclass(frozen=True)
class LaneTable:
    """Checked lanes: the columns as results show them, and the numbers the device gets."""

    columns: Lanes  # every lane column, defaults included
    lanes: Lane  # the same as arrays, lanes first

    def __len__(self) -> int:
        return len(self.columns["seed"])


def check_lanes(recipe: Recipe, task: Task, lanes: Mapping[str, Any]) -> LaneTable:
    """The lanes of a sweep, with defaults filled in.

    Raises:
      ValueError: for an unknown column (listing what is accepted), a missing hyperparameter, a
        value that is not finite or that the model or optimizer refuses, a bad seed or alpha, and
        for two lanes with the same coordinates.
    """
    check_mapping("lanes", lanes, "grid(alpha=[0.3, 0.5], seed=range(5))")
    columns = {"seed": 0, "alpha": 0.5, **lanes}
    hyperparameters = recipe.hyperparameters()
    accepted = [*BUILT_IN, *hyperparameters]
    for name in columns:
        if name not in accepted:
            raise ValueError(
                f"unknown lane column {name!r}.{_hint(recipe, name, accepted)} Accepted: "
                f"{', '.join(accepted)}."
            )
    for name, parameter in hyperparameters.items():
        if parameter.default is parameter.empty and name not in columns:
            raise ValueError(
                f"the recipe needs a value of {name!r}; add it to the lanes, as in "
                f"grid({name}=[...], seed=range(5))."
            )
    columns = zip_lanes(**columns)

    for name, values in columns.items():
        if name in (*SEEDS, "replica"):
            columns[name] = _check_seeds(name, values)
        elif name == "batch_size":
            columns[name] = _check_batch_sizes(values)
        else:
            columns[name] = _check_numbers(name, values)
    counts = {alpha: tasks.num_train_rows(task, alpha) for alpha in set(columns["alpha"].tolist())}
    bounds = [("init_scale", 0.0, np.inf), ("label_noise", 0.0, 1.0)]
    if recipe.penalty is losses.l2:
        bounds.append(("l2", 0.0, np.inf))
    for name, low, high in bounds:
        bad = [x for x in columns.get(name, ()) if not low <= x <= high]
        if bad:
            raise ValueError(f"{name} must lie between {low:g} and {high:g}, got {bad[0]:g}.")
    check_columns(recipe.model, columns)
    optimizers.check_hyperparameters(recipe.optimizer, columns)
    _check_different(columns)

    batch_sizes = columns.get("batch_size")
    if batch_sizes is not None:
        batch_sizes = np.minimum(batch_sizes, FULL_BATCH).astype(np.int32)
    precision = jax.dtypes.canonicalize_dtype(np.float64)  # float32 without jax_enable_x64

    def floats(name: str) -> np.ndarray | None:
        return columns[name].astype(precision) if name in columns else None

    return LaneTable(
        columns,
        Lane(
            **{
                name: columns.get(name, columns["seed"]).astype(np.uint32)
                for name in ("init_seed", "split_seed", "order_seed")
            },
            num_train=np.array([counts[a] for a in columns["alpha"].tolist()], np.int32),
            hyperparameters={name: floats(name) for name in hyperparameters if name in columns},
            init_scale=floats("init_scale"),
            logit_scale=floats("logit_scale"),
            label_noise=floats("label_noise"),
            batch_size=batch_sizes,
        ),
    )


def lane_keys(columns: Mapping[str, Any]) -> list[tuple]:
    """What names each lane: its coordinates, in the order of the columns' names."""
    return list(zip(*(np.asarray(columns[name]).tolist() for name in sorted(columns)), strict=True))


def _check_different(columns: Lanes) -> None:
    """Every lane is known by its coordinates, so no two may have the same."""
    first: dict[tuple, int] = {}
    for lane, key in enumerate(lane_keys(columns)):
        other = first.setdefault(key, lane)
        if other != lane:
            place = {name: values[lane].item() for name, values in columns.items()}
            raise ValueError(
                f"lanes {other} and {lane} have the same coordinates, {place}, and would be the "
                "same network; remove one. To train equal lanes, from different initial parameters "
                "for example, tell them apart with a column replica=range(...), which changes "
                "nothing else."
            )


def _check_seeds(name: str, values: np.ndarray) -> np.ndarray:
    bad = [x for x in values.tolist() if type(x) is not int or not 0 <= x < 2**32]
    if bad:
        raise ValueError(
            f"{name}={bad[0]!r} must be an integer from 0 to {2**32 - 1}; use for example range(5)."
        )
    return values.astype(np.int64)


def _check_batch_sizes(values: np.ndarray) -> np.ndarray:
    for value in values.tolist():
        whole = type(value) in (int, float) and value == value // 1 and 1 <= value < FULL_BATCH
        if not whole and value != np.inf:
            raise ValueError(
                f"batch_size={value!r} is not a number of rows; use positive integers, or inf for "
                "all training rows at once."
            )
    return values.astype(np.float64)


def _hint(recipe: Recipe, name: str, accepted: list[str]) -> str:
    """What somebody may have meant by a column that there is not."""
    short = {"lr": "learning_rate", "wd": "weight_decay", "fraction": "alpha"}
    close = [short[name]] if name in short else difflib.get_close_matches(name, accepted, n=1)
    if close and close[0] in accepted:
        return f" Did you mean {close[0]!r}?"
    if hasattr(recipe.model, name):
        return (
            f" It is the model's, which all lanes of a sweep share: run a sweep for each {name}, "
            "and join them with grokjax.concatenate."
        )
    return ""


def _check_numbers(name: str, values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(
            f"column {name!r} holds {values[~np.isfinite(values)][0]}; remove it: every lane needs "
            "finite numbers."
        )
    return values


def padded_rows(recipe: Recipe, task: Task, lanes: Lane) -> np.ndarray:
    """What the rows of each lane's step are padded to, int[L]: fixed fractions of the table.

    The fractions are 1, 3/4, 5/8, 1/2, 3/8, 1/4, 3/16, 1/8, ...: few sizes, so few compilations,
    and a tenth of padding on the usual grids of alpha. A table of at most `SMALL_TABLE` rows has
    one size, all of them: such a step costs less than the compilation of another one. Minibatches
    of full size need no padding.
    """
    if task.num_rows <= SMALL_TABLE:
        every = np.full_like(lanes.num_train, task.num_rows)
        return step_rows(recipe, lanes._replace(num_train=every), xp=np)
    halvings = [(n, 8 * 2**k) for k in range(task.num_rows.bit_length()) for n in (4, 3)]
    fractions = [(8, 8), (6, 8), (5, 8), *halvings]
    sizes = np.unique([-(-task.num_rows * n // whole) for n, whole in fractions])
    wanted = step_rows(recipe, lanes, xp=np)
    return np.minimum(sizes[np.searchsorted(sizes, wanted)], batch_size(recipe, lanes))
