"""A family that forecasts and cannot explain itself."""

from outside.toy import ToyModel

from zl_forecast.families import Family


class SilentModel(ToyModel):
    ag_key, ag_name = "SILENT", "Silent"


def explain(model, X):
    raise KeyError("no words")


FAMILY = Family(SilentModel, explain=explain)
