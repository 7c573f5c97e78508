"""AutoGluon's feed-forward network with a quantile head that cannot cross.

Source: Erickson et al. (2020), AutoGluon-Tabular, arXiv:2003.06505; quantile head after Tambwekar et al. (2021).
"""

from zl_forecast.families.base import Family

FAMILY = Family(
    "NN_TORCH",
    {
        "num_epochs": 15,
        "epochs_wo_improve": 3,
        "num_layers": 2,
        "hidden_size": 32,
        "dropout_prob": 0.4,
        "weight_decay": 1e-2,
    },
)
