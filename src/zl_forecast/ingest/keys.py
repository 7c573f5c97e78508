"""Access keys: read from the environment or from .env, and removed from everything that is shown or kept."""

import logging
import os
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from dotenv import dotenv_values

from zl_forecast.paths import project_dir

HIDDEN = "***"
MIN_KEY_CHARACTERS = 4  # removing a shorter text would garble unrelated words


def read_key(variable: str) -> str | None:
    """Return an access key.

    Parameters
    ----------
    variable : str
        Its environment variable, or its name in .env in the project's folder; the environment comes first.

    Returns
    -------
    str or None
        None if it is not set or empty.
    """
    if not variable:
        return None
    key = os.environ.get(variable) or dotenv_values(project_dir() / ".env").get(variable)
    return (key or "").strip() or None


def redact(text: str, keys: Iterable[str]) -> str:
    """Replace keys in a text, also in the forms that they have in a URL.

    Parameters
    ----------
    text : str
        Anything that may be shown or kept.
    keys : iterable of str
        The keys.

    Returns
    -------
    str
        With *** in place of each key.

    Examples
    --------
    >>> redact("https://host/data?api_key=abcd1234&file_type=json", ["abcd1234"])
    'https://host/data?api_key=***&file_type=json'
    """
    for key in keys:
        if len(key) >= MIN_KEY_CHARACTERS:
            for form in {key, quote(key, safe=""), quote_plus(key)}:
                text = text.replace(form, HIDDEN)
    return text


def silence_request_logs() -> None:
    """Keep the libraries that send requests from logging URLs, which may hold a key, whatever logging is set to."""
    for name in ("httpx", "httpcore", "urllib3", "apprise"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        if not any(isinstance(own, _NoRequests) for own in logger.filters):
            logger.addFilter(_NoRequests())


class _NoRequests(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING
