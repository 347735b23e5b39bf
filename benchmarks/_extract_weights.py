"""Checkpoints of full size in their real formats, of random numbers: as fast as real ones, no good."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from torchvision.models import resnet18
from torchvision.models.video import swin3d_t
from transformers import AutoModel, HubertConfig, Wav2Vec2Config

from msapipe.stages import STAGES
from msapipe.stages.vision._libreface import net as libreface

PIPELINES = Path(__file__).resolve().parents[1] / "pipelines"
LR_ASD = Path(__file__).resolve().parents[2] / "shared" / "weights" / "lr_asd" / "pretrain_AVA.model"

TEXT = "what a wonderful day it is and i do not hate any of it but the rain could have waited"

LARGE = {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096}
ROBUST = Wav2Vec2Config(**LARGE, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)


def write_torchvision(make: Callable[..., Any], folder: Path) -> Path:
    torch.save(make(weights=None).state_dict(), folder / "net.pth")
    return folder / "net.pth"


def write_libreface(folder: Path) -> Path:
    torch.save({"model": libreface().state_dict()}, folder / "combined_resnet.pt")
    return folder / "combined_resnet.pt"


def write_speech(config: Any, masks: bool, folder: Path) -> Path:
    AutoModel.from_config(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=masks).save_pretrained(folder)
    return folder


def write_bert(folder: Path) -> Path:
    pieces = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TEXT.split()])
    transformers.BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}).save_pretrained(folder)
    transformers.BertModel(transformers.BertConfig()).save_pretrained(folder)
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {
    "resnet18": partial(write_torchvision, resnet18),
    "video_swin": partial(write_torchvision, swin3d_t),
    "action_units": write_libreface,
    "wav2vec2": partial(write_speech, ROBUST, True),
    "hubert": partial(write_speech, HubertConfig(), False),
    "bert": write_bert,
}

SLOTS = {"resnet18": "vision", "video_swin": "vision", "action_units": "vision"}
SLOTS |= {"wav2vec2": "audio", "hubert": "audio", "mfcc": "audio", "bert": "text"}


def checkpoint(stage: str, place: Path) -> Path:
    """A stage's checkpoint below ``place``, written when first asked for."""
    folder = place / "weights" / stage
    if not folder.is_dir():
        folder.mkdir(parents=True)
        transformers.utils.logging.disable_progress_bar()
        torch.manual_seed(0)
        WRITERS[stage](folder)
    files = [*folder.glob("*.pt"), *folder.glob("*.pth")]
    return files[0] if files else folder


def has_dtype(cls: type) -> bool:
    """Whether a stage can compute in bfloat16."""
    return dataclasses.is_dataclass(cls) and any(field.name == "dtype" for field in dataclasses.fields(cls))


def pipeline(name: str, place: Path, dtype: str = "float32", **changes: Any) -> Path:
    """A bundled pipeline with random checkpoints, its stages in ``dtype`` where they can: a file below ``place``.

    changes: what stands in place of its own entries: of ``stages``, or ``media`` and ``align``.
    """
    whole = yaml.safe_load((PIPELINES / f"{name}.yaml").read_text())
    for key, value in changes.items():
        (whole if key in ("media", "align") else whole["stages"])[key] = value
    for slot, entry in whole["stages"].items():
        uses = [entry, *entry.values()] if isinstance(entry, dict) else entry
        for use in uses:
            if isinstance(use, dict) and "use" in use:
                _fill(slot, use, place, dtype)
    target = place / f"{name}_{dtype}_{len(list(place.glob('*.yaml')))}.yaml"
    target.write_text(yaml.safe_dump(whole, sort_keys=False))
    return target


def _fill(slot: str, use: dict[str, Any], place: Path, dtype: str) -> None:
    if use["use"] in WRITERS:
        use["checkpoint"] = str(checkpoint(use["use"], place))
    if use["use"] == "active":
        use["checkpoint"] = str(LR_ASD)
    if dtype != "float32" and has_dtype(STAGES[slot].get(use["use"])):
        use["dtype"] = dtype
