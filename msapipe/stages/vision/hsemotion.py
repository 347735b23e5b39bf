"""Describes the speaker's face by the 1280 features of HSEmotion, trained on facial expressions; free for any use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np

from msapipe.errors import MissingLibrary, WeightsError
from msapipe.stages._base import CheckpointStage
from msapipe.stages._onnx import options
from msapipe.stages.vision._crops import View, crops, on_the_clip
from msapipe.stages.vision._imagenet import normalised
from msapipe.types import FaceClip, FeatureSequence
from msapipe.weights import Download, Weights
from msapipe.weights.torch_file import only_file

_COMMIT = "f1df0e8548c666d268826e50b7de107fd5553e9d"


@dataclass
class Hsemotion(CheckpointStage):
    """Facial expression features of HSEmotion's EfficientNet-B0, before its classifier: (T, 1280), a row per frame.

    Columns hsemotion_0 to hsemotion_1279: pooled activations without a unit, -0.3 or more. A row is invalid if the
    speaker's face was not found. Frames are processed one by one, so that no face depends on the others.

    checkpoint: enet_b0_8_best_vgaf (VGGFace2, then the eight expressions of AffectNet), or your own ONNX file that
        takes one image and ends in a linear classifier; the classifier's input width is the number of columns.
    crop: aligned, by the five landmarks, or loose, the box widened by 1.4. The file determines its size.

    Runs in onnxruntime (extra hsemotion): on a GPU if its CUDA provider is installed, else on one thread of the CPU.

    Savchenko, "Facial Expression and Attributes Recognition Based on Multi-Task Learning of Lightweight Neural
    Networks" (2021).
    """

    checkpoint: str = "enet_b0_8_best_vgaf"
    crop: View = "aligned"

    on_device: ClassVar[bool] = True
    weights: ClassVar[tuple[Weights, ...]] = (
        Download(
            name="enet_b0_8_best_vgaf",
            url=(
                f"https://github.com/sb-ai-lab/EmotiEffLib/raw/{_COMMIT}"
                "/models/affectnet_emotions/onnx/enet_b0_8_best_vgaf.onnx"
            ),
            file="enet_b0_8_best_vgaf.onnx",
            sha256="00085f9a8ef0bf8fc24a645550185703768951a53aff9f141c8637529eba1840",
            licence="Apache-2.0",
            source="https://github.com/sb-ai-lab/EmotiEffLib",
        ),
    )

    def __post_init__(self) -> None:
        self.require(self.crop in get_args(View), f"crop must be one of {', '.join(get_args(View))}, got {self.crop!r}")

    def load(self, device: str) -> None:
        """Import onnxruntime and read the checkpoint; raises MissingLibrary, WeightsError."""
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise MissingLibrary(
                f'hsemotion needs onnx and onnxruntime ({error}); type: uv pip install "msapipe[hsemotion]"'
            ) from error
        file = only_file(self.own_weights()[0].path(), (".onnx",))
        self._session, self._embedding = _open(file, device, onnx, onnxruntime)
        self._input = self._session.get_inputs()[0].name
        self._size, self._width = _shape(self._session, self._embedding, file)

    def run(self, face_clip: FaceClip) -> FeatureSequence:
        """Process every row with a face."""
        parts = []
        for row, picture in crops(face_clip, self.crop, self._size, count=1):
            pixels = np.ascontiguousarray(normalised(picture))
            parts.append((row, self._session.run([self._embedding], {self._input: pixels})[0]))
        return on_the_clip(face_clip, parts, tuple(f"hsemotion_{i}" for i in range(self._width)))


def _open(file: Path, device: str, onnx: Any, onnxruntime: Any) -> tuple[Any, str]:
    """A session on the file with the classifier's input tensor as an output, and the name of that tensor."""
    kind, _, number = device.partition(":")
    providers: list[Any] = ["CPUExecutionProvider"]
    if kind == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(number or 0)}))
    try:
        model = onnx.load(file)
        embedding = _before_classifier(model.graph, file)
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(embedding))
        return onnxruntime.InferenceSession(model.SerializeToString(), options(), providers=providers), embedding
    except WeightsError:
        raise
    except Exception as error:  # errors of both libraries have no base class
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{file} cannot be read as an ONNX model: {reason}") from error


def _before_classifier(graph: Any, file: Path) -> str:
    """The name of the input of the linear classifier (Gemm), the last node of the graph."""
    outputs = [output.name for output in graph.output]
    last = next((node for node in graph.node if outputs[:1] == list(node.output)), None)
    if last is None or last.op_type != "Gemm":
        found = last.op_type if last is not None else "nothing"
        raise WeightsError(f"{file}: its first output comes from {found}, expected a linear classifier (Gemm)")
    return str(last.input[0])


def _shape(session: Any, embedding: str, file: Path) -> tuple[int, int]:
    """Side of the input image in pixels, and number of features."""
    pictures = session.get_inputs()[0].shape
    made = next(output.shape for output in session.get_outputs() if output.name == embedding)
    match pictures, made:
        case [_, 3, int(height), int(width)], [_, int(columns)] if height == width:
            return height, columns
    raise WeightsError(f"{file} makes {made} of {pictures}, expected (n, columns) of (n, 3, side, side)")
