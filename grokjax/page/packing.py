"""Numbers as text that a page can carry: few bytes each, and no more of them than it can hold."""

import base64
import functools

import numpy as np

STEPS = 65534  # of a 16-bit number; 65535 stands for NaN


def packed(values: np.ndarray) -> str:
    """The bytes of an array, little endian, in base64."""
    values = np.ascontiguousarray(values)
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode()


def packed_floats(values: np.ndarray) -> dict[str, object]:
    """Numbers in 16 bits each, evenly spaced between the lowest and the highest of them.

    Positive numbers that span more than a factor of 100 are evenly spaced in their logarithms. NaN
    and infinity are left out.
    """
    values = np.asarray(values, float)
    finite = values[np.isfinite(values)]
    log = bool(finite.size and finite.min() > 0 and finite.max() > 100 * finite.min())
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.log(values) if log else values
    known = scaled[np.isfinite(scaled)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    places = (scaled - low) * (STEPS / (high - low) if high > low else 0.0)
    codes = np.where(np.isfinite(scaled), np.rint(np.nan_to_num(places)), STEPS + 1)
    return {
        "low": float(low),
        "high": float(high),
        "log": log,
        "codes": packed(np.clip(codes, 0, STEPS + 1).astype(np.uint16)),
    }


@functools.cache
def thinned(length: int, number: int) -> np.ndarray:
    """At most `number` places among 0 ... length - 1, both ends among them: int[N].

    Half are evenly spaced and half evenly in their logarithms, because much happens early.
    """
    if length <= number:
        return np.arange(length)
    even = np.linspace(0, length - 1, max(2, number // 2))
    early = np.geomspace(1, length, max(2, number - len(even))) - 1
    return np.unique(np.rint(np.r_[even, early]).astype(int))


def spread(length: int, number: int) -> np.ndarray:
    """At most `number` evenly spaced places among 0 ... length - 1: int[N]."""
    if length <= number:
        return np.arange(length)
    return np.unique(np.linspace(0, length - 1, number).astype(int))
