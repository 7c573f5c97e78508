"""The look-back in each row: the sessions up to its origin, as plain columns.

A forecast is a pure function of (fitted model, row), so families that read a path find it in their own row:
`origin_day`, `ewma_volatility`, ZL's daily returns `return_lag_000` (the origin's own) to
`return_lag_251`, and the bucket's channels, `<channel>@00` to `<channel>@39`. Lags count sessions. Every value
was public at the cut-off of its own session.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from zl_forecast.errors import TournamentError

RETURN_LAGS = 252
CHANNEL_LAGS = 40
DAY, EWMA_VOLATILITY = "origin_day", "ewma_volatility"
RETURN_COLUMNS = [f"return_lag_{lag:03d}" for lag in range(RETURN_LAGS)]
SEPARATOR = "@"


@dataclass(frozen=True)
class Sessions:
    """Rows grouped into one entry per session, oldest first.

    Attributes
    ----------
    day : array of shape (n_sessions,)
        Days since 1970-01-01, ascending, int64.
    ewma_volatility : array of shape (n_sessions,)
        EWMA volatility known at the origin, log return per session (0.01 is 1 %).
    returns : array of shape (n_sessions, RETURN_LAGS)
        Log returns per session, oldest first, the origin's own last; NaN before the history begins.
    channels : array of shape (n_sessions, CHANNEL_LAGS, n_channels)
        Oldest first; NaN where unknown.
    channel_names : tuple of str
    features : DataFrame of shape (n_sessions, n_features)
        The mart's features at the origin; NaN where unknown.
    session : array of shape (n_rows,)
        Position of the session of each row of X.
    """

    day: np.ndarray
    ewma_volatility: np.ndarray
    returns: np.ndarray
    channels: np.ndarray
    channel_names: tuple[str, ...]
    features: pd.DataFrame
    session: np.ndarray


def lookback_columns(mart: pd.DataFrame, zl: pd.DataFrame, channels: tuple[str, ...]) -> pd.DataFrame:
    """Build the look-back of every session of a mart.

    Parameters
    ----------
    mart : DataFrame
        as_of_date (ascending), and features that include the channels.
    zl : DataFrame
        as_of_date (ascending), log_return and ewma_volatility of ZL (log return per session). May begin before the mart,
        and must cover its dates.
    channels : tuple of str
        Features of the mart that get a look-back.

    Returns
    -------
    DataFrame
        One row per session of the mart, in its order: as_of_date, `DAY`, `EWMA_VOLATILITY`, `RETURN_COLUMNS` and the
        columns of the channels.

    Raises
    ------
    TournamentError
        If `zl` lacks a session of the mart.
    """
    position = pd.Index(zl["as_of_date"]).get_indexer(mart["as_of_date"])
    if (position < 0).any():  # position -1 would select the newest session, which is look-ahead
        missing = mart.loc[position < 0, "as_of_date"]
        raise TournamentError(
            f"int_volatility__zl lacks {len(missing)} sessions of the mart, the first on {missing.iloc[0]:%Y-%m-%d}. "
            "It must contain all of them."
        )
    padded = np.concatenate([np.full(RETURN_LAGS - 1, np.nan), zl["log_return"].to_numpy(float)])
    returns = np.lib.stride_tricks.sliding_window_view(padded, RETURN_LAGS)[position, ::-1]
    blocks = [pd.DataFrame(returns, columns=RETURN_COLUMNS)]
    for channel in channels:
        padded = np.concatenate([np.full(CHANNEL_LAGS - 1, np.nan), mart[channel].to_numpy(float)])
        window = np.lib.stride_tricks.sliding_window_view(padded, CHANNEL_LAGS)[:, ::-1]
        blocks.append(pd.DataFrame(window, columns=[f"{channel}{SEPARATOR}{lag:02d}" for lag in range(CHANNEL_LAGS)]))
    day = mart["as_of_date"].to_numpy("datetime64[D]").astype("int64")
    head = pd.DataFrame(
        {
            "as_of_date": mart["as_of_date"].to_numpy(),
            DAY: day,
            EWMA_VOLATILITY: zl["ewma_volatility"].to_numpy(float)[position],
        }
    )
    return pd.concat([head, *blocks], axis=1)


def read_sessions(X: pd.DataFrame) -> Sessions:
    """Group rows (one per session and horizon) into one entry per session, ordered by day.

    Parameters
    ----------
    X : DataFrame
        horizon_days, features and the columns of `lookback_columns`.

    Returns
    -------
    Sessions
    """
    X = X.loc[:, X.columns.notna()]  # AutoGluon adds an empty column named None to validation rows
    day, first, session = np.unique(X[DAY].to_numpy(), return_index=True, return_inverse=True)
    own = X.iloc[first]
    names = tuple(c.rsplit(SEPARATOR, 1)[0] for c in X.columns if c.endswith(f"{SEPARATOR}00"))
    channels = [own[[f"{name}{SEPARATOR}{lag:02d}" for lag in range(CHANNEL_LAGS)]].to_numpy(float) for name in names]
    hidden = {DAY, EWMA_VOLATILITY, "horizon_days", *RETURN_COLUMNS}
    return Sessions(
        day=day.astype("int64"),
        ewma_volatility=own[EWMA_VOLATILITY].to_numpy(float),
        returns=own[RETURN_COLUMNS].to_numpy(float)[:, ::-1],
        channels=np.stack(channels, axis=2)[:, ::-1] if channels else np.empty((len(day), CHANNEL_LAGS, 0)),
        channel_names=names,
        features=own[[c for c in X.columns if c not in hidden and SEPARATOR not in c]].reset_index(drop=True),
        session=session,
    )
