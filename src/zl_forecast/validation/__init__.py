"""Checks between marts and models: Great Expectations suites, with results as a table and as Data Docs."""

from zl_forecast.validation.gate import check_mart, check_marts, check_zl, is_quarantined

__all__ = ["check_mart", "check_marts", "check_zl", "is_quarantined"]
