"""The page of one clip: its score and everything behind it, in one file without outside resources."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MsapipeError
from msapipe.media import Decoder, MediaOptions
from msapipe.pipeline.explain import Explanation, WordEffect, features_of
from msapipe.pipeline.run import Outcome
from msapipe.pipeline.spec import PipelineSpec
from msapipe.report import clip_pictures as pictures
from msapipe.report.film import at_rate, write_film
from msapipe.report.template import render, write_text
from msapipe.stages import MODALITIES
from msapipe.types import FaceTracks, MediaInfo, Prediction, Speaker, Waveform

# Shorter clips (seconds) are embedded in the page at low resolution; the page links to longer ones.
MOST_SECONDS = 300.0
_FILM = MediaOptions(fps=12.0, max_side=480)
# Keeps a page below a megabyte, without its film.
MOST_WORDS = 2000


@dataclass(frozen=True)
class Told:
    """The content of a clip's page: results, explanation and pipeline.

    name: shown instead of the file's path; "" shows the path.
    """

    outcome: Outcome
    prediction: Prediction
    explanation: Explanation
    spec: PipelineSpec
    name: str = ""


def write_clip_page(path: Path, told: Told, home: str = "") -> int:
    """Write the page of a clip; returns its size in bytes without the film.

    home: the address of the page of all clips, if there is one.
    Raises ConfigError when the file cannot be written.
    """
    outcome = told.outcome
    notes = list(dict.fromkeys((*outcome.notes, *told.prediction.notes)))
    with Decoder() as decoder:
        sound = _sound(told, decoder, notes)
        seconds = _seconds(outcome, sound)
        film = _film(path, told, decoder, sound, seconds, notes)
    values = {
        **_head(told, seconds),
        "home": home,
        "film": film,
        "modalities": _modalities(told.prediction, outcome, told.explanation.trust),
        **_scores(told.prediction, told.explanation, seconds),
        **_people(outcome, seconds),
        **_heard(sound, seconds, outcome, notes),
        **_words(outcome, told.explanation),
        "notes": notes,
        "diagnostics": [
            _diagnostic(name, value, list(told.prediction.modalities))
            for name, value in told.explanation.diagnostics.items()
        ],
        **_made(told, seconds),
    }
    text = render("clip.html", values, "clip.js", film["allowed"])
    write_text(path, text)
    embedded = film["source"] if film["source"].startswith("data:") else ""
    return len(text.encode("utf-8", "backslashreplace")) - len(embedded)


def _sound(told: Told, decoder: Decoder, notes: list[str]) -> Waveform | None:
    media: MediaInfo | None = told.outcome.values.get("media")
    if media is None or media.audio is None:
        return None
    try:
        return decoder.waveform(told.outcome.clip, told.spec.media)
    except MsapipeError as error:
        notes.append(f"the sound is not shown: {error}")
        return None


def _seconds(outcome: Outcome, sound: Waveform | None) -> float:
    """The decoded length of the clip in seconds."""
    ends = [sound.seconds] if sound is not None else []
    faces = outcome.values.get("faces")
    if isinstance(faces, FaceTracks) and len(faces.times):
        ends.append(float(faces.times[-1, 1]))
    ends += [float(part.times[:, 1].max()) for part in features_of(outcome, MODALITIES).values() if len(part.times)]
    return round(max(ends, default=0.0), 3)


def _film(
    path: Path, told: Told, decoder: Decoder, sound: Waveform | None, seconds: float, notes: list[str]
) -> dict[str, Any]:
    """The player's source: a small version of the clip, or the address of its file."""
    clip, media = told.outcome.clip, told.outcome.values.get("media")
    seen = media is not None and media.video is not None
    kind = "video" if seen else "audio"
    nothing = {"offset": 0, "allowed": "data:", "poster": ""}
    if seconds > MOST_SECONDS and told.name:  # readers of the page do not have the file
        about = f"A clip of more than {MOST_SECONDS:.0f} s is not put into its page."
        return {**nothing, "kind": "none", "source": "", "about": about}
    if seconds > MOST_SECONDS:
        where = os.path.relpath(clip.path.absolute(), path.absolute().parent)
        about = f"The page plays the file {where}: a clip of more than {MOST_SECONDS:.0f} s is not put into it."
        told_of = {"kind": kind, "source": quote(os.fsencode(where)), "about": about}
        return {**nothing, **told_of, "offset": clip.start, "allowed": "'self' file:"}
    try:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "film.mp4"
            frames = (picture for _, picture in at_rate(decoder.frames(clip, _FILM), _FILM.fps)) if seen else iter(())
            first = next(frames, None)
            poster = pictures.jpeg(first, _FILM.max_side) if first is not None else ""
            write_film(made, frames if first is None else chain([first], frames), _FILM.fps, sound, quality=30)
            data = base64.b64encode(made.read_bytes()).decode()
    except MsapipeError as error:
        notes.append(f"the page holds no film: {error}")
        return {**nothing, "kind": "none", "source": "", "about": "The clip cannot be played."}
    about = f"The clip, made small for this page ({len(data) * 3 / 4e6:.1f} MB)."
    source = f"data:{kind}/mp4;base64,{data}"
    return {**nothing, "kind": kind, "source": source, "about": about, "poster": poster}


