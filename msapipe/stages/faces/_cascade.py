"""P-Net, R-Net and O-Net of MTCNN, and non-maximum suppression, as in facenet-pytorch.

Reimplemented because importing facenet-pytorch takes two and a half seconds (it imports torchvision and torch's
compiler); its weights are read from its folder. On a CPU, the networks run from ONNX files, without torch.
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
    """A network: per convolution (size, stride) of its pooling or None; the hidden layer; the output layers.

    chance, shift: two and four numbers per position; more: another output, between these two.
    """

    pools: tuple[tuple[int, int] | None, ...]
    dense: str | None
    chance: str
    shift: str
    more: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        """The names of its parameters."""
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


# facenet-pytorch's weights as ONNX. Cache keys name facenet-pytorch's files, whichever form is run.
ON_CPU = (
    _on_cpu("p", 33186, "e812c39149336459c3bdf5f18183eb0c7db2c58ef9146a2ddf7f07fa4cdc73c7"),
    _on_cpu("r", 410545, "7838ff317c908cd2ecd0c4f0863e643464d2f47ebc7b584c2306f988a68a7c29"),
    _on_cpu("o", 1559736, "a6a58247fd62c5815dac97e09553f440d4ee66de078f0a76edff25191b1ad657"),
)

# Most crops per call of a network; noise can produce thousands of candidates.
CROPS = 512
# Batch size of each network on a CPU: activations stay in a 2 MB cache, which makes O-Net 7 % faster with five people.
IN_CACHE = (1, 20, 5)

# Boxes compared with each other at once.
BLOCK = 128

# A network: pixels float32 (n, h, w, 3) in [0, 255] to box shifts, any other output, and face probability, in this
# order; for crops (n, 4), ..., (n,), for P-Net (n, 4, h, w), (n, h, w).
Net = Callable[[Floats], Sequence[Floats]]


def nets_on_cpu() -> list[Net]:
    """The three networks in onnxruntime; raises WeightsError."""

    def opened(weights: Bundled, most: int) -> Net:
        net = session(weights.path())
        return lambda pixels: in_parts(lambda part: net.run(None, {"pixels": part}), pixels, most)

    return [opened(weights, most) for weights, most in zip(ON_CPU, IN_CACHE, strict=True)]


def nets_in_torch(files: Sequence[Path], device: str) -> list[Net]:
    """The three networks in torch, on a device, from facenet-pytorch's files; raises WeightsError."""
    import torch

    def opened(plan: Plan, file: Path) -> Net:
        net = CascadeNet.read(plan, file, torch.device(device))

        def ask(pixels: Floats) -> Sequence[Floats]:
            with torch.inference_mode():
                tensor = (torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device) - 127.5) * 0.0078125
                return [said.float().cpu().numpy() for said in net(tensor)]

        return lambda pixels: in_parts(ask, pixels, CROPS)

    return [opened(plan, file) for plan, file in zip(PLANS, files, strict=True)]


def in_parts(net: Net, pixels: Floats, most: int) -> Sequence[Floats]:
    """Run a network on batches of at most ``most`` images, and concatenate the outputs."""
    parts = [net(pixels[first : first + most]) for first in range(0, max(len(pixels), 1), most)]
    return parts[0] if len(parts) == 1 else [np.concatenate(said) for said in zip(*parts, strict=True)]


class CascadeNet:
    """One of the three networks, on float32 (n, 3, h, w) in [-1, 1]; outputs as ``Net``."""

    def __init__(self, plan: Plan, weights: Mapping[str, Tensor], device: Any) -> None:
        import torch

        self._plan = plan
        # Channels last: pooling is four times as fast.
        layout = {4: torch.channels_last}
        self._weights = {
            name: value.to(device).contiguous(memory_format=layout.get(value.ndim, torch.contiguous_format))
            for name, value in weights.items()
        }

    @classmethod
    def read(cls, plan: Plan, path: Path, device: Any) -> CascadeNet:
        """Read a network from a file of facenet-pytorch; raises WeightsError for any other file."""
        weights = load_tensors(path)
        if odd := sorted(plan.names ^ set(weights)):
            raise WeightsError(f"{path}: missing or not expected: {', '.join(odd[:3])}; reinstall facenet-pytorch")
        return cls(plan, weights, device)

    def __call__(self, pixels: Tensor) -> Sequence[Tensor]:
        """The outputs."""
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
        return [said[plan.shift], *(said[layer] for layer in plan.more), said[plan.chance].softmax(1)[:, 1]]


def suppressed(boxes: Floats, score: Floats, overlap: float) -> NDArray[np.int64]:
    """Non-maximum suppression of boxes (n, 4): indices of the kept boxes, best first.

    overlap: largest intersection over union of two kept boxes. Equals ``torchvision.ops.nms``.
    """
    left, kept = np.argsort(-score, kind="stable"), [np.zeros(0, np.int64)]
    while len(left):
        first, rest = left[:BLOCK], left[BLOCK:]
        apart = _apart(boxes[first], boxes[first], overlap)
        stay = np.ones(len(first), bool)
        for index in range(len(first)):
            if stay[index]:
                stay[index + 1 :] &= apart[index, index + 1 :]
        kept.append(first[stay])
        left = rest[_apart(boxes[first[stay]], boxes[rest], overlap).all(0)]
    return np.concatenate(kept)


def _apart(boxes: Floats, others: Floats, overlap: float) -> NDArray[np.bool_]:
    """Whether each box of (n, 4) overlaps each of (m, 4) by at most ``overlap``: (n, m)."""
    areas = [(x[:, 2:] - x[:, :2]).prod(1) for x in (boxes, others)]
    wide, tall = (
        np.minimum(boxes[:, None, i + 2], others[None, :, i + 2]) - np.maximum(boxes[:, None, i], others[None, :, i])
        for i in (0, 1)
    )
    common = wide.clip(0) * tall.clip(0)
    return np.asarray(common / (areas[0][:, None] + areas[1][None] - common) <= overlap, bool)
