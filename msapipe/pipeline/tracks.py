"""Who is visible when, and who speaks when, as JSON for people and other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.pipeline.crops import below, write
from msapipe.pipeline.run import Outcome
from msapipe.types import FaceTracks, Speaker

_JOIN = 0.001  # seconds between two pictures that still count as consecutive


def save_tracks(outcome: Outcome, target: Path) -> int:
    """Write <target>/<clip id>.json; returns the number of tracks in it, 0 (and no file) if there was no face search.

    clip: its id.   frame_size: [height, width] in pixels.   pictures: how many were searched.
    tracks: one entry per person, in order of appearance:
        track: its number.   times: [start, end) of each picture with the person, seconds.
        boxes: [x1, y1, x2, y2] of the face in each, pixels.
        score: how much the person seems to speak in each; above 0: speaking. null when the speaker stage does not tell.
        speaking: [start, end) of the stretches of speech, seconds; null when the stage does not tell.
    speaker: {track, start, end} of each stretch in which a person is chosen, pauses between words included.
    uncertain: [start, end) of the stretches in which two people seem to speak at once and nobody is chosen.
    notes: the speaker stage's notes.
    """
    faces, speaker = outcome.values.get("faces"), outcome.values.get("speaker")
    if not isinstance(faces, FaceTracks) or not isinstance(speaker, Speaker):
        return 0
    told = tracks_of(faces, speaker)
    path = below(target, outcome.clip.id)
    text = json.dumps({"clip": outcome.clip.id, **told}) + "\n"
    write(path.with_name(f"{path.name}.json"), text.encode(), "--save-tracks")
    return len(told["tracks"])


def tracks_of(faces: FaceTracks, speaker: Speaker) -> dict[str, Any]:
    """The content that ``save_tracks`` writes, without the clip's id."""
    people = np.unique(faces.track).tolist()
    chosen = [person for person in people if (speaker.track == person).any()]
    turns = [
        {"track": person, "start": start, "end": end}
        for person in chosen
        for start, end in stretches(faces.times[speaker.track == person])
    ]
    return {
        "frame_size": list(faces.frame_size),
        "pictures": len(faces.times),
        "tracks": [_track(faces, speaker, person) for person in people],
        "speaker": sorted(turns, key=lambda turn: turn["start"]),
        "uncertain": stretches(faces.times[np.flatnonzero(speaker.uncertain)]),
        "notes": list(speaker.notes),
    }


def _track(faces: FaceTracks, speaker: Speaker, person: int) -> dict[str, Any]:
    mine = np.flatnonzero(faces.track == person)
    times = faces.times[faces.row[mine]]
    score = speaker.face_score[mine] if len(speaker.face_score) else None
    return {
        "track": person,
        "times": times.round(3).tolist(),
        "boxes": faces.boxes[mine].astype(float).round(1).tolist(),
        "score": None if score is None else score.astype(float).round(3).tolist(),
        "speaking": None if score is None else stretches(times[score > 0]),
    }


def stretches(times: NDArray[np.float64]) -> list[list[float]]:
    """Times (n, 2) of pictures in seconds, with consecutive ones joined: [[start, end], ...]."""
    if not len(times):
        return []
    apart = np.flatnonzero(times[1:, 0] - times[:-1, 1] > _JOIN)
    starts, ends = times[np.append(0, apart + 1), 0], times[np.append(apart, len(times) - 1), 1]
    return np.stack([starts, ends], 1).round(3).tolist()  # type: ignore[no-any-return]
