"""A family for which there is not enough memory."""

from autogluon.core.models import AbstractModel

from zl_forecast.families import Family


class StarvingModel(AbstractModel):
    ag_key, ag_name, _supported_problem_types = "STARVING", "Starving", ("quantile",)

    def _fit(self, X, y, **kwargs):
        raise MemoryError("no room for 3 GB")


FAMILY = Family(StarvingModel)
