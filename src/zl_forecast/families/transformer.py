"""Transformer encoder over the look-back, read at the origin's session.

Sources: Vaswani et al. (2017), Attention is all you need, NeurIPS 30; pre-layer normalisation as in Xiong et
al. (2020), ICML.
"""

import math

import torch
from torch import nn

from zl_forecast import settings
from zl_forecast.families.base import Family
from zl_forecast.families.lookback import CHANNEL_LAGS
from zl_forecast.families.sequence import Head, SequenceModel, explain_attention

HEADS = 4


def positional_encoding(n_steps: int, width: int) -> torch.Tensor:
    """Compute the sinusoidal encoding of the positions in a sequence.

    Source: Vaswani et al. (2017), section 3.5.

    Parameters
    ----------
    n_steps : int
    width : int
        Even.

    Returns
    -------
    tensor of shape (n_steps, width)
        Between -1 and 1.
    """
    step = torch.arange(n_steps, dtype=torch.float32)[:, None]
    angle = step * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)


class AttentionEncoder(nn.Module):
    """A transformer encoder of one layer; only the output at the origin's session is used."""

    def __init__(self, n_channels: int, width: int, head: Head, dropout: float):
        super().__init__()
        self.embedding = nn.Linear(n_channels, width)
        self.register_buffer("position", positional_encoding(CHANNEL_LAGS, width))
        layer = nn.TransformerEncoderLayer(
            width, HEADS, 2 * width, dropout=dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers=1, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = head

    def forward(self, path: torch.Tensor, features: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Compute raw outputs and, outside training, attention weights, see `RecurrentAttention.forward`."""
        steps = self.embedding(path) + self.position
        raw = self.head(self.encoder(steps)[:, -1], features)
        return raw, {} if self.training else {"attention": self.attention(steps)}

    def attention(self, steps: torch.Tensor) -> torch.Tensor:
        """Compute the attention weights of the origin's session over all sessions, mean over heads.

        The encoder layer does not return its weights, so they are computed again.

        Parameters
        ----------
        steps : tensor of shape (n, CHANNEL_LAGS, width)
            Embedded sessions, oldest first.

        Returns
        -------
        tensor of shape (n, CHANNEL_LAGS)
            Non-negative, with sum one per row.
        """
        (layer,) = self.encoder.layers
        normed = layer.norm1(steps)
        return layer.self_attn(normed[:, -1:], normed, normed)[1].squeeze(1)


class TransformerModel(SequenceModel):
    """AutoGluon adapter of a transformer encoder."""

    ag_key = "TRANSFORMER"
    ag_name = "Transformer"
    ag_priority = 38

    def build(self, n_channels, n_features, horizons, width, dropout) -> nn.Module:
        """Return an untrained `AttentionEncoder`."""
        head = Head(width, n_features, len(horizons), len(self.quantile_levels), dropout)
        return AttentionEncoder(n_channels, width, head, dropout=0.1)


FAMILY = Family(
    TransformerModel,
    {
        "seed": settings.SEED,
        "width": 16,
        "dropout": 0.3,
        "epochs": 15,
        "patience": 3,
        "learning_rate": 5e-3,
        "weight_decay": 1e-2,
    },
    reads_lookback=True,
    explain=explain_attention,
)
