"""How often a head is right: labels.csv beside photographs or sounds, and the columns of features that bear its names.

    uv run python models/pocket/heads.py FOLDER [--pipeline pocket] [--split test] [--limit N] [--jobs N]

Nothing here maps one name to another: a class is a name that stands in the table and over a column. A photograph in
which no face is found is taken for a face as a whole, and counted apart.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.align import concatenate
from msapipe.api import Pipeline
from msapipe.errors import ConfigError, MsapipeError
from msapipe.media import Decoder
from msapipe.pipeline.run import Outcome
from msapipe.pipeline.spec import PipelineSpec, load_spec
from msapipe.types import Clip, EncodedImages, FaceClip, FaceTracks, FeatureSequence, Speaker
from msapipe.types.faces import ALIGNED_112
from msapipe.weights import make_ready

# The only names that are stated: of each dimension, the emotions above and below its zero.
SIDES: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "valence": (
        frozenset({"happiness", "happy"}),
        frozenset({"anger", "angry", "disgust", "fear", "sadness", "sad"}),
    ),
    "arousal": (frozenset({"anger", "angry", "happiness", "happy"}), frozenset({"neutral", "sadness", "sad"})),
}
# Classes that photographs have too few of, or that people do not agree on: there is a figure without them as well.
DOUBTFUL = frozenset({"contempt", "disgust", "fear"})

_SOUND = frozenset({".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".aif", ".aiff"})


@dataclass(frozen=True)
class LabelledFile:
    """One line of labels.csv: a file in the folder, its emotion and its split."""

    name: str
    folder: Path
    emotion: str
    split: str | None

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.folder / self.name


def read_emotions(folder: Path) -> list[LabelledFile]:
    """The rows of labels.csv: columns ``image`` or ``file``, ``emotion``, and ``split`` where there is one."""
    table = folder / "labels.csv"
    if not table.is_file():
        raise MsapipeError(f"{table} is not there; expected a table of image (or file), emotion and split")
    with table.open(encoding="utf-8-sig", newline="") as file:
        return [
            LabelledFile(row.get("image") or row["file"], folder, row["emotion"], row.get("split") or None)
            for row in csv.DictReader(file)
        ]


def modality_of(files: Sequence[LabelledFile]) -> str:
    """ "audio" for sounds, "vision" for anything else."""
    return "audio" if files[0].path.suffix.lower() in _SOUND else "vision"


def only(spec: PipelineSpec, modality: str) -> PipelineSpec:
    """The pipeline with one modality and what it reads; results lie in the cache under the same keys.

    Raises ConfigError when it has no stage for the modality.
    """
    if not spec.stages.get(modality):
        raise ConfigError(f"pipeline {spec.name} has no stage for {modality}")
    return replace(spec.only([modality]), model=None)


@dataclass(frozen=True)
class Reading:
    """What a head says of one file: the mean of each column over the valid steps; {} when it saw or heard nothing.

    why: why it did not, or why the whole picture was taken for a face.
    """

    emotion: str
    columns: Mapping[str, float]
    why: str = ""


def reading(emotion: str, features: FeatureSequence | None, emotions: Collection[str], why: str = "") -> Reading:
    """The columns of the channel that bears most of the ``emotions``.

    features: None when nothing could be computed of the file.   why: the reason, if nothing was seen or heard in it.
    Raises ConfigError when less than two of the emotions stand over columns, MsapipeError when there is only one.
    """
    if len(emotions) < 2:
        raise MsapipeError(f"every row says {emotion}: there is nothing to choose among")
    if features is None:
        return Reading(emotion, {}, why)
    channels: dict[str, dict[str, int]] = {}
    for index, name in enumerate(features.names):
        channel, _, column = name.rpartition(".")
        channels.setdefault(channel, {})[column] = index
    found = max(channels.values(), key=lambda columns: len(columns.keys() & set(emotions)), default={})
    if len(found.keys() & set(emotions)) < 2:
        raise ConfigError(
            f"no stage of the pipeline says anything of {', '.join(sorted(emotions))}; it says {', '.join(found)}"
        )
    if not features.valid.any():
        return Reading(emotion, {}, why)
    means = features.values[features.valid].mean(axis=0, dtype=float)
    return Reading(emotion, {name: float(means[index]) for name, index in found.items()}, why)


def figures(readings: Sequence[Reading]) -> dict[str, Any]:
    """How often the head is right; a file of which nothing was seen counts as wrong.

    ``*_seen`` leave such files out, and those in which no face was found.
    unseen, assumed: how many those are, and reasons: why.   unknown: emotion to number of files, for emotions without a
    column; they are left out.   classes: emotion to files, recall, recall_seen; the answer is the highest of the
    emotions' columns.   macro_recall: mean over the classes.   without_doubtful: mean over those that are not DOUBTFUL.
    valence, arousal: balanced accuracy of that column's sign over the emotions of SIDES.
    None where a figure is not defined. Raises MsapipeError when nothing was seen in any file.
    """
    columns = {name for item in readings for name in item.columns}
    reasons = Counter(item.why for item in readings if item.why or not item.columns)
    if not columns:
        raise MsapipeError(f"nothing was seen or heard in any of {len(readings)} files: {'; '.join(reasons)}")
    known = [item for item in readings if item.emotion in columns]
    unknown = [item.emotion for item in readings if item.emotion not in columns]
    classes = sorted({item.emotion for item in known})
    found: dict[str, Any] = {
        "files": len(readings),
        "unseen": sum(not item.columns for item in readings),
        "assumed": sum(bool(item.columns and item.why) for item in readings),
        "reasons": dict(reasons.most_common()),
        "unknown": {emotion: unknown.count(emotion) for emotion in sorted(set(unknown))},
        **_macro(known, classes),
    }
    sure = [emotion for emotion in classes if emotion not in DOUBTFUL]
    if 1 < len(sure) < len(classes):
        recalls = {kind: [found["classes"][emotion][kind] for emotion in sure] for kind in ("recall", "recall_seen")}
        found["without_doubtful"] = {
            "emotions": sure,
            **{f"macro_{kind}": _mean(parts) for kind, parts in recalls.items()},
        }
    for dimension, (above, below) in SIDES.items():
        if dimension in columns:
            found |= _balanced(readings, dimension, above, below)
    return found


def _macro(readings: Sequence[Reading], classes: Sequence[str]) -> dict[str, Any]:
    """Recall of each class and the mean of the recalls."""
    right = {emotion: _Hits() for emotion in classes}
    for item in readings:
        answer = max(classes, key=lambda emotion: item.columns[emotion]) if item.columns else None
        right[item.emotion].add(answer, item.emotion, seen=not item.why)
    return {
        "classes": {
            emotion: {"files": hits.files, "recall": hits.recall, "recall_seen": hits.recall_seen}
            for emotion, hits in right.items()
        },
        "macro_recall": _mean([hits.recall for hits in right.values()]),
        "macro_recall_seen": _mean([hits.recall_seen for hits in right.values()]),
    }


def _balanced(
    readings: Sequence[Reading], dimension: str, above: frozenset[str], below: frozenset[str]
) -> dict[str, float | None]:
    """Mean of the recalls of both sides of a dimension, by the sign of its column."""
    high, low = _Hits(), _Hits()
    for item in readings:
        if item.emotion in above | below:
            answer = item.columns[dimension] > 0 if item.columns else None
            (high if item.emotion in above else low).add(answer, item.emotion in above, seen=not item.why)
    if not (high.files and low.files):
        return {dimension: None, f"{dimension}_seen": None}
    return {
        dimension: _mean([high.recall, low.recall]),
        f"{dimension}_seen": _mean([high.recall_seen, low.recall_seen]),
    }


@dataclass
class _Hits:
    """Right answers to the files of one class; None is no answer."""

    files: int = 0
    right: int = 0
    seen: int = 0
    right_seen: int = 0

    def add(self, answer: object, truth: object, seen: bool) -> None:
        self.files += 1
        self.right += answer == truth
        if answer is not None and seen:
            self.seen += 1
            self.right_seen += answer == truth

    @property
    def recall(self) -> float | None:
        return self.right / self.files if self.files else None

    @property
    def recall_seen(self) -> float | None:
        return self.right_seen / self.seen if self.seen else None


def _mean(parts: Sequence[float | None]) -> float | None:
    """Mean of the parts that are defined."""
    defined = [part for part in parts if part is not None]
    return fmean(defined) if defined else None


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


def readings(files: Sequence[LabelledFile], spec: PipelineSpec, cache: str | None, jobs: int = 1) -> list[Reading]:
    """What the head of the files' modality says of each, in order."""
    modality = modality_of(files)
    spec, emotions = only(spec, modality), {item.emotion for item in files}
    clips = [Clip(item.name, item.path) for item in files]
    photographs = Photographs(spec) if modality == "vision" and Photographs.suit(spec) else None
    found = []
    with Pipeline(spec, cache) as pipeline:
        if jobs != 1:
            deque(pipeline.run(clips, jobs=jobs), 0)  # into the cache, from which they are read here
        for item, outcome in zip(files, pipeline.run(clips), strict=True):
            features, why = outcome.features.get(modality), ""
            if features is None or not features.valid.any():
                why = _why(outcome, modality)
                if photographs is not None and outcome.status != "error":
                    features = photographs.features(item.path)
            found.append(reading(item.emotion, features, emotions, why))
    if photographs is not None:
        photographs.close()
    return found


def _why(outcome: Outcome, modality: str) -> str:
    """Why there is nothing of a modality, in the words of the clip's notes."""
    said = f"{modality} is missing: "
    return next((note.removeprefix(said) for note in outcome.notes if note.startswith(said)), "failed")


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pipeline", default="pocket")
    parser.add_argument("--split")
    parser.add_argument("--limit", type=int, help="Only so many of the files, evenly apart.")
    parser.add_argument("--cache")
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    files = [item for item in read_emotions(asked.folder) if asked.split in (None, item.split)]
    files = files[:: max(1, len(files) // asked.limit)][: asked.limit] if asked.limit else files
    print(json.dumps(figures(readings(files, load_spec(asked.pipeline), asked.cache, asked.jobs)), indent=1))


if __name__ == "__main__":
    try:
        main()
    except MsapipeError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
