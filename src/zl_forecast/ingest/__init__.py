"""Live data: read publishers, and land what they sent in the landing folder. See docs/ingest.md."""

from zl_forecast.ingest.run import ingest

__all__ = ["ingest"]
