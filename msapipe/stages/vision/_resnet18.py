"""The body of a ResNet18: read out of the checkpoints in which expression nets are published, and run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import WeightsError
from msapipe.stages.vision._imagenet import normalised
from msapipe.stages.vision._rectified import by_bits
from msapipe.stages.vision._winograd import by_winograd
from msapipe.weights.torch_file import load_tensors, only_file

_ENDINGS = (".safetensors", ".pt", ".pth", ".bin")

# Under which key a training script has put the state dict.
_WRAPPERS = ("model", "model_state_dict", "state_dict")

# What the names of the body begin with, and those of the heads that may stand beside it: LibreFace, DAN, torchvision.
_LAYOUTS = {"encoder.": ("classifier.",), "features.": ("cat_head", "fc.", "bn."), "": ("fc.",)}

# LibreFace and DAN put the children of torchvision's resnet18 into an nn.Sequential, which numbers them.
_CHILDREN = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")
_SECOND = _CHILDREN.index("layer2")

# Fixed batch sizes of the two parts of the body, padded with zeros: with another size, a convolution sums in another
# order, and the last digits of a face would depend on how many others the clip holds. Activations of the first part
# for one image fit into a CPU's cache; the second part reads its weights once for many images.
ON_CPU, ON_GPU = (1, 10), (32, 32)


class Body:
    """A fast ResNet18 without its head: images to 512 features each, bit-identical whatever else is in the batch.

    Folding batch norms into the convolutions changes features by less than 1e-5.
    """

    def __init__(self, body: Any, device: str, dtype: str) -> None:
        """``body``: torchvision's resnet18 without its head, or its children in an nn.Sequential; modified in place."""
        import torch

        body = _folded(body.eval().requires_grad_(False)).to(device, getattr(torch, dtype))
        body = body.to(memory_format=torch.channels_last)
        if device == "cpu" and dtype == "bfloat16":
            body = by_bits(body)
        # The first part has large images and few weights; the second part the opposite.
        parts = list(body.children())
        self._first: Any = torch.nn.Sequential(*parts[:_SECOND])
        self._second: Any = torch.nn.Sequential(*parts[_SECOND:], torch.nn.Flatten(1))
        if device == "cpu" and dtype == "float32":
            self._second = by_winograd(self._second)
        self._few, self.many = ON_CPU if device == "cpu" else ON_GPU

    def __call__(self, pictures: NDArray[np.uint8]) -> Any:
        """At most ``many`` images (n, H, W, 3) RGB to float32 (n, 512), mean ReLU activations."""
        import torch

        with torch.inference_mode():
            seen = torch.from_numpy(normalised(pictures)).to(self._first[0].weight)
            seen = torch.cat([self._first(_filled(some, self._few)) for some in torch.split(seen, self._few)])
            return self._second(_filled(seen[: len(pictures)], self.many))[: len(pictures)].float()


def _filled(rows: Any, count: int) -> Any:
    """Pad rows (n, C, H, W) with zeros: (count, C, H, W)."""
    from torch.nn.functional import pad

    return rows if len(rows) == count else pad(rows, (0, 0, 0, 0, 0, 0, 0, count - len(rows)))


def load_body(path: Path) -> Any:
    """torchvision's resnet18 without its head, float32, with the numbers of a file.

    Raises WeightsError when a tensor of the body is missing or of another shape, or one is left over of no known head.
    """
    import torch
    from torchvision.models import resnet18

    file = only_file(path, _ENDINGS)
    with torch.device("meta"):  # draws no random numbers only to overwrite them
        body = resnet18(weights=None)
    body.fc = torch.nn.Identity()
    state = _without_head(_read(file), file)
    _check(state, body, file)
    body.load_state_dict(state, strict=True, assign=True)
    return body


def _read(file: Path) -> dict[str, Any]:
    """Every tensor of the file, as float32 on the CPU."""
    import torch

    try:
        found = load_tensors(file)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{file} cannot be read: {reason}; expected a state dict or safetensors") from error
    state = found
    for key in _WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            state = found[key]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{file} holds no state dict: found {type(state).__name__}, expected names and tensors")
    return {name: tensor.float() for name, tensor in state.items()}


def _without_head(found: dict[str, Any], file: Path) -> dict[str, Any]:
    """The parameters of the body under torchvision's names, without batch counters, which only training uses."""
    firsts = {prefix: f"{prefix}0.weight" if prefix else "conv1.weight" for prefix in _LAYOUTS}
    prefix = next((prefix for prefix, first in firsts.items() if first in found), None)
    if prefix is None:
        some = ", ".join(list(found)[:3]) or "nothing"
        raise WeightsError(f"{file} holds no ResNet18: found {some}, expected one of {', '.join(firsts.values())}")
    return {
        _torchvision_name(name, prefix): tensor
        for name, tensor in found.items()
        if not name.startswith(_LAYOUTS[prefix]) and not name.endswith(".num_batches_tracked")
    }


def _torchvision_name(name: str, prefix: str) -> str:
    number, _, rest = name.removeprefix(prefix).partition(".")
    known = prefix and name.startswith(prefix) and number.isdecimal() and int(number) < len(_CHILDREN)
    return f"{_CHILDREN[int(number)]}.{rest}" if known else name


def _check(state: dict[str, Any], body: Any, file: Path) -> None:
    names = [name for name in body.state_dict() if not name.endswith(".num_batches_tracked")]
    wanted = {name: tuple(body.state_dict()[name].shape) for name in names}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    other = [
        f"{name} is {found[name]}, expected {shape}"
        for name, shape in wanted.items()
        if found.get(name, shape) != shape
    ]
    if missing or unknown or other:
        raise WeightsError(
            f"{file} is not a ResNet18 with a known head: {len(missing)} tensors are missing"
            f" ({', '.join(missing[:3]) or 'none'}), {len(unknown)} are unknown ({', '.join(unknown[:3]) or 'none'}),"
            f" {len(other)} have another shape ({'; '.join(other[:3]) or 'none'})"
        )


def _folded(body: Any) -> Any:
    """Fold each batch norm into the previous convolution: 12 % less time."""
    import torch
    from torch.nn.utils import fuse_conv_bn_eval

    before, convolution = "", None
    for name, module in list(body.named_modules()):
        if isinstance(module, torch.nn.Conv2d):
            before, convolution = name, module
        elif isinstance(module, torch.nn.BatchNorm2d) and convolution is not None:
            body.set_submodule(before, fuse_conv_bn_eval(convolution, module))
            body.set_submodule(name, torch.nn.Identity())
    return body
