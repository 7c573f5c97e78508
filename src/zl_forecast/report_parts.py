"""Helpers of all sections of the report page: escaping, colours, formats of numbers and verdicts."""

import html

import pandas as pd

# blue and orange can be distinguished with any colour vision
WHITE, BETTER, WORSE = (255, 255, 255), (127, 176, 220), (240, 178, 122)
LINE, BAND, OUTSIDE, GREY = "#1f4e79", "#b5d2ec", "#b4520a", "#777"


def escape(text: str) -> str:
    """Escape text so that it cannot become markup, in an element or in a quoted attribute.

    Parameters
    ----------
    text : str
        Text from data.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> escape("P10 < P90")
    'P10 &lt; P90'
    """
    return html.escape(str(text))


def shade(skill: float, full: float) -> str:
    """Return the background colour of a map's cell.

    Parameters
    ----------
    skill : float
        Skill: 0 is white, positive values are blue, negative ones orange.
    full : float
        Absolute skill from which the colour is at full strength; positive.

    Returns
    -------
    str
        A style attribute with a leading blank.

    Examples
    --------
    >>> shade(0.0, 0.05)
    ' style="background: #ffffff"'
    """
    towards = BETTER if skill > 0 else WORSE
    share = min(abs(skill) / full, 1.0)
    colour = [round(white + share * (end - white)) for white, end in zip(WHITE, towards, strict=True)]
    return f' style="background: #{bytes(colour).hex()}"'


def verdict(word: str) -> str:
    """Format a verdict as HTML, coloured by whether it is `skill`.

    Parameters
    ----------
    word : str
        A verdict, such as `skill` or `no_skill`.

    Returns
    -------
    str
        A span element.
    """
    return f'<span class="{"skill" if word == "skill" else "no"}">{escape(word)}</span>'


def number(value: float, form: str) -> str:
    """Format a number, or return an empty text if it is missing.

    Parameters
    ----------
    value : float
        NaN or None for a missing number.
    form : str
        Format specification, as for the function format.

    Returns
    -------
    str
        Plain text.

    Examples
    --------
    >>> number(0.0512, "+.1%"), number(float("nan"), "+.1%")
    ('+5.1%', '')
    """
    return "" if pd.isna(value) else format(value, form)
