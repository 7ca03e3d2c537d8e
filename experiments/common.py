"""What several experiments share: Gromov's two ways to train, and networks of several of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy  # its parts are imported when they are used
import xarray

import grokjax
from grokjax import losses, models, optimizers, tasks
from grokjax.results import build_dataset, environment

Training = tuple[grokjax.Recipe, dict[str, float]]


def gradient_descent(p: int, width: int, rate: float = 1e6, **recipe: Any) -> Training:
    """The recipe of plain gradient descent on the squared error, and its learning rate.

    Args:
      p: the modulus.
      width: hidden units.
      rate: the learning rate at p = 97 and width 500; at others it is the one of the same dynamics.
        At 1e6 a network groks after about a thousand steps.
      **recipe: further arguments of `Recipe`, such as measures.
    """
    model = models.QuadraticMLP(p, width)
    learning_rate = rate * (p / 97) ** 3 * (width / 500)
    recipe = {"optimizer": optimizers.gradient_descent, **recipe}
    return grokjax.Recipe(model, losses.mse, **recipe), {"learning_rate": learning_rate}


def adamw(p: int, width: int, **recipe: Any) -> Training:
    """The recipe of AdamW on the squared error, with its learning rate and weight decay.

    Args:
      p: the modulus.
      width: hidden units.
      **recipe: further arguments of `Recipe`, such as measures.
    """
    model = models.QuadraticMLP(p, width, parameterization="standard")
    made = grokjax.Recipe(model, losses.mse, optimizers.adamw, **recipe)
    return made, {"learning_rate": 1e-2, "weight_decay": 5.0}


def first_report(p: int, **fields: Any) -> dict[str, models.Model]:
    """The networks of the first report, by name: 3e5 to 4e5 parameters besides embeddings.

    It is "Towards Understanding Grokking Phenomenon via Model and Training Efficiency".

    Args:
      p: the modulus.
      **fields: of all of them, such as dropout.
    """
    fields = {"vocabulary": p, **fields}
    return {
        "transformer": models.Transformer(p, norm="pre", readout="last", **fields),
        "lstm": models.LSTM(p, width=144, embedding=128, **fields),
        "mlp": models.MLP(p, hidden=(448, 448), embedding=128, **fields),
    }


def second_report(p: int, width: int = 128) -> dict[str, models.Model]:
    """The networks of the second report, "Grokking Phenomenon Reproduction", by name.

    Args:
      p: the modulus.
      width: hidden units; half of those of a layer of the perceptron.
    """
    return {
        "transformer": models.Transformer(p, width=width),
        "lstm": models.LSTM(p, width=width),
        "mlp": models.MLP(p, hidden=(2 * width, 2 * width)),
    }


def untrained(task: tasks.Task, columns: Mapping[str, Any], **measured: Any) -> grokjax.SweepResult:
    """Networks that take no step, as lanes.

    Args:
      task: theirs.
      columns: of the lanes, [L] each.
      **measured: `accuracy` and `loss`, [L], on the whole table: there are no training rows.
    """
    lanes = len(next(iter(columns.values())))
    history = {
        f"{part}_{name}": np.reshape(values, (-1, 1))
        for name, values in measured.items()
        for part in ("train", "test")
    }
    still, finite = np.zeros(lanes, int), np.zeros(lanes, bool)
    attributes = {"task": task.name, "chance": task.chance, **environment()}
    columns = {name: np.asarray(column) for name, column in columns.items()}
    dataset = build_dataset(columns, [0], history, still, finite, attributes, patience=1)
    return grokjax.SweepResult(dataset)


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean over seeds and its interval by Student's t; NaN for the interval of fewer than two."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return (values.mean() if len(values) else np.nan), np.nan, np.nan
    half = scipy.stats.t.ppf((1 + confidence) / 2, len(values) - 1) * scipy.stats.sem(values)
    return values.mean(), values.mean() - half, values.mean() + half


def cells(values: xarray.DataArray, name: str, row: str) -> dict[str, np.ndarray]:
    """The values of lanes by name, and then by row: float[rows, n], rows in increasing order.

    Args:
      values: [L], with the columns of the lanes.
      name: the column of names.
      row: the column of numbers that the rows stand for.

    Returns:
      Names in the order of the lanes. NaN where a row has fewer lanes than another one of its name.
    """
    names, numbers = values[name].values, values[row].values
    table = {}
    for one in dict.fromkeys(names.tolist()):
        each = [values.values[(names == one) & (numbers == x)] for x in np.unique(numbers)]
        table[one] = np.full((len(each), max(map(len, each))), np.nan)
        for cell, found in zip(table[one], each, strict=True):
            cell[: len(found)] = found
    return table
