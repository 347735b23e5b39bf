"""The network of pocket_face in torch, for training, and its export to the ONNX file that the stages run."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from msapipe.stages.vision._expression_net import EMBEDDING, EMOTIONS, SIDE
from msapipe.stages.vision._units import UNITS

WIDTHS = (24, 24, 48, 96, 160)


def network(normed: bool = False) -> Any:
    """A residual network: float (n, 1, 64, 64) to the pooled last layer (n, 160), and three linear heads on it.

    ``head`` gives one logit per emotion, ``units`` one per action unit, ``embedding`` the 32 components.
    ``normed`` networks have a batch norm after every convolution, for training; for inference, it is folded into the
    convolution.

    After He et al., "Deep Residual Learning for Image Recognition" (2016).
    """

    def convolution(before: int, after: int, size: int, stride: int) -> nn.Module:
        made = nn.Conv2d(before, after, size, stride, size // 2, bias=not normed)
        return nn.Sequential(made, nn.BatchNorm2d(after)) if normed else made

    class Residual(nn.Module):
        def __init__(self, before: int, after: int) -> None:
            super().__init__()
            stride = 2 if after > before else 1
            self.first = convolution(before, after, 3, stride)
            self.second = convolution(after, after, 3, 1)
            self.past = convolution(before, after, 1, stride) if after > before else nn.Identity()

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.past(pictures) + self.second(torch.relu(self.first(pictures))))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = convolution(1, WIDTHS[0], 5, 2)
            self.blocks = nn.Sequential(*(Residual(*pair) for pair in pairwise(WIDTHS)))
            self.head = nn.Linear(WIDTHS[-1], len(EMOTIONS))
            self.units = nn.Linear(WIDTHS[-1], len(UNITS))
            self.embedding = nn.Linear(WIDTHS[-1], EMBEDDING)

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.blocks(torch.relu(self.stem(pictures))).mean((2, 3)))

    return Net()


def folded(net: Any) -> Any:
    """A trained network for inference, in eval mode: every batch norm folded into the previous convolution."""
    made = network()
    for name, module in net.eval().named_modules():
        if isinstance(module, nn.Sequential) and isinstance(module[1], nn.BatchNorm2d):
            convolution: Any = module[0]
            made.set_submodule(name, fuse_conv_bn_eval(convolution, module[1]))
    for name in ("head", "units", "embedding"):
        getattr(made, name).load_state_dict(getattr(net, name).state_dict(), strict=True)
    return made.eval().requires_grad_(False)


def pooled(net: Any, pictures: torch.Tensor) -> torch.Tensor:
    """The network's pooled last layer, averaged over each image (n, 1, 64, 64) and its mirror image: (n, 160)."""
    both = net(torch.cat([pictures, pictures.flip(3)]))
    return torch.as_tensor((both[: len(pictures)] + both[len(pictures) :]) / 2)


def exported(net: Any) -> bytes:
    """A folded network as an ONNX file in half precision.

    pictures: float32 (n, 1, 64, 64) to chances (n, 7) of the emotions, units (n, 17) in [0, 1] and embedding (n, 32).
    """

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
            seen = (self.net(pictures) + self.net(pictures.flip(3))) / 2
            return self.net.head(seen).softmax(1), self.net.units(seen).sigmoid(), self.net.embedding(seen)

    names = ["chances", "units", "embedding"]
    file = io.BytesIO()
    axes = {name: {0: "n"} for name in ("pictures", *names)}
    example = (torch.zeros(2, 1, SIDE, SIDE),)
    options: dict[str, Any] = {"input_names": ["pictures"], "output_names": names, "dynamic_axes": axes}
    torch.onnx.export(Whole().eval(), example, file, dynamo=False, **options)  # type: ignore[arg-type]  # files too
    model = onnx.load_from_string(file.getvalue())
    for number in list(model.graph.initializer):
        half = numpy_helper.from_array(numpy_helper.to_array(number).astype(np.float16), f"{number.name}.half")
        cast = helper.make_node("Cast", [half.name], [number.name], to=TensorProto.FLOAT)
        model.graph.initializer.remove(number)
        model.graph.initializer.append(half)
        model.graph.node.insert(0, cast)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
