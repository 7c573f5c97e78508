"""Settings that all buckets and families share; settings that differ between them are in seeds/*.csv."""

import os

QUANTILE_LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
QUANTILE_COLUMNS = tuple(f"q{round(100 * level):02d}" for level in QUANTILE_LEVELS)  # q05 ... q95, standardised returns
SCORED_LEVELS = (0.10, 0.50, 0.90)  # levels over which pinball losses are averaged
SCORED_COLUMNS = tuple(f"q{round(100 * level):02d}" for level in SCORED_LEVELS)

FIRST_TRAIN_SESSIONS = 504  # two years of rows before the first test fold
EMBARGO_SESSIONS = 5  # in addition to the purge: training targets end at least this long before the test fold
TUNING_SHARE = 0.125  # newest fraction of the training rows, purged; AutoGluon validates on it, then refits on all
MIN_TRAIN_ROWS = 1000  # four horizons: about 250 sessions
MATURED_FOR_ENSEMBLE = 100  # minimum of matured out-of-fold rows per horizon to fit a combination
PRIOR_SAMPLES = 20  # weight of the prior "publish the reference" in independent samples; see DECISIONS.md
VERDICT_LEVEL = 0.05  # one-sided level of the Diebold-Mariano verdict
EXPLAINED_SESSIONS = 126  # newest sessions over which importances are averaged
RISK_PATHS = 10_000
SEED = 20

CORES = max(1, int(os.environ.get("ZL_CORES", os.cpu_count() or 1)))
THREADS_PER_FIT = 1  # fits run in parallel, one per core: fits x threads <= cores
