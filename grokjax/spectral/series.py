"""Series of Fourier peaks of a table over two operands."""

from typing import Any, NamedTuple

import jax
import numpy as np

from grokjax.checks import check_integer, check_integers, check_size
from grokjax.spectral.transforms import power_2d, share


class SeriesPower(NamedTuple):
    """Shares of the Fourier power of a logit as a function of the operands (n, m).

    Attributes:
      wanted: on `c_1 n + c_2 m`, the answer; 1 for exact weights.
      twice_n: on `2 c_1 n`.
      twice_m: on `2 c_2 m`.
      difference: on `c_1 n - c_2 m`.
      constant: the share of the constant in the total; the others are shares of the rest.
    """

    wanted: jax.Array
    twice_n: jax.Array
    twice_m: jax.Array
    difference: jax.Array
    constant: jax.Array


def series_masks(p: int, coefficients: tuple[int, int] = (1, 1)) -> dict[str, np.ndarray]:
    """The Fourier modes (mu, nu) of each series of `SeriesPower` but the constant: bool[p, p].

    For f = 1 ... p-1 a quadratic network for `c_1 n + c_2 m` has modes at `f (c_1, c_2)`, which
    it wants, and at `(2 f c_1, 0)`, `(0, 2 f c_2)` and `f (c_1, -c_2)`. A mode in two series, as
    (p/2, p/2) for even p, belongs to the first of them; (0, 0) belongs to none.

    Raises:
      ValueError: for a p below 2, and for coefficients that are both multiples of p.

    Reference: Gromov 2023, equation 11.
    """
    p = check_integer("p", p, at_least=2)
    c1, c2 = (c % p for c in check_integers("coefficients", coefficients, length=2))
    if c1 == c2 == 0:
        raise ValueError(
            f"coefficients={tuple(coefficients)} are multiples of p={p}, so that the answer is "
            "always the same; use at least one that is none."
        )
    check_size(f"series_masks({p})", 4 * p * p, "use a smaller p")
    f = np.arange(1, p)
    modes = {
        "wanted": (c1 * f, c2 * f),
        "twice_n": (2 * c1 * f, 0 * f),
        "twice_m": (0 * f, 2 * c2 * f),
        "difference": (c1 * f, -c2 * f),
    }
    free = np.ones((p, p), dtype=bool)
    free[0, 0] = False
    masks = {}
    for name, (mu, nu) in modes.items():
        mask = np.zeros((p, p), dtype=bool)
        mask[mu % p, nu % p] = True
        masks[name] = mask & free
        free &= ~mask
    return masks


def series_power(tables: Any, coefficients: tuple[int, int] = (1, 1)) -> SeriesPower:
    """Shares of the power of each table in the series of a quadratic network.

    Args:
      tables: float[..., p, p], functions of (n, m), such as the logits of each class over the
        whole table, `logits.reshape(p, p, p)` with the class axis moved to the front.
      coefficients: c_1 and c_2 of the task `c_1 n + c_2 m`.

    Returns:
      `SeriesPower` of float[...]. What the four series leave of 1 lies outside all of them.

    Raises:
      ValueError: for anything but square tables, and for coefficients that `series_masks` refuses.
    """
    powers = power_2d(tables)
    p = powers.shape[-1]
    varying = share(powers, powers.sum(axis=(-2, -1), keepdims=True)).at[..., 0, 0].set(0.0)
    shares = share(varying, varying.sum(axis=(-2, -1), keepdims=True))
    masks = series_masks(p, coefficients)
    total = powers.sum(axis=(-2, -1))
    return SeriesPower(
        **{name: shares[..., mask].sum(axis=-1) for name, mask in masks.items()},
        constant=share(powers[..., 0, 0], total),
    )
