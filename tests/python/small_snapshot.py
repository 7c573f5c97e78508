"""A snapshot made up by hand, with distinct numbers, for tests of the page and of the commands that read a snapshot."""

from xml.etree import ElementTree

import duckdb
import html5lib
import numpy as np
import pandas as pd

from zl_forecast import page
from zl_forecast.page.document import environment

EVIL = '<script>alert("1")</script>\' onmouseover=x'
BUCKETS = ("crush", "fx")
CODES = {5: "1w", 20: "1m", 60: "3m", 120: "6m"}
LABELS = {5: "1 week", 20: "1 month", 60: "3 months", 120: "6 months"}
AS_OF = pd.Timestamp("2024-03-15")
FORECAST = {
    **{"p05": 44.0, "p10": 45.0, "p25": 47.0, "p50": 49.0, "p75": 51.0, "p90": 53.0, "p95": 54.0, "prob_up": 0.41},
    **{"reference_p10": 44.5, "reference_p50": 50.0, "reference_p90": 55.5, "last_price": 50.0},
    **{"backtest_pinball_skill": 0.034, "backtest_coverage_80": 0.79, "ensemble_method": "average", "verdict": "skill"},
    **{"regime": "CALM", "model_version": "0123456789ab", "data_source": "simulated", "fallback_reason": None},
    **{"calibration_state": "ok", "n_independent": 300.0},
    "as_of_date": AS_OF,
    "made_at": pd.Timestamp("2024-03-15 23:10"),
    "buckets_offered": "biofuel china crush energy fed fx tariff volatility",
}
PRICED = [name for name in FORECAST if (name[0] == "p" and name[1:].isdigit()) or name.startswith("reference_p")]

# ---------- the published forecast against the reference, with different numbers at every horizon
RECORD = pd.DataFrame(
    {
        "subject": "published",
        "horizon_days": days,
        "n_rows": 1700 - days,
        "pinball_skill": days / 10_000,
        "coverage_80": 0.8 - days / 2000,
        "p_value": None if days == 5 else days / 1000,
        "verdict": "skill" if days == 60 else "no_skill",
    }
    for days in CODES
)
VERDICTS = pd.concat([RECORD.assign(subject="core", n_rows=7, verdict="skill"), RECORD])
HISTORY = pd.DataFrame(
    {
        "as_of_date": pd.bdate_range("2023-03-15", "2024-03-14"),
        "last_price": 48.0,
        "is_inside_90": True,
        "horizon_days": 5,
    }
)
# two years, up to one session after the forecast; the last close before it is its last price
PRICES = pd.DataFrame({"as_of_date": pd.bdate_range("2022-03-15", "2024-03-18")})
PRICES["close"] = 50 + (PRICES.index.to_series() - 523) / 100 + (PRICES.index.to_series() % 7 - 5) / 8

# ---------- bucket tournaments: skill, status and verdict of each family; catboost is the champion
FAMILIES = {
    "catboost": (0.0312, "ok", "skill"),
    "reference": (0.0, "ok", None),
    "garch": (-0.0148, "failed", "no_skill"),
    "prophet": (-0.0007, "timed_out", "no_skill"),
    "lstm": (None, "timed_out", "no_skill"),
    "sarimax": (None, "ok", "no_skill"),
}
# ---------- ensemble methods: skill and selection_status, in the order of their rank
METHODS = {
    "average": (0.0087, "default"),
    "conformal": (-0.0056, "candidate"),
    "reference_alone": (0.0, "reference"),
    "stacking": (-0.0002, "no_forecast"),
    "monte_carlo": (0.0112, "too_slow"),
    "mine": (None, "no_forecast"),
}
WEIGHTS = {"crush": 0.125, "reference": 0.8, "fx": 0.075}  # of today
# ---------- calibration: observed share at or below each level, coverage by quarter (none in the first one of 2020) and slice
LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
SHARES = (0.04, 0.11, 0.2, 0.5, 0.8, 0.9, 0.96)
QUARTERS = {"2019-Q3": 0.75, "2019-Q4": 0.85, "2020-Q2": 0.3}
SLICED = {("all", "all"): 0.79, ("regime", "CALM"): 0.84, ("break", "after_break"): 0.61, ("break", "otherwise"): 0.83}
PRICE_LEVELS = {60.0: "above", 55.0: "above", 45.0: "below"}
# ---------- drivers: weight, what the input forecasts, and contributions to P10, P50 and P90 at the first horizon
DRIVERS = {
    "crush": ("bucket", "Crush margin and positioning", 0.6, 49.0, (-0.3, -0.7, -0.5)),
    "carry": ("carry", "Carry", 0.4, 50.5, (0.1, 0.2, 0.3)),
    "fx": ("bucket", "Currencies", 0.1, 50.04, (0.0, 0.004, 0.1)),
    "rest": ("rest", "Rest", 0.0, None, (0.0, -0.001, 0.0)),
}

