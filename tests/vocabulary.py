"""Report words that the project does not use: python tests/vocabulary.py. Each rule names the word to use instead.

One concept has one word, in names and in text. A rule's exceptions are patterns: text of a line that matches one is
ignored, and after `file:` every line of the files whose path matches.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECKED = re.compile(r"\.(py|sql|yml|md|csv|json|toml)$|^Makefile$|^examples/")
# these quote old names: the list of changes, migrations of older databases and this list
NOT_CHECKED = re.compile(r"^CHANGELOG\.md$|migrations\.py$|vocabulary\.py$")

# word, use instead, pattern, exceptions
RULES = [
    (
        "block",
        "fold",
        r"(?<![A-Za-z])blocks?(?![A-Za-z])",
        (
            r"base block",
            r"`with` block",
            r"block_size|mean block length",  # of the block bootstrap
            r"block each other|could block|BlockingIOError",
            r"trim_blocks|lstrip_blocks",  # settings of jinja2
            r"file:landing/instruments\.py|sample/truth\.py|families/lookback\.py",  # of sessions, rows or columns
        ),
    ),
    (
        "kind",
        "fold_type, slice_type",
        r"\b(?:fold|slice)_kind\b|\bkind *(?:=|:|in) *\(?['\"]?(?:oof|live)|\bfold\.kind\b|name: kind\b",
        (r"file:landing",),
    ),
    (
        "gain",
        "skill",
        r"_gain\b|\bgain_|\bgains?\b",
        (
            r"negative (?:one|loss) is a gain",
            r"soybeans gain|believed to gain|two gain|they gain|taken the gain|oracle_gains",
        ),
    ),
    ("promise", "expected skill", r"promis", ()),
    (
        "sigma",
        "ewma_volatility",
        r"(?<![A-Za-z])sigma(?![A-Za-z])",
        (
            r"volatility_zl_\w+|log_sigma",  # features whose names are in attributions
            r"sigma_obs",
            r"file:^benchmarks/|^src/zl_forecast/sample/|test_sample",
        ),
    ),
    (
        "scale",
        "horizon_volatility",
        r"\bas scale\b|name: scale\b|\b(?:targets|forecasts|ledger)\.scale\b",
        (r"file:^benchmarks/",),
    ),
    ("z", "z_return", r"(?-i:[\"']z[\"']|\bas z\b|name: z\b|rows\.z\b|[, ]z=|,z,)", (r"file:zscore",)),
    ("re-tournament", "reselection", r"re-?tournament", ()),
    ("share", "shrinkage_weight", r"combination_share|share_of_combination|share of the combination", ()),
    (
        "over, cost",
        "base_method, complexity_rank",
        r"name: (?:over|cost)\b|[\"'](?:over|cost)[\"']|\.over\b|\bcost: \d",
        (),
    ),
    (
        "place",
        "rank",
        r"name: place\b|[\"']place[\"']|\bas place\b|\b(?:board|row)\.place\b|\bby_place\b|\bplace: \d",
        (r"'place' if rows == 1",),
    ),
    (
        "why, kept_because, in_words",
        "reason",
        r"kept_because|name: why\b|[\"']why[\"']|\.why\b|\bas why\b|(?<!_and)_in_words\b",
        (r"\b_in_words\b|said_in_words",),
    ),
    (
        "told",
        "reported, distinguished, format_or_dash",
        r"(?<![A-Za-z])told(?![A-Za-z])",
        (r"(?:unless|not) told otherwise|be told what|is not told",),
    ),
    ("in force", "active", r"(?<![A-Za-z])in[ _]force(?![A-Za-z])", ()),
    ("published line", "published forecast", r"published[ _]line", ()),
    ("way out", "remedy", r"(?<![A-Za-z])ways?[_ ]out(?![A-Za-z])", ()),
    ("judged", "evaluated", r"_judged\b", ()),
    ("remembered", "cached", r"is_remembered", ()),
    ("score when it selects", "selection_score", r"name: score\b|\bas score\b", ()),
    ("standing", "selection_status", r"\bstanding\b", ()),
    (
        "participle as a common table expression",
        "a noun that says what a row is",
        r"^(?:\w*(?:ed|ing)|begun|chosen|kept|known|line|made|seen|stood|told) as \($",
        (r"^renamed as",),  # the convention of staging models
    ),
]


def find(path: str, text: str) -> list[str]:
    """Return a message for each use of a word that is not allowed.

    Parameters
    ----------
    path : str
        From the root of the project, for the exceptions by file.
    text : str
        Content of the file.

    Returns
    -------
    list of str
        Empty if the file uses none of the words.
    """
    found = []
    for word, instead, pattern, exceptions in RULES:
        if any(re.search(own.removeprefix("file:"), path) for own in exceptions if own.startswith("file:")):
            continue
        allowed = [own for own in exceptions if not own.startswith("file:")]
        for number, line in enumerate(text.splitlines(), start=1):
            left = re.sub("|".join(allowed), "", line) if allowed else line
            if re.search(pattern, left, flags=re.IGNORECASE):
                found.append(f"{path}:{number}: {word}: use {instead}: {line.strip()[:100]}")
    return found


def main() -> int:
    """Check every file under version control; return 1 if a word is found."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    files = [
        name for name in listed if CHECKED.search(name) and not NOT_CHECKED.search(name) and (ROOT / name).exists()
    ]
    found = [
        message for name in files for message in [*find(name, (ROOT / name).read_text()), *find(name, Path(name).stem)]
    ]
    print("\n".join(found) if found else f"{len(files)} files use the project's words.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
