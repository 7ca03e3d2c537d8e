"""What these experiments share: their networks.

The report is "Towards Understanding Grokking Phenomenon via Model and Training Efficiency".
"""

from typing import Literal

from grokjax.models import LSTM, MLP, Model, QuadraticMLP, Transformer

Network = Literal["quadratic", "mlp", "lstm", "transformer"]


def networks_for(p: int, scale: str) -> dict[str, tuple[Model, float]]:
    """Networks by name, each with its learning rate of AdamW.

    They have no dropout: the only regularizer is the decay that an experiment sets.

    Args:
      p: the modulus.
      scale: "paper" for the report's sizes, 3e5 to 4e5 parameters besides embeddings, and its
        learning rate 1e-3; "quick" for about a tenth of these parameters.
    """
    rest = {"vocabulary": p, "dropout": 0.0}
    if scale == "quick":
        return {
            "quadratic": (QuadraticMLP(p, 128, parameterization="standard"), 1e-2),
            "mlp": (MLP(p, hidden=(128, 128), **rest), 1e-2),
            "lstm": (LSTM(p, layers=1, width=64, **rest), 1e-2),
            "transformer": (Transformer(p, layers=1, width=64, **rest), 3e-3),
        }
    return {
        "quadratic": (QuadraticMLP(p, 500, parameterization="standard"), 1e-2),
        "mlp": (MLP(p, hidden=(448, 448), embedding=128, **rest), 1e-3),
        "lstm": (LSTM(p, width=144, embedding=128, **rest), 1e-3),
        "transformer": (Transformer(p, norm="pre", readout="last", **rest), 1e-3),
    }
