"""LSTM over the look-back with additive attention.

Sources: Hochreiter and Schmidhuber (1997), Neural Computation 9(8), 1735-1780; attention of Bahdanau et al. (2015), ICLR.
"""

from torch import nn

from zl_forecast import settings
from zl_forecast.families.base import Family
from zl_forecast.families.sequence import Head, RecurrentAttention, SequenceModel, explain_attention


class LstmModel(SequenceModel):
    """AutoGluon adapter of an LSTM with attention."""

    ag_key = "LSTM_ATTENTION"
    ag_name = "LSTMAttention"
    ag_priority = 40

    def build(self, n_channels, n_features, horizons, width, dropout) -> nn.Module:
        head = Head(width, n_features, len(horizons), len(self.quantile_levels), dropout)
        return RecurrentAttention(nn.LSTM, n_channels, width, head)


FAMILY = Family(
    LstmModel,
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
