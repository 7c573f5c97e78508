"""GRU over the look-back with additive attention.

Sources: Cho et al. (2014), Learning phrase representations using RNN encoder-decoder, EMNLP; attention of Bahdanau et al.
(2015), ICLR.
"""

from torch import nn

from zl_forecast.families.base import Family
from zl_forecast.families.sequence import RECURRENT, RecurrentModel, explain_attention


class GruModel(RecurrentModel):
    """AutoGluon adapter of a GRU with attention."""

    ag_key = "GRU_ATTENTION"
    ag_name = "GRUAttention"
    ag_priority = 39
    cell = nn.GRU


FAMILY = Family(GruModel, RECURRENT, reads_lookback=True, explain=explain_attention)
