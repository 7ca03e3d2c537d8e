"""Which frequencies a closed-form network should use, and how far apart they keep the answers."""

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np

from grokjax import tasks
from grokjax.checks import check_integer, check_integers, check_size, shown

# Entries of the tables that a search may fill: about a second of NumPy.
EXHAUSTIVE_BUDGET = 2**26
BEAM_BUDGET = 2**27
MAX_BEAM = 64


def margin(p: int, frequencies: Sequence[int]) -> float:
    """Smallest gap between the right logit and another one, as a share of the right one.

    `1 - max_{s != 0} g(s) / g(0)` with `g(s) = sum_f cos(2 pi f s / p)` over the frequencies f,
    which is the logit of class `n + m - s` in an exact network. One frequency has
    `1 - cos(2 pi / p)`, all of them `p / (p - 1)`; the Nyquist frequency p/2 counts half.

    Raises:
      ValueError: for a p below 2, and for frequencies that `check_frequencies` refuses.

    Example:
      >>> from grokjax import analytic
      >>> round(analytic.margin(97, (1,)), 4), round(analytic.margin(97, (1, 10)), 3)
      (0.0021, 0.102)
    """
    p = tasks.check_modulus(p)
    frequencies = check_frequencies(p, frequencies)
    check_size(f"margin of p={p}", len(frequencies) * p, "use fewer frequencies or a smaller p")
    weights = np.array([0.5 if 2 * f == p else 1.0 for f in frequencies])
    g = weights @ np.cos(2 * np.pi * (np.outer(frequencies, np.arange(1, p)) % p) / p)
    return float(1 - g.max() / weights.sum())


def check_frequencies(p: int, frequencies: Sequence[int]) -> tuple[int, ...]:
    """The frequencies folded into 1 ... p//2, since f and p - f are the same cosine.

    Raises:
      ValueError: if p is below 2, if one is not an integer or a multiple of p, if two are the same
        cosine, or if all share a factor with p: the network could then not tell `s` from
        `s + p/factor`.
    """
    p = tasks.check_modulus(p)
    folded = []
    for f in check_integers("frequencies", frequencies, such_as="(1, 10)"):
        residue = f % p
        if residue == 0:
            raise ValueError(f"frequencies must be no multiples of p={p}, got {f}.")
        folded.append(min(residue, p - residue))
    if not folded or len(set(folded)) < len(folded):
        raise ValueError(
            "frequencies must be at least one, and differ also after f -> p - f; "
            f"{shown(frequencies)} are {shown(folded)} for p={p}."
        )
    factor = math.gcd(p, *folded)
    if factor > 1:
        raise ValueError(
            f"frequencies {shown(frequencies)} share the factor {factor} with p={p}, so answers "
            f"that differ by {p // factor} would be the same; add one that is coprime to p, such "
            "as 1."
        )
    return tuple(folded)


def best_frequencies(p: int, num_frequencies: int) -> tuple[int, ...]:
    """The frequencies below p/2 with the largest `margin`, in ascending order.

    Multiplying all frequencies by a unit modulo p permutes the answers and keeps the margin, so
    one frequency can be a divisor of p (1, for prime p). Where the sets that are left are few
    enough they are all tried, and of the best the first is taken (p = 97 up to 5 frequencies,
    p = 997 up to 3); beyond that a beam search adds one frequency at a time.

    Raises:
      ValueError: if there are not that many frequencies, or p is too large for a search.

    Example:
      >>> from grokjax import analytic
      >>> analytic.best_frequencies(23, 3)
      (1, 3, 8)
    """
    p = tasks.check_modulus(p, at_least=3)
    num_frequencies = check_integer("num_frequencies", num_frequencies, at_least=1)
    available = (p - 1) // 2
    if num_frequencies > available:
        raise ValueError(
            f"num_frequencies must be between 1 and {available} for p={p}, got {num_frequencies}."
        )
    return (1,) if num_frequencies == 1 else _search(p, num_frequencies)


@functools.lru_cache(maxsize=1024)
def _search(p: int, num_frequencies: int) -> tuple[int, ...]:
    """The best frequencies, if there are that many."""
    available = (p - 1) // 2
    check_size(
        f"the search for {num_frequencies} frequencies of p={p}",
        available * (p // 2),
        "use a smaller p, or frequencies of your own",
    )
    steps = np.arange(1, p // 2 + 1)  # g is even in s
    # Frequency f has row f - 1.
    cosines = np.cos(2 * np.pi * (np.outer(np.arange(1, available + 1), steps) % p) / p)
    # Sets without a divisor of p that is a frequency do not exist up to a unit.
    divisors = [d for d in range(1, available + 1) if p % d == 0]
    sets = len(divisors) * math.comb(available - 1, num_frequencies - 1)
    if sets * len(steps) * num_frequencies <= EXHAUSTIVE_BUDGET:
        rows = _exhaustive(cosines, divisors, num_frequencies)
    else:
        rows = _beam(cosines, num_frequencies)
    return tuple(row + 1 for row in rows)


def _exhaustive(cosines: np.ndarray, divisors: list[int], size: int) -> tuple[int, ...]:
    """Rows of the best set that contains a divisor."""
    best, best_peak = (), np.inf
    for d in divisors:
        others = [row for row in range(len(cosines)) if row != d - 1]
        sets = itertools.combinations(others, size - 1)
        while block := list(itertools.islice(sets, 2**13)):
            # Adding row by row is faster than gathering all rows and needs less memory.
            g = np.broadcast_to(cosines[d - 1], (len(block), cosines.shape[1])).copy()
            for rows in np.array(block, dtype=np.int64).reshape(len(block), size - 1).T:
                g += cosines[rows]
            peaks = g.max(axis=1)
            first = int(np.argmax(peaks < peaks.min() + 1e-9))
            if peaks[first] < best_peak - 1e-9:  # equivalent sets differ by rounding only
                best, best_peak = tuple(sorted((d - 1, *block[first]))), peaks[first]
    return best


def _beam(cosines: np.ndarray, size: int) -> tuple[int, ...]:
    """Rows of a good set, grown from frequency 1 by keeping the best sets of every size."""
    width = int(np.clip(BEAM_BUDGET // (cosines.size * size), 1, MAX_BEAM))
    beam = {(0,)}
    for _ in range(size - 1):
        grown = {}
        for rows in sorted(beam):
            peaks = (cosines[list(rows)].sum(axis=0)[None, :] + cosines).max(axis=1)
            peaks[list(rows)] = np.inf
            for row in np.argsort(peaks, kind="stable")[:width]:
                if np.isfinite(peaks[row]):
                    grown[tuple(sorted((*rows, int(row))))] = round(peaks[row], 9)
        beam = set(sorted(grown, key=lambda rows: (grown[rows], rows))[:width])
    return min(beam, key=lambda rows: (round(cosines[list(rows)].sum(axis=0).max(), 9), rows))
