"""A family that can be fitted but cannot forecast."""

from own_family import OwnModel

from zl_forecast.families import Family


class PickyModel(OwnModel):
    ag_key, ag_name = "PICKY", "Picky"

    def _predict_proba(self, X, **kwargs):
        raise ValueError("these rows do not suit me")


FAMILY = Family(PickyModel)
