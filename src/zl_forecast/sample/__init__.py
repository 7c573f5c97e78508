"""The simulated market: landing files for use without market data, with a known truth to test against.

Nothing in this package is market data. Everything built on it has data_source = 'simulated'.

>>> market = simulate("planted")                                       # doctest: +SKIP
>>> write_landing(market, Path("data/sample/planted"))                 # doctest: +SKIP
>>> true_quantiles(market, market.latent.index[500:510])               # doctest: +SKIP
"""

from zl_forecast.sample.files import write_landing
from zl_forecast.sample.market import PLANTED, SIMULATOR_VERSION, WORLDS, Market, UnknownWorld, simulate
from zl_forecast.sample.truth import NoTruth, true_quantiles

__all__ = [
    "PLANTED",
    "SIMULATOR_VERSION",
    "WORLDS",
    "Market",
    "NoTruth",
    "UnknownWorld",
    "simulate",
    "true_quantiles",
    "write_landing",
]
