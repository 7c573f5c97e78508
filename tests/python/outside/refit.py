"""A family that raises in the refit on all training rows."""

from own_family import OwnModel

from zl_forecast.families import Family


class RefitModel(OwnModel):
    ag_key, ag_name = "REFIT", "Refit"

    def _fit(self, X, y, X_val=None, **kwargs):
        if X_val is None:
            raise ValueError("the newest rows make it singular")
        super()._fit(X, y)


FAMILY = Family(RefitModel)
