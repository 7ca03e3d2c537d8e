"""`Task`: a finite labelled table."""

import dataclasses
from typing import Any

import jax
import numpy as np

PAD = -1  # operand of an unused place in a shorter equation


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A finite labelled table: every row is an equation, its operands and its answer.

    Attributes:
      tokens: int32[P, S], the operands; `PAD` in unused places of shorter equations.
      labels: int32[P], the answers.
      num_classes: C, how many different answers there are.
      name: what figures and results call it.
      train_only: bool[P] or None, rows that are always trained on and never tested.
      table_rows: None, or how many rows the table has of which these are a sample. The fraction
        alpha that a lane trains on is always one of the table; the rest of the sample tests it.
    """

    tokens: Any
    labels: Any
    num_classes: int = dataclasses.field(metadata={"static": True})
    name: str = dataclasses.field(metadata={"static": True})
    train_only: Any = None
    table_rows: int | None = dataclasses.field(default=None, metadata={"static": True})

    @property
    def num_rows(self) -> int:
        """P, the number of equations at hand."""
        return self.labels.shape[0]

    @property
    def operands(self) -> int:
        """S, the number of operands of an equation."""
        return self.tokens.shape[1]

    @property
    def chance(self) -> float:
        """Accuracy of always giving the most frequent answer: the share of the majority class."""
        return float(np.bincount(np.asarray(self.labels)).max() / self.num_rows)

    def __repr__(self) -> str:
        return f"Task({self.name!r}, rows={self.num_rows}, classes={self.num_classes})"
