"""What these experiments share: their networks.

The report is "Towards Understanding Grokking Phenomenon via Model and Training Efficiency".
"""

from typing import Literal

from experiments.common import first_report
from grokjax import models

Network = Literal["quadratic", "mlp", "lstm", "transformer"]


def networks_for(p: int, scale: str) -> dict[str, tuple[models.Model, float]]:
    """Networks by name, each with its learning rate of AdamW.

    They have no dropout: the only regularizer is the decay that an experiment sets.

    Args:
      p: the modulus.
      scale: "paper" for the report's sizes, 3e5 to 4e5 parameters besides embeddings, and its
        learning rate 1e-3; "quick" for about a tenth of these parameters.
    """
    if scale == "quick":
        rest = {"vocabulary": p, "dropout": 0.0}
        return {
            "quadratic": (models.QuadraticMLP(p, 128, parameterization="standard"), 1e-2),
            "mlp": (models.MLP(p, hidden=(128, 128), **rest), 1e-2),
            "lstm": (models.LSTM(p, layers=1, width=64, **rest), 1e-2),
            "transformer": (models.Transformer(p, layers=1, width=64, **rest), 3e-3),
        }
    return {
        "quadratic": (models.QuadraticMLP(p, 500, parameterization="standard"), 1e-2),
        **{name: (model, 1e-3) for name, model in first_report(p, dropout=0.0).items()},
    }
