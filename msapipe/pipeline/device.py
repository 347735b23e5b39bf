"""Which processor the networks run on."""

from __future__ import annotations

import ctypes
from functools import cache

from msapipe.errors import ConfigError


def resolve_device(name: str) -> str:
    """ "auto" to the first GPU, or the CPU; "1" is cuda:1. Raises ConfigError for a GPU that is not there."""
    if name == "cpu" or (name == "auto" and not has_driver()):
        return "cpu"
    import torch

    there = torch.cuda.device_count()
    if name == "auto":
        return "cuda:0" if there else "cpu"
    kind, _, number = (f"cuda:{name}" if name.isdigit() else name).partition(":")
    if kind != "cuda" or not (number or "0").isdigit():
        raise ConfigError(f"device {name!r}: expected auto, cpu or cuda:N")
    if int(number or 0) >= there:
        raise ConfigError(f"device {name!r}: this machine has {there} GPUs that torch can use; type --device cpu")
    return f"cuda:{number or 0}"


@cache
def has_driver() -> bool:
    """Whether a driver of NVIDIA's can be loaded; without one there is nothing that torch, slow to import, could find.

    torch built for AMD's GPUs calls them cuda too; their driver is looked for alike.
    """
    for library in ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so"):
        try:
            ctypes.CDLL(library)
            return True
        except OSError:
            continue
    return False
