"""Read a pipeline file strictly: its content is checked before any video is opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from msapipe.align import THIN
from msapipe.documents import MOST_YAML, read_yaml, shown, text_of
from msapipe.errors import ConfigError, MsapipeError, UnknownName
from msapipe.media import MediaOptions
from msapipe.registry import did_you_mean
from msapipe.resources import bundled
from msapipe.stages import CHAINS, MODALITIES, SLOTS, STAGES, NeuralStage, Stage

T = TypeVar("T")

SCHEMA = 1
DEFAULT = "pocket"

# Inputs that need no stage, and the slots behind the input that is made of two.
_SOURCES = ("clip", "media", "frames", "waveform")
_MADE_OF = {"face_clip": ("faces", "speaker")}


@dataclass(frozen=True)
class Use:
    """One stage of a pipeline: the slot and channel it fills, and the stage itself with its parameters.

    place: its index among the slot's stages in the pipeline's text.
    """

    slot: str
    channel: str
    name: str
    stage: Stage
    place: int = 0

    @property
    def where(self) -> str:
        """Its name in messages: "vision.resnet18"."""
        return f"{self.slot}.{self.channel}"

    def needs(self) -> tuple[str, ...]:
        """The slots that it reads, with face_clip resolved to faces and speaker."""
        return self._needs

    @cached_property
    def asks(self) -> tuple[str, ...]:
        """The inputs of its ``run``."""
        return type(self.stage).needs()

    @cached_property
    def _needs(self) -> tuple[str, ...]:
        return tuple(slot for name in self.asks for slot in _MADE_OF.get(name, (name,)))

    @cached_property
    def identity(self) -> tuple[dict[str, Any], list[str]]:
        """Parameters and weights for the key, the same for every clip, so computed once."""
        return self.stage.params(), [weights.identity for weights in self.stage.own_weights()]


@dataclass(frozen=True)
class PipelineSpec:
    """What is computed from a clip.

    stages: slot to its stages; several are alternatives (CHAINS: the first that yields) or channels
    (text, audio, vision: put side by side).
    align: "words", "tokens" (the rows of the first text channel), a number of equal steps, "thin N" (each stage's own
    rows, thinned to N evenly spaced ones if there are more), or None for each stage's own times.
    model: a folder in models/, a path to one, or None.
    accept_licences: names of weights with a restricted licence that the pipeline's user accepts.
    source, text: the file that it was read from, and its content.
    """

    name: str
    about: str
    media: MediaOptions
    stages: Mapping[str, tuple[Use, ...]]
    align: str | int | None = None
    model: str | None = None
    accept_licences: tuple[str, ...] = ()
    source: Path | None = field(default=None, compare=False)
    text: str = field(default="", compare=False, repr=False)

    @property
    def called(self) -> str:
        """Its name for ``--pipeline``: that of a bundled pipeline, or its file."""
        own = self.source is not None and pipeline_names().get(self.name) != self.source
        return str(self.source) if own else self.name

    def uses(self) -> tuple[Use, ...]:
        """All stages in the order in which a clip passes through them."""
        return tuple(use for slot in SLOTS for use in self.stages.get(slot, ()))

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities whose features it makes."""
        return tuple(slot for slot in MODALITIES if self.stages.get(slot))

    @property
    def can_use_gpu(self) -> bool:
        """Whether any of its stages is faster on a GPU."""
        return any(type(use.stage).on_device for use in self.uses())

    @property
    def places(self) -> dict[str, list[int]]:
        """Slot to the places (see ``Use``) of its stages that are kept: all, unless some were left out."""
        return {slot: [use.place for use in uses] for slot, uses in self.stages.items()}

    def keeping(self, places: Mapping[str, Sequence[int]], align: str | int | None) -> PipelineSpec:
        """The pipeline with only these stages of each slot (see ``places``); keys of kept stages do not change."""
        stages = {
            slot: tuple(use for use in uses if use.place in places.get(slot, ())) for slot, uses in self.stages.items()
        }
        return replace(self, stages={slot: uses for slot, uses in stages.items() if uses}, align=align)

    def only(self, slots: Iterable[str], align: str | int | None = None) -> PipelineSpec:
        """The pipeline with only these slots and the slots that they read."""
        wanted = list(slots)
        read: set[str] = set()
        while wanted:
            slot = wanted.pop()
            if slot not in read:
                read.add(slot)
                wanted += [need for use in self.stages.get(slot, ()) for need in use.needs()]
        return self.keeping({slot: places for slot, places in self.places.items() if slot in read}, align)

    def without(self, names: Iterable[str]) -> PipelineSpec:
        """The pipeline without these modalities and the slots that only they read.

        The words stay if the pipeline aligns to them. Raises UnknownName for an unknown modality, and ConfigError when
        no other modality is left.
        """
        off = sorted(set(names))
        for name in off:
            if name not in MODALITIES:
                raise UnknownName(f"--without: no modality is called {name!r}{did_you_mean(name, MODALITIES)}")
        if len(off) == len(MODALITIES):
            raise ConfigError(f"--without {', '.join(MODALITIES)}: nothing is left to score; keep one of them")
        kept = [name for name in self.modalities if name not in off]
        if not kept:
            raise ConfigError(
                f"--without {', '.join(off)}: pipeline {self.name} makes features of nothing else; "
                f"it has {', '.join(self.modalities) or 'no modality'}"
            )
        return self.only([*kept, *(["words"] if self.align == "words" else [])], self.align)

    def on_cpu(self) -> PipelineSpec | None:
        """The pipeline without stages that can use a GPU, and without those that depend on them.

        Of alternatives, only those before the first such stage are kept: later ones may never run. A second pass with
        the whole pipeline finds the results. None when nothing is left.
        """
        waiting: set[str] = set()

        def fits(use: Use) -> bool:
            return not type(use.stage).on_device and waiting.isdisjoint(use.needs())

        kept: dict[str, list[int]] = {}
        for slot, uses in self.stages.items():
            fitting = list(takewhile(fits, uses)) if slot in CHAINS else list(filter(fits, uses))
            kept[slot] = [use.place for use in fitting]
            if len(fitting) < len(uses):
                waiting.add(slot)
        # This pass aligns nothing: the words may be left out.
        return self.keeping(kept, None) if any(kept.values()) else None


