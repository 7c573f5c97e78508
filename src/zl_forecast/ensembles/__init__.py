"""The ensemble methods: one module each, with a constant METHOD. The registry is seeds/ensemble_methods.csv, whose rows name the modules."""

from importlib import import_module

import pandas as pd

from zl_forecast.ensembles.base import EnsembleMethod, Rows
from zl_forecast.errors import TournamentError


def load_methods(registry: pd.DataFrame) -> dict[str, type[EnsembleMethod]]:
    """The methods of the registry, by name, in its order.

    Parameters
    ----------
    registry : DataFrame
        Columns ensemble_method, module and over of seeds/ensemble_methods.csv. A module may be anywhere that Python finds it.

    Raises
    ------
    TournamentError
        A module cannot be found or has no METHOD, or a method feeds on one that is not there or feeds on another itself.
    """
    loaded = {}
    first_level = set(registry.loc[registry["over"].isna(), "ensemble_method"])
    for name, module, over in registry[["ensemble_method", "module", "over"]].itertuples(index=False):
        if pd.notna(over) and over not in first_level:
            raise TournamentError(
                f"ensemble method '{name}' of seeds/ensemble_methods.csv feeds on '{over}'. Name a method there that is in the seed "
                f"and feeds on none itself: {', '.join(sorted(first_level))}."
            )
        try:
            loaded[name] = import_module(module).METHOD
        except ModuleNotFoundError as error:
            raise TournamentError(
                f"ensemble method '{name}' of seeds/ensemble_methods.csv: {error}. Write the module {module}, or correct its name in "
                "the seed; a module outside of zl_forecast must be on PYTHONPATH or installed."
            ) from error
        except AttributeError as error:
            raise TournamentError(
                f"ensemble method '{name}': module {module} has no constant METHOD. Add METHOD = <your class>."
            ) from error
    return loaded


__all__ = ["EnsembleMethod", "Rows", "load_methods"]
