"""Read a Video Swin Transformer of any size from a torchvision state dict."""

from __future__ import annotations

from math import isqrt
from pathlib import Path
from typing import Any

from msapipe.errors import WeightsError
from msapipe.weights.torch_file import load_tensors, only_file

_ENDINGS = (".pth", ".pt", ".bin", ".safetensors")


def load_model(path: Path) -> Any:
    """torchvision's SwinTransformer3d with the weights of the file, float32, in eval mode, on the CPU.

    Raises WeightsError if the file is not such a state dict.
    """
    import torch
    from torchvision.models.video import SwinTransformer3d

    file = only_file(path, _ENDINGS)
    try:
        state = load_tensors(file)
        with torch.device("meta"):  # avoids random initialisation
            model = SwinTransformer3d(**architecture(state))
        model.load_state_dict(state, strict=True, assign=True)
    except (OSError, RuntimeError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"{file} cannot be read as Video Swin: {reason}; "
            "expected the state dict of torchvision's SwinTransformer3d, as torch.save writes it, or safetensors"
        ) from error
    return model.float().eval().requires_grad_(False)


def architecture(state: Any) -> dict[str, Any]:
    """The arguments of SwinTransformer3d, inferred from its parameter shapes; raises ValueError for another network."""

    def shape(name: str, axes: int) -> tuple[int, ...]:
        found = tuple(getattr(state.get(name), "shape", ())) if isinstance(state, dict) else ()
        if len(found) != axes:
            raise ValueError(f"it has no {name} of {axes} axes")
        return found

    embedding = shape("patch_embed.proj.weight", 5)
    depths: list[int] = []
    heads: list[int] = []
    while (stage := f"features.{2 * len(depths)}.") + "0.norm1.weight" in state:
        heads.append(shape(f"{stage}0.attn.relative_position_bias_table", 2)[1])
        depths.append(len({name.split(".")[2] for name in state if name.startswith(stage)}))
    offsets, _ = shape("features.0.0.attn.relative_position_bias_table", 2)
    tokens, _ = shape("features.0.0.attn.relative_position_index", 2)
    return {
        "patch_size": list(embedding[2:]),
        "embed_dim": embedding[0],
        "depths": depths,
        "num_heads": heads,
        "window_size": _window(tokens, offsets),
        "mlp_ratio": shape("features.0.0.mlp.0.weight", 2)[0] / embedding[0],
        "num_classes": shape("head.weight", 2)[0],
    }


def _window(tokens: int, offsets: int) -> list[int]:
    """[D, S, S] for a window of D * S * S tokens with (2 D - 1)(2 S - 1)(2 S - 1) relative offsets."""
    for side in range(1, isqrt(tokens) + 1):
        depth = tokens // side**2
        if depth * side**2 == tokens and (2 * depth - 1) * (2 * side - 1) ** 2 == offsets:
            return [depth, side, side]
    raise ValueError(f"no window has {tokens} tokens and {offsets} offsets between them")
