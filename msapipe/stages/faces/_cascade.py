"""P-Net, R-Net and O-Net of MTCNN, and the suppression of overlapping boxes, as facenet-pytorch has them.

Written out because importing facenet-pytorch imports torchvision and torch's compiler, two and a half seconds; its
weights are read from its folder. On a CPU the same nets run from ONNX files, without torch.
Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks" (2016).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import WeightsError
from msapipe.stages._onnx import session
from msapipe.weights import Bundled
from msapipe.weights.torch_file import load_tensors

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """A net: behind each convolution (side, stride) of a pooling or None; the hidden layer; the layers of its answers.

    chance, shift: two and four numbers a place; more: what else it answers, between the two.
    """

    pools: tuple[tuple[int, int] | None, ...]
    dense: str | None
    chance: str
    shift: str
    more: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        """The names of its weights."""
        convolutions = [f"conv{number}" for number in range(1, len(self.pools) + 1)]
        slopes = [f"prelu{number}.weight" for number in range(1, len(self.pools) + 1)]
        hidden = [] if self.dense is None else [self.dense]
        layers = [*convolutions, *hidden, self.chance, self.shift, *self.more]
        slopes += [f"{name.replace('dense', 'prelu')}.weight" for name in hidden]
        return {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")} | set(slopes)


P_NET = Plan(((2, 2), None, None), None, "conv4_1", "conv4_2")
R_NET = Plan(((3, 2), (3, 2), None), "dense4", "dense5_1", "dense5_2")
O_NET = Plan(((3, 2), (3, 2), (2, 2), None), "dense5", "dense6_1", "dense6_2", ("dense6_3",))
PLANS = (P_NET, R_NET, O_NET)


def _on_cpu(letter: str, size: int, sha256: str) -> Bundled:
    return Bundled(
        name="mtcnn",
        file=f"{letter}net.onnx",
        sha256=sha256,
        bytes=size,
        licence="MIT",
        source="facenet-pytorch, by models/mtcnn/export.py",
    )


# The numbers of facenet-pytorch's files in another form: keys name those files, whichever form is run.
ON_CPU = (
    _on_cpu("p", 27711, "f7dc2947dc68605c77b55d4cf2fed1b64bea4ec6a1c08132753e6c3988f54757"),
    _on_cpu("r", 402337, "e307227dc6fc7fe9a8441f7039f316712ed38b3b65578873b5f8a688160cf8d0"),
    _on_cpu("o", 1558267, "80383fb98517d427b488c9c458ac39ff4536088a909b4e4fe4be4e8bbdfa1fa6"),
)

# Crops that one call of a net gets at most; noise can make thousands of candidates.
CROPS = 512

# One of the nets: pixels float32 (n, h, w, 3) in [0, 255] to shift, what else it answers, and chance, in this order.
Net = Callable[[Floats], Sequence[Floats]]


def nets_on_cpu() -> list[Net]:
    """The three in onnxruntime; raises WeightsError."""

    def opened(weights: Bundled) -> Net:
        net = session(weights.path())
        return lambda pixels: in_parts(lambda part: net.run(None, {"pixels": part}), pixels)

    return [opened(weights) for weights in ON_CPU]


def nets_in_torch(files: Sequence[Path], device: str) -> list[Net]:
    """The three in torch, on a device, from facenet-pytorch's files; raises WeightsError."""
    import torch

    def opened(plan: Plan, file: Path) -> Net:
        net = CascadeNet.read(plan, file, torch.device(device))

        def ask(pixels: Floats) -> Sequence[Floats]:
            with torch.inference_mode():
                tensor = (torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device) - 127.5) * 0.0078125
                return [said.float().cpu().numpy() for said in net(tensor)]

        return lambda pixels: in_parts(ask, pixels)

    return [opened(plan, file) for plan, file in zip(PLANS, files, strict=True)]


def in_parts(net: Net, pixels: Floats) -> Sequence[Floats]:
    """What a net says of at most ``CROPS`` pictures at a time, put together."""
    parts = [net(pixels[first : first + CROPS]) for first in range(0, max(len(pixels), 1), CROPS)]
    return parts[0] if len(parts) == 1 else [np.concatenate(said) for said in zip(*parts, strict=True)]


class CascadeNet:
    """One of the three, on float32 (n, 3, h, w) in [-1, 1]: shift, what else it answers, and chance, in this order."""

    def __init__(self, plan: Plan, weights: Mapping[str, Tensor], device: Any) -> None:
        import torch

        self._plan = plan
        # Channels last: pools four times as fast.
        layout = {4: torch.channels_last}
        self._weights = {
            name: value.to(device).contiguous(memory_format=layout.get(value.ndim, torch.contiguous_format))
            for name, value in weights.items()
        }

    @classmethod
    def read(cls, plan: Plan, path: Path, device: Any) -> CascadeNet:
        """The net in a file of facenet-pytorch; raises WeightsError for another."""
        weights = load_tensors(path)
        if odd := sorted(plan.names ^ set(weights)):
            raise WeightsError(f"{path}: missing or not expected: {', '.join(odd[:3])}; reinstall facenet-pytorch")
        return cls(plan, weights, device)

    def __call__(self, pixels: Tensor) -> Sequence[Tensor]:
        """The answers."""
        from torch.nn import functional

        plan, weights, x = self._plan, self._weights, pixels
        for number, pool in enumerate(plan.pools, 1):
            x = functional.conv2d(x, weights[f"conv{number}.weight"], weights[f"conv{number}.bias"])
            x = functional.prelu(x, weights[f"prelu{number}.weight"])
            if pool is not None:
                x = functional.max_pool2d(x, *pool, ceil_mode=True)
        if plan.dense is not None:
            x = x.permute(0, 3, 2, 1).flatten(1)
            x = functional.linear(x, weights[f"{plan.dense}.weight"], weights[f"{plan.dense}.bias"])
            x = functional.prelu(x, weights[f"{plan.dense.replace('dense', 'prelu')}.weight"])
        answer = functional.conv2d if plan.dense is None else functional.linear
        said = {
            layer: answer(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"])
            for layer in (plan.shift, *plan.more, plan.chance)
        }
        return [said[plan.shift], *(said[layer] for layer in plan.more), said[plan.chance].softmax(1)]


def suppressed(boxes: Floats, score: Floats, overlap: float) -> NDArray[np.int64]:
    """Which boxes (n, 4) stay, best first, when each, the best first, removes those that overlap it more than so.

    overlap: intersection over union. What ``torchvision.ops.nms`` keeps.
    """
    near, far = boxes[:, :2], boxes[:, 2:]
    area = (far - near).prod(1)
    left, kept = np.argsort(-score, kind="stable"), []
    while len(left):
        best, rest = left[0], left[1:]
        kept.append(best)
        common = (np.minimum(far[best], far[rest]) - np.maximum(near[best], near[rest])).clip(0).prod(1)
        left = rest[common / (area[best] + area[rest] - common) <= overlap]
    return np.array(kept, np.int64)
