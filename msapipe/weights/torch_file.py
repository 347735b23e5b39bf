"""A file of tensors as torch or safetensors writes it; nothing in it is run, and nobody is told how to run it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

_CODE = (
    "it holds objects other than tensors, which reading would run as code; that is refused. "
    "Save its state dict alone, or as .safetensors"
)


def load_tensors(path: Path) -> Any:
    """What the file holds, on the CPU: of .safetensors names with tensors, else whatever tensors torch.save put there.

    Raises OSError, and ValueError, a sentence part, when it is another kind of file or holds more than tensors. (The
    text of torch for such a file says how to switch its own safety off.)
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle by other means torch says how it should have been written
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except SafetensorError as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    except Exception as error:  # a file that is something else makes torch raise nearly anything
        text = " ".join(str(error).split())
        raise ValueError(_CODE if "weights_only" in text else f"{type(error).__name__}: {text[:200]}") from error
