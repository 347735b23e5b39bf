"""Facial action units, 17 intensities and 17 presences, by LibreFace, OpenFace, MediaPipe or msapipe's own network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from msapipe.errors import ConfigError
from msapipe.stages._base import NeuralStage, Stage
from msapipe.stages.vision._expression_net import POCKET_FACE
from msapipe.stages.vision._units import DERIVED, INTENSITIES, LACKING, PRESENCES, UNITS, Backend
from msapipe.types import FaceClip, FeatureSequence
from msapipe.weights import Download, Weights, choose

LIBREFACE = Download(
    name="libreface-au",
    licence="USC research licence, non-commercial",
    source="github.com/ihp-lab/LibreFace",
    commercial=False,
    url="https://drive.usercontent.google.com/download?id=1CbnBr8OBt8Wb73sL1ENcrtrWAFWSSRv0&export=download&confirm=t",
    file="combined_resnet.pt",
    sha256="",  # none is published
)
MEDIAPIPE = Download(
    name="mediapipe-face-landmarker",
    licence="Apache-2.0",
    source="ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker",
    url=(
        "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
    ),
    file="face_landmarker.task",
    sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    bytes=3758596,
)
_OF_BACKEND = {"libreface": LIBREFACE, "mediapipe": MEDIAPIPE}
_BACKENDS = ("libreface", "openface", "mediapipe", "pocket")


@dataclass
class ActionUnits(NeuralStage):
    """Action units of the speaker's face per sampled picture, as FeatureSequence (T, 34), or (T, 68) with validity.

    Units 1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45 in this order, as in OpenFace 2.0:
    AU01_r ... AU45_r: intensities in [0, 1], where 0 is absent and 1 the strongest, FACS grade E.
    AU01_c ... AU45_c: presences, 0 or 1.
    AU01_r_valid ... AU45_c_valid, only with ``validity``: of each column before, 1 where the backend gives it, 0.5
    where it is derived, 0 where it lacks and the column is 0. The notes of the result name these columns too.

    backend: what measures.
        libreface: a net on single pictures. Intensities of 1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26; presences of 1,
        2, 4, 6, 7, 10, 12, 14, 15, 17, 23 where the net says 0.5 or more; those of 5, 9, 20, 25, 26 are derived.
        openface: OpenFace's program, run on the speaker's pictures as one sequence. Everything is given; intensities
        are its 0 to 5 divided by 5, AU28_c is left. A row that it did not track is invalid.
        mediapipe: blendshapes of single pictures by a table. Everything is derived; a row in which MediaPipe finds no
        face is invalid.
        pocket: our own net (models/pocket_face), a pupil of MediaPipe; nothing to download. Intensities of all but 6
        and 9, whose teacher knows nothing of them; presences are derived.
    checkpoint: weights of libreface or mediapipe, "" for libreface-au or mediapipe-face-landmarker.
    program: OpenFace's FeatureExtraction, a name on the PATH or a path (not relative to a pipeline); "" for that in
        MSAPIPE_OPENFACE, else FeatureExtraction on the PATH. Results are kept under the hash of its file.
    presence: a unit is present from this intensity on where presences are derived; 0.2 is FACS grade A.
    confidence: least confidence of OpenFace, in [0, 1], with which a row is valid.
    validity: append the 34 columns that say where a value is from.
    dtype: of libreface alone, which takes a third of the time in bfloat16 on a CPU with AMX; intensities and
        probabilities of presences are off by 1 % at most (norm of the difference over norm, random weights: 0.2 %), so
        a presence may turn where the net is that unsure. The others compute as ever, under the keys of float32.

    Ekman and Friesen, "Facial Action Coding System" (1978). Rows without a face are invalid.
    """

    checkpoint: str = ""
    backend: Literal["libreface", "openface", "mediapipe", "pocket"] = "libreface"
    program: str = ""
    presence: float = 0.2
    confidence: float = 0.7
    validity: bool = False

    on_device: ClassVar[bool] = True
    weights: ClassVar[tuple[Weights, ...]] = (LIBREFACE, MEDIAPIPE, POCKET_FACE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backend not in _BACKENDS:
            raise ConfigError(f"action_units: backend must be one of {', '.join(_BACKENDS)}, got {self.backend!r}")
        for name, value in (("presence", self.presence), ("confidence", self.confidence)):
            if not 0 <= value <= 1:
                raise ConfigError(f"action_units: {name} must lie in [0, 1], got {value}")
        if self.program and self.backend != "openface":
            raise ConfigError(f"action_units: program is of backend: openface, not of {self.backend}")
        if self.checkpoint and self.backend == "openface":
            raise ConfigError("action_units: checkpoint is not of backend: openface, whose program has its own")
        if self.checkpoint and self.backend == "pocket":
            raise ConfigError("action_units: checkpoint is not of backend: pocket, whose net comes with msapipe")

    def own_weights(self) -> tuple[Weights, ...]:
        """The weights, or the program, of the backend."""
        if self.backend == "openface":
            from msapipe.stages.vision._openface import find_program

            return (find_program(self.program),)
        if self.backend == "pocket":
            return (POCKET_FACE,)
        default = _OF_BACKEND[self.backend]
        return (choose([default], self.checkpoint or default.name, "action_units"),)

    def params(self) -> dict[str, Any]:
        """The parameters; a hash replaces the path of a user's own checkpoint; a program counts as weights."""
        checkpoint = "" if self.backend in ("openface", "pocket") else self.own_weights()[0].name
        plain = self if self.backend == "libreface" else replace(self, dtype="float32")
        return {**Stage.params(plain), "checkpoint": checkpoint, "program": ""}

    def load(self, device: str) -> None:
        """Import the backend's library and read its weights."""
        path = self.own_weights()[0].path()
        self._backend: Backend
        if self.backend == "libreface":
            from msapipe.stages.vision._libreface import LibreFace

            self._backend = LibreFace(path, device, self.dtype)
        elif self.backend == "openface":
            from msapipe.stages.vision._openface import OpenFace

            self._backend = OpenFace(path, self.confidence)
        elif self.backend == "mediapipe":
            from msapipe.stages.vision._mediapipe import MediaPipe

            self._backend = MediaPipe(path)
        else:
            from msapipe.stages.vision._pocket_units import PocketUnits

            self._backend = PocketUnits(path)

    def run(self, face_clip: FaceClip) -> FeatureSequence:
        """Measure every row with a face."""
        valid, values = self._backend.measure(face_clip)
        source = self._backend.validity
        derived = np.flatnonzero(source[len(UNITS) :] == DERIVED)
        values[:, len(UNITS) + derived] = values[:, derived] >= self.presence
        names = (*INTENSITIES, *PRESENCES)
        if self.validity:
            values = np.hstack([values, np.tile(source, (len(values), 1))])
            names = (*names, *(f"{name}_valid" for name in names))
        return FeatureSequence.masked(values, face_clip.times, valid, names, self._notes())

    def _notes(self) -> tuple[str, ...]:
        """Notes on columns that the backend does not give."""
        source = self._backend.validity
        lacking = [name for name, of in zip((*INTENSITIES, *PRESENCES), source, strict=True) if of == LACKING]
        derived = [name for name, of in zip(PRESENCES, source[len(UNITS) :], strict=True) if of == DERIVED]
        notes = []
        if lacking:
            notes.append(f"{', '.join(lacking)}: not given by {self.backend}, always 0")
        if derived:
            notes.append(f"{', '.join(derived)}: derived, 1 where the intensity is {self.presence:g} or more")
        return (*notes, *self._backend.about)
