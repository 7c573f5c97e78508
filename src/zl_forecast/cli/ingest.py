"""`zl ingest`: read publishers and land what they sent."""

import sys
from collections.abc import Sequence
from datetime import date

from zl_forecast.errors import InvalidArgument
from zl_forecast.ingest.keys import read_key
from zl_forecast.ingest.run import HISTORY_FROM, ingest, print_outcomes
from zl_forecast.ingest.sources import load_sources

FAILED = ("failed", "partial")


def ingest_sources(sources: Sequence[str], is_full: bool, reload: Sequence[str], history_from: str | None) -> int:
    """Ingest, and print what has landed and what to do next.

    Parameters
    ----------
    sources : sequence of str
        Names in seeds/sources.csv; all if empty.
    is_full : bool
        Whether to read the whole history again.
    reload : sequence of str
        Series or symbols to load again.
    history_from : str or None
        First day of the history, YYYY-MM-DD.

    Returns
    -------
    int
        0 if every source has landed, 1 if one has failed (the others have landed).

    Raises
    ------
    InvalidArgument
        `history_from` is no date.
    """
    try:
        first = date.fromisoformat(history_from) if history_from else HISTORY_FROM
    except ValueError as error:
        raise InvalidArgument(f"--from {history_from!r} is no date. Write it as YYYY-MM-DD.") from error
    try:
        outcomes = ingest(sources, is_full=is_full, reload=reload, history_from=first)
    except KeyboardInterrupt:
        print("\nInterrupted. What has landed stays; run the same command to continue.", file=sys.stderr)
        raise
    print_outcomes(outcomes)
    return int(any(outcome.state in FAILED for outcome in outcomes))


def list_sources() -> None:
    """Print the sources, and which of them need an access key."""
    print(f"{'source':17}  {'tables':24}  {'access key':40}  publisher")
    for source in load_sources().values():
        access = "none needed"
        if source.key != "none":
            access = f"{source.key}, {source.key_variable}: {'set' if read_key(source.key_variable) else 'not set'}"
        print(f"{source.source:17}  {' '.join(source.tables):24}  {access:40}  {source.publisher}")
        print(f"{'':17}  {source.schedule}")
