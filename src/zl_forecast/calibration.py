"""Coverage (Kupiec) and independence (Christoffersen) tests of the prediction intervals.

Tests use subsamples of non-overlapping targets. statsmodels and arch offer neither test, so they are implemented
here.
"""

import numpy as np
import pandas as pd
from scipy.special import xlog1py, xlogy
from scipy.stats import chi2

from zl_forecast.store import stored

# nominal percent to column of int_ensemble__outcomes
BANDS = {50: "is_inside_50", 80: "is_inside_80", 90: "is_inside_90"}
DEGREES_OF_FREEDOM = {"coverage": 1, "independence": 1, "conditional_coverage": 2}
# not in settings.py, because every fit's fingerprint hashes that file
LEVEL = 0.05
MIN_SAMPLES = 10  # in the smallest subsample; with fewer rows the chi-squared approximation is poor
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
        int_ensemble__outcomes: one row per subject, horizon and as_of_date.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per subject, horizon_days, band and test. coverage is the share of all rows inside
        the band; n_samples is the size of the smallest subsample. If n_samples is below `MIN_SAMPLES`, p_value and
        share_rejecting are NaN and the verdict is 'too_few'. Otherwise the verdict is 'rejected' if p_value is below
        `LEVEL`, else 'ok'.
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
                result = {"coverage": inside.mean(), **_test_result(p_values, size)}
                rows.append({**key, "band": band, "test": test, **size, **result})
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _test_result(p_values: np.ndarray, size: dict) -> dict:
    if size["n_samples"] < MIN_SAMPLES:
        return {"p_value": np.nan, "share_rejecting": np.nan, "verdict": "too_few"}
    p_value = combined(p_values)
    return {
        "p_value": p_value,
        "share_rejecting": (p_values < LEVEL).mean(),
        "verdict": "rejected" if p_value < LEVEL else "ok",
    }


def combined(p_values: np.ndarray) -> float:
    """Combine p-values with unknown dependence: twice their mean, at most 1.

    The subsamples interleave in time, so their p-values are dependent in an unknown way. The result is a valid
    p-value under any dependence.
    Source: Vovk and Wang (2020), Biometrika 107(4), 791-808.

    Parameters
    ----------
    p_values : array of shape (n,)

    Returns
    -------
    float in [0, 1]

    Examples
    --------
    >>> combined(np.array([0.01, 0.03])), combined(np.array([0.5, 0.9]))
    (0.04, 1.0)
    """
    return float(min(1.0, 2 * np.mean(p_values)))


def subsample_p_values(inside: np.ndarray, nominal: float, overlap: int) -> dict[str, np.ndarray]:
    """Compute the p-values of the three tests in each subsample of every `overlap`-th row.

    There is one subsample per start, 0 ... overlap - 1.

    Parameters
    ----------
    inside : array of bool, shape (n,)
        Whether the outcome lies inside the band, oldest first, one per session.
    nominal : float in (0, 1)
        Nominal coverage of the band.
    overlap : int
        Horizon in sessions; targets of rows this far apart do not overlap.

    Returns
    -------
    dict of str to array of shape (overlap,)
        'coverage' (Kupiec), 'independence' and 'conditional_coverage' (Christoffersen).

    Examples
    --------
    Ten outcomes, eight of them inside an 80 % band, at a horizon of one session:

    >>> inside = np.array([1, 1, 0, 1, 1, 1, 1, 0, 1, 1], bool)
    >>> subsample_p_values(inside, nominal=0.8, overlap=1)["coverage"].tolist()
    [1.0]
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
    """Compute the likelihood ratio of the observed share of hits against nominal coverage.

    Under nominal coverage it is chi-squared with 1 degree of freedom.
    Source: Kupiec (1995), Journal of Derivatives 3(2), 73-84 (proportion of failures).

    Parameters
    ----------
    hits : array of int
        Outcomes inside the band, any shape.
    samples : array of int, same shape
        Outcomes in total.
    nominal : float in (0, 1)
        Nominal coverage.

    Returns
    -------
    array, same shape
        At least zero; zero if hits / samples equals `nominal`.

    Examples
    --------
    >>> kupiec(np.array([80, 70]), np.array([100, 100]), 0.8).round(2).tolist()
    [0.0, 5.63]
    """
    free = _log_likelihood(hits, samples, _share(hits, samples))
    return _ratio(free, _log_likelihood(hits, samples, nominal))


def independence(n00: np.ndarray, n01: np.ndarray, n10: np.ndarray, n11: np.ndarray) -> np.ndarray:
    """Compute the likelihood ratio of a first-order Markov chain of hits against independent hits.

    Under independence it is chi-squared with 1 degree of freedom. If a sample has only hits or only misses, the ratio
    is 0 and the p-value 1.
    Source: Christoffersen (1998), International Economic Review 39(4), 841-862.

    Parameters
    ----------
    n00, n01, n10, n11 : arrays of int of the same shape
        Counts of transitions; n01 counts misses that are followed by a hit.

    Returns
    -------
    array, same shape
        At least zero.
    """
    hits, samples = n01 + n11, n00 + n01 + n10 + n11
    return _ratio(_markov(n00, n01, n10, n11), _log_likelihood(hits, samples, _share(hits, samples)))


def conditional_coverage(
    n00: np.ndarray, n01: np.ndarray, n10: np.ndarray, n11: np.ndarray, nominal: float
) -> np.ndarray:
    """Compute the likelihood ratio of a first-order Markov chain of hits against independent hits of nominal share.

    Under the null hypothesis it is chi-squared with 2 degrees of freedom. As in the paper it conditions on the first
    outcome, so it equals `independence` plus `kupiec` over all outcomes but the first.
    Source: Christoffersen (1998), International Economic Review 39(4), 841-862.

    Parameters
    ----------
    n00, n01, n10, n11 : arrays of int of the same shape
        Counts of transitions; n01 counts misses that are followed by a hit.
    nominal : float in (0, 1)
        Nominal coverage.

    Returns
    -------
    array, same shape
        At least zero.
    """
    return _ratio(_markov(n00, n01, n10, n11), _log_likelihood(n01 + n11, n00 + n01 + n10 + n11, nominal))


def _markov(n00, n01, n10, n11) -> np.ndarray:
    """Log-likelihood of the transitions with the observed shares of hits after a miss and after a hit."""
    after_miss = _log_likelihood(n01, n00 + n01, _share(n01, n00 + n01))
    return after_miss + _log_likelihood(n11, n10 + n11, _share(n11, n10 + n11))


def _log_likelihood(hits, samples, share) -> np.ndarray:
    """Log-likelihood of a Bernoulli sample; 0 log 0 is 0."""
    return xlogy(hits, share) + xlog1py(samples - hits, -np.asarray(share))


def _share(hits, samples) -> np.ndarray:
    """hits / samples, or 0 without samples (then the likelihood does not depend on it)."""
    return hits / np.maximum(samples, 1)


def _ratio(free, bound) -> np.ndarray:
    return np.maximum(2 * (free - bound), 0.0)  # rounding can give a value just below 0
