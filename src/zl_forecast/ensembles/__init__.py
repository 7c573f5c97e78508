"""The ensemble methods: one module each, with a constant METHOD.

The registry seeds/ensemble_methods.csv names the modules.
"""

import pandas as pd

from zl_forecast.ensembles.base import EnsembleMethod, Registered, Rows
from zl_forecast.errors import TournamentError
from zl_forecast.registry import load_constant

FALLBACK = "reference_alone"  # published if calibration fails; skill is relative to it
DEFAULT = "average"  # published until another method is better on evidence
CHALLENGER = "partial_pooling"  # has half of the level of that evidence to itself


def load_methods(registry: pd.DataFrame) -> dict[str, Registered]:
    """Load the methods of the registry.

    Parameters
    ----------
    registry : DataFrame
        Columns ensemble_method, module and base_method of seeds/ensemble_methods.csv. A module may be anywhere on
        Python's path. `base_method` names the base method of a second-level method; missing for a first-level method.

    Returns
    -------
    dict of str to Registered
        By name, in the order of the registry.

    Raises
    ------
    TournamentError
        If a module cannot be imported, its METHOD is missing or not an EnsembleMethod, a base method is unknown
        or has a base method itself, or there is no method reference_alone or average.
    """
    first_level = set(registry.loc[registry["base_method"].isna(), "ensemble_method"])
    if missing := {FALLBACK, DEFAULT} - first_level:
        raise TournamentError(
            f"seeds/ensemble_methods.csv has no method '{min(missing)}', with which all others are "
            "compared. Restore the row."
        )
    loaded = {}
    for name, module, base in registry[["ensemble_method", "module", "base_method"]].itertuples(index=False):
        if pd.notna(base) and base not in first_level:
            raise TournamentError(
                f"ensemble method '{name}' of seeds/ensemble_methods.csv: base method '{base}' does not exist or has a "
                f"base method itself. Use one of {', '.join(sorted(first_level))}."
            )
        loaded[name] = Registered(_method(name, module), module, base if pd.notna(base) else None)
    return loaded


def _method(name: str, module: str) -> type[EnsembleMethod]:
    return load_constant(
        f"ensemble method '{name}' of seeds/ensemble_methods.csv",
        module,
        "METHOD",
        "<your subclass of EnsembleMethod>",
        lambda value: isinstance(value, type) and issubclass(value, EnsembleMethod),
    )


__all__ = ["CHALLENGER", "DEFAULT", "FALLBACK", "EnsembleMethod", "Registered", "Rows", "load_methods"]
