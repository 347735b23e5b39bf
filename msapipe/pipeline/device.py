"""The device that the networks run on."""

from __future__ import annotations

import ctypes
from functools import cache

from msapipe.errors import ConfigError


def resolve_device(name: str) -> str:
    """ "auto" becomes the first GPU, or the CPU; "1" becomes cuda:1. Raises ConfigError for a GPU that is missing."""
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
    """Whether an NVIDIA driver can be loaded; without one there is no need to import torch, which is slow.

    torch built for AMD GPUs calls them cuda too, so their driver is looked for as well.
    """
    for library in ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so"):
        try:
            ctypes.CDLL(library)
            return True
        except OSError:
            continue
    return False
