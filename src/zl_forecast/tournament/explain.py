"""Attributions of the forecasts of a fitted family, as one long table."""

from dataclasses import replace

import numpy as np
import pandas as pd
from autogluon.core.models import AbstractModel

from zl_forecast import settings
from zl_forecast.families.base import Explanation, Family
from zl_forecast.families.lookback import DAY, EWMA_VOLATILITY, RETURN_COLUMNS, SEPARATOR

SIGNED = ("tree_shap", "coefficients", "permutation")  # methods whose values have a size and a sign
DONORS = 3  # number of sessions whose values are swapped in
RETURNS = "zl_returns"  # ZL's own returns and their volatility, permuted together
HISTORY = {EWMA_VOLATILITY, *RETURN_COLUMNS}
P10, P50, P90 = (settings.QUANTILE_LEVELS.index(level) for level in (0.10, 0.50, 0.90))


def attributions(family: Family, model: AbstractModel, key: pd.DataFrame, X: pd.DataFrame) -> pd.DataFrame:
    """Compute all attributions of a family's forecasts.

    If the family has no signed explanation, `permutation` is added.

    Parameters
    ----------
    family : Family
    model : AbstractModel
        Fitted.
    key : DataFrame of shape (n_rows, 2)
        as_of_date and horizon_days of the rows of X, with the same index.
    X : DataFrame
        Rows as the family reads them.

    Returns
    -------
    DataFrame
        One row per method, horizon_days and feature; for a permutation only features that moved a forecast.
        median_importance and width_importance are means over rows of the absolute attributions to P50 and to
        P90 - P10. median_latest and width_latest are the newest session's own, signed. These four are in
        standardised returns; weights and parameters are in their own unit. feature_value is the newest
        session's, as_of_date its date.
    """
    explanations = list(family.explain(model, X)) if family.explain else []
    if not any(explanation.method in SIGNED for explanation in explanations):
        explanations.append(permutation(model, X))
    newest = key["as_of_date"] == key["as_of_date"].max()
    frames = []
    for explanation in explanations:
        width = explanation.width if explanation.width is not None else explanation.median * np.nan
        for horizon, rows in key.groupby("horizon_days").groups.items():
            last = rows[newest[rows].to_numpy()]
            frame = pd.DataFrame(
                {
                    "median_importance": explanation.median.loc[rows].abs().mean(),
                    "width_importance": width.loc[rows].abs().mean(),
                    "median_latest": explanation.median.loc[last].mean(),
                    "width_latest": width.loc[last].mean(),
                    "feature_value": X.loc[last].reindex(columns=explanation.median.columns).mean(),
                }
            )
            frames.append(
                frame.rename_axis("feature")
                .reset_index()
                .assign(method=explanation.method, horizon_days=horizon, as_of_date=key["as_of_date"].max())
            )
    table = pd.concat(frames, ignore_index=True)
    idle = (table["method"] == "permutation") & (table["median_importance"] == 0) & (table["width_importance"] == 0)
    return table[~idle].reset_index(drop=True)


def explain_newest(
    label: str, family: Family, model: AbstractModel, key: pd.DataFrame, X: pd.DataFrame
) -> pd.DataFrame:
    """Compute `attributions`; fall back to permutation importance if the family's explanation fails.

    The forecasts remain valid if an explanation fails.

    Parameters
    ----------
    label : str
        Prefix of the printed message on failure.
    family : Family
    model : AbstractModel
        Fitted.
    key : DataFrame of shape (n_rows, 2)
        as_of_date and horizon_days of the rows of X, with the same index.
    X : DataFrame
        Rows as the family reads them.

    Returns
    -------
    DataFrame
        As `attributions` returns it.
    """
    try:
        return attributions(family, model, key, X)
    except Exception as error:
        print(
            f"{label}: explanation failed ({type(error).__name__}: {error}); using permutation importance instead",
            flush=True,
        )
        return attributions(replace(family, explain=None), model, key, X)


def permutation(model: AbstractModel, X: pd.DataFrame) -> Explanation:
    """Attribute forecasts by permutation: the change of a forecast when one feature comes from another session.

    Each value is the mean over `DONORS` donor rows, signed. Donors are rows of the same horizon, a fixed part
    of the sample away, so the result is deterministic. A channel moves together with its look-back, and all of
    ZL's returns move together.
    Sources: Breiman (2001), Machine Learning 45, section 10; per row as the marginal contribution of Strumbelj
    and Kononenko (2014), Knowledge and Information Systems 41, for one ordering.

    Parameters
    ----------
    model : AbstractModel
        Fitted.
    X : DataFrame
        Rows as the family reads them.

    Returns
    -------
    Explanation
        Method 'permutation', for P50 and for P90 - P10, in standardised returns.
    """
    groups: dict[str, list[str]] = {}
    for column in X.columns:
        if column in ("horizon_days", DAY):
            continue
        name = RETURNS if column in HISTORY else column.rsplit(SEPARATOR, 1)[0]
        groups.setdefault(name, []).append(column)
    order = np.arange(len(X))
    donors = []
    for step in range(1, DONORS + 1):
        donor = order.copy()
        for rows in X.groupby("horizon_days").indices.values():
            donor[rows] = np.roll(rows, step * len(rows) // (DONORS + 1))
        donors.append(donor)
    own = model.predict_proba(X)
    median, width = {}, {}
    for name, columns in groups.items():
        changes = []
        for donor in donors:
            swapped = X.copy()
            swapped[columns] = X[columns].to_numpy()[donor]
            changes.append(own - model.predict_proba(swapped))
        effect = np.mean(changes, axis=0)
        median[name], width[name] = effect[:, P50], effect[:, P90] - effect[:, P10]
    return Explanation("permutation", pd.DataFrame(median, index=X.index), pd.DataFrame(width, index=X.index))
