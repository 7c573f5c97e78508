"""What the parts of the report page share: escaping, colours, and how a share, a gain or a verdict is written."""

import html

import pandas as pd

# blue and orange: told apart by every eye
WHITE, BETTER, WORSE = (255, 255, 255), (127, 176, 220), (240, 178, 122)
LINE, BAND, OUTSIDE, GREY = "#1f4e79", "#b5d2ec", "#b4520a", "#777"


def escape(text: str) -> str:
    """Text that cannot become markup, in an element or in a quoted attribute."""
    return html.escape(str(text))


def shade(gain: float, full: float) -> str:
    """Style of a map's cell: white at 0, towards blue above and orange below, whole from `full` on."""
    towards = BETTER if gain > 0 else WORSE
    share = min(abs(gain) / full, 1.0)
    colour = [round(white + share * (end - white)) for white, end in zip(WHITE, towards, strict=True)]
    return f' style="background: #{bytes(colour).hex()}"'


def verdict(word: str) -> str:
    return f'<span class="{"skill" if word == "skill" else "no"}">{escape(word)}</span>'


def number(value: float, form: str) -> str:
    """The number in the given format; empty where there is none."""
    return "" if pd.isna(value) else format(value, form)
