"""The network of TalkNet (Tao et al., 2021), with the names and shapes of its published weights."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

# A parameter name that only this network has.
MARK = "model.visualFrontend.frontend3D.0.weight"

_EPS = 0.001  # of the batch normalisations of the visual encoder
_LAYERS = (3, 4, 6, 3)  # blocks in each layer of the audio encoder
_FILTERS = (16, 32, 64, 128)


def network() -> nn.Module:
    """All layers, for ``load_state_dict``; 15.7 million parameters."""
    from torch import nn

    frontend = {"0": nn.Conv3d(1, 64, (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False), "1": nn.BatchNorm3d(64, _EPS)}
    widths = (64, 64, 128, 256, 512)
    resnet = {f"layer{i}": _picture_layer(a, b, 1 if a == b else 2) for i, (a, b) in enumerate(pairwise(widths), 1)}
    reduce = {"0": nn.Conv1d(512, 256, 5, padding=2), "1": nn.BatchNorm1d(256), "3": nn.Conv1d(256, 128, 1)}
    model = {
        "visualFrontend": nn.ModuleDict({"frontend3D": nn.ModuleDict(frontend), "resnet": nn.ModuleDict(resnet)}),
        "visualTCN": nn.ModuleDict({"net": nn.ModuleDict({str(i): _separable() for i in range(5)})}),
        "visualConv1D": nn.ModuleDict({"net": nn.ModuleDict(reduce)}),
        "audioEncoder": _audio_encoder(),
        "crossA2V": _attention(128),
        "crossV2A": _attention(128),
        "selfAV": _attention(256),
    }
    heads = {"lossAV": 256, "lossA": 128, "lossV": 128}
    return nn.ModuleDict(
        {
            "model": nn.ModuleDict(model),
            **{name: nn.ModuleDict({"FC": nn.Linear(width, 2)}) for name, width in heads.items()},
        }
    )


def logits(net: Any, sound: Tensor, pictures: Tensor) -> Tensor:
    """How likely each frame's face is speaking: float32 (T,), above 0 if it does.

    sound: float32 (4T, 13) MFCC, 100 rows a second.   pictures: float32 (T, 112, 112) in [0, 255], 25 a second.
    """
    import torch

    model = net["model"]
    heard = _hear(model["audioEncoder"], sound.T[None, None])
    seen = _see(model, (pictures[None, None] / 255 - 0.4161) / 0.1688)
    heard, seen = _attend(model["crossA2V"], heard, seen), _attend(model["crossV2A"], seen, heard)
    both = torch.cat([heard, seen], 2)
    return net["lossAV"]["FC"](_attend(model["selfAV"], both, both)[0])[:, 1]  # type: ignore[no-any-return]


def _picture_layer(channels: int, out: int, stride: int) -> nn.ModuleDict:
    """Two residual blocks, a and b; the published weights include an unused ``downsample``."""
    from torch import nn

    def conv(width: int, step: int = 1, size: int = 3) -> nn.Conv2d:
        return nn.Conv2d(width, out, size, step, size // 2, bias=False)

    return nn.ModuleDict(
        {
            "conv1a": conv(channels, stride),
            "bn1a": nn.BatchNorm2d(out, _EPS),
            "conv2a": conv(out),
            "downsample": conv(channels, stride, 1),
            "outbna": nn.BatchNorm2d(out, _EPS),
            "conv1b": conv(out),
            "bn1b": nn.BatchNorm2d(out, _EPS),
            "conv2b": conv(out),
            "outbnb": nn.BatchNorm2d(out, _EPS),
        }
    )


def _separable() -> nn.ModuleDict:
    """A depthwise and a pointwise convolution over time, with a normalisation over channels and time in between."""
    import torch
    from torch import nn

    scale = {"gamma": nn.Parameter(torch.ones(1, 512, 1)), "beta": nn.Parameter(torch.zeros(1, 512, 1))}
    net = {
        "1": nn.BatchNorm1d(512),
        "2": nn.Conv1d(512, 512, 3, padding=1, groups=512, bias=False),
        "3": nn.PReLU(),
        "4": nn.ParameterDict(scale),
        "5": nn.Conv1d(512, 512, 1, bias=False),
    }
    return nn.ModuleDict({"net": nn.ModuleDict(net)})


def _audio_encoder() -> nn.ModuleDict:
    from torch import nn

    parts: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(1, _FILTERS[0], 7, (2, 1), 3, bias=False),
        "bn1": nn.BatchNorm2d(_FILTERS[0]),
    }
    width = _FILTERS[0]
    for number, (count, out) in enumerate(zip(_LAYERS, _FILTERS, strict=True), 1):
        stride = 2 if number in (2, 3) else 1
        blocks = [_audio_block(width, out, stride), *(_audio_block(out, out, 1) for _ in range(count - 1))]
        parts[f"layer{number}"] = nn.ModuleDict({str(i): block for i, block in enumerate(blocks)})
        width = out
    return nn.ModuleDict(parts)


def _audio_block(channels: int, out: int, stride: int) -> nn.ModuleDict:
    """A residual block with squeeze and excitation."""
    from torch import nn

    squeeze = nn.ModuleDict({"0": nn.Linear(out, out // 8), "2": nn.Linear(out // 8, out)})
    parts: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(channels, out, 3, stride, 1, bias=False),
        "bn1": nn.BatchNorm2d(out),
        "conv2": nn.Conv2d(out, out, 3, padding=1, bias=False),
        "bn2": nn.BatchNorm2d(out),
        "se": nn.ModuleDict({"fc": squeeze}),
    }
    if stride != 1 or channels != out:
        shortcut = {"0": nn.Conv2d(channels, out, 1, stride, bias=False), "1": nn.BatchNorm2d(out)}
        parts["downsample"] = nn.ModuleDict(shortcut)
    return nn.ModuleDict(parts)


def _attention(width: int) -> nn.ModuleDict:
    from torch import nn

    return nn.ModuleDict(
        {
            "self_attn": nn.MultiheadAttention(width, 8, batch_first=True),
            "linear1": nn.Linear(width, 4 * width),
            "linear2": nn.Linear(4 * width, width),
            "norm1": nn.LayerNorm(width),
            "norm2": nn.LayerNorm(width),
        }
    )


def _attend(layer: Any, x: Tensor, other: Tensor) -> Tensor:
    """(1, T, C): attention with queries from ``other``, added to ``x``, as in the published network."""
    asked, _ = layer["self_attn"](other, x, x, need_weights=False)
    x = layer["norm1"](x + asked)
    return layer["norm2"](x + layer["linear2"](layer["linear1"](x).relu()))  # type: ignore[no-any-return]


def _hear(encoder: Any, x: Tensor) -> Tensor:
    """(1, 1, 13, 4T) to (1, T, 128)."""
    x = encoder["bn1"](encoder["conv1"](x)).relu()
    for number in range(1, 5):
        for block in encoder[f"layer{number}"].values():
            kept = x
            x = block["bn2"](block["conv2"](block["bn1"](block["conv1"](x).relu())))
            squeeze = block["se"]["fc"]
            x = x * squeeze["2"](squeeze["0"](x.mean((2, 3))).relu()).sigmoid()[:, :, None, None]
            if "downsample" in block:
                kept = block["downsample"]["1"](block["downsample"]["0"](kept))
            x = (x + kept).relu()
    return x.mean(2).transpose(1, 2)


def _see(model: Any, x: Tensor) -> Tensor:
    """(1, 1, T, 112, 112) to (1, T, 128)."""
    from torch.nn import functional as F

    first, resnet = model["visualFrontend"]["frontend3D"], model["visualFrontend"]["resnet"]
    x = F.max_pool3d(first["1"](first["0"](x)).relu(), (1, 3, 3), (1, 2, 2), (0, 1, 1))
    x = x[0].transpose(0, 1)
    for layer in resnet.values():
        x = _picture_blocks(layer, x)
    x = x.mean((2, 3)).T[None]
    for part in model["visualTCN"]["net"].values():
        x = x + _separated(part["net"], x)
    reduce = model["visualConv1D"]["net"]
    return reduce["3"](reduce["1"](reduce["0"](x)).relu()).transpose(1, 2)  # type: ignore[no-any-return]


def _picture_blocks(layer: Any, x: Tensor) -> Tensor:
    """Both residual blocks on crops (T, C, H, W)."""
    kept = x if layer["conv1a"].stride == (1, 1) else layer["downsample"](x)
    kept = layer["conv2a"](layer["bn1a"](layer["conv1a"](x)).relu()) + kept
    x = layer["outbna"](kept).relu()
    x = layer["conv2b"](layer["bn1b"](layer["conv1b"](x)).relu()) + kept
    return layer["outbnb"](x).relu()  # type: ignore[no-any-return]


def _separated(net: Any, x: Tensor) -> Tensor:
    """(1, 512, T) through one ``_separable``."""
    x = net["3"](net["2"](net["1"](x.relu())))
    x = x - x.mean((1, 2), keepdim=True)
    x = net["4"]["gamma"] * x / ((x**2).mean((1, 2), keepdim=True) + 1e-8).sqrt() + net["4"]["beta"]
    return net["5"](x)  # type: ignore[no-any-return]
