"""LSTM over the look-back with additive attention.

Sources: Hochreiter and Schmidhuber (1997), Neural Computation 9(8), 1735-1780; attention of Bahdanau et al. (2015), ICLR.
"""

from torch import nn

from zl_forecast.families.base import Family
from zl_forecast.families.sequence import RECURRENT, RecurrentModel, explain_attention


class LstmModel(RecurrentModel):
    """AutoGluon adapter of an LSTM with attention."""

    ag_key = "LSTM_ATTENTION"
    ag_name = "LSTMAttention"
    ag_priority = 40
    cell = nn.LSTM


FAMILY = Family(LstmModel, RECURRENT, reads_lookback=True, explain=explain_attention)
