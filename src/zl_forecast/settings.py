"""Numbers of folds, levels and limits in one place. Settings that differ by bucket or family are in seeds/*.csv."""

import os

QUANTILE_LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
QUANTILE_COLUMNS = tuple(f"q{round(100 * level):02d}" for level in QUANTILE_LEVELS)  # q05 ... q95, standardised returns
SCORED_LEVELS = (0.10, 0.50, 0.90)  # the levels that pinball losses are averaged over
SCORED_COLUMNS = tuple(f"q{round(100 * level):02d}" for level in SCORED_LEVELS)

FIRST_TRAIN_SESSIONS = 504  # two years of rows before the first test fold
EMBARGO_SESSIONS = 5  # in addition to the purge: training targets end at least this long before the test fold
TUNING_SHARE = (
    0.125  # newest part of the training rows, purged, on which AutoGluon validates before it refits on both parts
)
MIN_TRAIN_ROWS = 1000  # four horizons: about 250 sessions
MATURED_FOR_ENSEMBLE = 100  # matured out-of-fold rows of a horizon below which no combination is fitted
PRIOR_SAMPLES = 20  # weight of the prior "publish the reference" in independent samples; see DECISIONS.md
VERDICT_LEVEL = 0.05  # one-sided level of the Diebold-Mariano verdict
EXPLAINED_SESSIONS = 126  # newest sessions that importances are averaged over
RISK_PATHS = 10_000
SEED = 20

CORES = max(1, int(os.environ.get("ZL_CORES", os.cpu_count() or 1)))
THREADS_PER_FIT = 1  # fits run in parallel, one per core: fits x threads <= cores
