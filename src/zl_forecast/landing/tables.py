"""The landing contract: the tables, their columns and types, and the conditions that every row must meet.

The conditions on all bars of a symbol together are in `zl_forecast.landing.instruments`.
"""

from dataclasses import dataclass, field

FIRST_DATE = "1900-01-01"  # an earlier date is a misread year


@dataclass(frozen=True)
class Table:
    """One table of the contract.

    Attributes
    ----------
    columns : dict[str, str]
        Type by column, in order.
    key : tuple of str
        Columns that identify a row; rows with the same key must have the same values.
    subject : str
        Column with the subject of a row, such as its symbol.
    date : str
        Column of the dates that `zl check` shows.
    not_null : tuple of str
        Columns that every row has.
    days_ahead : dict[str, int]
        Maximum number of days after today, by date column; every date column has an entry.
    order : (str, str), optional
        (group, date): within a file, the dates of a group must not go back.
    normal : dict[str, str]
        SQL that normalises the spelling of a name, with `{0}` for the value.
    value : str, optional
        Column whose value a row needs; rows without it are dropped once they have passed the checks.
    checks : tuple of (column, condition, problem, remedy)
        The SQL condition is true for wrong rows.
    """

    columns: dict[str, str]
    key: tuple[str, ...]
    subject: str
    date: str
    not_null: tuple[str, ...]
    days_ahead: dict[str, int]
    order: tuple[str, str] | None = None
    normal: dict[str, str] = field(default_factory=dict)
    value: str | None = None
    checks: tuple[tuple[str, str, str, str], ...] = ()


# 96420 and 96420.0 are the same contract, not a roll. Words for a missing value become null.
CONTRACT_ID = (
    "case when lower({0}) in ('nan', 'none', 'null', '<na>', 'na', 'n/a', '#n/a', 'nat', 'unknown', '-', '.', '?') then null "
    "when regexp_full_match({0}, '\\d+(\\.0*)?') then coalesce(try_cast(try_cast({0} as double)::bigint as varchar), {0}) "
    "else upper({0}) end"
)

TABLES = {
    "bars_daily": Table(
        columns={
            "symbol": "VARCHAR",
            "as_of_date": "DATE",
            "open": "DOUBLE",
            "high": "DOUBLE",
            "low": "DOUBLE",
            "close": "DOUBLE",
            "volume": "BIGINT",
            "contract_id": "VARCHAR",
        },
        key=("symbol", "as_of_date"),
        subject="symbol",
        date="as_of_date",
        not_null=("symbol", "as_of_date"),
        days_ahead={"as_of_date": 1},  # tomorrow's session opens this evening
        order=("symbol", "as_of_date"),
        normal={"symbol": "upper({0})", "contract_id": CONTRACT_ID},
        value="close",
        checks=(
            (
                "close",
                "symbol = 'ZL' and close is null",
                "ZL bars without a finite close",
                "Every ZL bar needs its settlement or last price: fill it in, or drop the row if there was no session.",
            ),
            (
                "open",
                "symbol = 'ZL' and open is null",
                "ZL bars without a finite open",
                "Every ZL bar needs an open: at a roll the session's return is measured from it.",
            ),
            (
                "close",
                "symbol = 'ZL' and close <= 0",
                "ZL closes at zero or below",
                "ZL cannot be negative: correct the sign, or drop the row if there was no session.",
            ),
            *(
                (
                    column,
                    f"symbol = 'ZL' and {column} <= 0",
                    f"ZL bars whose {column} is zero or negative",
                    f"ZL prices are positive: correct {column}{'' if column == 'open' else ', or leave it empty where it is unknown'}.",
                )
                for column in ("open", "high", "low")
            ),
            (
                "volume",
                "symbol = 'ZL' and volume < 0",
                "ZL bars with negative volume",
                "Volume counts contracts: correct it, or leave it empty where it is unknown.",
            ),
        ),
    ),
    "series": Table(
        columns={"series_id": "VARCHAR", "obs_date": "DATE", "available_on": "DATE", "value": "DOUBLE"},
        key=("series_id", "obs_date", "available_on"),
        subject="series_id",
        date="available_on",
        not_null=("series_id", "obs_date", "available_on"),
        days_ahead={"obs_date": 400, "available_on": 62},  # a marketing year is named before it begins
        value="value",
        checks=(
            (
                "available_on",
                "available_on < obs_date",
                "values available before the date they describe",
                "available_on is the first trade date at whose 17:00 Chicago cut-off the value was public: "
                "correct the lag.",
            ),
        ),
    ),
    "policy_events": Table(
        columns={
            "event_date": "DATE",
            "available_on": "DATE",
            "bucket": "VARCHAR",
            "kind": "VARCHAR",
            "title": "VARCHAR",
            "severity": "DOUBLE",
        },
        key=("event_date", "available_on", "bucket", "title"),
        subject="bucket",
        date="available_on",
        not_null=("event_date", "available_on", "bucket", "title", "severity"),
        days_ahead={"event_date": 7300, "available_on": 31},  # a rule may take effect years after it was announced
        normal={"bucket": "lower({0})"},
        checks=(
            (
                "severity",
                "severity not between 0 and 1000",
                "severities outside 0 to 1000",
                "An ordinary event has 1: correct the severity.",
            ),
        ),
    ),
    "curve_daily": Table(
        columns={
            "symbol": "VARCHAR",
            "as_of_date": "DATE",
            "contract_month": "DATE",
            "settle": "DOUBLE",
            "open_interest": "BIGINT",
        },
        key=("symbol", "as_of_date", "contract_month"),
        subject="symbol",
        date="as_of_date",
        not_null=("symbol", "as_of_date", "contract_month", "settle"),
        days_ahead={"as_of_date": 1, "contract_month": 5500},  # exchanges list up to twelve years
        order=("symbol", "as_of_date"),
        normal={"symbol": "upper({0})"},
        checks=(
            (
                "contract_month",
                "day(contract_month) <> 1",
                "delivery months that are not the first day of a month",
                "Write the delivery month as its first day: 2024-03-01 for ZLH4.",
            ),
            (
                "contract_month",
                "contract_month < date_trunc('month', as_of_date)",
                "contracts whose delivery month has passed",
                "Drop them: a curve has only contracts that can still be delivered.",
            ),
            (
                "open_interest",
                "open_interest < 0",
                "negative open interest",
                "Open interest counts contracts: correct it, or leave it empty where it is unknown.",
            ),
        ),
    ),
}
