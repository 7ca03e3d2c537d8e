"""What the experiments of data efficiency share: their Transformer."""

from grokjax import models
from grokjax.command import Study


def transformer(study: Study, p: int) -> models.Model:
    """The network of the reports at paper scale, else one narrow layer without dropout.

    Args:
      p: the modulus.
    """
    if study.scale == "paper":
        return models.Transformer(p)
    return models.Transformer(p, layers=1, width=32, vocabulary=p, dropout=0.0)
