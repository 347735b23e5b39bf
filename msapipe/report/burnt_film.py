"""A film with the results drawn into it: faces, who speaks, the running score, and the words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MsapipeError
from msapipe.media import Decoder, MediaOptions
from msapipe.pipeline.explain import Explanation
from msapipe.pipeline.run import Outcome
from msapipe.pipeline.spec import PipelineSpec
from msapipe.report.film import at_rate, write_film
from msapipe.report.marks import on_one_line
from msapipe.types import FaceTracks, MediaInfo, Prediction, Speaker, Transcript

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]  # red, green, blue

_FPS = 25.0
_SPEAKS, _SILENT, _WHITE, _BACK = (70, 200, 120), (190, 190, 190), (255, 255, 255), (20, 20, 20)
_GOOD, _BAD = (90, 160, 255), (255, 130, 60)
_SHORT = 360  # pixels: smaller pictures are doubled, so that the words are legible
_AROUND = 4  # words shown before and after the spoken one
_SOON = 1.0  # seconds that a word stays visible


def render_film(path: Path, outcome: Outcome, found: Prediction, why: Explanation, spec: PipelineSpec) -> int:
    """Write the clip as an mp4 with the results drawn into it; returns the number of pictures.

    Raises MsapipeError for a clip without pictures, and when the file cannot be written.
    """
    media: MediaInfo | None = outcome.values.get("media")
    if media is None or media.video is None:
        raise MsapipeError(f"{outcome.clip.path}: it has no pictures to draw on; msapipe report shows sound too")
    painter = _Painter(outcome, found, why)
    # Face boxes refer to pictures of this size, so they need no scaling.
    options = MediaOptions(_FPS, spec.media.rate, spec.media.peak_db, spec.media.max_side)
    with Decoder() as decoder:
        sound = decoder.waveform(outcome.clip, options) if media.audio is not None else None
        pictures = (painter.paint(picture, at) for at, picture in at_rate(decoder.frames(outcome.clip, options), _FPS))
        return write_film(path, pictures, _FPS, sound)


class _Painter:
    """Draws the results at one moment over its picture."""

    def __init__(self, outcome: Outcome, found: Prediction, why: Explanation) -> None:
        faces, speaker = outcome.values.get("faces"), outcome.values.get("speaker")
        self._faces = faces if isinstance(faces, FaceTracks) and isinstance(speaker, Speaker) else None
        self._speaker = speaker
        words: Transcript = outcome.values.get("words") or Transcript()
        self._words = [word for word in words.words if word.start is not None and word.end is not None]
        self._found = found
        self._scores = _steps(found, why)

    def paint(self, picture: Picture, at: float) -> Picture:
        """The picture at a time (seconds) with everything drawn into it."""
        import cv2

        double = 2 if min(picture.shape[:2]) < _SHORT else 1
        drawn = np.ascontiguousarray(picture)
        if double > 1:
            drawn = np.asarray(cv2.resize(drawn, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
        else:
            drawn = drawn.copy()
        size = max(14, min(drawn.shape[0] // 20, drawn.shape[1] // 26))
        self._paint_faces(drawn, at, double, size)
        self._paint_score(drawn, at, size)
        self._paint_words(drawn, at, size)
        return drawn

    def _paint_faces(self, drawn: Picture, at: float, scale: int, size: int) -> None:
        import cv2

        if self._faces is None or not len(self._faces.times):
            return
        row = int(np.searchsorted(self._faces.times[:, 0], at + 1e-6, "right")) - 1
        if row < 0:
            return
        for one in np.flatnonzero(self._faces.row == row):
            speaks = self._speaker is not None and self._speaker.track[row] == self._faces.track[one]
            x1, y1, x2, y2 = (round(float(side)) * scale for side in self._faces.boxes[one])
            colour = _SPEAKS if speaks else _SILENT
            cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, 3 if speaks else 1)
            name = f"{self._faces.track[one]} speaks" if speaks else str(self._faces.track[one])
            _write(drawn, name, (x1, max(y1 - size // 3, size)), colour, size * 3 // 4)

    def _paint_score(self, drawn: Picture, at: float, size: int) -> None:
        import cv2

        low, high = self._found.scale
        width, edge = drawn.shape[1], size // 2
        _shade(drawn, 0, size * 2)
        score = self._score(at)
        told = "" if score is None else f"{score:+.2f}"
        whole = f"clip {self._found.score:+.2f} {on_one_line(self._found.label)}"
        colour = _WHITE if score is None else _GOOD if score >= 0 else _BAD
        _write(drawn, told, (edge, size + edge // 2), colour, size)
        _write(drawn, whole, (width - edge - _wide(whole, size * 3 // 4), size + edge // 2), _WHITE, size * 3 // 4)
        left, right, level = edge, width - edge, size * 2 - max(3, size // 4)
        cv2.line(drawn, (left, level), (right, level), _SILENT, 1)
        middle = left + round((right - left) * (0 - low) / (high - low)) if low < 0 < high else left
        if score is not None:
            place = left + round((right - left) * (score - low) / (high - low))
            cv2.line(drawn, (middle, level), (place, level), colour, max(3, size // 4))

    def _score(self, at: float) -> float | None:
        past = [score for start, score in self._scores if start <= at + 1e-6]
        return past[-1] if past else None

    def _paint_words(self, drawn: Picture, at: float, size: int) -> None:
        now = [number for number, word in enumerate(self._words) if (word.start or 0.0) <= at]
        if not now or at > (self._words[now[-1]].end or 0.0) + _SOON:
            return
        current = now[-1]
        spoken = at < (self._words[current].end or 0.0)
        around = range(max(0, current - _AROUND), min(len(self._words), current + 1))
        shown = _that_fit([(number, on_one_line(self._words[number].text)) for number in around], drawn.shape[1], size)
        height = drawn.shape[0]
        _shade(drawn, height - size * 2, height)
        x = (drawn.shape[1] - sum(_wide(f"{text} ", size) for _, text in shown)) // 2
        for number, text in shown:
            colour = _SPEAKS if spoken and number == current else _WHITE
            _write(drawn, text, (max(x, 2), height - size * 2 // 3), colour, size)
            x += _wide(f"{text} ", size)


def _steps(found: Prediction, why: Explanation) -> Sequence[tuple[float, float]]:
    """(seconds, score) from which each score is shown, in order of time."""
    if found.timeline:
        return [(window.start, window.score) for window in found.timeline]
    return why.running or [(0.0, found.score)]


def _that_fit(words: list[tuple[int, str]], width: int, size: int) -> list[tuple[int, str]]:
    """The last words that fit a line; a single word that is too long is cut."""
    while len(words) > 1 and sum(_wide(f"{text} ", size) for _, text in words) > width - size:
        words = words[1:]
    number, text = words[-1]
    while len(text) > 1 and len(words) == 1 and _wide(text, size) > width - size:
        text = text[:-1]
    return [*words[:-1], (number, text)]


def _shade(drawn: Picture, top: int, bottom: int) -> None:
    """Darken a band, so that white text is legible on any picture."""
    drawn[max(0, top) : bottom] = (drawn[max(0, top) : bottom] * 0.35).astype(np.uint8)


def _font() -> Any:
    """OpenCV 5 draws any script; older versions draw only unaccented Latin letters."""
    import cv2

    return cv2.FontFace("sans") if hasattr(cv2, "FontFace") else None


def _wide(text: str, size: int) -> int:
    import cv2

    font = _font()
    if font is None:
        return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size / 30, 1)[0][0])
    # The box ends with the last ink; trailing blanks only count with a letter after them.
    box = cv2.getTextSize((1, 1), f"{text}.", (0, 0), font, size)
    return int(box[2]) - size // 5


def _write(drawn: Picture, text: str, at: tuple[int, int], colour: Colour, size: int) -> None:
    """Draw text with its first letter at (x, y) pixels, y at the baseline."""
    import cv2

    font = _font()
    if font is None:
        plain = text.encode("ascii", "replace").decode()
        cv2.putText(drawn, plain, at, cv2.FONT_HERSHEY_SIMPLEX, size / 30, colour, max(1, size // 16), cv2.LINE_AA)
    elif text:
        cv2.putText(drawn, text, at, colour, font, size)
