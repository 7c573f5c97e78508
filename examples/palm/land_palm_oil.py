"""Turn a vendor's palm oil prices into a landing file: python examples/palm/land_palm_oil.py VENDOR.csv LANDING.csv

VENDOR.csv has the columns Date (YYYY-MM-DD, the trading day in Kuala Lumpur) and Settlement (MYR per tonne).
"""

import sys

import pandas as pd


def to_landing(vendor: pd.DataFrame) -> pd.DataFrame:
    """Return the vendor's rows as rows of the landing table `series`.

    Bursa Malaysia settles at 18:00, which is 04:00 or 05:00 of the same date in Chicago: the price is public at the
    17:00 cut-off of that date, so `available_on` is the trading day itself. A settlement is not revised.
    """
    known = vendor.dropna(subset=["Settlement"]).sort_values("Date")
    return pd.DataFrame(
        {
            "series_id": "BURSA_FCPO",
            "obs_date": known["Date"],
            "available_on": known["Date"],
            "value": known["Settlement"],
        }
    )


if __name__ == "__main__":
    to_landing(pd.read_csv(sys.argv[1])).to_csv(sys.argv[2], index=False)
