"""Where clips come from. One file per data set; the name of the file is the name of the reader."""

from msapipe.datasets._base import Example, Reader, Refused
from msapipe.registry import Registry

READERS: Registry[Reader] = Registry(
    "data set",
    __name__,
    Reader,  # type: ignore[type-abstract]  # the registry hands out classes, it makes none
    "msapipe.datasets",
)

__all__ = ["READERS", "Example", "Reader", "Refused"]
