"""A model folder: README.md for people, model.yaml for the machine, model.safetensors for the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from msapipe.cache import digest, file_digest
from msapipe.documents import MOST_YAML, read_yaml, shown, text_of
from msapipe.errors import ConfigError, FeatureMismatch, UnknownName, WeightsError
from msapipe.pipeline.spec import PipelineSpec
from msapipe.registry import did_you_mean
from msapipe.resources import bundled
from msapipe.safe_paths import leads_out
from msapipe.stages import LATER, MODALITIES

SCHEMA = 1
UNCLEAR = "unclear"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Label(_Strict):
    """The name of scores below ``below`` (exclusive) and at or above the previous label's bound."""

    name: str
    below: float | None = None


class WeightsFile(_Strict):
    """model.safetensors: name, hash, size."""

    file: str
    sha256: str
    bytes: int


class Trained(_Strict):
    """How the model was trained; ``dataset`` None: the numbers were set by hand, not learned."""

    dataset: str | None
    split: str | None = None
    seeds: tuple[int, ...] = ()
    command: str


class Card(_Strict):
    """model.yaml.

    features: everything that determines the features it reads (see ``signature``); dims: columns of each modality.
    pipeline: what makes these features, a bundled name or pipeline.yaml in the folder; None when unknown.
    scale: lowest and highest score.   calibrated: whether the score was fitted to human labels.
    """

    schema_version: int
    about: str
    use: str
    version: int
    params: dict[str, Any] = {}
    scale: tuple[float, float]
    labels: tuple[Label, ...]
    align: str | int | None
    dims: dict[str, int]
    features: dict[str, Any]
    weights: WeightsFile
    trained: Trained
    calibrated: bool
    # Earlier checkouts wrote "recipe".
    pipeline: str | None = Field(None, validation_alias=AliasChoices("pipeline", "recipe"))
    scores: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    licence: str
    papers: tuple[str, ...] = ()

    def label(self, score: float, interval: tuple[float, float] | None = None) -> str:
        """The name of a score, UNCLEAR if its interval reaches past the neutral label on both sides."""
        if interval is not None:
            low, middle, high = (self._place(value) for value in (interval[0], sum(self.scale) / 2, interval[1]))
            if low < middle < high:
                return UNCLEAR
        return self.labels[self._place(score)].name

    def _place(self, score: float) -> int:
        """The index of a score's label."""
        bounds = (label.below for label in self.labels[:-1])
        return next((i for i, below in enumerate(bounds) if below is None or score < below), len(self.labels) - 1)


def model_names() -> dict[str, Path]:
    """Name to folder of the models that come with msapipe."""
    return {path.parent.name: path.parent for path in sorted(bundled("models").glob("*/model.yaml"))}


def model_folder(name: str, beside: Path | None = None) -> Path:
    """The folder of a model: a bundled name, or a path (relative to ``beside`` or the working folder)."""
    known = model_names()
    if name in known:
        return known[name]
    for path in ([beside / name] if beside else []) + [Path(name)]:
        if (path / "model.yaml").is_file():
            return path
    raise UnknownName(
        f"no model is called {name!r}, and no folder {name} holds a model.yaml{did_you_mean(name, known)}"
    )


def read_card(folder: Path) -> Card:
    """Read model.yaml strictly and check the hash of the weights beside it."""
    path = folder / "model.yaml"
    if leads_out(path, folder):
        raise ConfigError(f"{path} is a link that leads out of the model's folder; put the file itself there")
    try:
        card = Card.model_validate(read_yaml(text_of(path, MOST_YAML)))
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {at}: {first['msg']}, found {shown(first['input'])}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if card.schema_version != SCHEMA:
        raise ConfigError(f"{path}: schema_version: found {card.schema_version}, this version reads {SCHEMA}")
    weights = folder / card.weights.file
    if weights.parent != folder or not weights.is_file():
        raise WeightsError(f"{weights} is missing; model.yaml names it")
    if leads_out(weights, folder):
        raise WeightsError(f"{weights} is a link that leads out of the model's folder; put the file itself there")
    found = file_digest(weights)
    if found != card.weights.sha256:
        raise WeightsError(f"{weights} has sha256 {found[:16]}..., model.yaml states {card.weights.sha256[:16]}...")
    return card


def signature(spec: PipelineSpec) -> dict[str, Any]:
    """Everything that a pipeline's features depend on, as a model card stores it.

    media options, then slot -> channel -> stage, version, params and the hashes of its weights. Transcript sources are
    left out: words are words, wherever they come from.
    """
    found: dict[str, Any] = {"media": asdict(spec.media)}
    for use in spec.uses():
        if use.slot == "transcript":
            continue
        found.setdefault(use.slot, {})[use.channel] = {
            "use": use.name,
            "version": use.stage.version,
            **use.stage.params(),
            "weights": digest({"of": [weights.identity for weights in use.stage.own_weights()]})[:16],
        }
    return found


def foreign(card: Card) -> bool:
    """Whether the model was trained on features of unknown origin."""
    return "file" in card.features


def no_raw_clip(card: Card, model: str) -> str:
    """Why such a model cannot score a raw clip, and what it can do."""
    return (
        f"model {model} cannot score a raw clip: it was trained on {card.trained.dataset}, features that another tool "
        "made, and no pipeline is known to make the same; type: msapipe evaluate FEATURES --model "
        f"{model} for features of that kind, or train on features of msapipe extract -o"
    )


def check_features(card: Card, spec: PipelineSpec, model: str) -> None:
    """Raise FeatureMismatch, field by field, unless ``spec`` makes what the model was trained on."""
    if foreign(card):
        raise FeatureMismatch(no_raw_clip(card, model))
    check_made_by(card, {"features": signature(spec), "align": spec.align}, model, f"pipeline {spec.name}")


def check_made_by(card: Card, made_by: Mapping[str, Any], model: str, source: str) -> None:
    """Raise FeatureMismatch unless features made by ``made_by`` are what the model was trained on.

    Modalities that the model does not read may be anything.
    """
    made = {name: part for name, part in made_by["features"].items() if name in card.dims or name not in MODALITIES}
    differences = list(_differences(card.features, made))
    if card.align != made_by["align"]:
        differences.append(f"align: trained on {card.align}, pipeline has {made_by['align']}")
    if differences:
        raise FeatureMismatch(
            f"model {model} does not fit {source}:\n  "
            + "\n  ".join(differences)
            + "\nchange the pipeline back, train the model anew on it, or name another model"
        )


def _differences(trained: Any, found: Any, at: str = "") -> list[str]:
    if isinstance(trained, Mapping) and isinstance(found, Mapping):
        out: list[str] = []
        for name in sorted({*trained, *found}):
            below = f"{at}.{name}".lstrip(".")
            if name in LATER:
                out += _differences(trained.get(name, LATER[name]), found.get(name, LATER[name]), below)
            elif name not in found:
                out.append(f"{below}: trained with it, pipeline has none")
            elif name not in trained:
                out.append(f"{below}: trained without it, pipeline has it")
            else:
                out += _differences(trained[name], found[name], below)
        return out
    same = list(trained) == list(found) if isinstance(trained, list | tuple) else trained == found
    return [] if same else [f"{at}: trained on {trained}, pipeline has {found}"]
