"""Futures: symbols and contracts, trade dates, rolls, the curve, and reading the files of vendors."""
