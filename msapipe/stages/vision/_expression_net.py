"""The facial expression network and its input images, shared by training and inference."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MissingLibrary
from msapipe.stages._onnx import session
from msapipe.stages.vision._units import UNITS
from msapipe.types import FaceClip
from msapipe.types.faces import ALIGNED_112, similarity
from msapipe.weights import Bundled

if TYPE_CHECKING:
    import torch

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
NEGATIVE = ("anger", "disgust", "fear", "sadness")

SIDE = 64  # pixels, side of the input image
WIDTHS = (24, 24, 48, 96, 160)
EMBEDDING = 32

POCKET_FACE = Bundled(
    name="pocket_face",
    file="model.onnx",
    sha256="b361da5cdfcf9124cf296a744c93cd6ea2f364098f0c10a21322cacb41e8843b",
    bytes=1147319,
    licence="Apache-2.0",
    source="models/pocket_face/train.py",
)

# Fixed batch size, padded with black images: with another batch size, a convolution sums in another order, and the last
# digits of a face would depend on how many others the clip holds.
COUNT = 4

# Standard deviation in grey levels of an image without content; the least of 6,190 photographs is 15.
LEAST_CONTRAST = 3.0

# ArcFace's landmarks relative to the centre of this crop, which is tighter and lower, to include a wide open mouth.
_TEMPLATE = (ALIGNED_112 - np.array([56, 62], np.float32)) * np.float32(SIDE / 97)


def picture(clip: FaceClip, row: int, field: int = SIDE) -> Bytes:
    """The speaker's face, upright, with eyes 23 pixels apart: grey, uint8 (field, field); black in invalid rows.

    ``field`` is the size around the same centre; training crops from larger images. Outside the video frame, the edge
    is repeated.
    """
    import cv2

    if not clip.valid[row]:
        return np.zeros((field, field), np.uint8)
    square = np.asarray(cv2.cvtColor(clip.square(row), cv2.COLOR_RGB2GRAY), np.uint8)
    left, top, right, bottom = _inside(clip, row, square.shape[0])
    seen = square[top:bottom, left:right]
    if _too_large(clip, row):
        return filling(seen, field)
    points = clip.landmarks_in_square(row, square.shape[0])
    return _warped(seen, points - np.array([left, top], np.float32), _TEMPLATE, field)


def filling(seen: Bytes, field: int = SIDE) -> Bytes:
    """The centre of a grey image (H, W) filled by a face, with its shorter side scaled to the crop's width."""
    height, width = seen.shape
    corners = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32) * np.float32(0.5)
    middle = np.array([width / 2, height / 2], np.float32)
    return _warped(seen, corners * np.float32(min(seen.shape)) + middle, corners * np.float32(SIDE), field)


def normalised(pictures: Bytes) -> Floats:
    """Images uint8 (n, H, W) as float32 (n, 1, H, W), each with mean 0 and standard deviation 1."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat = (flat - flat.mean(1, keepdims=True)) / (flat.std(1, keepdims=True) + np.float32(1))
    return np.asarray(flat.reshape(len(pictures), 1, *pictures.shape[1:]), np.float32)


def _too_large(clip: FaceClip, row: int) -> bool:
    """Whether the box is larger than the frame: MTCNN's landmarks are wrong for a face that fills the frame."""
    height, width = clip.frame_size
    return bool(np.any(clip.boxes[row, 2:] - clip.boxes[row, :2] > (width, height)))


def _inside(clip: FaceClip, row: int, size: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of the square inside the frame, in pixels of ``size``."""
    x, y, side = (float(value) for value in clip.squares[row])
    height, width = clip.frame_size
    edges = np.array([max(-x, 0), max(-y, 0), min(width - x, side), min(height - y, side)]) * size / side
    left, top = (int(edge) for edge in np.ceil(edges[:2] - 1e-3))
    right, bottom = (int(edge) for edge in np.floor(edges[2:] + 1e-3))
    left, top = min(max(left, 0), size - 1), min(max(top, 0), size - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _warped(seen: Bytes, points: Floats, template: Floats, field: int) -> Bytes:
    """Warp a grey image (H, W) by the similarity that maps ``points`` to the template around the centre."""
    import cv2

    # Warped at twice the size and averaged 2 x 2: a plain warp would skip pixels of large faces.
    matrix = similarity(points, template * np.float32(2) + np.float32(field))
    warped = cv2.warpAffine(
        seen, matrix, (2 * field, 2 * field), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.resize(warped, (field, field), interpolation=cv2.INTER_AREA), np.uint8)


def network(normed: bool = False) -> Any:
    """A residual network: float (n, 1, 64, 64) to the pooled last layer (n, 160), and three linear heads on it.

    ``head`` gives one logit per emotion, ``units`` one per action unit, ``embedding`` the 32 components.
    ``normed`` networks have a batch norm after every convolution, for training; for inference, it is folded into the
    convolution.

    After He et al., "Deep Residual Learning for Image Recognition" (2016).
    """
    import torch
    from torch import nn

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
    from torch import nn
    from torch.nn.utils import fuse_conv_bn_eval

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
    import torch

    both = net(torch.cat([pictures, pictures.flip(3)]))
    return torch.as_tensor((both[: len(pictures)] + both[len(pictures) :]) / 2)


def exported(net: Any) -> bytes:
    """A folded network as an ONNX file in half precision.

    pictures: float32 (n, 1, 64, 64) to chances (n, 7) of the emotions, units (n, 17) in [0, 1] and embedding (n, 32).
    Needs the package onnx.
    """
    import io

    import onnx
    import torch
    from onnx import TensorProto, helper, numpy_helper

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


def load_net(path: Path) -> Any:
    """Load a network for a stage that crops faces; raises MissingLibrary, WeightsError."""
    try:
        import cv2  # noqa: F401 - FaceClip imports it to decode crops
    except ImportError as error:
        raise MissingLibrary(
            f"expressions need OpenCV, which cannot be loaded ({error}); "
            "type: apt-get install libgl1 libglib2.0-0, or: uv pip install opencv-python-headless"
        ) from error
    return session(path)


def read_clip(
    net: Any, clip: FaceClip, columns: int, judge: Callable[[Floats, Floats, Floats], Floats]
) -> tuple[NDArray[np.bool_], Floats]:
    """Rows with a face that is not uniform grey, bool (T,), and ``judge`` of their probabilities (n, 7), units (n, 17)
    and embedding (n, 32), as float32 (T, columns); ignore the values of other rows.
    """
    values = np.zeros((len(clip), columns), np.float32)
    seen = clip.valid.copy()
    rows = np.flatnonzero(seen)
    for first in range(0, len(rows), COUNT):
        some = rows[first : first + COUNT]
        pictures = np.zeros((COUNT, SIDE, SIDE), np.uint8)
        pictures[: len(some)] = [picture(clip, int(row)) for row in some]
        seen[some] = pictures[: len(some)].std((1, 2)) >= LEAST_CONTRAST
        values[some] = judge(*net.run(None, {"pictures": normalised(pictures)}))[: len(some)]
    return seen, values
