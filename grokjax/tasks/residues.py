"""Moduli: which are allowed, and which are prime."""

import math
from typing import Any

from grokjax.checks import check_integer


def check_modulus(p: Any, at_least: int = 2) -> int:
    """`p` as a Python int.

    Raises:
      ValueError: if it is not an integer of at least `at_least`, or none of 64 bits.
    """
    at_least = check_integer("at_least", at_least)
    return check_integer("p", check_integer("p", p, at_least=at_least), below=2**62)


def is_prime(p: int) -> bool:
    """Whether p is a prime number.

    Raises:
      ValueError: if p is not an integer, or from 2^53 on, where trial division takes too long.
    """
    p = check_integer("p", p, below=2**53)
    return p >= 2 and all(p % d for d in range(2, math.isqrt(p) + 1))


def next_prime(p: int) -> int:
    """The smallest prime above p.

    Raises:
      ValueError: as `is_prime` does.
    """
    p = max(check_integer("p", p, below=2**53), 1) + 1
    while not is_prime(p):
        p += 1
    return p
