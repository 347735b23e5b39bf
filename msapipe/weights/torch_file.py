"""Find the weights file of a checkpoint, and read a torch or safetensors file without executing anything in it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from msapipe.errors import WeightsError

_CODE = (
    "it holds objects other than tensors, which reading would run as code; that is refused. "
    "Save its state dict alone, or as .safetensors"
)


def only_file(path: Path, endings: tuple[str, ...]) -> Path:
    """The path itself if it is a file, else the only file in the folder with one of the suffixes.

    Raises WeightsError if the folder holds none or several.
    """
    if path.is_file():
        return path
    found = sorted(item for item in path.iterdir() if item.suffix in endings)
    if len(found) != 1:
        names = ", ".join(item.name for item in found) or "none"
        raise WeightsError(f"{path}: found {names}, expected one file ({', '.join(endings)}); name the file itself")
    return found[0]


def load_tensors(path: Path) -> Any:
    """The tensors of a file, on the CPU: name to tensor for .safetensors, else whatever torch.save wrote.

    Raises OSError, or ValueError (part of a sentence) for another kind of file or one with more than tensors. (Torch's
    own message for such a file explains how to turn its safety off, so it is not shown.)
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about foreign pickles
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except SafetensorError as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    except Exception as error:  # torch raises nearly anything for other files
        text = " ".join(str(error).split())
        raise ValueError(_CODE if "weights_only" in text else f"{type(error).__name__}: {text[:200]}") from error
