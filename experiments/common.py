"""What several experiments share: Gromov's two ways to train, and networks of several of them.

Everywhere `p` is the modulus, `width` the number of hidden units, `**fields` are those of models,
and `**recipe` further arguments of `Recipe`, such as measures.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import scipy  # its parts are imported when they are used
import xarray

import grokjax
from grokjax import losses, models, optimizers, tasks
from grokjax.results import build_dataset, environment

Training = tuple[grokjax.Recipe, dict[str, float]]
Network = Literal["quadratic", "mlp", "lstm", "transformer"]


def gradient_descent(p: int, width: int, rate: float = 1e6, **recipe: Any) -> Training:
    """The recipe of plain gradient descent on the squared error, and its learning rate.

    `rate` is the learning rate at p = 97 and width 500; at others it is the one of the same
    dynamics. At 1e6 a network groks after about a thousand steps.
    """
    model = models.QuadraticMLP(p, width)
    learning_rate = rate * (p / 97) ** 3 * (width / 500)
    recipe = {"optimizer": optimizers.gradient_descent, **recipe}
    return grokjax.Recipe(model, losses.mse, **recipe), {"learning_rate": learning_rate}


def adamw(
    p: int, width: int, dropout: float = 0.0, normalize: bool = False, **recipe: Any
) -> Training:
    """The recipe of AdamW on the squared error, with its learning rate and weight decay."""
    model = models.QuadraticMLP(
        p, width, parameterization="standard", dropout=dropout, normalize=normalize
    )
    made = grokjax.Recipe(model, losses.mse, optimizers.adamw, **recipe)
    return made, {"learning_rate": 1e-2, "weight_decay": 5.0}


def first_report(p: int, **fields: Any) -> dict[str, models.Model]:
    """The networks of the first report, by name: 3e5 to 4e5 parameters besides embeddings.

    It is "Towards Understanding Grokking Phenomenon via Model and Training Efficiency".
    """
    fields = {"vocabulary": p, **fields}
    return {
        "transformer": models.Transformer(p, norm="pre", readout="last", **fields),
        "lstm": models.LSTM(p, width=144, embedding=128, **fields),
        "mlp": models.MLP(p, hidden=(448, 448), embedding=128, **fields),
    }


def second_report(p: int, width: int = 128) -> dict[str, models.Model]:
    """The networks of the second report, "Grokking Phenomenon Reproduction", by name."""
    return {
        "transformer": models.Transformer(p, width=width),
        "lstm": models.LSTM(p, width=width),
        "mlp": models.MLP(p, hidden=(2 * width, 2 * width)),
    }


def networks_for(p: int, scale: str) -> dict[str, tuple[models.Model, float]]:
    """Networks without dropout by name, each with its learning rate of AdamW.

    At scale "quick" they have about a tenth of the parameters of the first report's networks, which
    they are at other scales, with its learning rate 1e-3.
    """
    if scale == "quick":
        rest = {"vocabulary": p, "dropout": 0.0}
        return {
            "quadratic": (models.QuadraticMLP(p, 128, parameterization="standard"), 1e-2),
            "mlp": (models.MLP(p, hidden=(128, 128), **rest), 1e-2),
            "lstm": (models.LSTM(p, layers=1, width=64, **rest), 1e-2),
            "transformer": (models.Transformer(p, layers=1, width=64, **rest), 3e-3),
        }
    return {
        "quadratic": (models.QuadraticMLP(p, 500, parameterization="standard"), 1e-2),
        **{name: (model, 1e-3) for name, model in first_report(p, dropout=0.0).items()},
    }


def transformer(p: int, scale: str) -> models.Model:
    """The Transformer of both reports at scale "paper", else a narrow layer without dropout."""
    if scale == "paper":
        return models.Transformer(p)
    return models.Transformer(p, layers=1, width=32, vocabulary=p, dropout=0.0)


def untrained(task: tasks.Task, columns: Mapping[str, Any], **measured: Any) -> grokjax.SweepResult:
    """Networks that take no step, as lanes with these columns, [L] each.

    What is measured, such as `accuracy` and `loss`, [L] each, is that of the whole table, of which
    no row is trained on: it stands for training and test rows alike.
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


def about(result: grokjax.SweepResult) -> str:
    """What networks learned, for a title: "n1+n2 mod 97, alpha 0.5", if all have the same alpha."""
    dataset = result.dataset
    alphas = np.unique(dataset.alpha)
    return dataset.attrs["task"] + (f", alpha {alphas[0]:g}" if len(alphas) == 1 else "")


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean over seeds and its interval by Student's t; NaN for the interval of fewer than two."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return (values.mean() if len(values) else np.nan), np.nan, np.nan
    half = scipy.stats.t.ppf((1 + confidence) / 2, len(values) - 1) * scipy.stats.sem(values)
    return values.mean(), values.mean() - half, values.mean() + half


def cells(
    values: xarray.DataArray, name: str, row: str
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The numbers in a column `row`, and the values of lanes, [L], by them and by name.

    Returns:
      The numbers in increasing order, [rows]; and for each entry of the column `name`, in the order
      of the lanes, float[rows, n]; NaN where there are fewer lanes than in another row.
    """
    names, numbers = values[name].values, values[row].values
    rows, table = np.unique(numbers), {}
    for one in dict.fromkeys(names.tolist()):
        each = [values.values[(names == one) & (numbers == x)] for x in rows]
        table[one] = np.full((len(each), max(map(len, each))), np.nan)
        for cell, found in zip(table[one], each, strict=True):
            cell[: len(found)] = found
    return rows, table
