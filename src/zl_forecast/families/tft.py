"""Temporal fusion transformer on gluonts' network: variable selection, gated residual networks, interpretable attention.

The look-back is the past, each horizon is one decoder step that knows nothing of the future but its own length, and the
features at the origin are static. Source: Lim et al. (2021), International Journal of Forecasting 37(4), 1748-1764.
"""

import numpy as np
import pandas as pd
import torch
from gluonts.torch.distributions import QuantileOutput
from gluonts.torch.model.tft.module import TemporalFusionTransformerModel
from torch import nn

from zl_forecast import settings
from zl_forecast.families.base import Explanation, Family
from zl_forecast.families.lookback import CHANNEL_LAGS, SEPARATOR
from zl_forecast.families.sequence import ATTENTION_COLUMNS, SequenceModel, start_at_zero

HEADS = 4


class FusionNetwork(nn.Module):
    """gluonts' temporal fusion transformer with its weights read out.

    Parameters
    ----------
    n_channels : int
        The first is ZL's return, which the network takes as its target's past.
    horizons : tuple of int
        Sessions; a decoder step each.
    """

    known: torch.Tensor

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        horizons: tuple[int, ...],
        levels: list[float],
        width: int,
        dropout: float,
    ):
        super().__init__()
        self.network = TemporalFusionTransformerModel(
            context_length=CHANNEL_LAGS,
            prediction_length=len(horizons),
            d_feat_static_real=[1] * n_features,
            d_past_feat_dynamic_real=[1] * (n_channels - 1),
            num_heads=HEADS,
            d_hidden=width,
            d_var=width,
            dropout_rate=dropout,
            distr_output=QuantileOutput(levels),
        )
        start_at_zero(self.network.args_proj.proj[0])
        length = torch.tensor(horizons, dtype=torch.float32).log()
        known = torch.cat([torch.zeros(CHANNEL_LAGS), length - length.mean()])
        self.register_buffer("known", known[:, None])

    def forward(self, path: torch.Tensor, features: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        n = len(path)
        network = self.network
        read: dict[str, torch.Tensor] = {}
        watched = {
            "static": network.static_selector,
            "past": network.ctx_selector,
            "attention": network.temporal_decoder.attention,
        }
        hooks = [
            module.register_forward_hook(lambda _, __, out, name=name: read.__setitem__(name, out[1]))
            for name, module in watched.items()
        ]
        try:
            (raw,), _, _ = network(
                past_target=path[:, :, 0],
                past_observed_values=torch.ones_like(path[:, :, 0]),
                feat_static_real=features,
                feat_static_cat=torch.zeros(n, 1, dtype=torch.long),
                feat_dynamic_real=self.known.expand(n, -1, -1),
                past_feat_dynamic_real=path[:, :, 1:],
            )
        finally:
            for hook in hooks:
                hook.remove()
        # gluonts insists on a static category, which is a constant here, and shows the past log(horizon), a constant too
        static = read["static"].squeeze(1)[:, :-1]
        past = read["past"].squeeze(2).mean(dim=1)[:, :-1]
        lags = read["attention"][:, :, :CHANNEL_LAGS]  # the rest goes to the horizons themselves
        return raw, {"static": _shares(static), "past": _shares(past), "attention": _shares(lags)}


def _shares(weights: torch.Tensor) -> torch.Tensor:
    return weights / weights.sum(dim=-1, keepdim=True)


class TftModel(SequenceModel):
    """AutoGluon adapter of gluonts' temporal fusion transformer."""

    ag_key = "TFT_QUANTILE"
    ag_name = "TFTQuantile"
    ag_priority = 37

    def build(self, n_channels, n_features, horizons, width, dropout) -> nn.Module:
        return FusionNetwork(n_channels, n_features, horizons, list(self.quantile_levels), width, dropout)


def explain(model: TftModel, X: pd.DataFrame) -> list[Explanation]:
    """Weights of the variables and of the sessions of the look-back.

    The static and the past variables have a selector each, which count for half: `<feature>` is a feature at the origin,
    `<channel>@past` a channel's look-back.
    """
    _, weights, sequences = model.run(X)
    names = [*sequences.feature_names, *(f"{channel}{SEPARATOR}past" for channel in sequences.channel_names)]
    variables = np.concatenate([weights["static"], weights["past"]], axis=1) / 2.0
    return [
        Explanation("variable_selection", pd.DataFrame(variables, index=X.index, columns=names)),
        Explanation("attention", pd.DataFrame(weights["attention"], index=X.index, columns=ATTENTION_COLUMNS)),
    ]


FAMILY = Family(
    TftModel,
    {
        "seed": settings.SEED,
        "width": 16,
        "dropout": 0.1,
        "epochs": 8,
        "patience": 3,
        "learning_rate": 8e-3,
        "weight_decay": 1e-2,
    },
    reads_lookback=True,
    explain=explain,
)
