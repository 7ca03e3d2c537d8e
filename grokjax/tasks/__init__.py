"""Tasks: finite labelled tables, and the splits that train on a fraction of one.

A task is a function that returns a `Task`. To add one, write such a function, here or anywhere:

    def modular_square_sum(p):
        return modular_function(p, lambda n, m: n * n + m * m, f"n^2+m^2 mod {p}")
"""

from grokjax.tasks.derived import restrict_operand as restrict_operand
from grokjax.tasks.derived import with_extra_training as with_extra_training
from grokjax.tasks.groups import from_table as from_table
from grokjax.tasks.groups import permutation_group as permutation_group
from grokjax.tasks.modular import MAX_ROWS as MAX_ROWS
from grokjax.tasks.modular import modular_addition as modular_addition
from grokjax.tasks.modular import modular_division as modular_division
from grokjax.tasks.modular import modular_function as modular_function
from grokjax.tasks.modular import modular_multiplication as modular_multiplication
from grokjax.tasks.modular import modular_polynomial as modular_polynomial
from grokjax.tasks.modular import modular_subtraction as modular_subtraction
from grokjax.tasks.residues import check_modulus as check_modulus
from grokjax.tasks.residues import is_prime as is_prime
from grokjax.tasks.residues import next_prime as next_prime
from grokjax.tasks.splits import Split as Split
from grokjax.tasks.splits import corrupt_labels as corrupt_labels
from grokjax.tasks.splits import num_train_rows as num_train_rows
from grokjax.tasks.splits import split as split
from grokjax.tasks.splits import split_order as split_order
from grokjax.tasks.task import PAD as PAD
from grokjax.tasks.task import Task as Task
from grokjax.tasks.task import check_task as check_task
