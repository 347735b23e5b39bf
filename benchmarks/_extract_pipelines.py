"""Whole pipelines on a 5 s clip of 720p, in one warm process, nothing of the clip cached, against naive.py.

Equal terms: the words with their times lie beside the clip, so nobody recognises or aligns speech. naive.py does not
find out who speaks, so `boosting` runs once without its active speaker, at the ten pictures a second that its Video
Swin sees; and once as it is, at 25 a second, where it also finds the speaker and naive.py looks for faces 25 times a
second and does not. Naive crops are boxes of facenet's, so vision is not compared; of text and sound the rows are:
networks of random numbers make several per cent of the half per cent by which two ways of resampling differ.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _extract_table import SHARED, Row, timed, wide
from _extract_weights import LR_ASD, SLOTS, TEXT, WRITERS, checkpoint, has_dtype, pipeline
from naive import Naive
from numpy.typing import NDArray

import msapipe
from msapipe import Clip
from msapipe.stages import STAGES
from msapipe.types import FeatureSequence

CLIP_MEDIA = {"fps": 10, "rate": 16000, "peak_db": -3}


class Case(NamedTuple):
    """A pipeline with changes, and what naive.py does in its place."""

    title: str
    name: str
    changes: dict[str, object]
    naive: list[str]
    fps: int
    turns: int


CASES = (
    Case("smp", "smp", {}, ["resnet18", "action_units", "wav2vec2", "mfcc", "bert"], 10, 2),
    Case(
        "boosting without active speaker",
        "boosting",
        {"speaker": {"use": "largest"}, "media": CLIP_MEDIA},
        ["video_swin", "hubert", "bert"],
        10,
        2,
    ),
    Case("boosting (ours with, theirs without who speaks)", "boosting", {}, ["video_swin", "hubert", "bert"], 25, 1),
)


def copies(source: Path, place: Path) -> Iterator[Clip]:
    """The clip again and again with other bytes, and its words beside it: nothing is cached of it."""
    step = 5.0 / len(TEXT.split())
    words = [{"word": word, "start": i * step, "end": (i + 1) * step} for i, word in enumerate(TEXT.split())]
    said = json.dumps({"language": "en", "segments": [{"start": 0, "end": 5, "text": TEXT, "words": words}]})
    number = 0
    while True:
        number += 1
        copy = place / f"copy_{number}.mp4"
        # Players pass over a free box.
        copy.write_bytes(source.read_bytes() + struct.pack(">I4sI", 12, b"free", number))
        copy.with_suffix(".json").write_text(said)
        yield Clip(copy.name, copy)
        copy.unlink()


def off(features: FeatureSequence, channel: str, theirs: NDArray[np.float32]) -> float:
    """Relative error (norms) of the rows of ours that both have; those of sound begin every 20 ms."""
    first, last = features.channels[channel]
    if channel == "mfcc":  # on the rows of the network, two of its own each
        theirs = theirs[: len(theirs) // 2 * 2].reshape(-1, 2, theirs.shape[1]).mean(1)
    rows = np.arange(len(theirs)) if channel == "bert" else np.round(features.times[:, 0] * 50).astype(int)
    both = rows < len(theirs)
    wanted = theirs[rows[both]]
    return float(np.linalg.norm(features.values[both, first:last] - wanted) / np.linalg.norm(wanted))


def agreement(features: dict[str, FeatureSequence], theirs: dict[str, NDArray[np.float32]]) -> str:
    """Of sound and text, as far as both sides make them."""
    parts = [
        f"{channel} off by {off(features[modality], channel, theirs[channel]):.0e}"
        for modality in ("audio", "text")
        for channel in features[modality].channels
    ]
    return "; ".join([*parts, "vision: other crops"])


def shares(timings: dict[str, float]) -> str:
    """What most of the time goes to."""
    first = sorted(timings.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} {seconds / sum(timings.values()):.0%}" for name, seconds in first)


def compare(case: Case, source: Path, place: Path) -> Iterator[Row]:
    """A row in float32 and one in bfloat16; the first clip of each is for loading."""
    dtypes = [
        "float32",
        *(["bfloat16"] if any(has_dtype(STAGES[SLOTS[name]].get(name)) for name in case.naive) else []),
    ]
    naive = Naive({name: checkpoint(name, place) for name in case.naive if name in WRITERS}, case.naive, case.fps, -3)
    clips = copies(source, place)
    spent: dict[str, list[float]] = {key: [] for key in [*dtypes, "naive"]}
    outcomes: dict[str, Any] = {}
    theirs: dict[str, NDArray[np.float32]] = {}
    with ExitStack() as stack:
        pipelines = {
            dtype: stack.enter_context(
                msapipe.load(
                    str(pipeline(case.name, place, dtype, **case.changes)),
                    cache=place / f"cache {case.title}",
                    device="cpu",
                )
            )
            for dtype in dtypes
        }
        for turn in range(case.turns + 1):
            for dtype, pipe in pipelines.items():
                clip = next(clips)
                spent[dtype].append(timed(lambda: outcomes.update({dtype: next(pipe.run([clip]))})))  # noqa: B023
            if turn or case.turns > 1:
                clip = next(clips)
                spent["naive"].append(timed(lambda: theirs.update(naive(clip.path, TEXT))))  # noqa: B023
    for dtype, reach in zip(("float32", "bfloat16"), ("5", "8"), strict=True):
        title, plain = f"{case.title}, {dtype}", min(spent["naive"])
        if dtype in dtypes:
            found = agreement(outcomes[dtype].features, theirs)
            yield Row(title, min(spent[dtype][1:]), plain, "s", found, reach, shares(outcomes[dtype].timings))
        else:
            yield Row(title, None, plain, "s", "no dtype", reach)


def rows(place: Path) -> Iterator[Row]:
    """Two rows a pipeline."""
    source = SHARED / "speech" / "retalk_1.mp4"
    if not source.is_file():
        yield Row("whole pipelines", None, None, agreement=f"{source.name} is not there")
        return
    film = wide(source, place / "talking_720p.mp4")
    for case in CASES:
        if "speaker" in case.changes or case.name != "boosting" or LR_ASD.is_file():
            yield from compare(case, film, place)
