"""Horizons that fit together: what is moved, by how much, and that the chance of a rise follows."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from zl_forecast import settings
from zl_forecast.ensembles.coherence import QUANTILES, coherent

NORMAL = norm.ppf(settings.QUANTILE_LEVELS)


def chosen(*rows: tuple) -> pd.DataFrame:
    """Rows of (day, horizon, scale, quantiles)."""
    return pd.DataFrame(
        {"kind": "oof", "fold_start": pd.Timestamp("2020-01-01"), "as_of_date": pd.Timestamp(day), "horizon_days": horizon, "scale": scale}
        | dict(zip(QUANTILES, quantiles, strict=True))
        for day, horizon, scale, quantiles in rows
    )  # fmt: skip


def test_a_quantile_is_moved_out_to_where_the_shorter_horizon_had_it_worked_by_hand():
    # in log price: P90 of 5 days 4 above its median, that of 20 days 3 above: moved to 4, which is 2 units of its scale
    short = [-3, -2, -1, 0, 1, 4, 5]
    long = [-1.5, -1.0, -0.5, 1.0, 1.5, 2.5, 4.0]
    result = coherent(chosen(("2020-01-02", 5, 1.0, short), ("2020-01-02", 20, 2.0, long)))
    assert result.loc[0, QUANTILES].tolist() == short
    assert result.loc[1, QUANTILES].tolist() == [-1.5, -1.0, -0.5, 1.0, 1.5, 3.0, 4.0]
    assert result["is_widened"].tolist() == [False, True]


def test_what_fits_already_stays_as_it_is_to_the_last_digit_and_other_days_are_not_looked_at():
    rng = np.random.default_rng(1)
    quantiles = np.sort(rng.standard_normal((8, 7)), axis=1)
    rows = chosen(*((f"2020-01-0{i + 2}", 120 if i % 2 else 5, 1.0, quantiles[i]) for i in range(8)))
    result = coherent(rows)
    np.testing.assert_array_equal(result[QUANTILES].to_numpy(), quantiles)
    assert not result["is_widened"].any()


def test_distances_never_fall_with_the_horizon_and_quantiles_ascend():
    rng = np.random.default_rng(2)
    rows = chosen(
        *(
            (f"2020-01-{day:02}", horizon, rng.uniform(0.5, 2), np.sort(rng.standard_normal(7)))
            for day in range(1, 29)
            for horizon in (120, 5, 60, 20)
        )
    )
    result = coherent(rows)
    quantiles = result[QUANTILES].to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert result["is_widened"].any()
    distance = pd.DataFrame(np.abs(quantiles - quantiles[:, [3]]) * result[["scale"]].to_numpy())
    growth = distance.groupby(result["as_of_date"]).diff().dropna()
    assert (growth > -1e-9).all(axis=None)


def test_the_chance_of_a_rise_is_that_of_the_moved_quantiles():
    wide, narrow = 0.04 * NORMAL, 0.02 + 0.01 * NORMAL
    result = coherent(chosen(("2020-01-02", 5, 1.0, wide), ("2020-01-02", 20, 1.0, narrow)))
    assert result["prob_up"].tolist() == pytest.approx([0.5, norm.cdf(0.02 / 0.04)])
