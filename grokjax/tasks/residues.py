"""Moduli: which are allowed, and which are prime."""

from typing import Any

from grokjax.checks import check_integer


def check_modulus(p: Any, at_least: int = 2) -> int:
    """`p` as a Python int.

    Raises:
      ValueError: if it is not an integer of at least `at_least`.
    """
    return check_integer("p", p, at_least=at_least)


def is_prime(p: int) -> bool:
    """Whether p is a prime number."""
    return p >= 2 and all(p % d for d in range(2, int(p**0.5) + 1))


def next_prime(p: int) -> int:
    """The smallest prime above p."""
    p += 1
    while not is_prime(p):
        p += 1
    return p
