"""Read checkpoints in transformers' from_pretrained layout: from a folder, strictly, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msapipe.errors import WeightsError
from msapipe.stages._base import Dtype
from msapipe.weights.encoders import quiet_transformers

# Every tokenizer has one of these files; tokenizer_config.json alone holds a class name and no vocabulary.
_TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)


def load_config(folder: Path) -> Any:
    """The checkpoint's config; raises WeightsError if the folder holds no known one."""
    quiet_transformers()
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{folder} is no checkpoint that transformers reads: {_line(error)}") from error


def load_model(
    folder: Path, cls: Any, device: str, may_lack: tuple[str, ...] = (), dtype: Dtype = "float32", **options: Any
) -> Any:
    """``cls.from_pretrained`` in ``dtype``, in eval mode, on ``device``.

    Every parameter of the model must be in the checkpoint, except those whose name contains one of ``may_lack`` (such
    as an unused pooler). Extra parameters of the checkpoint (the head of its own task) are ignored. Raises WeightsError
    for another architecture.
    """
    quiet_transformers()
    import torch

    try:
        model, found = cls.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(f"{folder} cannot be read as {cls.__name__}: {_line(error)}") from error
    missing = sorted(name for name in found["missing_keys"] if not any(part in name for part in may_lack))
    odd = sorted(str(item[0] if isinstance(item, tuple) else item) for item in found.get("mismatched_keys", ()))
    if missing or odd:
        raise WeightsError(
            f"{folder} is a checkpoint of another architecture than {type(model).__name__}: "
            f"{len(missing)} parameters are not in it ({', '.join(missing[:3]) or 'none'}), "
            f"{len(odd)} have another shape ({', '.join(odd[:3]) or 'none'})"
        )
    return model.eval().requires_grad_(False).to(device, getattr(torch, dtype))  # some nets load bfloat16 only partly


def load_tokenizer(folder: Path) -> Any:
    """The checkpoint's fast tokenizer, which gives the character offsets of tokens.

    Raises WeightsError if the folder holds none: transformers would then make one without a vocabulary.
    """
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise WeightsError(
            f"{folder} holds no tokenizer, expected one of {', '.join(_TOKENIZERS)}; copy it from where the checkpoint "
            "is from, or type in Python: AutoTokenizer.from_pretrained(NAME).save_pretrained(FOLDER)"
        )
    quiet_transformers()
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, use_fast=True)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{folder} holds no tokenizer that transformers reads: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
