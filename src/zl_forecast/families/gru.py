"""GRU over the look-back with additive attention.

Sources: Cho et al. (2014), Learning phrase representations using RNN encoder-decoder, EMNLP; attention of Bahdanau et al.
(2015), ICLR.
"""

from torch import nn

from zl_forecast import settings
from zl_forecast.families.base import Family
from zl_forecast.families.sequence import Head, RecurrentAttention, SequenceModel, explain_attention


class GruModel(SequenceModel):
    """AutoGluon adapter of a GRU with attention."""

    ag_key = "GRU_ATTENTION"
    ag_name = "GRUAttention"
    ag_priority = 39

    def build(self, n_channels, n_features, horizons, width, dropout) -> nn.Module:
        head = Head(width, n_features, len(horizons), len(self.quantile_levels), dropout)
        return RecurrentAttention(nn.GRU, n_channels, width, head)


FAMILY = Family(
    GruModel,
    {
        "seed": settings.SEED,
        "width": 24,
        "dropout": 0.3,
        "epochs": 15,
        "patience": 3,
        "learning_rate": 3e-3,
        "weight_decay": 1e-2,
    },
    reads_lookback=True,
    explain=explain_attention,
)
