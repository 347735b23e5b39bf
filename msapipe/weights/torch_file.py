"""Read a torch or safetensors file without executing anything in it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

_CODE = (
    "it holds objects other than tensors, which reading would run as code; that is refused. "
    "Save its state dict alone, or as .safetensors"
)


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
