"""A family whose process is killed during the fit, as the kernel does when memory runs out."""

import os
import signal

from autogluon.core.models import AbstractModel

from zl_forecast.families import Family


class KilledModel(AbstractModel):
    ag_key, ag_name, _supported_problem_types = "KILLED", "Killed", ("quantile",)

    def _fit(self, X, y, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)


FAMILY = Family(KilledModel)