def _head(told: Told, seconds: float) -> dict[str, Any]:
    found, clip = told.prediction, told.outcome.clip
    (low, high), interval = found.scale, found.interval
    between = "" if interval is None else f", nine times in ten between {interval[0]:+.2f} and {interval[1]:+.2f}"
    left, right = (share_of(bound, found.scale) for bound in interval or found.scale)
    part = clip.end is not None or clip.start > 0
    return {
        "name": told.name or (clip.id if part else clip.path.name),
        "seconds": seconds,
        "span": f"seconds {clip.start:g} to {clip.start + seconds:g} of the file" if part else "",
        "model": found.model,
        "pipeline": told.spec.name,
        "score": f"{found.score:+.2f}",
        "label": found.label,
        "label_class": found.label if found.label in ("positive", "negative", "neutral") else "unclear",
        "score_told": f"{found.score:+.2f} on a scale from {low:+g} to {high:+g}{between}: {found.label}",
        "low": f"{low:+g}",
        "middle": f"{(low + high) / 2:+g}" if low + high else "0",
        "high": f"{high:+g}",
        "place": share_of(found.score, found.scale),
        "interval": interval and {"left": left, "width": round(right - left, 2)},
        "trust": bool(told.explanation.trust),
    }


def share_of(value: float, scale: tuple[float, float]) -> float:
    """The position of a score on its scale, in percent."""
    return round(100 * min(max((value - scale[0]) / (scale[1] - scale[0]), 0.0), 1.0), 2)


def why_missing(name: str, notes: Sequence[str]) -> str:
    """The reason in the notes for a missing modality."""
    told = [note for note in notes if note.startswith(f"{name} ")]
    return told[0].removeprefix(f"{name} is missing: ") if told else "nothing was seen of it"


def _modalities(found: Prediction, outcome: Outcome, trust: dict[str, float]) -> list[dict[str, Any]]:
    low, high = found.scale
    rows = []
    for name, part in found.modalities.items():
        moves = None if part.score_without is None else found.score - part.score_without
        half = 50 * min(abs(moves or 0.0) / ((high - low) / 2), 1.0)
        left = 50.0 if (moves or 0.0) >= 0 else 50 - half
        kind = "high" if (moves or 0.0) >= 0 else "low"
        rows.append(
            {
                "name": name,
                "missing": part.missing,
                "why": why_missing(name, outcome.notes),
                "alone": "-" if part.score is None else f"{part.score:+.2f}",
                "moves": "it is all there is" if moves is None else f"{moves:+.2f}",
                "bar": None if moves is None else {"left": round(left, 2), "width": round(half, 2), "kind": kind},
                "trust": f"{trust[name]:.2f}" if name in trust else "-",
                "coverage": f"{part.coverage:.0%}",
            }
        )
    return rows


def _scores(found: Prediction, why: Explanation, seconds: float) -> dict[str, Any]:
    """The lane of scores: the windows of a long clip, or the running score of a short one."""
    lane = "Score of each window" if found.timeline else "Running score: of what was said, heard and seen up to there"
    points = " ".join(
        f"{1000 * at / seconds:.1f},{100 - share_of(score, found.scale):.1f}" for at, score in why.running if seconds
    )
    windows = []
    for window in found.timeline:
        middle, at = share_of(0.0, found.scale), share_of(window.score, found.scale)
        windows.append(
            {
                "x": round(1000 * window.start / seconds, 1),
                "width": round(1000 * (window.end - window.start) / seconds - 2, 1),
                "y": 100 - max(middle, at),
                "height": max(abs(at - middle), 1.0),
                "kind": "low" if window.score < 0 else "high",
                "told": f"{window.start:.0f} to {window.end:.0f} s: {window.score:+.2f} {window.label}",
            }
        )
    scale = f"{lane}, from {found.scale[0]:+g} (bottom) to {found.scale[1]:+g} (top)"
    zero = 100 - share_of(0.0, found.scale)
    return {"running": points, "windows": windows, "score_lane": scale, "zero": zero}


def _people(outcome: Outcome, seconds: float) -> dict[str, Any]:
    faces, speaker = outcome.values.get("faces"), outcome.values.get("speaker")
    if not isinstance(faces, FaceTracks) or not isinstance(speaker, Speaker) or not len(faces.track):
        return {"people": [], "more_people": 0, "no_faces": why_missing("vision", outcome.notes)}
    found, more = pictures.people(faces, speaker, seconds)
    rows = [
        {
            "track": person.track,
            "turns": _spans(person.turns),
            "faces": [
                face and {"at": round(face.at, 2), "picture": face.picture, "speaks": face.speaks}
                for face in person.faces
            ],
        }
        for person in found
    ]
    return {"people": rows, "more_people": more, "no_faces": ""}


