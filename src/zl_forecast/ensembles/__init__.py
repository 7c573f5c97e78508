"""The ensemble methods: one module each, with a constant METHOD. The registry is seeds/ensemble_methods.csv, whose rows name the modules."""

import pandas as pd

from zl_forecast.ensembles.base import EnsembleMethod, Registered, Rows
from zl_forecast.errors import TournamentError
from zl_forecast.registry import load_constant

FALLBACK = "reference_alone"  # what is published where nothing stands above it, and what every test is against


def load_methods(registry: pd.DataFrame) -> dict[str, Registered]:
    """The methods of the registry, by name, in its order.

    Parameters
    ----------
    registry : DataFrame
        Columns ensemble_method, module and over of seeds/ensemble_methods.csv. A module may be anywhere that Python finds it.

    Raises
    ------
    TournamentError
        A module cannot be found or imported, or its METHOD is missing or no EnsembleMethod, a method feeds on one that is not there or feeds on another itself, or
        there is no reference_alone.
    """
    first_level = set(registry.loc[registry["over"].isna(), "ensemble_method"])
    if FALLBACK not in first_level:
        raise TournamentError(
            f"seeds/ensemble_methods.csv has no method '{FALLBACK}', which is published where no other is better. Put its row back."
        )
    loaded = {}
    for name, module, over in registry[["ensemble_method", "module", "over"]].itertuples(index=False):
        if pd.notna(over) and over not in first_level:
            raise TournamentError(
                f"ensemble method '{name}' of seeds/ensemble_methods.csv feeds on '{over}'. Name a method there that is in the seed "
                f"and feeds on none itself: {', '.join(sorted(first_level))}."
            )
        loaded[name] = Registered(_method(name, module), module, over if pd.notna(over) else None)
    return loaded


def _method(name: str, module: str) -> type[EnsembleMethod]:
    return load_constant(
        f"ensemble method '{name}' of seeds/ensemble_methods.csv",
        module,
        "METHOD",
        "<your subclass of EnsembleMethod>",
        lambda value: isinstance(value, type) and issubclass(value, EnsembleMethod),
    )


__all__ = ["FALLBACK", "EnsembleMethod", "Registered", "Rows", "load_methods"]
