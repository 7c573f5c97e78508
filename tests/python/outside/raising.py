"""A family that raises."""

from autogluon.core.models import AbstractModel

from zl_forecast.families import Family


class RaisingModel(AbstractModel):
    ag_key, ag_name, _supported_problem_types = "RAISING", "Raising", ("quantile",)

    def _fit(self, X, y, **kwargs):
        raise ValueError("the moon is in the wrong house")


FAMILY = Family(RaisingModel)
