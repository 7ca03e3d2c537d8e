"""Kernel regression: what a network would predict if its features did not move."""

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg


class Regression(NamedTuple):
    """Kernel regression on the training rows, evaluated on all rows.

    Attributes:
      predictions: float64[P, C], the logits.
      train_loss: mean squared error over training rows and classes.
      test_loss: the same over the other rows.
      train_accuracy: share of training rows whose largest logit is the right one.
      test_accuracy: the same over the other rows.
    """

    predictions: np.ndarray
    train_loss: float
    test_loss: float
    train_accuracy: float
    test_accuracy: float


def regression(
    kernel: Any,
    labels: Any,
    train: Any,
    *,
    num_classes: int | None = None,
    ridge: float = 0.0,
    initial: Any = None,
) -> Regression:
    """Least-squares regression of one-hot answers with a kernel, in float64 on the host.

        predictions = f_0 + K[:, train] (K[train, train] + ridge)^(-1) (one_hot - f_0)[train]

    Without ridge this is where gradient descent on the squared error takes a lazy network. A
    singular kernel gives the solution of least norm: directions whose eigenvalues are below the
    rounding error of the kernel's own type are left out.

    Args:
      kernel: float[P, P], the same for every class, or float[P, P, C, C], over all rows.
      labels: int[P], the answers.
      train: bool[P], the rows to regress on; some, not all.
      num_classes: C; the largest label plus one when not given.
      ridge: added to the diagonal, in units of the kernel.
      initial: float[P, C], logits f_0 to start from; zero when not given.

    Raises:
      ValueError: if shapes do not fit, numbers are not finite, all rows or none are trained on, or
        the ridge is negative.
    """
    given = np.asarray(kernel)
    resolution = np.finfo(given.dtype if given.dtype.kind == "f" else np.float64).eps
    kernel = given.astype(np.float64)
    labels, train = np.asarray(labels), np.asarray(train, bool)
    classes = int(labels.max()) + 1 if num_classes is None else num_classes
    rows = len(labels)
    if kernel.shape not in ((rows, rows), (rows, rows, classes, classes)):
        raise ValueError(
            f"{rows} rows of {classes} classes need a kernel of shape {(rows, rows)} or "
            f"{(rows, rows, classes, classes)}, got {kernel.shape}."
        )
    if train.shape != (rows,) or train.all() or not train.any():
        raise ValueError(
            f"train must mark some but not all of the {rows} rows, got shape {train.shape} with "
            f"{int(train.sum())} of them marked."
        )
    if not ridge >= 0:
        raise ValueError(f"ridge must be at least 0, got {ridge}.")
    if not np.isfinite(kernel).all():
        raise ValueError("the kernel has entries that are not finite; the network has diverged.")
    start = np.zeros((rows, classes)) if initial is None else np.asarray(initial, np.float64)
    if start.shape != (rows, classes):
        raise ValueError(f"initial must have the shape {(rows, classes)}, got {start.shape}.")

    answers = np.eye(classes)[labels]
    inner, outer = kernel[np.ix_(train, train)], kernel[:, train]
    residual = (answers - start)[train]
    if kernel.ndim == 4:
        inner, outer, residual = _flat(inner), _flat(outer), residual.ravel()
    predictions = start + (outer @ _solve(inner, residual, ridge, resolution)).reshape(start.shape)
    errors = np.mean((predictions - answers) ** 2, axis=1)
    right = predictions.argmax(axis=1) == labels
    return Regression(
        predictions=predictions,
        train_loss=float(errors[train].mean()),
        test_loss=float(errors[~train].mean()),
        train_accuracy=float(right[train].mean()),
        test_accuracy=float(right[~train].mean()),
    )


def _flat(kernel: np.ndarray) -> np.ndarray:
    """[P, P', C, C] as the matrix [P C, P' C]."""
    rows, columns, classes, _ = kernel.shape
    return kernel.transpose(0, 2, 1, 3).reshape(rows * classes, columns * classes)


def _solve(kernel: np.ndarray, right: np.ndarray, ridge: float, resolution: float) -> np.ndarray:
    """`(kernel + ridge)^(-1) right`, of least norm where the kernel is singular to its rounding."""
    matrix = kernel + ridge * np.eye(len(kernel))
    smallest = len(kernel) * resolution  # relative to the largest eigenvalue
    try:
        factor = scipy.linalg.cho_factor(matrix, lower=True)
    except scipy.linalg.LinAlgError:
        factor = None
    if factor is not None:
        norm = np.abs(matrix).sum(axis=0).max()
        (estimate,) = scipy.linalg.get_lapack_funcs(("pocon",), (matrix,))
        condition, _ = estimate(factor[0], norm, uplo="L")
        if condition > smallest:
            return scipy.linalg.cho_solve(factor, right)
    values, vectors = scipy.linalg.eigh(matrix)
    kept = values > smallest * values[-1]
    inverse = np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)
    return (vectors * inverse) @ (vectors.T @ right)
