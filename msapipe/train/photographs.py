"""Photographs that are nothing but a face, in which a detector finds none: the picture is taken for the face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msapipe.align import concatenate
from msapipe.media import Decoder
from msapipe.pipeline.spec import PipelineSpec
from msapipe.types import Clip, EncodedImages, FaceClip, FaceTracks, FeatureSequence, Speaker
from msapipe.types.faces import ALIGNED_112
from msapipe.weights import make_ready

_QUALITY = 95  # of the JPEG, as the detector's crops have


class Photographs:
    """The stages of the vision of a pipeline, loaded once, for pictures without a detected face."""

    def __init__(self, spec: PipelineSpec, device: str = "cpu", offline: bool = False) -> None:
        self.spec, self._decoder = spec, Decoder()
        for use in spec.stages["vision"]:
            for weights in use.stage.own_weights():
                make_ready(weights, spec.accept_licences, offline)
            use.stage.load(device if type(use.stage).on_device else "cpu")

    @staticmethod
    def suit(spec: PipelineSpec) -> bool:
        """Whether its stages of the vision read nothing but the face."""
        return all(use.asks == ("face_clip",) for use in spec.stages["vision"])

    def features(self, path: Path) -> FeatureSequence | None:
        """What the stages say of the first picture of a file; None when there is none. Raises MediaError."""
        frames = self._decoder.frames(Clip(path.name, path), self.spec.media)
        for batch in frames.batches(1):
            face = filled_by_a_face(batch.pixels[0])
            return concatenate({use.channel: use.stage.run(face_clip=face) for use in self.spec.stages["vision"]})
        return None

    def close(self) -> None:
        """End the decoding process."""
        self._decoder.close()


def filled_by_a_face(picture: NDArray[np.uint8]) -> FaceClip:
    """uint8 (H, W, 3) RGB as one frame whose middle is a face: upright, and a little larger than the picture."""
    import cv2

    height, width = picture.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    square = picture[top : top + side, left : left + side, ::-1]
    _, coded = cv2.imencode(".jpg", square, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    tracks = FaceTracks(
        times=np.array([[0.0, 0.1]]),
        frame_size=(height, width),
        track=np.zeros(1, np.int64),
        row=np.zeros(1, np.int64),
        boxes=np.array([[-1, -1, width + 1, height + 1]], np.float32),
        landmarks=(ALIGNED_112[None] * np.float32(side / 112) + np.array([left, top], np.float32)).astype(np.float32),
        score=np.zeros(1, np.float32),
        squares=np.array([[left, top, side]], np.float32),
        crops=EncodedImages.join([bytes(coded)]),
    )
    return FaceClip(tracks, Speaker(np.zeros(1, np.int64), np.zeros(1, np.float32)))