def pipeline_names() -> dict[str, Path]:
    """Name to file of the pipelines that come with msapipe."""
    return {path.stem: path for path in sorted(bundled("pipelines").glob("*.yaml"))}


def load_spec(name: str) -> PipelineSpec:
    """Read a pipeline by name, or from a file when ``name`` ends in .yaml or .yml or holds a path separator."""
    known = pipeline_names()
    if name in known:
        path = known[name]
    elif name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"{name}: there is no such pipeline file; type: msapipe list pipelines")
    else:
        raise UnknownName(f"no pipeline is called {name!r}{did_you_mean(name, known)}")
    try:
        return parse_spec(text_of(path, MOST_YAML), path.stem, path)
    except (MsapipeError, OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error


def with_dtype(spec: PipelineSpec, dtype: str) -> PipelineSpec:
    """The pipeline with this ``dtype`` on every stage that has one, and in its text, which other processes read.

    Raises ConfigError if no stage has a dtype, and for an unknown one.
    """
    import yaml

    neural = [use for use in spec.uses() if isinstance(use.stage, NeuralStage)]
    if not neural:
        raise ConfigError(f"--dtype {dtype}: no stage of pipeline {spec.name} has a dtype; leave it out")
    data = read_yaml(spec.text)
    for use in neural:
        whole = data["stages"][use.slot]
        if isinstance(whole, dict) and "use" not in whole:
            channel = list(whole)[use.place]
            whole[channel] = _typed(whole[channel], dtype)
        else:
            data["stages"][use.slot] = _typed(whole, dtype)
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return parse_spec(text, spec.name, spec.source).keeping(spec.places, spec.align)


def _typed(entry: str | dict[str, Any], dtype: str) -> dict[str, Any]:
    return {**({"use": entry} if isinstance(entry, str) else entry), "dtype": dtype}


def portable_text(spec: PipelineSpec) -> str:
    """The pipeline's text with absolute paths for checkpoints beside its file, so that it works in any folder."""
    import yaml

    if spec.source is None:
        return spec.text
    data = read_yaml(spec.text)
    changed = False
    entries = [data.get("stages")]
    while entries:
        entry = entries.pop()
        if isinstance(entry, dict):
            checkpoint = entry.get("checkpoint")
            if isinstance(checkpoint, str) and checkpoint.startswith("."):
                entry["checkpoint"], changed = str((spec.source.parent / checkpoint).resolve()), True
            entries += entry.values()
        elif isinstance(entry, list):
            entries += entry
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True) if changed else spec.text


