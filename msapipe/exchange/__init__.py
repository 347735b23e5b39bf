"""Features in files for other programs. One file per format."""

from msapipe.exchange._base import ClipFeatures, Exchange
from msapipe.registry import Registry

FORMATS: Registry[Exchange] = Registry(
    "file format",
    __name__,
    Exchange,  # type: ignore[type-abstract]  # the registry hands out classes, it makes none
    "msapipe.exchange",
)

__all__ = ["FORMATS", "ClipFeatures", "Exchange"]
