"""`python -m zl_forecast.cli`, where the program `zl` is not on the path."""

import sys

from zl_forecast.cli import main

sys.exit(main())
