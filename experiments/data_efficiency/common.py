"""What the experiments of data efficiency share: their Transformer."""

from grokjax import models
from grokjax.command import Study

WARMUP = 10  # steps of the learning rate, in every network


def transformer(study: Study, p: int) -> models.Model:
    """One narrow layer without dropout at the quick scale, else the network of the reports.

    Args:
      p: the modulus.
    """
    if study.scale == "quick":
        return models.Transformer(p, layers=1, width=32, vocabulary=p, dropout=0.0)
    return models.Transformer(p)
