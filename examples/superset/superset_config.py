"""Configuration of the Superset that `make superset` starts; `start.py` writes the folder that SUPERSET_HOME names."""

import os
from pathlib import Path

from superset.config import TALISMAN_CONFIG

HOME = Path(os.environ["SUPERSET_HOME"])
SECRET_KEY = (HOME / "secret_key").read_text()
SQLALCHEMY_DATABASE_URI = f"sqlite:///{HOME / 'superset.db'}"
LOG_LEVEL = "ERROR"
# the browser loads no image from elsewhere: Superset counts its users by one on scarf.sh
TALISMAN_CONFIG["content_security_policy"]["img-src"] = ["'self'", "blob:", "data:"]
