"""Find the pipeline that a model folder reads, so that users need not name it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msapipe.cache import digest
from msapipe.documents import MOST_YAML, text_of
from msapipe.errors import ConfigError, FeatureMismatch
from msapipe.pipeline.card import Card, check_features, foreign, model_folder, no_raw_clip, read_card, signature
from msapipe.pipeline.spec import DEFAULT, PipelineSpec, load_spec, pipeline_names, portable_text
from msapipe.safe_paths import leads_out

# The name in the model folder of a user's own pipeline.
OWN = "pipeline.yaml"


def made_by(spec: PipelineSpec) -> dict[str, Any]:
    """What a pipeline's features depend on, as in a model card, and the pipeline itself."""
    own = pipeline_names().get(spec.name)
    bundled = own == spec.source and (own is None or spec.text == text_of(own, MOST_YAML))
    named = {"name": spec.name} if bundled else {"name": spec.name, "text": portable_text(spec)}
    return {"features": signature(spec), "align": spec.align, "pipeline": named}


@dataclass(frozen=True)
class ModelPipeline:
    """The pipeline in a model card: a bundled name or OWN, None when unknown; text: that of OWN."""

    name: str | None
    text: str = ""

    @classmethod
    def of(cls, made_by: Mapping[str, Any]) -> ModelPipeline:
        """The pipeline of a data set's features; if ``made_by`` names none, the bundled one that makes them."""
        said = made_by.get("pipeline") or {}
        if said.get("text"):
            return cls(OWN, said["text"])
        if said.get("name") in pipeline_names():
            return cls(said["name"])
        for name in pipeline_names():
            spec = load_spec(name)
            # Compare digests: parts read from a file have lists for tuples.
            if digest(signature(spec)) == digest(dict(made_by["features"])) and spec.align == made_by["align"]:
                return cls(name)
        return cls(None)


def spec_of(model: str) -> PipelineSpec:
    """The pipeline that a model reads: the card's, the bundled one of the model's name, or a bundled one that fits.

    Raises ConfigError with the reason when there is none, mostly for models of another tool's features.
    """
    if model in pipeline_names():
        return load_spec(model)
    folder = model_folder(model)
    card = read_card(folder)
    if card.pipeline is not None:
        own = card.pipeline.endswith(".yaml")
        return load_spec(str(_within(folder, card.pipeline)) if own else card.pipeline)
    for spec in map(load_spec, pipeline_names()):
        with contextlib.suppress(FeatureMismatch):
            check_features(card, spec, model)
            return spec
    raise ConfigError(_why_none(card, model))


def choose_spec(named: str | None, model: str | None) -> PipelineSpec:
    """The named pipeline, else the named model's, else the default."""
    if named is not None:
        return load_spec(named)
    return load_spec(DEFAULT) if model is None else spec_of(model)


def _why_none(card: Card, model: str) -> str:
    if foreign(card):
        return no_raw_clip(card, model)
    return f"model {model} fits none of msapipe's pipelines; name the one that it was trained on: --pipeline"


def _within(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise ConfigError(f"{path} is missing; {folder / 'model.yaml'} names it")
    if leads_out(path, folder):
        raise ConfigError(f"{path} is a link that leads out of the model's folder; put the file itself there")
    return path
