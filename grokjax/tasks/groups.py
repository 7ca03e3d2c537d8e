"""Tables of binary operations on finite sets: Cayley tables and permutation groups."""

import itertools
from typing import Any, Literal, get_args

import numpy as np

from grokjax.checks import check_array, check_choice, check_flag, check_integer
from grokjax.tasks.modular import operand_rows
from grokjax.tasks.residues import check_modulus
from grokjax.tasks.task import Task

Operation = Literal["a b", "a b a^-1", "a b a"]


def from_table(table: Any, name: str = "table") -> Task:
    """The task of any Cayley table: `labels[n, m] = table[n][m]`, a square array of integers.

    Raises:
      ValueError: if the table is not square or has entries outside 0 ... len(table) - 1.
    """
    table = check_array("table", table, shape=("p", "p"), kinds="iu")
    size = check_modulus(table.shape[0])
    tokens, _ = operand_rows(size, 2)
    if table.min() < 0 or table.max() >= size:
        raise ValueError(
            f"table entries must lie in 0..{size - 1}, got {table.min()}..{table.max()}; "
            "relabel the elements."
        )
    return Task(tokens, table.reshape(-1).astype(np.int32), size, name)


def permutation_group(n: int, operation: Operation = "a b", *, alternating: bool = False) -> Task:
    """Products of permutations of n things: n! classes, and all their pairs (a, b) as rows.

    Element i is the i-th permutation of (0, ..., n - 1) in lexicographic order, so 0 is the
    identity. A product applies its last factor first: `(a b)(x) = a(b(x))`. S5 has 120 classes
    and 14,400 rows.

    Args:
      n: 2 to 6.
      operation: what the answer is: the product "a b", the conjugate "a b a^-1", or "a b a".
      alternating: the even permutations only, n!/2 classes, in the same order; n is then at least
        3.

    Raises:
      ValueError: for an n out of range or another operation.

    Reference: Power et al. 2022, appendix A.1.1: the three operations on S5.

    Example:
      >>> from grokjax import tasks
      >>> tasks.permutation_group(5, "a b a^-1")
      Task('a b a^-1 in S5', num_rows=14400, num_classes=120)
    """
    check_choice("operation", operation, get_args(Operation))
    check_flag("alternating", alternating)
    n = check_integer("n", n, at_least=3 if alternating else 2, below=7)
    elements = np.array(list(itertools.permutations(range(n))))
    if alternating:
        first, second = np.triu_indices(n, 1)
        inversions = (elements[:, first] > elements[:, second]).sum(axis=1)
        elements = elements[inversions % 2 == 0]
    size = len(elements)
    # The digits of a permutation in base n, a number below n^n by which it is found again.
    digits = n ** np.arange(n)[::-1]
    index = np.zeros(n**n, np.int32)
    index[elements @ digits] = np.arange(size)
    compose = lambda a, b: np.take_along_axis(a, b, axis=1)  # a(b(x)) for x = 0, 1, ...
    tokens, _ = operand_rows(size, 2)
    a, b = elements[tokens[:, 0]], elements[tokens[:, 1]]
    product = compose(a, b)
    if operation == "a b a":
        product = compose(product, a)
    elif operation == "a b a^-1":
        product = compose(product, np.argsort(a, axis=1))
    name = f"{operation} in {'A' if alternating else 'S'}{n}"
    return Task(tokens, index[product @ digits], size, name)
