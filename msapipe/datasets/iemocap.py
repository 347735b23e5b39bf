"""IEMOCAP: Session<N>/dialog with videos, transcripts and evaluations; valence of 1 to 5 as a label in [-1, 1]."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msapipe.datasets._base import DatasetReader, Example, Refused
from msapipe.types import Clip

# [6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.5000, 2.5000]
# Lines below a heading "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]":
_TURN = re.compile(r"\[([\d.]+) - ([\d.]+)\]\t(\S+)\t(\S+)\t\[([\d.]+), ([\d.]+), ([\d.]+)\]")
# Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
_WORDS = re.compile(r"(\S+) \[[\d.]+-[\d.]+\]: (.*)")


class Iemocap(DatasetReader):
    """10,039 turns of five sessions of two actors (Busso et al., 2008), stretches of one video per dialogue.

    Session<N>/dialog/EmoEvaluation/<dialogue>.txt gives start, end, turn, emotion and [valence, activation, dominance];
    the words are in dialog/transcriptions, the video in dialog/avi/DivX. The label is (valence - 3) / 2. The clip's
    id is "Session<N>/<turn>" and its video the session, whose two actors appear in no other. There is no split.
    """

    scale = (-1.0, 1.0)
    language = "en"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the first session's evaluations exist."""
        return (root / "Session1" / "dialog" / "EmoEvaluation").is_dir()

    def read(self) -> Iterator[Example | Refused]:
        """Dialogue by dialogue; see DatasetReader."""
        for evaluation in sorted(self.root.glob("Session*/dialog/EmoEvaluation/*.txt")):
            dialog = evaluation.parents[1]
            video = dialog / "avi" / "DivX" / f"{evaluation.stem}.avi"
            if not video.is_file():
                yield Refused(video, f"a missing video: {evaluation.name} has its turns", skipped=False)
                continue
            transcription = dialog / "transcriptions" / evaluation.name
            outside = next(filter(None, map(self.refuse_outside, (evaluation, video, transcription))), None)
            if outside is not None:
                yield outside
                continue
            words = _words(transcription)
            for line, text in enumerate(evaluation.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                if text.startswith("["):
                    yield _turn(evaluation, line, text, video, words)


def _turn(evaluation: Path, line: int, text: str, video: Path, words: Mapping[str, str]) -> Example | Refused:
    found = _TURN.match(text)
    if found is None:
        return Refused(evaluation, f"line {line}: found {text[:60]!r}, expected a turn", skipped=False)
    start, end, name, _, valence, _, _ = found.groups()
    label = (float(valence) - 3) / 2
    if not (-1 <= label <= 1 and float(start) < float(end)):
        return Refused(evaluation, f"line {line}: {name}: valence {valence}, [{start} - {end}]", skipped=False)
    session = evaluation.parents[2].name
    clip = Clip(f"{session}/{name}", video, float(start), float(end), words.get(name))
    return Example(clip, {"M": label}, None, session)


def _words(transcription: Path) -> dict[str, str]:
    """Turn to its words; turns without words are left out."""
    if not transcription.is_file():
        return {}
    lines = transcription.read_text(encoding="utf-8", errors="replace").splitlines()
    return {found[1]: found[2].strip() for line in lines if (found := _WORDS.match(line))}