TYPES = {
    "leaderboard": "bucket text, horizon_days int, horizon_code text, rank int, family text, label text, is_winner bool, "
    "status text, pinball_skill double, verdict text, reason text",
    "bucket_winners": "bucket text, horizon_days int, horizon_code text, winner text, verdict text, "
    "backtest_pinball_skill double, backtest_coverage_80 double",
    "forecast_explanations": "bucket text, horizon_days int, rank int, method text, explanation text",
    "verdicts": "subject text, horizon_days int, n_rows bigint, pinball_skill double, coverage_80 double, p_value double, "
    "verdict text",
    "gx_results": "bucket text, bucket_status text, expectation_number int, expectation text, column_name text, severity text, "
    "is_success boolean, observed_value text, unexpected_count bigint, details text",
    "run_plan": "bucket text, action text, trigger text",
    "reliability": "subject text, horizon_days int, horizon_code text, nominal double, observed double, n_rows bigint, "
    "n_independent double, band_low double, band_high double, is_within_band boolean",
    "pit_histogram": "subject text, horizon_days int, horizon_code text, bin int, lower_level double, upper_level double, "
    "nominal_share double, observed_share double",
    "calibration": "subject text, horizon_days int, horizon_code text, slice_type text, slice text, n_independent double, "
    "coverage_80 double",
    "coverage_tests": "subject text, horizon_days int, horizon_code text, band int, test text, n_samples int, "
    "coverage double, verdict text, calibration_state text",
    "ensemble_leaderboard": "horizon_days int, horizon_code text, rank int, ensemble_method text, label text, is_published boolean, "
    "selection_status text, pinball_skill double, coverage_50 double, coverage_80 double, coverage_90 double, relative_width_80 double, "
    "carry_skill double, fit_seconds double, score_seconds double, benchmark_p_value_holm double, dm_p_value double, shrinkage_weight double, reason text",
    "ensemble_weights": "ensemble_method text, horizon_days int, fold_type text, as_of_date date, input text, effective_weight double",
}
RISK_TYPES = "horizon_days int, horizon_code text, side text, measure text, level_cents double, value double"


def forecast_rows(forecast: dict = FORECAST) -> pd.DataFrame:
    """zl_forecast: the widest range at the longest horizon."""
    rows = []
    for days, code in CODES.items():
        width = (days / 120) ** 0.5
        own = {name: round(50 + (forecast[name] - 50) * width, 4) for name in PRICED}
        target = AS_OF + pd.tseries.offsets.BDay(days)
        rows.append({"horizon_days": days, "horizon_code": code, "target_date": target, **forecast, **own})
    return pd.DataFrame(rows).astype({"fallback_reason": "string"})