def parse_spec(text: str, name: str, source: Path | None = None) -> PipelineSpec:
    """A pipeline from the text of its file; raises ConfigError naming the field."""
    try:
        data = read_yaml(text)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    data = _mapping(data, "the pipeline")
    _known_keys(data, ("schema", "about", "media", "stages", "align", "model", "accept_licences"), "the pipeline")
    if data.get("schema") != SCHEMA:
        raise ConfigError(f"schema: found {shown(data.get('schema'))}, this version reads {SCHEMA}")
    stages = _mapping(data.get("stages"), "stages")
    _known_keys(stages, SLOTS, "stages")
    spec = PipelineSpec(
        name=name,
        about=str(data.get("about", "")),
        media=build(MediaOptions, _mapping(data.get("media", {}), "media"), "media"),
        stages={slot: _slot(slot, stages[slot], source) for slot in SLOTS if slot in stages},
        align=_align(data.get("align")),
        model=_text_or_none(data.get("model"), "model"),
        accept_licences=_names(data.get("accept_licences", []), "accept_licences"),
        source=source,
        text=text,
    )
    _check_edges(spec)
    return spec


def build(cls: type[T], params: Mapping[str, Any], where: str) -> T:
    """Make a dataclass from plain values, types checked; raises ConfigError with the nearest known field."""
    from pydantic import TypeAdapter, ValidationError

    fields = [item.name for item in dataclasses.fields(cls) if item.init]  # type: ignore[arg-type]
    _known_keys(params, fields, where)
    try:
        return TypeAdapter(cls).validate_python(dict(params))
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in (where, *first["loc"]))
        raise ConfigError(f"{at}: {first['msg']}, found {shown(first['input'])}") from error


def _slot(slot: str, entry: Any, source: Path | None) -> tuple[Use, ...]:
    if isinstance(entry, list):
        if slot not in CHAINS:
            raise ConfigError(f"stages.{slot}: a list stands only for {', '.join(CHAINS)}; name channels instead")
        uses = [_use(slot, None, item, f"stages.{slot}[{i}]", source) for i, item in enumerate(entry)]
    elif isinstance(entry, dict) and "use" not in entry:
        if slot not in MODALITIES:
            raise ConfigError(
                f"stages.{slot}: write {{use: NAME, ...}}; channels stand only for {', '.join(MODALITIES)}"
            )
        uses = [_use(slot, str(name), item, f"stages.{slot}.{name}", source) for name, item in entry.items()]
    else:
        uses = [_use(slot, None, entry, f"stages.{slot}", source)]
    if not uses:
        raise ConfigError(f"stages.{slot}: names no stage; leave the slot out instead")
    return tuple(replace(use, place=place) for place, use in enumerate(uses))


def _use(slot: str, channel: str | None, entry: Any, where: str, source: Path | None) -> Use:
    params = {"use": entry} if isinstance(entry, str) else dict(_mapping(entry, where))
    name = params.pop("use", None)
    if not isinstance(name, str):
        raise ConfigError(f"{where}: says no stage; write use: NAME{did_you_mean('', STAGES[slot].where())}")
    try:
        cls = STAGES[slot].get(name)
    except UnknownName as error:
        raise UnknownName(f"{where}: {error}") from error
    checkpoint = params.get("checkpoint")
    if source is not None and isinstance(checkpoint, str) and checkpoint.startswith("."):
        params["checkpoint"] = str((source.parent / checkpoint).resolve())
    stage = build(cls, params, where)
    stage.own_weights()  # a missing checkpoint is found before any video is opened
    return Use(slot, channel or name, name, stage)


def _check_edges(spec: PipelineSpec) -> None:
    """Every slot that a stage reads must be filled by an earlier one."""
    for use in spec.uses():
        for slot in use.needs():
            if slot in _SOURCES:
                continue
            if slot not in spec.stages:
                raise ConfigError(
                    f"stages.{use.where} reads {slot}, which the pipeline does not fill; add stages.{slot}"
                )
            if SLOTS.index(slot) >= SLOTS.index(use.slot):
                raise ConfigError(f"stages.{use.where} reads {slot}, which comes later")


def _align(value: Any) -> str | int | None:
    if value in (None, "none", "words", "tokens"):
        return None if value in (None, "none") else str(value)
    if isinstance(value, dict) and set(value) == {"to"} and type(value["to"]) is int and value["to"] > 0:
        return int(value["to"])
    if isinstance(value, dict) and set(value) == {"thin"} and type(value["thin"]) is int and value["thin"] > 0:
        return f"{THIN}{value['thin']}"
    raise ConfigError(f"align: found {shown(value)}, expected words, tokens, {{to: STEPS}}, {{thin: STEPS}} or none")


def _names(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{where}: found {shown(value)}, expected a list of names")
    return tuple(value)


def _text_or_none(value: Any, where: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{where}: found {shown(value)}, expected text")
    return value


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: found {shown(value)}, expected a mapping of names to values")
    return {str(name): item for name, item in value.items()}


def _known_keys(found: Mapping[str, Any], known: tuple[str, ...] | list[str], where: str) -> None:
    for key in found:
        if key not in known:
            raise ConfigError(f"{where}: no key {shown(key)}{did_you_mean(key, known)}")
