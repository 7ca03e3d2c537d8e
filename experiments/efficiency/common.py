"""What these experiments share: their networks."""

from grokjax.models import LSTM, MLP, Model, QuadraticMLP, Transformer

NETWORKS = ("quadratic", "mlp", "lstm", "transformer")


def network(name: str, p: int, scale: str) -> Model:
    """A network without dropout: the only regularizer is the decay that an experiment sets.

    Args:
      name: one of `NETWORKS`.
      p: the modulus.
      scale: "paper" for S1's sizes, 3e5 to 4e5 parameters besides embeddings; "quick" for about a
        tenth of that.

    Raises:
      ValueError: for another name.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; use any of {', '.join(NETWORKS)}.")
    small = scale == "quick"
    if name == "quadratic":
        return QuadraticMLP(p, 128 if small else 500, parameterization="standard")
    if name == "mlp":
        if small:
            return MLP(p, hidden=(128, 128), vocabulary=p, dropout=0.0)
        return MLP(p, hidden=(448, 448), embedding=128, vocabulary=p, dropout=0.0)
    if name == "lstm":
        if small:
            return LSTM(p, layers=1, width=64, vocabulary=p, dropout=0.0)
        return LSTM(p, width=144, embedding=128, vocabulary=p, dropout=0.0)
    if small:
        return Transformer(p, layers=1, width=64, vocabulary=p, dropout=0.0)
    return Transformer(p, norm="pre", readout="last", vocabulary=p, dropout=0.0)


def learning_rate(name: str, scale: str) -> float:
    """The learning rate of AdamW for a network: S1's 1e-3, and about what a small one can take."""
    if name == "quadratic":
        return 1e-2
    if scale == "paper":
        return 1e-3
    return 3e-3 if name == "transformer" else 1e-2
