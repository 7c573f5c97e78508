"""Carry from the futures curve against the steps that the simulated market makes at its rolls."""

import numpy as np
import pandas as pd
import pytest
from conftest import read

from zl_forecast.sample import simulate


@pytest.fixture(scope="module")
def carries(sample_features) -> pd.DataFrame:
    """Carry from the curve, with the delivery month that was in front on target_date."""
    return read(
        sample_features.warehouse,
        """
        select
            carries.* replace (carries.as_of_date::timestamp as as_of_date, target_month::timestamp as target_month),
            prices.contract_id
        from intermediate.int_carry__daily as carries
        inner join intermediate.int_prices__daily as prices
            on prices.symbol = 'zl' and prices.as_of_date = carries.target_date
        where source = 'curve'
        """,
    ).to_pandas()


def test_on_the_eve_of_a_roll_carry_is_the_step_of_the_next_session(carries):
    market = simulate("planted", start="2018-01-02", end="2021-12-31")
    months = market.rolls["ZL"].shift(-1).reindex(market.latent.index)
    eves = months.index[months > 0]
    nearest = carries[carries["horizon_days"] == 5].set_index("as_of_date")
    eves = eves[eves.isin(nearest.index)]
    step = months[eves] * market.latent.loc[eves, "oil_carry"]
    found = nearest.loc[eves]
    assert len(eves) >= 22  # eight a year, the first year has no year before it
    assert (found["target_month"] > found["front_month"]).all()
    np.testing.assert_allclose(
        found["carry"] * found["front_settle"], step * found["front_settle"], atol=0.011
    )  # a tick
    assert (step * found["front_settle"]).abs().max() > 0.2  # the steps are far larger


def test_the_expected_front_is_in_front_on_the_target_date(carries):
    in_front = carries["target_month"].dt.strftime("%Y%m") == carries["contract_id"].str[-6:]
    right = in_front.groupby(carries["horizon_days"]).mean()
    assert (right > 0.98).all()  # the others lie within days of a roll, whose date differs from year to year
    assert set(right.index) == {5, 20, 60, 120}
