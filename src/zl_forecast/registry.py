"""Load the families and ensemble methods that seeds register by the name of a module."""

import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from zl_forecast.errors import TournamentError


def load_constant(row: str, module: str, constant: str, form: str, is_valid: Callable[[Any], bool]) -> Any:
    """Load a constant from a module that a row of a seed names.

    Parameters
    ----------
    row : str
        The row that registers the module, for messages: "family 'toy' of seeds/families.csv".
    module : str
        Any module that Python finds.
    constant : str
        Name of the constant in the module.
    form : str
        What the constant should be, for messages: 'Family(...)'.
    is_valid : callable
        Takes the constant and returns whether it is valid.

    Returns
    -------
    object
        The constant.

    Raises
    ------
    TournamentError
        The module cannot be found or fails to import for any reason, or its constant is missing or not valid.
    """
    if not isinstance(module, str) or not module:
        raise TournamentError(f"{row} names no module. Fill in its column module, or remove the row from the seed.")
    try:
        loaded = import_module(module)
    except (Exception, SystemExit) as error:
        raise TournamentError(
            f"{row}: {type(error).__name__}: {str(error).rstrip('.')}. {_remedy(module, error)}"
        ) from error
    if not hasattr(loaded, constant):
        raise TournamentError(f"{row}: module {module} has no constant {constant}. Add {constant} = {form}.")
    value = getattr(loaded, constant)
    if not is_valid(value):
        raise TournamentError(f"{row}: {constant} of module {module} is {value!r:.80}. Write {constant} = {form}.")
    return value


def _remedy(module: object, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
        return (
            f"Create {module}, or correct the column module of the seed; a module outside of zl_forecast must be on "
            "PYTHONPATH or installed."
        )
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    # the first two frames are the import itself
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own[2:] else ""
    return f"Fix {module}{where}, or remove its row from the seed."
