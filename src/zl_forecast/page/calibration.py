"""Calibration of the published forecast: reliability, PIT, coverage over time, slices and tests."""

import duckdb

from zl_forecast.queries import Row, read_rows

SLICES = (
    ("all", "all", "Whole history"),
    ("regime", "CALM", "Calm regime"),
    ("regime", "STRESSED", "Stressed regime"),
    ("regime", "CRISIS", "Crisis regime"),
    ("break", "after_break", "First 60 sessions from a break"),
    ("break", "otherwise", "At other times"),
)
BANDS = {50: "P25 to P75", 80: "P10 to P90", 90: "P05 to P95"}
MIN_INDEPENDENT = 3.0  # a quarter with fewer independent forecasts is drawn hollow


def read_calibration(con: duckdb.DuckDBPyConnection) -> Row | None:
    """Return all that the section shows, of the published forecast only.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads monitoring.reliability, pit_histogram, calibration and coverage_tests.

    Returns
    -------
    dict or None
        horizons, each with levels, bins, quarters, n_rows and n_independent; slices and tests as tables of text by
        horizon. None if nothing has matured.
    """
    tables = {
        name: read_rows(con, f"from monitoring.{name} where subject = 'published' order by {order}")
        for name, order in {
            "reliability": "horizon_days, nominal",
            "pit_histogram": "horizon_days, bin",
            "calibration": "horizon_days, slice_type, slice",
            "coverage_tests": "horizon_days, band, test",
        }.items()
    }
    days_of_all = sorted({row["horizon_days"] for row in tables["reliability"]})
    if not days_of_all:
        return None

    def own(name: str, days: int) -> list[Row]:
        return [row for row in tables[name] if row["horizon_days"] == days]

    slices = {(row["slice_type"], row["slice"], row["horizon_days"]): row for row in tables["calibration"]}
    return {
        "horizons": [
            {
                "horizon_days": days,
                "levels": own("reliability", days),
                "bins": own("pit_histogram", days),
                "quarters": _with_position([row for row in own("calibration", days) if row["slice_type"] == "quarter"]),
                "tests": {
                    band: _describe_tests([row for row in own("coverage_tests", days) if row["band"] == band])
                    for band in BANDS
                },
            }
            for days in days_of_all
        ],
        "slices": [
            {"label": label, "cells": [slices.get((slice_type, name, days)) for days in days_of_all]}
            for slice_type, name, label in SLICES
            if any((slice_type, name, days) in slices for days in days_of_all)
        ],
        "bands": BANDS,
        "min_independent": MIN_INDEPENDENT,
    }


def _with_position(quarters: list[Row]) -> list[Row]:
    """Add position (years), run (quarters without a gap between them share one) and is_hollow to each quarter."""
    placed: list[Row] = []
    for row in quarters:
        number = 4 * int(row["slice"][:4]) + int(row["slice"][-1]) - 1
        follows = bool(placed) and placed[-1]["number"] == number - 1
        run = placed[-1]["run"] + (not follows) if placed else 0
        is_hollow = row["n_independent"] < MIN_INDEPENDENT
        placed.append(row | {"number": number, "position": number / 4 + 0.125, "run": run, "is_hollow": is_hollow})
    return placed


def _describe_tests(tests: list[Row]) -> Row:
    """Describe the results of the tests of one band: coverage, state, n_samples and text, which says what was found."""
    if not tests:
        return {"coverage": None, "state": None, "n_samples": None, "text": ""}
    first = tests[0]
    rejected = {row["test"] for row in tests if row["verdict"] == "rejected"}
    words = []
    if "coverage" in rejected:
        words.append("too narrow" if first["coverage"] < first["band"] / 100 else "too wide")
    if "independence" in rejected:
        words.append("misses are not independent")
    if rejected == {"conditional_coverage"}:
        words.append("coverage and independence together rejected")
    stated = [row["calibration_state"] for row in tests if row.get("calibration_state") is not None]  # of one test
    too_few = any(row["verdict"] == "too_few" for row in tests)
    state = stated[0] if stated else "failed" if rejected else "cannot_tell" if too_few else None
    return {"coverage": first["coverage"], "state": state, "n_samples": first["n_samples"], "text": " and ".join(words)}
