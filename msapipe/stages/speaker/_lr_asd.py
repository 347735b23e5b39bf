"""The network of LR-ASD (Liao et al., 2025), with the names and shapes of its published weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

# A parameter name that only this network has.
MARK = "model.detector.gru_forward.weight_ih_l0"

_EPS = 0.001  # of every batch normalisation


def network() -> nn.Module:
    """All layers, for ``load_state_dict``; 0.84 million parameters."""
    from torch import nn

    model = {
        "visualEncoder": nn.ModuleDict(
            {"block1": _visual(1, 32, 2), "block2": _visual(32, 64, 1), "block3": _visual(64, 128, 1)}
        ),
        "audioEncoder": nn.ModuleDict(
            {"block1": _audio(1, 32), "block2": _audio(32, 64), "block3": _audio(64, 128)},
        ),
        "fusion": _gate(256),
        "detector": nn.ModuleDict(
            {
                "gru_forward": nn.GRU(256, 64, batch_first=True),
                "gru_backward": nn.GRU(256, 64, batch_first=True),
                "attention": _gate(128),
            }
        ),
    }
    heads = {name: nn.ModuleDict({"FC": nn.Linear(128, 2)}) for name in ("lossAV", "lossV")}
    return nn.ModuleDict({"model": nn.ModuleDict(model), **heads})


def logits(net: Any, sound: Tensor, pictures: Tensor) -> Tensor:
    """How likely each frame's face is speaking: float32 (T,), above 0 if it does.

    sound: float32 (4T, 13) MFCC, 100 rows a second.   pictures: float32 (T, 112, 112) in [0, 255], 25 a second.
    """
    import torch

    model = net["model"]
    heard = _hear(model["audioEncoder"], sound.T[None, None])
    seen = _see(model["visualEncoder"], (pictures[None, None] / 255 - 0.4161) / 0.1688)
    both = _gated(model["fusion"], torch.cat([heard, seen], 1)).transpose(1, 2)
    detector = model["detector"]
    there, _ = detector["gru_forward"](both)
    back, _ = detector["gru_backward"](both.flip(1))
    joined = _gated(detector["attention"], torch.cat([there, back.flip(1)], 2).transpose(1, 2))
    return net["lossAV"]["FC"](joined[0].T)[:, 1]  # type: ignore[no-any-return]


def _visual(channels: int, out: int, stride: int) -> nn.ModuleDict:
    """Two convolutions over space (s) and two over time (t)."""
    from torch import nn

    return nn.ModuleDict(
        {
            "s_1": nn.Conv3d(channels, out // 2, (1, 5, 5), (1, stride, stride), (0, 2, 2), bias=False),
            "s_norm_1": nn.BatchNorm3d(out // 2, _EPS),
            "s_2": nn.Conv3d(out // 2, out, (1, 3, 3), padding=(0, 1, 1), bias=False),
            "s_norm_2": nn.BatchNorm3d(out, _EPS),
            "t_1": nn.Conv3d(out, out, (5, 1, 1), padding=(2, 0, 0), bias=False),
            "t_norm_1": nn.BatchNorm3d(out, _EPS),
            "t_2": nn.Conv3d(out, out, (3, 1, 1), padding=(1, 0, 0), bias=False),
            "t_norm_2": nn.BatchNorm3d(out, _EPS),
        }
    )


def _audio(channels: int, out: int) -> nn.ModuleDict:
    """Two convolutions over the cepstrum (m) and two over time (t)."""
    from torch import nn

    return nn.ModuleDict(
        {
            "m_1": nn.Conv2d(channels, out // 2, (5, 1), padding=(2, 0), bias=False),
            "m_norm_1": nn.BatchNorm2d(out // 2, _EPS),
            "m_2": nn.Conv2d(out // 2, out, (3, 1), padding=(1, 0), bias=False),
            "m_norm_2": nn.BatchNorm2d(out, _EPS),
            "t_1": nn.Conv2d(out, out, (1, 5), padding=(0, 2), bias=False),
            "t_norm_1": nn.BatchNorm2d(out, _EPS),
            "t_2": nn.Conv2d(out, out, (1, 3), padding=(0, 1), bias=False),
            "t_norm_2": nn.BatchNorm2d(out, _EPS),
        }
    )


def _gate(channels: int) -> nn.ModuleDict:
    from torch import nn

    return nn.ModuleDict(
        {"attention": nn.Conv1d(channels, channels, 1, bias=False), "bn": nn.BatchNorm1d(channels, _EPS)}
    )


def _gated(gate: Any, x: Tensor) -> Tensor:
    """(1, C, T), multiplied by a sigmoid gate."""
    return x * gate["bn"](gate["attention"](x)).sigmoid()  # type: ignore[no-any-return]


def _hear(encoder: Any, x: Tensor) -> Tensor:
    """(1, 1, 13, 4T) to (1, 128, T)."""
    from torch.nn import functional as F

    for name in ("block1", "block2", "block3"):
        block = encoder[name]
        for part in ("m_1", "m_2", "t_1", "t_2"):
            x = block[part.replace("_", "_norm_")](block[part](x)).relu_()
        if name != "block3":
            x = F.max_pool2d(x, (1, 3), (1, 2), (0, 1))
    return x.mean(2)


def _see(encoder: Any, x: Tensor) -> Tensor:
    """(1, 1, T, 112, 112) to (1, 128, T)."""
    from torch.nn import functional as F

    for name in ("block1", "block2", "block3"):
        block = encoder[name]
        for part in ("s_1", "s_2"):
            x = block[part.replace("_", "_norm_")](block[part](x)).relu_()
        for part in ("t_1", "t_2"):
            x = block[part.replace("_", "_norm_")](_over_time(block[part], x)).relu_()
        if name != "block3":
            x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    return x.amax((3, 4))


def _over_time(convolution: Any, x: Tensor) -> Tensor:
    """A convolution over time of (1, C, T, H, W), computed as 2-D: four times as fast as 3-D on a CPU."""
    from torch.nn import functional as F

    padding = (convolution.padding[0], 0)
    return F.conv2d(x.flatten(3), convolution.weight[..., 0], padding=padding).view_as(x)
