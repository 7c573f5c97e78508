"""Temporal fusion transformer on gluonts' network, with variable selection and interpretable attention.

The look-back is the past input. Each horizon is one decoder step, whose only known future input is its own
length. The features at the origin are static inputs.
Source: Lim et al. (2021), International Journal of Forecasting 37(4), 1748-1764.
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
    """gluonts' temporal fusion transformer, which also returns its attention and selection weights.

    Parameters
    ----------
    n_channels : int
        The first is ZL's return, which the network reads as its target's past.
    n_features : int
    horizons : tuple of int
        Sessions; one decoder step each.
    levels : list of float
        Quantile levels.
    width : int
        Size of the hidden layers.
    dropout : float in [0, 1)
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
        """Compute raw outputs, and weights over static features, channels and sessions, see `RecurrentAttention.forward`.

        Weights with sum one along the last axis: 'static' (n, n_features), 'past' (n, n_channels), 'attention'
        (n, n_horizons, CHANNEL_LAGS).
        """
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
        # drop the weights of two constants: gluonts requires a static category, and adds log(horizon) to the past
        static = read["static"].squeeze(1)[:, :-1]
        past = read["past"].squeeze(2).mean(dim=1)[:, :-1]
        lags = read["attention"][:, :, :CHANNEL_LAGS]  # the other columns are the horizons themselves
        return raw, {"static": _shares(static), "past": _shares(past), "attention": _shares(lags)}


def _shares(weights: torch.Tensor) -> torch.Tensor:
    return weights / weights.sum(dim=-1, keepdim=True)


class TftModel(SequenceModel):
    """AutoGluon adapter of gluonts' temporal fusion transformer."""

    ag_key = "TFT_QUANTILE"
    ag_name = "TFTQuantile"
    ag_priority = 37

    def build(self, n_channels, n_features, horizons, width, dropout) -> nn.Module:
        """Return an untrained `FusionNetwork`."""
        return FusionNetwork(n_channels, n_features, horizons, list(self.quantile_levels), width, dropout)


def explain(model: TftModel, X: pd.DataFrame) -> list[Explanation]:
    """Compute the weights of the variables and of the sessions in the look-back, with sum one per row.

    Static and past variables have separate selectors, and each selector counts for half. `<feature>` is a
    feature at the origin, `<channel>@past` a channel's look-back.
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
