"""Tasks: finite labelled tables, and the splits that train on a fraction of one.

A task is a function that returns a `Task`. To add one, write such a function, here or anywhere:

    def modular_square_sum(p):
        return modular_function(p, lambda n, m: n * n + m * m, f"n^2+m^2 mod {p}")
"""

from grokjax.tasks.derived import restrict_operand, with_extra_training
from grokjax.tasks.groups import from_table, permutation_group
from grokjax.tasks.modular import (
    MAX_ROWS,
    modular_addition,
    modular_division,
    modular_function,
    modular_multiplication,
    modular_polynomial,
    modular_subtraction,
)
from grokjax.tasks.residues import check_modulus, is_prime, next_prime
from grokjax.tasks.splits import Split, corrupt_labels, num_train_rows, split, split_order
from grokjax.tasks.task import PAD, Task, check_task

__all__ = [
    "MAX_ROWS",
    "PAD",
    "Split",
    "Task",
    "check_modulus",
    "check_task",
    "corrupt_labels",
    "from_table",
    "is_prime",
    "modular_addition",
    "modular_division",
    "modular_function",
    "modular_multiplication",
    "modular_polynomial",
    "modular_subtraction",
    "next_prime",
    "num_train_rows",
    "permutation_group",
    "restrict_operand",
    "split",
    "split_order",
    "with_extra_training",
]


def __dir__() -> list[str]:
    return __all__
