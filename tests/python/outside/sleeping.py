"""A family whose fit does not end."""

import time

from autogluon.core.models import AbstractModel

from zl_forecast.families import Family


class SleepingModel(AbstractModel):
    ag_key, ag_name, _supported_problem_types = "SLEEPING", "Sleeping", ("quantile",)

    def _fit(self, X, y, **kwargs):
        time.sleep(600)


FAMILY = Family(SleepingModel)