def fan_long(forecast: pd.DataFrame) -> pd.DataFrame:
    """forecasts.fan_long: all quantiles, every session, linear in the root of the number of sessions."""
    rows = [("close", row.as_of_date, None, row.close, None) for row in PRICES.iloc[-400:-1].itertuples()]
    days, ends = [0, *CODES], forecast.set_index("horizon_days")
    for name in PRICED:
        series, quantile = ("reference" if name.startswith("reference") else "forecast"), int(name[-2:]) / 100
        prices = [FORECAST["last_price"], *ends[name]]
        for session in range(max(CODES) + 1):
            price = prices[days.index(session)] if session in days else np.interp(session**0.5, np.sqrt(days), prices)
            date = AS_OF + pd.tseries.offsets.BDay(session)
            rows.append((series, date, quantile, price, session if session in days else None))
    return pd.DataFrame(rows, columns=["series", "date", "quantile", "price", "horizon_days"])


def board(buckets=BUCKETS) -> pd.DataFrame:
    """monitoring.leaderboard: the families above in every bucket and horizon; skills are smaller at longer horizons."""
    return pd.DataFrame(
        {
            "bucket": bucket,
            "horizon_days": days,
            "horizon_code": code,
            "rank": rank,
            "family": family,
            "label": family.title(),
            "is_winner": rank == 1,
            "status": status,
            "pinball_skill": None if skill is None else skill * 5 / days,
            "verdict": verdict,
            "reason": f"{family} in {bucket} at {code}",
        }
        for bucket in buckets
        for days, code in CODES.items()
        for rank, (family, (skill, status, verdict)) in enumerate(FAMILIES.items(), start=1)
    )