def _spans(spans: Sequence[tuple[float, float]]) -> str:
    some = ", ".join(f"{start:.1f} to {end:.1f} s" for start, end in spans[:6])
    return some + (f" and {len(spans) - 6} times more" if len(spans) > 6 else "")


def _heard(sound: Waveform | None, seconds: float, outcome: Outcome, notes: list[str]) -> dict[str, Any]:
    nothing = {"wave": "", "mel": "", "speech": [], "speech_told": "", "half_rate": 0, "mel_width": 100}
    if sound is None or not len(sound.samples):
        return {**nothing, "no_sound": why_missing("audio", outcome.notes)}
    try:
        spans = pictures.speech(sound)
        told = _spans(spans) or "none"
    except MsapipeError as error:
        spans, told = [], "not known"
        notes.append(f"speech is not marked: {error}")
    return {
        "wave": pictures.outline(sound, seconds),
        "mel": pictures.mel(sound),
        "mel_width": round(100 * min(1.0, sound.seconds / seconds), 2),
        "speech": [
            {"x": round(1000 * start / seconds, 1), "width": round(1000 * (end - start) / seconds, 1)}
            for start, end in spans
        ],
        "speech_told": told,
        "half_rate": sound.rate // 2,
        "no_sound": "",
    }


def _words(outcome: Outcome, why: Explanation) -> dict[str, Any]:
    transcript = outcome.values.get("transcript")
    most = max((abs(word.adds) for word in why.words if word.adds is not None), default=0.0)
    return {
        "words": [_word(word, most) for word in why.words[:MOST_WORDS]],
        "words_left_out": max(0, len(why.words) - MOST_WORDS),
        "no_words": f"No words: {why_missing('text', outcome.notes)}",
        "method": why.method[:1].upper() + why.method[1:],
        "most": f"{most:.2f}",
        "source": transcript.source if transcript is not None else "",
        "language": (transcript.language or "") if transcript is not None else "",
        "strongest": [
            {"text": word.text, "at": _clock(word.start), "adds": f"{word.adds:+.2f}"} for word in why.strongest(12)
        ],
    }


def _word(word: WordEffect, most: float) -> dict[str, Any]:
    much = abs(word.adds or 0.0) / most if most > 0 else 0.0
    adds = "what it adds is not known" if word.adds is None else f"adds {word.adds:+.2f}"
    return {
        "text": word.text,
        "start": "" if word.start is None else round(word.start, 2),
        "end": "" if word.end is None else round(word.end, 2),
        "told": f"{_clock(word.start)}, {adds}",
        "much": round(much, 2),
        "kind": "" if much < 0.05 else "up" if (word.adds or 0.0) > 0 else "down",
    }


def _clock(seconds: float | None) -> str:
    return "time not known" if seconds is None else f"{seconds:.1f} s"


def _diagnostic(name: str, value: NDArray[np.float64], modalities: Sequence[str]) -> dict[str, Any]:
    """A few values as numbers, named if there is one per modality; more as a heat map."""
    flat = value.reshape(-1, value.shape[-1]) if value.ndim > 1 else value.reshape(1, -1)
    drawn = flat.size > 16
    step = [max(1, -(-size // 256)) for size in flat.shape]
    names = [f"{one} " for one in modalities] if value.shape == (len(modalities),) else [""] * flat.size
    return {
        "name": name,
        "shape": " x ".join(map(str, value.shape)) or "one number",
        "range": f"{flat.min():.3g} to {flat.max():.3g}" if flat.size > 1 else "",
        "picture": pictures.heat(flat[:: step[0], :: step[1]]) if drawn else "",
        "numbers": ", ".join(f"{one}{number:.3f}" for one, number in zip(names, flat.ravel(), strict=True))
        if not drawn
        else "",
    }


def _made(told: Told, seconds: float) -> dict[str, Any]:
    from msapipe import __version__

    outcome = told.outcome
    media: MediaInfo | None = outcome.values.get("media")
    facts = [
        ("file", told.name or str(outcome.clip.path)),
        ("length", f"{seconds:.2f} s"),
        ("pictures", (media and media.video) or "none"),
        ("sound", (media and media.audio) or "none"),
        ("pipeline", f"{told.spec.name}: {told.spec.about}"),
        ("model", told.prediction.model),
        ("time", f"{outcome.seconds:.2f} s" + ("" if outcome.computed else ", features from the cache")),
        ("msapipe", __version__),
    ]
    spent = dict(outcome.timings)
    steps = [
        {"name": step.name, "seconds": _seconds_of(spent.pop(step.name, None)), "key": step.key}
        for step in (told.outcome.plan.steps if told.outcome.plan else ())
    ]
    steps += [{"name": name, "seconds": f"{time:.2f}", "key": ""} for name, time in spent.items()]
    return {"facts": facts, "settings": told.spec.text, "steps": steps}


def _seconds_of(spent: float | None) -> str:
    return "cached or not needed" if spent is None else f"{spent:.2f}"
