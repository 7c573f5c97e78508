"""The ensemble section of the report page: how the methods compare, and the weights of the published ones."""

import duckdb
import pandas as pd

from zl_forecast.report_parts import BAND, OUTSIDE, escape, number, shade

REFERENCE = "reference_alone"  # has no skill over itself
FULL_COLOUR = 0.02  # skill at which the map has its full colour; methods differ by less than families
MARKS = {"candidate": "on evidence", "no_forecast": "no forecast", "too_slow": "too slow"}
NOTHING = "<p>No ensemble method competed in this build.</p>"
STYLE = f"""
.methods table {{ table-layout: fixed; width: 100%; font-size: 13px; line-height: 1.2; }} .methods th:first-child {{ width: 19em; }}
.methods td, .methods th {{ padding: .2em; height: 2.6em; text-align: center; font-weight: normal; }}
.methods tr > th:first-child {{ text-align: left; }} .methods small {{ display: block; font-size: 10.5px; font-weight: normal; }}
.methods td {{ border: 1px solid #fff; color: #111; }} .methods td.published {{ border: 2px solid #111; font-weight: 700; }}
.weights {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 0 1.2em; font-size: 13px; line-height: 1.3; }}
.weights figure {{ margin: 0 0 1em; break-inside: avoid; }} .weights table {{ width: 100%; margin: .4em 0 0; }}
.weights td {{ padding: .1em .3em; }} .weights tr {{ border: 0; }} .weights td:first-child {{ width: 5.5em; overflow-wrap: anywhere; }}
.weights td:last-child {{ width: 3.5em; }} .weights small {{ display: block; color: #555; }}
.bar {{ height: .8em; background: {BAND}; }} .bar.negative {{ background: {OUTSIDE}; }}
.methods td, .bar {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
"""


def ensemble_section(con: duckdb.DuckDBPyConnection) -> str:
    """Render the ensemble tournament as HTML, without a heading.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads monitoring.ensemble_leaderboard and ensemble_weights.

    Returns
    -------
    str
        A map of methods and horizons, and the weights of the published methods; a sentence if no method
        competed.
    """
    board = con.sql("from monitoring.ensemble_leaderboard order by horizon_days, rank").df()
    if board.empty:
        return NOTHING
    weights = con.sql(
        """
        select weights.horizon_days, weights.input, weights.effective_weight
        from monitoring.ensemble_weights as weights
        inner join monitoring.ensemble_leaderboard as board
            on board.is_published
            and board.ensemble_method = weights.ensemble_method
            and board.horizon_days = weights.horizon_days
        where weights.fold_type = 'live'
        qualify weights.as_of_date = max(weights.as_of_date) over (partition by weights.horizon_days)
        order by weights.horizon_days, weights.effective_weight desc, weights.input
        """
    ).df()
    figures = "".join(
        _weights(row, weights[weights["horizon_days"] == row.horizon_days])
        for row in board[board["is_published"]].itertuples()
    )
    return f"""<p>At each horizon the project publishes the average of the inputs (buckets and core with a weight of two
thirds, carry with one third) until another method is better on evidence: a Diebold-Mariano test against the average,
adjusted for all methods and horizons tried. The reference is published as a fallback while the calibration of the
published forecast has failed.</p>
<p>A cell shows pinball skill: the percentage by which a method's pinball loss is below the reference's, on all matured
out-of-sample rows. Blue is better, orange is worse; the colour is full from {FULL_COLOUR:.0%}. Below it are the
coverage of P10 to P90 (nominal 80 %) and the width of that band relative to the reference's (below 1 is narrower). A
<b>frame</b> marks the published method; <i>on evidence</i> is better than the average by that test; <i>too slow</i> and
<i>no forecast</i> cannot be published; <b>?</b> nothing has matured. Hover over a cell for the reason. Methods are selected on these same
rows, so see <i>Is there skill?</i> above for the out-of-sample record.</p>
<div class="methods">{_map(board)}</div>
<p>Weight of each input in today's published forecasts.</p>
<div class="weights">{figures}</div>"""


def _map(board: pd.DataFrame) -> str:
    """Render a table of methods, in the order of their mean rank, by horizon."""
    codes = dict(board[["horizon_days", "horizon_code"]].drop_duplicates().itertuples(index=False, name=None))
    order = board.groupby("ensemble_method")["rank"].mean().sort_values(kind="stable").index
    labels = board.drop_duplicates("ensemble_method").set_index("ensemble_method")["label"]
    cells = {(row.ensemble_method, row.horizon_days): _cell(row) for row in board.itertuples()}
    head = "".join(f'<th scope="col"><b>{escape(code)}</b></th>' for code in codes.values())
    body = "".join(
        f'<tr><th scope="row" title="{escape(method)}">{escape(labels[method])}</th>'
        + "".join(cells.get((method, days), "<td></td>") for days in codes)
        + "</tr>"
        for method in order
    )
    return f"<table><tr><th></th>{head}</tr>{body}</table>"


def _cell(row) -> str:
    """Render one method at one horizon, a row of monitoring.ensemble_leaderboard."""
    if pd.isna(row.pinball_skill):
        style, inner, details = "", "?", []
    else:
        style = shade(row.pinball_skill, FULL_COLOUR)
        inner = "0" if row.ensemble_method == REFERENCE else f"{100 * row.pinball_skill:+z.2f}"
        details = [number(row.coverage_80, ".0%"), number(row.relative_width_80, ".2f")]
    details.append(MARKS.get(row.selection_status, ""))
    small = ", ".join(detail for detail in details if detail)
    inner += f"<small>{small}</small>" if small else ""
    css = ' class="published"' if row.is_published else ""
    return f'<td{css}{style} title="{escape(row.reason)}">{inner}</td>'


def _weights(row, weights: pd.DataFrame) -> str:
    """Render the inputs of the published method at one horizon as bars, by size."""
    table = "".join(
        f'<tr><td>{escape(own.input)}</td><td><div class="bar{" negative" if own.effective_weight < 0 else ""}" '
        f'style="width: {100 * min(abs(own.effective_weight), 1):.1f}%"></div></td><td>{own.effective_weight:.1%}</td></tr>'
        for own in weights.itertuples()
    )
    table = f"<table>{table}</table>" if table else "<p>This method has no weights per input.</p>"
    return (
        f"<figure><figcaption><b>{escape(row.horizon_code)}</b>: {escape(row.label)}<small>{escape(row.reason)}</small></figcaption>"
        f"{table}</figure>"
    )