def winners(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """monitoring.bucket_winners that belongs to a leaderboard."""
    own = leaderboard[leaderboard["is_winner"]]
    return own[["bucket", "horizon_days", "horizon_code", "verdict"]].assign(
        winner=own["family"], backtest_pinball_skill=0.0123, backtest_coverage_80=0.81
    )


def explanations(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """monitoring.forecast_explanations that belongs to a leaderboard."""
    own = leaderboard[leaderboard["is_winner"]]
    return pd.DataFrame(
        {
            "bucket": row.bucket,
            "horizon_days": row.horizon_days,
            "rank": rank,
            "method": "tree_shap",
            "explanation": f"{row.bucket}_{rank} lifts the median at {row.horizon_code}",
        }
        for row in own.itertuples()
        for rank in range(1, 6)
    )


def ensemble_board(codes=CODES, published="average") -> pd.DataFrame:
    """monitoring.ensemble_leaderboard with distinct numbers."""
    return pd.DataFrame(
        {
            "horizon_days": days,
            "horizon_code": code,
            "rank": rank,
            "ensemble_method": method,
            "label": method.replace("_", " ").title(),
            "is_published": method == published,
            "selection_status": selection_status,
            "pinball_skill": skill,
            "carry_skill": None if skill is None else skill + 0.01,
            "coverage_80": None if skill is None else 0.8 - rank / 100,
            "relative_width_80": None if skill is None else 0.9 + rank / 100 + days / 1000,
            "coverage_50": None if skill is None else 0.5 - rank / 100,
            "coverage_90": None if skill is None else 0.9 - rank / 100,
            "fit_seconds": None if skill is None else rank / 4,
            "score_seconds": None if skill is None else rank / 8,
            "benchmark_p_value_holm": None if skill is None else 1 - rank / 10,
            "dm_p_value": None if selection_status == "reference" or skill is None else rank / 8,
            "shrinkage_weight": rank / 20,
            "reason": f"{method} at {code}",
        }
        for days, code in codes.items()
        for rank, (method, (skill, selection_status)) in enumerate(METHODS.items(), start=1)
    )


def ensemble_weights(method="average", codes=CODES, today=None) -> pd.DataFrame:
    """monitoring.ensemble_weights of today, of last month and of the history."""
    days = {("live", "2024-03-15"): WEIGHTS if today is None else today, ("live", "2024-02-29"): {"old": 1.0}}
    days[("oof", "2024-03-29")] = {"history": 1.0}
    return pd.DataFrame(
        {"ensemble_method": method, "horizon_days": horizon, "fold_type": fold_type, "as_of_date": day}
        | {"input": name, "effective_weight": weight}
        for horizon in codes
        for (fold_type, day), own in days.items()
        for name, weight in own.items()
    )


def calibration_tables(
    subject="published", codes=CODES, outside=(), verdicts=None, state="ok"
) -> dict[str, pd.DataFrame]:
    """Four tables of one subject; `outside` lists levels outside their band, `verdicts` by (band, test)."""
    keys = [{"subject": subject, "horizon_days": days, "horizon_code": code} for days, code in codes.items()]
    edges, cumulated = (0, *LEVELS, 1), (0, *SHARES, 1)
    rows: dict[str, list] = {name: [] for name in ("reliability", "pit_histogram", "calibration", "coverage_tests")}
    for key in keys:
        rows["reliability"] += [
            {**key, "nominal": level, "observed": share, "n_rows": 1758, "n_independent": 1758 / key["horizon_days"]}
            | {"band_low": max(level - 0.1, 0), "band_high": min(level + 0.1, 1)}
            | {"is_within_band": level not in outside}
            for level, share in zip(LEVELS, SHARES, strict=True)
        ]
        rows["pit_histogram"] += [
            {**key, "bin": n + 1, "lower_level": edges[n], "upper_level": edges[n + 1]}
            | {"nominal_share": edges[n + 1] - edges[n], "observed_share": cumulated[n + 1] - cumulated[n]}
            for n in range(8)
        ]
        sliced = {**SLICED, **{("quarter", name): share for name, share in QUARTERS.items()}}
        rows["calibration"] += [
            {**key, "slice_type": slice_type, "slice": name, "n_independent": 40 / key["horizon_days"]}
            | {"coverage_80": share}
            for (slice_type, name), share in sliced.items()
        ]
        rows["coverage_tests"] += [
            {
                **key,
                "band": band,
                "test": test,
                "n_samples": 7,
                "coverage": covered,
                "calibration_state": state if test == "coverage" else None,
            }
            | {"verdict": (verdicts or {}).get((band, test), "ok")}
            for band, covered in ((50, 0.51), (80, 0.62), (90, 0.97))
            for test in ("coverage", "independence", "conditional_coverage")
        ]
    return {name: pd.DataFrame(own) for name, own in rows.items()}


def risk(codes=CODES, levels=PRICE_LEVELS) -> pd.DataFrame:
    """forecasts.zl_risk with distinct numbers."""
    rows: list[tuple] = []
    for days, code in codes.items():
        for place, (side, extreme) in enumerate({"buyer": "high", "holder": "low"}.items()):
            for tail, measure in enumerate(("var_95", "cvar_95", "var_99", "cvar_99")):
                rows.append((days, code, side, measure, None, days / 10 + tail + place / 4))
            rows.append((days, code, side, f"expected_{extreme}", None, 52.0 + days / 20 - 10 * place))
        for place, (level, name) in enumerate(levels.items()):
            side = "buyer" if name == "above" else "holder"
            rows.append((days, code, side, f"prob_{name}", level, 0.01 + place / 10 + days / 500))
            rows.append((days, code, side, f"prob_touch_{name}", level, 0.03 + place / 10 + days / 500))
    return pd.DataFrame(rows, columns=[column.split()[0] for column in RISK_TYPES.split(", ")]).astype(
        {"level_cents": float}
    )


def drivers() -> pd.DataFrame:
    """forecasts.zl_forecast_drivers; contributions grow with the horizon, and the reference has what is left."""
    rows = []
    for row in forecast_rows().itertuples():
        rest = [row.p10 - 50, row.p50 - 50, row.p90 - 50]
        for driver, (driver_type, label, weight, forecast, cents) in DRIVERS.items():
            own = [cent * row.horizon_days / 120 for cent in cents]
            rest = [left - cent for left, cent in zip(rest, own, strict=True)]
            rows.append((row.horizon_days, row.horizon_code, driver, driver_type, label, weight, forecast, *own))
        rows.append((row.horizon_days, row.horizon_code, "reference", "reference", "Reference", -0.1, 50.0, *rest))
    columns = ["horizon_days", "horizon_code", "driver", "driver_type", "label", "weight", "input_p50"]
    return pd.DataFrame(rows, columns=[*columns, "p10_cents", "p50_cents", "p90_cents"]).assign(last_price=50.0)


def driver_features() -> pd.DataFrame:
    """forecasts.zl_forecast_driver_features of one bucket: two to show, one too small, one too many, and the rest."""
    rows = [
        (1, "margin", "Crush margin", "USD/bu", 1.23456, "low", -0.5),
        (2, "season", "Season", "-1 to 1", -0.5, "usual", -0.196),
        (3, "tiny", "Tiny", "share", 0.1, "high", 0.004),
        (4, "late", "Fourth", "share", 0.2, "high", 0.1),
        (5, "rest", "Other features and the mean forecast", None, None, None, -0.108),
    ]
    columns = ["rank", "feature", "label", "unit", "feature_value", "level", "contribution_cents"]
    return pd.concat(pd.DataFrame(rows, columns=columns).assign(horizon_days=days, bucket="crush") for days in CODES)


def changes() -> pd.DataFrame:
    """forecasts.zl_forecast_changes: a day earlier and a week earlier, with distinct numbers."""
    return pd.DataFrame(
        {
            "horizon_days": days,
            "compared_with": compared_with,
            "earlier_as_of_date": earlier,
            "last_price_change": sign * 0.25,
            "p10_change": sign * (0.1 + days / 1000),
            "p50_change": sign * (0.3 + days / 1000),
            "p90_change": sign * (0.5 + days / 1000),
            "band_width_change": sign * 0.4,
            "has_roll": sign < 0,
            "earlier_is_hindsight": sign < 0,
            "ensemble_method": "average",
            "earlier_ensemble_method": "average" if days < 120 else "conformal",
        }
        for days in CODES
        for compared_with, earlier, sign in (
            ("previous", pd.Timestamp("2024-03-14"), 1),
            ("week_ago", pd.Timestamp("2024-03-08"), -1),
        )
    )


def driver_changes() -> pd.DataFrame:
    """forecasts.zl_forecast_driver_changes against the previous forecast."""
    return pd.DataFrame(
        {
            "horizon_days": days,
            "compared_with": "previous",
            "driver": driver,
            "label": driver.title(),
            "p50_cents_change": cents,
        }
        for days in CODES
        for driver, cents in {"fx": 0.1, "crush": -0.3, "energy": 0.001, "carry": 0.02, "core": 0.03}.items()
    )


def positions() -> pd.DataFrame:
    """forecasts.zl_position_risk of one position of ten contracts."""
    own = risk().loc[lambda rows: (rows["side"] == "holder") & rows["level_cents"].isna()]
    return own.assign(position="Oil in stock", contracts=10.0, value=own["value"] * 6000, unit="usd")


def checks() -> pd.DataFrame:
    """monitoring.gx_results: one suite passed, one failed and warned."""
    names = ["bucket", "bucket_status", "expectation_number", "expectation", "column_name", "severity", "is_success"]
    rows = [
        ("crush", "passed", 1, "expect_column_max_to_be_between", "margin", "critical", True, "3", 0, "at most 9"),
        ("fx", "quarantined", 1, "expect_column_max_to_be_between", "brl", "critical", False, "12", 5, "at most 9"),
        ("fx", "quarantined", 2, "expect_column_mean_to_be_between", "cny", "warning", False, "7", 1, "0 to 6"),
        ("fx", "quarantined", 3, "expect_column_mean_to_be_between", "mxn", "critical", True, "1", 0, "0 to 6"),
    ]
    return pd.DataFrame(rows, columns=[*names, "observed_value", "unexpected_count", "details"])


def paths() -> pd.DataFrame:
    """forecasts.zl_paths: 1,000 prices per horizon, evenly spread around 50."""
    return pd.DataFrame(
        {"horizon_days": days, "price": 50 + (number - 499.5) / 1000 * days**0.5}
        for days in CODES
        for number in range(1000)
    )


def calendar() -> pd.DataFrame:
    """forecasts.dim_date: every day to the end of the year, without session on weekends and on Good Friday."""
    days = pd.DataFrame({"date": pd.date_range("2024-01-01", "2024-12-31")})
    return days.assign(is_session=(days["date"].dt.dayofweek < 5) & (days["date"] != "2024-03-29"))


def snapshot(
    con=None, forecast=FORECAST, history=HISTORY, prices=None, **tables: pd.DataFrame
) -> duckdb.DuckDBPyConnection:
    """Write the tables that the page reads; tables of monitoring that are not given are empty, others are left out."""
    con = con or duckdb.connect()
    con.execute("create schema forecasts; create schema monitoring")
    for name, types in TYPES.items():
        con.execute(f"create table monitoring.{name} ({types})")
        rows = tables.pop(name, None)
        if rows is not None and not rows.empty:
            con.register("rows", rows)
            con.execute(f"insert into monitoring.{name} by name select {', '.join(rows.columns)} from rows")
    con.execute(f"create table forecasts.zl_risk ({RISK_TYPES})")
    if "zl_risk" in tables:
        con.register("rows", tables.pop("zl_risk"))
        con.execute("insert into forecasts.zl_risk by name from rows")
    newest = forecast_rows(forecast)
    more = {"zl_forecast": newest, "zl_forecast_ledger": newest, "zl_backtest": history}
    more["fan_long"] = fan_long(newest)
    more["prices_daily"] = PRICES if prices is None else prices
    for name, rows in (more | tables).items():
        con.register("rows", rows)
        con.execute(f"create table forecasts.{name} as from rows")
    return con


def whole_tables() -> dict[str, pd.DataFrame]:
    """All tables of a snapshot."""
    rows = board()
    return {
        **{"leaderboard": rows, "bucket_winners": winners(rows), "forecast_explanations": explanations(rows)},
        **{
            "verdicts": VERDICTS,
            "gx_results": checks(),
            "zl_risk": risk(),
            "zl_paths": paths(),
            "dim_date": calendar(),
        },
        **{"ensemble_leaderboard": ensemble_board(), "ensemble_weights": ensemble_weights()},
        **{"zl_forecast_drivers": drivers(), "zl_forecast_driver_features": driver_features()},
        **{
            "zl_forecast_changes": changes(),
            "zl_forecast_driver_changes": driver_changes(),
            "zl_position_risk": positions(),
        },
        **calibration_tables(),
    }


def render(**tables) -> str:
    """Render the page of a whole snapshot, with some tables replaced."""
    with duckdb.connect() as con:
        return page.render(snapshot(con, **(whole_tables() | tables)))


def publish(data_dir, **tables) -> None:
    """Write a snapshot to the folder that the commands read."""
    (data_dir / "serving").mkdir(parents=True)
    with duckdb.connect(str(data_dir / "serving" / "serving.duckdb")) as con:
        snapshot(con, **tables)


def parse(html: str) -> ElementTree.Element:
    """Parse a document or a section; any fault in the HTML raises."""
    text = html if html.startswith("<!doctype") else f"<!doctype html><title>section</title>{html}"
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    for element in tree.iter():
        if isinstance(element.tag, str):  # comments have none
            element.tag = element.tag.rpartition("}")[2]
    return tree


def section(template: str, **context) -> ElementTree.Element:
    """Render one template and parse it."""
    return parse(environment().get_template(template).render(**context))


def text_of(element: ElementTree.Element) -> str:
    """Return the text as read: blanks are single and may break, the minus sign is a hyphen."""
    return " ".join("".join(element.itertext()).replace("\u2212", "-").split())


def table_of(element: ElementTree.Element) -> list[list[str]]:
    """Return the texts of a table's cells by row, headings first."""
    return [[text_of(cell) for cell in row] for row in element.iter("tr")]
