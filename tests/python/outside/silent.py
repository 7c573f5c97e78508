"""A family that forecasts but cannot explain its forecasts."""

from own_family import OwnModel

from zl_forecast.families import Family


class SilentModel(OwnModel):
    ag_key, ag_name = "SILENT", "Silent"


def explain(model, X):
    raise KeyError("no words")


FAMILY = Family(SilentModel, explain=explain)
