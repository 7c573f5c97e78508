"""The model families: one module each, with a constant FAMILY. The registry is seeds/families.csv, whose rows name the modules."""

import pandas as pd

from zl_forecast.families.base import Explanation, Family, QuantileModel
from zl_forecast.registry import load_constant


def load_families(families: pd.DataFrame) -> dict[str, Family]:
    """The families of the registry, by name, in its order.

    Parameters
    ----------
    families : DataFrame
        Columns family and module of seeds/families.csv. A module may be anywhere that Python finds it.

    Raises
    ------
    TournamentError
        A module cannot be found or imported, or its FAMILY is missing or no Family.
    """
    return {
        name: load_constant(
            f"family '{name}' of seeds/families.csv",
            module,
            "FAMILY",
            "Family(...)",
            lambda value: isinstance(value, Family),
        )
        for name, module in families[["family", "module"]].itertuples(index=False)
    }


__all__ = ["Explanation", "Family", "QuantileModel", "load_families"]
