"""A family that forecasts but cannot explain its forecasts."""

from outside.toy import ToyModel

from zl_forecast.families import Family


class SilentModel(ToyModel):
    ag_key, ag_name = "SILENT", "Silent"


def explain(model, X):
    raise KeyError("no words")


FAMILY = Family(SilentModel, explain=explain)
