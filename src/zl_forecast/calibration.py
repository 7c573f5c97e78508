"""Do the bands cover as often as they promise, and do their misses come one by one? Tests of coverage over targets that do not overlap.

statsmodels and arch have neither of the two tests, so they are here.
"""

import numpy as np
import pandas as pd
from scipy.special import xlog1py, xlogy
from scipy.stats import chi2

from zl_forecast.store import stored

# nominal percent to column of int_ensemble__outcomes
BANDS = {50: "is_inside_50", 80: "is_inside_80", 90: "is_inside_90"}
DEGREES_OF_FREEDOM = {"coverage": 1, "independence": 1, "conditional_coverage": 2}
# not in settings.py: the name of every finished fit depends on that file, and these two change no fit
LEVEL = 0.05
MIN_SAMPLES = 10  # in the smallest subsample: of fewer hits and misses a chi-squared p-value says little
COLUMNS = {
    "subject": "object",
    "horizon_days": "int32",
    "horizon_code": "object",
    "band": "int32",
    "test": "object",
    "n_rows": "int64",
    "n_subsamples": "int32",
    "n_samples": "int32",
    "coverage": "float64",
    "p_value": "float64",
    "share_rejecting": "float64",
    "verdict": "object",
    "data_source": "object",
}


@stored
def coverage_backtests(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Test the 50, 80 and 90 % bands of every subject and horizon for coverage and for clusters of misses.

    Parameters
    ----------
    outcomes : DataFrame
        int_ensemble__outcomes: one row a subject, horizon and as_of_date.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row a subject, horizon_days, band and test. n_samples is the size of the smallest subsample; coverage
        is over all rows. p_value and share_rejecting are NaN where n_samples is below `MIN_SAMPLES` and the verdict 'too_few'; else
        it is 'rejected' with a p_value below `LEVEL`, or 'ok'.
    """
    rows = []
    for (subject, horizon), own in outcomes.groupby(["subject", "horizon_days"]):
        own = own.sort_values("as_of_date")
        key = {"subject": subject, "horizon_days": horizon, "horizon_code": own["horizon_code"].iloc[0]}
        key["data_source"] = own["data_source"].iloc[0]
        for band, column in BANDS.items():
            inside = own[column].to_numpy(bool)
            size = {"n_rows": len(inside), "n_subsamples": horizon, "n_samples": len(inside) // horizon}
            for test, p_values in subsample_p_values(inside, band / 100, horizon).items():
                rows.append(
                    {**key, "band": band, "test": test, **size, "coverage": inside.mean(), **_judged(p_values, size)}
                )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _judged(p_values: np.ndarray, size: dict) -> dict:
    if size["n_samples"] < MIN_SAMPLES:
        return {"p_value": np.nan, "share_rejecting": np.nan, "verdict": "too_few"}
    p_value = combined(p_values)
    return {
        "p_value": p_value,
        "share_rejecting": (p_values < LEVEL).mean(),
        "verdict": "rejected" if p_value < LEVEL else "ok",
    }


def combined(p_values: np.ndarray) -> float:
    """Twice the mean of p-values, at most 1: a p-value whatever the dependence among them.

    The subsamples lie between one another in time, so theirs are dependent, in a way that nobody knows.
    Source: Vovk and Wang (2020), Biometrika 107(4), 791-808.
    """
    return float(min(1.0, 2 * np.mean(p_values)))


def subsample_p_values(inside: np.ndarray, nominal: float, overlap: int) -> dict[str, np.ndarray]:
    """p-values of the three tests in each subsample of every `overlap`-th row, one subsample a start 0 ... overlap - 1.

    Parameters
    ----------
    inside : array of bool, shape (n,)
        Whether the outcome came inside the band, oldest first, one a session.
    nominal : float in (0, 1)
        Coverage that the band promises.
    overlap : int
        Horizon in sessions: targets of rows that lie as far apart do not overlap.

    Returns
    -------
    dict of str to array of shape (overlap,)
        'coverage' (Kupiec), 'independence' and 'conditional_coverage' (Christoffersen).
    """
    rounds = -(-len(inside) // overlap)
    padded = np.zeros((rounds, overlap), dtype=int)  # a subsample is a column
    padded.flat[: len(inside)] = inside
    exists = np.arange(padded.size).reshape(padded.shape) < len(inside)
    before, after, pairs = padded[:-1], padded[1:], exists[1:]
    n00, n01, n10, n11 = (
        ((before == was) & (after == came) & pairs).sum(axis=0) for was in (0, 1) for came in (0, 1)
    )  # each of shape (overlap,)
    statistics = {
        "coverage": kupiec(padded.sum(axis=0), exists.sum(axis=0), nominal),
        "independence": independence(n00, n01, n10, n11),
        "conditional_coverage": conditional_coverage(n00, n01, n10, n11, nominal),
    }
    return {test: chi2.sf(value, DEGREES_OF_FREEDOM[test]) for test, value in statistics.items()}


def kupiec(hits: np.ndarray, samples: np.ndarray, nominal: float) -> np.ndarray:
    """Likelihood ratio of the observed share of hits against `nominal`, chi-squared of 1 degree of freedom if that is true.

    Source: Kupiec (1995), Journal of Derivatives 3(2), 73-84 (proportion of failures).
    """
    free = _log_likelihood(hits, samples, _share(hits, samples))
    return _ratio(free, _log_likelihood(hits, samples, nominal))


def independence(n00: np.ndarray, n01: np.ndarray, n10: np.ndarray, n11: np.ndarray) -> np.ndarray:
    """Likelihood ratio of a first-order Markov chain of hits against hits that do not depend on the last one, 1 degree of freedom.

    n01 counts the misses that a hit follows, and so on. Without a transition of one kind there is nothing to set against the other:
    the ratio is 0 and the p-value 1.
    Source: Christoffersen (1998), International Economic Review 39(4), 841-862.
    """
    hits, samples = n01 + n11, n00 + n01 + n10 + n11
    return _ratio(_markov(n00, n01, n10, n11), _log_likelihood(hits, samples, _share(hits, samples)))


def conditional_coverage(
    n00: np.ndarray, n01: np.ndarray, n10: np.ndarray, n11: np.ndarray, nominal: float
) -> np.ndarray:
    """Likelihood ratio of a first-order Markov chain of hits against independent hits of share `nominal`, 2 degrees of freedom.

    Given the first hit, as in the paper: so it is `independence` plus `kupiec` over all but the first. Christoffersen (1998).
    """
    return _ratio(_markov(n00, n01, n10, n11), _log_likelihood(n01 + n11, n00 + n01 + n10 + n11, nominal))


def _markov(n00, n01, n10, n11) -> np.ndarray:
    """Log-likelihood of the transitions, with the share of hits after a miss and after a hit as observed."""
    after_miss = _log_likelihood(n01, n00 + n01, _share(n01, n00 + n01))
    return after_miss + _log_likelihood(n11, n10 + n11, _share(n11, n10 + n11))


def _log_likelihood(hits, samples, share) -> np.ndarray:
    """Of a Bernoulli sample; 0 log 0 is 0."""
    return xlogy(hits, share) + xlog1py(samples - hits, -np.asarray(share))


def _share(hits, samples) -> np.ndarray:
    """hits / samples; 0 of none is 0, which no likelihood feels."""
    return hits / np.maximum(samples, 1)


def _ratio(free, bound) -> np.ndarray:
    return np.maximum(2 * (free - bound), 0.0)  # rounding may leave it just below 0
