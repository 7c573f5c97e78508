"""The model families: one module each, with a constant FAMILY. The registry is seeds/families.csv, whose rows name the modules."""

from importlib import import_module

import pandas as pd

from zl_forecast.errors import TournamentError
from zl_forecast.families.base import Explanation, Family, QuantileModel


def load_families(families: pd.DataFrame) -> dict[str, Family]:
    """The families of the registry, by name, in its order.

    Parameters
    ----------
    families : DataFrame
        Columns family and module of seeds/families.csv. A module may be anywhere that Python finds it.

    Raises
    ------
    TournamentError
        A module cannot be found or has no FAMILY.
    """
    loaded = {}
    for name, module in families[["family", "module"]].itertuples(index=False):
        try:
            loaded[name] = import_module(module).FAMILY
        except ModuleNotFoundError as error:
            raise TournamentError(
                f"family '{name}' of seeds/families.csv: {error}. Write the module {module}, or correct its name in the seed; a "
                "module outside of zl_forecast must be on PYTHONPATH or installed."
            ) from error
        except AttributeError as error:
            raise TournamentError(
                f"family '{name}': module {module} has no constant FAMILY. Add FAMILY = Family(...)."
            ) from error
    return loaded


__all__ = ["Explanation", "Family", "QuantileModel", "load_families"]
