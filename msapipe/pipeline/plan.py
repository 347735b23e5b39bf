"""The plan of a clip: every step of the pipeline, its key, and whether its result is stored. Nothing is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from msapipe.cache import Store, digest, file_digest, stage_key
from msapipe.cache.key import SCHEMA
from msapipe.media import check_regular_file
from msapipe.media.options import MEDIA_VERSION, SEEK_FROM, SEEK_VERSION
from msapipe.pipeline.spec import PipelineSpec, Use
from msapipe.sidecars import sidecars_of
from msapipe.stages import CHAINS
from msapipe.types import Clip
from msapipe.weights import Bundled, InPackage

# Bytes; larger word files are refused unread.
_MOST = 32_000_001


@dataclass(frozen=True)
class Step:
    """One stage applied to one clip.

    use: None for the step that reads what the file declares.   inputs: the slots it reads.
    key: identifies its result.   made_from: what the key is the hash of.   store: where the result belongs.
    """

    slot: str
    channel: str
    use: Use | None
    inputs: tuple[str, ...]
    key: str
    made_from: Mapping[str, Any]
    store: Store = field(repr=False, compare=False)

    @property
    def stored(self) -> bool:
        """Whether the cache holds the result now; looked up on access only, since that may cost a request."""
        return self.store.has(self.slot, self.key)

    @property
    def name(self) -> str:
        """ "media", "faces/mtcnn", "vision/geometry"."""
        return self.slot if self.use is None else f"{self.slot}/{self.use.name}"

    @property
    def named_weights(self) -> bool:
        """Whether the user chose its weights; others are part of an installed package."""
        owned = () if self.use is None else self.use.stage.own_weights()
        return any(not isinstance(one, Bundled | InPackage) for one in owned)


@dataclass(frozen=True)
class Plan:
    """All steps of a clip in order; ``keys``: slot to the key of its value; ``file``: the hash of the file."""

    clip: Clip
    file: str
    steps: tuple[Step, ...]
    keys: Mapping[str, str]

    @property
    def results(self) -> list[tuple[str, str]]:
        """Slot and key of each step's result."""
        return [(step.slot, step.key) for step in self.steps]

    def summary_key(self, align: str | int | None) -> str:
        """The key of the clip's summary with the pipeline's ``align``."""
        steps = [[step.slot, step.channel, step.key] for step in self.steps]
        return digest({"slot": "summary", "steps": steps, "align": align})

    @property
    def stored(self) -> bool:
        """Whether nothing is left to compute (a chain of alternatives may stop before its last step)."""
        return all(step.stored for step in self.steps if step.slot not in CHAINS) and all(
            any(step.stored for step in self.steps if step.slot == slot) for slot in CHAINS if slot in self.keys
        )


def plan(clip: Clip, spec: PipelineSpec, store: Store) -> Plan:
    """Name every step of ``spec`` for ``clip``.

    Reads only the bytes of the file (for its hash, once) and of its sidecars. Raises NotMedia when the path is no
    regular file.
    """
    check_regular_file(clip.path)
    file = store.file_digest(clip.path)
    source: dict[str, Any] = {"schema": SCHEMA, "version": MEDIA_VERSION, "file": file}
    media = {**source, "slot": "media"}
    if clip.start >= SEEK_FROM:
        source["seek"] = SEEK_VERSION
    span = {"start": clip.start, "end": clip.end}
    options = asdict(spec.media)
    picture = {name: options[name] for name in ("fps", "max_side")}
    sound = {name: options[name] for name in ("rate", "peak_db")}
    keys = {
        "media": digest(media),
        "frames": digest({**source, **span, "slot": "frames", **picture}),
        "waveform": digest({**source, **span, "slot": "waveform", **sound}),
        "clip": digest({"schema": SCHEMA, "slot": "clip", **span, "text": clip.text, "sidecars": _sidecars(clip)}),
    }
    steps = [Step("media", "media", None, (), keys["media"], media, store)]
    for slot, uses in spec.stages.items():
        own = [_step(use, keys, store) for use in uses]
        steps += own
        keys[slot] = own[0].key if len(own) == 1 else digest({"slot": slot, "of": [[s.channel, s.key] for s in own]})
    return Plan(clip, file, tuple(steps), keys)


def _step(use: Use, keys: Mapping[str, str], store: Store) -> Step:
    params, weights = use.identity
    inputs = {slot: keys[slot] for slot in sorted(use.needs())}
    made_from = stage_key(use.slot, use.name, use.stage.version, params, weights, inputs)
    key = digest(made_from)
    return Step(use.slot, use.channel, use, use.asks, key, made_from, store)


def _sidecars(clip: Clip) -> list[list[str | None]]:
    """[name tail, hash] of each word file beside the clip; for an unread file, the reason instead of the hash."""
    return [[beside.tail, beside.refused or _digest(beside.path)] for beside in sidecars_of(clip.path)]


def _digest(path: Path) -> str:
    """The hash of a word file, or the reason why there is none: unreadable, or too large."""
    try:
        if path.stat().st_size > _MOST:
            return "too large"
        return file_digest(path)
    except OSError as error:
        return str(error.errno)
