import duckdb
import pytest

from zl_forecast.queries import read_row, read_value


def test_read_row_and_read_value():
    with duckdb.connect() as con:
        query = "select count(*), max(number) from (values (3), (5)) as numbers (number) where number > $least"
        assert read_row(con, query, {"least": 3}) == (1, 5)
        assert read_value(con, query, {"least": 9}) == 0


def test_a_query_without_rows_is_named_in_the_error():
    with duckdb.connect() as con, pytest.raises(LookupError, match="has none: select 1 where false"):
        read_value(con, "select 1 where false")
