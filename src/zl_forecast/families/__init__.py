"""The model families: one module each, with a constant FAMILY. The registry seeds/families.csv names the modules."""

import pandas as pd

from zl_forecast.families.base import Explanation, Family, QuantileModel
from zl_forecast.registry import load_constant

CONSENSUS = "consensus"  # a row of the registry without a module: SQL computes it from the families


def load_families(families: pd.DataFrame) -> dict[str, Family]:
    """Load the families of the registry.

    Parameters
    ----------
    families : DataFrame
        Columns family and module of seeds/families.csv. A module may be anywhere on Python's path.

    Returns
    -------
    dict of str to Family
        By name, in the order of the registry, without the consensus.

    Raises
    ------
    TournamentError
        If a module cannot be found or imported, or its FAMILY is missing or not a Family.
    """
    return {
        name: load_constant(
            f"family '{name}' of seeds/families.csv",
            module,
            "FAMILY",
            "Family(...)",
            lambda value: isinstance(value, Family),
        )
        for name, module in families.loc[families["family"] != CONSENSUS, ["family", "module"]].itertuples(index=False)
    }


__all__ = ["CONSENSUS", "Explanation", "Family", "QuantileModel", "load_families"]
