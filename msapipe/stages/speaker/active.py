"""Finds the active speaker among the visible people, by lips and voice (LR-ASD, TalkNet)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import ConfigError, MissingLibrary
from msapipe.stages._base import CheckpointStage
from msapipe.stages.speaker._asd_input import FPS, HEARD, RATE, Piece, cepstrum, pictures, pieces
from msapipe.stages.speaker._asd_nets import Network, parts
from msapipe.stages.speaker._turns import NOBODY, held, largest, scores, smoothed, turns
from msapipe.types import FaceTracks, Speaker, Waveform
from msapipe.types.sound import peak_of
from msapipe.weights import Download, Weights

# A person visible for fewer 25ths of a second cannot be scored.
LEAST = 5

# Seconds of a person's crops held at once; a minute takes 19 MB.
PART = 60

# Peak level above which sound is not silent; full scale is 1.
SILENCE = 1e-4

Floats = NDArray[np.float32]


def _lr_asd(name: str, file: str, trained: str, sha256: str) -> Download:
    commit = "1b6dcd2d8fc2895683de6508ec6294ec47d388ca"
    return Download(
        name=name,
        url=f"https://raw.githubusercontent.com/Junhua-Liao/LR-ASD/{commit}/weight/{file}",
        file=file,
        sha256=sha256,
        bytes=3_426_337,
        licence="MIT",
        source=f"https://github.com/Junhua-Liao/LR-ASD, trained on {trained}",
    )


@dataclass
class Active(CheckpointStage):
    """The visible person who speaks in each sampled frame, as Speaker: track (T,), score (T,), face_score (M,).

    face_score tells how well each face matches the voice: a logit, not a probability, about -8...8; above 0 the face
    speaks. score is that of the chosen face, or the highest in the frame if nobody is chosen (0 without a face). A
    person visible for less than 0.2 s scores 0.

    The network takes grey 112 x 112 crops of each face at 25 frames per second, and 13 MFCC at 100 rows per second. It
    was trained at 25 frames per second: write ``media: {fps: 25}`` into the pipeline. With fewer, frames are repeated,
    fewer speakers are found, and a note says so.

    Among faces above 0, after smoothing, the highest one speaks. If two faces above 0 differ by less than ``margin``,
    the choice is uncertain, and nobody is chosen (-1): the network mostly detects that a mouth moves during speech. Of
    two mouths that both talk to one voice it prefers the right one in only two of three pairs (measured: 52 to 74 %).

    checkpoint: lr-asd-ava (follows pauses), lr-asd-talkset (bridges them), talknet-talkset, or a path to such a file.
    windows: seconds; the score is the mean over passes in parts of these lengths. The authors' programs use 1 to 6,
        which costs six times as much; measured on talking heads, 6 alone follows speech as well, and shorter ones less.
    smooth: seconds over which scores are averaged before the choice.
    margin: logits by which the highest score must exceed any other above 0.
    hold: during a pause, the previous speaker, or else the next one, stays chosen while in sight.
    otherwise: if no visible person speaks in the whole clip, choose nobody, or the largest face.

    Liao et al., "LR-ASD: Lightweight and Robust Network for Active Speaker Detection" (IJCV 2025); Tao et al., "Is
    Someone Speaking? Exploring Long-term Temporal Features for Audio-visual Active Speaker Detection" (2021).
    """

    checkpoint: str = "lr-asd-ava"
    windows: tuple[int, ...] = (6,)
    smooth: float = 0.2
    margin: float = 4.0
    hold: bool = True
    otherwise: Literal["nobody", "largest"] = "nobody"

    on_device: ClassVar[bool] = True
    weights: ClassVar[tuple[Weights, ...]] = (
        _lr_asd(
            "lr-asd-ava",
            "pretrain_AVA.model",
            "AVA-ActiveSpeaker",
            "85e6c77fc981595234790d1e128ebb60352d37726b2445e0ef8891e2512fe9e3",
        ),
        _lr_asd(
            "lr-asd-talkset",
            "finetuning_TalkSet.model",
            "TalkSet",
            "6b4ef53694e874e96cf630198dc479c78aebb3993bbf166aee3d926dfe7d9342",
        ),
        Download(
            name="talknet-talkset",
            url="https://drive.usercontent.google.com/download?id=1AbN9fCf9IexMxEKXLQY2KYBlb-IhSEea&export=download&confirm=t",
            file="pretrain_TalkSet.model",
            sha256="",
            licence="MIT",
            source="https://github.com/TaoRuijie/TalkNet-ASD, trained on TalkSet",
        ),
    )

    def __post_init__(self) -> None:
        self.windows = tuple(self.windows)  # a pipeline gives a list
        fitting = bool(self.windows) and all(1 <= seconds <= PART for seconds in self.windows)
        self.require(fitting, f"windows must be whole seconds from 1 to {PART}, got {list(self.windows)}")
        for name, value in (("smooth", self.smooth), ("margin", self.margin)):
            self.require(isfinite(value) and value >= 0, f"{name} must be a number, 0 or more, got {value}")

    def load(self, device: str) -> None:
        """Import torch and OpenCV, and read the network; raises WeightsError if the file is of neither kind."""
        try:
            import cv2  # noqa: F401 - a missing library should be detected here
        except ImportError as error:
            raise MissingLibrary(f"speaker/active needs OpenCV: {error}; type: msapipe doctor") from error
        self._network = Network(self.own_weights()[0].path(), device)

    def run(self, faces: FaceTracks, waveform: Waveform) -> Speaker:
        """Choose a track, or -1, for every sampled frame."""
        if waveform.rate != RATE:
            raise ConfigError(
                f"speaker/active reads sound at {RATE} Hz, got {waveform.rate}; write media: {{rate: {RATE}}}"
            )
        score = self._face_score(faces, waveform)
        smooth = smoothed(faces, score, self.smooth)
        chosen, uncertain = turns(faces, smooth, self.margin)
        silent = peak_of(waveform.samples) <= SILENCE
        nobody = not uncertain.any() and bool((chosen == NOBODY).all())
        if nobody and self.otherwise == "largest":
            chosen = largest(faces)
        elif self.hold:
            chosen = held(faces, chosen, uncertain)
        notes = self._notes(faces, silent, nobody, uncertain)
        return Speaker(chosen, scores(faces, chosen, score), score, uncertain, notes)

    def _face_score(self, faces: FaceTracks, waveform: Waveform) -> Floats:
        """The logit of every face: (M,)."""
        out = np.zeros(len(faces.track), np.float32)
        every = [piece for piece in pieces(faces) if len(piece) >= LEAST]
        last = max((piece.first + len(piece) for piece in every), default=0)
        sound = cepstrum(waveform.samples, HEARD * last)
        for piece in every:
            logits = self._piece(faces, piece, sound[HEARD * piece.first :])
            at = faces.times[faces.row[piece.found], 0] * FPS - piece.first
            out[piece.found] = np.interp(at, np.arange(len(piece)), logits)
        return out

    def _piece(self, faces: FaceTracks, piece: Piece, sound: Floats) -> Floats:
        """The logit of every 1/25 s of a piece; ``sound`` starts at the same time."""
        logits = []
        for begin, end in parts(len(piece), -(-len(piece) // (PART * FPS))):
            heard = sound[HEARD * begin : HEARD * end]
            logits.append(self._network.scores(heard, pictures(faces, piece, begin, end), self.windows))
        return np.concatenate(logits)

    def _notes(self, faces: FaceTracks, silent: bool, nobody: bool, uncertain: NDArray[np.bool_]) -> tuple[str, ...]:
        if not len(faces.track):
            return ()
        notes = []
        step = float(np.median(np.diff(faces.times[:, 0]))) if len(faces.times) > 1 else 0.0
        if step > 1 / 20 + 1e-6:
            notes.append(
                f"pictures come {1 / step:.3g} a second; who speaks is told well at {FPS}: "
                f"write media: {{fps: {FPS}}} into the pipeline"
            )
        if silent:
            notes.append("the sound is silent: it does not tell who speaks")
        elif nobody:
            largest_is = "; the largest face is taken" if self.otherwise == "largest" else ""
            notes.append(f"nobody in sight speaks{largest_is}")
        if uncertain.any():
            seconds = float(np.diff(faces.times[uncertain], axis=1).sum())
            notes.append(f"two faces seem to speak at once for {seconds:.1f} s: neither is taken for the speaker there")
        return tuple(notes)
