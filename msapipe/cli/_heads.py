"""A pipeline's head on labelled photographs or sounds, for ``msapipe evaluate``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msapipe.cli import _training as training
from msapipe.cli._evaluation import Asked, choose, show, shown, tell

if TYPE_CHECKING:
    from rich.console import Console

    from msapipe.cli._batch import Tally
    from msapipe.pipeline.run import Options, Outcome
    from msapipe.pipeline.spec import PipelineSpec
    from msapipe.train.heads import LabelledFile, Reading


def measure_head(asked: Asked, spec: PipelineSpec, cache: str, how: Options, jobs: int) -> int:
    """Photographs or sounds through the pipeline's stages of that modality, and how often the head is right."""
    from msapipe.cli import _batch as batch
    from msapipe.cli import _exit
    from msapipe.pipeline.device import resolve_device
    from msapipe.train.heads import figures, modality_of, only, read_emotions

    table = asked.labels or asked.data / "labels.csv"
    files, split = choose(read_emotions(table, asked.data), asked)
    modality = modality_of(files)
    if how.device not in ("auto", "cpu"):
        resolve_device(how.device)
    tally = batch.Tally()
    found = figures(_readings(files, only(spec, modality), modality, cache, how, jobs, tally, asked.console))
    failed = tally.status["error"]
    tell(_notes(found, modality), asked.console)
    head = {"model": asked.model, "pipeline": spec.name, "data": str(asked.data), "modality": modality}
    if asked.as_json:
        print(json.dumps({**head, "split": split, "failed": failed, **found}))
    else:
        _show_head({"split": split, "failed": failed, **found})
    return _exit.of_counts(tally.good, failed)


def _readings(
    files: Sequence[LabelledFile],
    spec: PipelineSpec,
    modality: str,
    cache: str,
    how: Options,
    jobs: int,
    tally: Tally,
    console: Console,
) -> list[Reading]:
    """What the head says of each file, in order."""
    from msapipe.cache import open_store
    from msapipe.cli import _batch as batch
    from msapipe.engines.local import run_clips
    from msapipe.pipeline.device import resolve_device
    from msapipe.pipeline.run import Runner
    from msapipe.train.heads import reading
    from msapipe.train.photographs import Photographs
    from msapipe.types import Clip

    emotion = {item.name: item.emotion for item in files}
    emotions = set(emotion.values())
    found: dict[str, Reading] = {}
    photographs: Photographs | None = None
    clips = [Clip(item.name, item.path) for item in files]
    with (
        Runner(spec, open_store(cache), how) as runner,
        contextlib.closing(run_clips(runner, clips, jobs)) as outcomes,
    ):
        for outcome in batch.with_progress(outcomes, len(files), tally, console):
            name = outcome.clip.id
            if outcome.status != "error" and not outcome.features:  # a worker's outcome: they lie in the cache
                outcome = runner.run(outcome.clip)
            features, why = outcome.features.get(modality), ""
            if features is None or not features.valid.any():
                why = _why(outcome, modality)
                if outcome.status != "error" and modality == "vision" and Photographs.suit(spec):
                    photographs = photographs or Photographs(spec, resolve_device(how.device), how.offline)
                    features = photographs.features(outcome.clip.path)
            found[name] = reading(emotion[name], features, emotions, why)
    if photographs is not None:
        photographs.close()
    return [found[item.name] for item in files]


def _why(outcome: Outcome, modality: str) -> str:
    """Why there is nothing of a modality, in the words of the clip's notes; what failed has its own message."""
    said = f"{modality} is missing: "
    reasons = [note.removeprefix(said) for note in outcome.notes if note.startswith(said)]
    return reasons[0] if reasons else "failed"


def _notes(found: Mapping[str, Any], modality: str) -> list[str]:
    """What the figures of a head leave out, and what they count as wrong."""
    notes = []
    why = ", ".join(f"{count}: {reason}" for reason, count in found["reasons"].items())
    if found["unseen"]:
        what = "heard" if modality == "audio" else "seen"
        notes.append(f"{found['unseen']} files in which nothing was {what} ({why}); they count as wrong, not in 'seen'")
    if found["assumed"]:
        notes.append(f"{found['assumed']} pictures were taken for a face as a whole ({why}); they are not in 'seen'")
    if found["unknown"]:
        lost = ", ".join(f"{emotion} ({count})" for emotion, count in found["unknown"].items())
        notes.append(f"no column bears the name of {lost}; left out of the recalls")
    return notes


def _show_head(found: Mapping[str, Any]) -> None:
    """A head's recalls and figures as Markdown tables."""
    rows = [
        {"emotion": name, "files": part["files"], "recall": shown(part["recall"]), "seen": shown(part["recall_seen"])}
        for name, part in found["classes"].items()
    ]
    print(training.markdown(rows))
    values = {name: found[name] for name in ("split", "files", "failed", "unseen", "assumed")}
    macros = {f"macro recall of {len(rows)}": found}
    if fewer := found.get("without_doubtful"):
        macros[f"macro recall of {', '.join(fewer['emotions'])}"] = fewer
    for name, part in macros.items():
        values |= {name: part["macro_recall"], f"{name}, seen": part["macro_recall_seen"]}
    for dimension in ("valence", "arousal"):
        if dimension in found:
            name = f"balanced accuracy of the sign of {dimension}"
            values |= {name: found[dimension], f"{name}, seen": found[f"{dimension}_seen"]}
    print()
    show(values)
