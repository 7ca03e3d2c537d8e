"""Kernel regression: what a network would predict if its features did not move."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used: together they take as long as jax

from grokjax.checks import check_array, check_integer, check_number, check_size

# In units of the largest entry or eigenvalue: far above what rounding does to a kernel, TF32 too.
TOLERANCE = 1e-2


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
      kernel: float[P, P], the same for every class, or float[P, P, C, C], over all rows; symmetric
        and without negative eigenvalues, up to a hundredth of the largest.
      labels: int[P], the answers.
      train: bool[P], the rows to regress on; some, not all.
      num_classes: C; the largest label plus one when not given.
      ridge: added to the diagonal, in units of the kernel.
      initial: float[P, C], logits f_0 to start from; zero when not given.

    Raises:
      ValueError: if shapes do not fit, numbers are not finite, labels are outside of the classes,
        all rows or none are trained on, the ridge is negative, or the kernel is no kernel.
    """
    labels = check_array("labels", labels, shape=["P"], kinds="iu")
    if not len(labels):
        raise ValueError("labels must be one for each row, got none.")
    rows, largest = len(labels), int(labels.max())
    classes = largest + 1
    if num_classes is not None:
        classes = check_integer("num_classes", num_classes, at_least=1)
    if labels.min() < 0 or largest >= classes:
        wrong = int(labels.min()) if labels.min() < 0 else largest
        raise ValueError(f"labels must be from 0 to {max(classes - 1, 0)}, got {wrong}.")
    check_size(
        f"answers of {classes} classes", classes * max(classes, rows), "number the classes from 0"
    )
    given = check_array("kernel", kernel)
    if given.shape not in ((rows, rows), (rows, rows, classes, classes)):
        raise ValueError(
            f"{rows} rows of {classes} classes need a kernel of shape {(rows, rows)} or "
            f"{(rows, rows, classes, classes)}, got {given.shape}."
        )
    exact = given.dtype.kind in "biu"
    resolution = float(np.finfo(np.float64).eps if exact else jnp.finfo(given.dtype).eps)
    kernel = _check_kernel(given.astype(np.float64))
    train = _check_train(train, rows)
    ridge = check_number("ridge", ridge, at_least=0)
    start = np.zeros((rows, classes))
    if initial is not None:
        start = check_array("initial", initial, shape=[rows, classes], finite=True)
        start = start.astype(np.float64)

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


def _check_kernel(kernel: np.ndarray) -> np.ndarray:
    """What can be a kernel, as far as one look at its numbers tells."""
    if not np.isfinite(kernel).all():
        raise ValueError("the kernel has entries that are not finite; the network has diverged.")
    largest = max(kernel.max(), -kernel.min())
    flip = lambda block: block.transpose((1, 0, 3, 2)[: kernel.ndim])
    blocks = (slice(start, start + 64) for start in range(0, len(kernel), 64))  # no second copy
    gap = max(np.abs(kernel[at] - flip(kernel[:, at])).max() for at in blocks)
    if gap > TOLERANCE * largest:
        raise ValueError(
            f"kernel must be symmetric, got entries up to {largest:g} that differ by {gap:g} from "
            "those of the transpose."
        )
    rows = np.arange(len(kernel))
    diagonal = kernel[rows, rows] if kernel.ndim == 2 else np.einsum("iiqq->iq", kernel)
    if diagonal.min() < -TOLERANCE * largest:
        raise ValueError(
            "kernel must have no negative eigenvalues, so no negative numbers on its diagonal, got "
            f"{diagonal.min():g}."
        )
    return kernel


def _check_train(train: Any, rows: int) -> np.ndarray:
    """Which rows are trained on, bool[P]."""
    try:
        train = check_array("train", train, shape=[rows], kinds="b")
    except ValueError as error:
        raise ValueError(
            f"{str(error)[:-1]}; for rows given by their numbers use np.isin(np.arange({rows}), "
            "numbers)."
        ) from None
    if train.all() or not train.any():
        raise ValueError(
            f"train must mark some but not all of the {rows} rows, got {int(train.sum())} marked."
        )
    return train


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
    if values[0] < -max(TOLERANCE, smallest) * np.abs(values).max():
        raise ValueError(
            f"kernel must have no negative eigenvalues, got one of {values[0]:g} beside a largest "
            f"of {values[-1]:g}."
        )
    kept = values > smallest * values[-1]
    inverse = np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)
    return (vectors * inverse) @ (vectors.T @ right)
