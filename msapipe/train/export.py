"""The model folder: README.md for people, model.yaml for the machine, model.safetensors for the numbers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msapipe.cache import file_digest
from msapipe.pipeline.model_pipeline import OWN, ModelPipeline
from msapipe.train.metrics import mean_and_deviation, scheme_of
from msapipe.train.study import Study, Trained

# Names for scores, by label scale: CH-SIMS's own bins, and half a point around 0 for wider scales.
_LABELS = {
    "sims": [{"name": "negative", "below": -0.1}, {"name": "neutral", "below": 0.1}, {"name": "positive"}],
    "mosi": [{"name": "negative", "below": -0.5}, {"name": "neutral", "below": 0.5}, {"name": "positive"}],
}


def export(study: Study, runs: Sequence[Trained], target: Path, command: str) -> Trained:
    """Write the seed with the smallest validation error as a model folder; the scores are of all seeds.

    For a model that learns only classes, the error is the share of wrong classes, with ties broken by macro F1.

    model.yaml is written last: a folder without it is no model.
    """
    best = min(runs, key=lambda run: (run.error("valid"), -(run.scores["valid"].get("class_f1_macro") or 0.0)))
    target.mkdir(parents=True, exist_ok=True)
    (target / "model.yaml").unlink(missing_ok=True)
    weights = target / "model.safetensors"
    part = weights.with_suffix(".part")
    shutil.copyfile(best.weights, part)
    os.replace(part, weights)
    pipeline = ModelPipeline.of(study.data.made_by)
    if pipeline.text:
        (target / OWN).write_text(pipeline.text, encoding="utf-8")
    card = _card(study, runs, best, weights, command, pipeline.name)
    (target / "README.md").write_text(_readme(study, runs, best, card), encoding="utf-8")
    _write_card(target / "model.yaml", card)
    return best


def _card(
    study: Study, runs: Sequence[Trained], best: Trained, weights: Path, command: str, pipeline: str | None
) -> dict[str, Any]:
    data = study.data
    return {
        "schema_version": 1,
        "about": f"{study.model} trained on {data.name}, {len(study.tables['train'])} clips",
        "use": study.model,
        "version": study.cls.version,
        "params": {**study.params, **best.kept_params},
        "scale": list(data.scale),
        "labels": _LABELS[scheme_of(data.scale)],
        "align": data.made_by["align"],
        "dims": study.dims,
        "features": _of_modalities(data.made_by["features"], study.dims),
        "weights": {"file": weights.name, "sha256": file_digest(weights), "bytes": weights.stat().st_size},
        "trained": {
            "dataset": data.name,
            "split": ", ".join(f"{name} {len(table)}" for name, table in study.tables.items()),
            "seeds": [run.seed for run in runs],
            "command": command,
        },
        "calibrated": True,
        "pipeline": pipeline,
        "scores": {
            split: {
                name: _rounded(value) for name, value in mean_and_deviation([r.scores[split] for r in runs]).items()
            }
            for split in runs[0].scores
        },
        "licence": "that of the data it was trained on",
        "papers": [],
    }


def _of_modalities(features: Mapping[str, Any], dims: Mapping[str, int]) -> dict[str, Any]:
    """What the features of the model's modalities depend on; others may change."""
    return {name: part for name, part in features.items() if name in dims or name not in ("text", "audio", "vision")}


def _rounded(value: tuple[float, float] | None) -> dict[str, float] | None:
    return None if value is None else {"mean": round(value[0], 4), "deviation": round(value[1], 4)}


def _write_card(path: Path, card: Mapping[str, Any]) -> None:
    import yaml

    part = path.with_suffix(".part")
    plain = json.loads(json.dumps(dict(card)))  # tuples as lists
    part.write_text(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), encoding="utf-8")
    os.replace(part, path)


def _parts(run: Trained) -> str:
    return "".join(f" ({count:,} in the {name})" for name, count in run.parts.items())


def _pipeline(name: str | None) -> str:
    """What the card says about scoring raw clips."""
    if name is None:
        return "not known: the features were made by another tool, and no raw clip can be scored with this model."
    return f"`{name}` makes its features from a clip: `msapipe predict CLIP --model THIS_FOLDER`."


def _readme(study: Study, runs: Sequence[Trained], best: Trained, card: Mapping[str, Any]) -> str:
    """The card for people: data, command, scores with standard deviations, limits."""
    about = card["trained"]
    lines = [
        f"# {card['about']}",
        "",
        f"- **Data**: {about['dataset']} ({about['split']} clips); label scale {study.data.scale}. Its licence is this",
        "  model's too.",
        f"- **Model**: `{study.model}` {study.params or ''}, {best.parameters:,} parameters{_parts(best)}, reads "
        f"{', '.join(f'{name} ({width})' for name, width in study.dims.items())}.",
        f"- **Pipeline**: {_pipeline(card['pipeline'])}",
        f"- **Command**: `{about['command']}`",
        f"- **Seeds**: {', '.join(map(str, about['seeds']))}; model.safetensors is that of seed {best.seed},",
        f"  which has the {'most right classes' if best.by_classes else 'smallest error'} on the validation split.",
        "",
        f"| split | metric | mean | deviation over {len(runs)} seeds |"
        if len(runs) > 1
        else "| split | metric | one seed | deviation |",
        "|---|---|---|---|",
    ]
    for split, scores in card["scores"].items():
        for name, value in scores.items():
            deviation = "-" if value is None or len(runs) < 2 else f"{value['deviation']:.4f}"
            shown = f"not defined | {deviation}" if value is None else f"{value['mean']:.4f} | {deviation}"
            lines.append(f"| {split} | {name} | {shown} |")
    lines += [
        "",
        "**Limits**: the scores hold for clips like those it was trained on, through the same extraction. It must not",
        "be used to judge people: not for hiring, policing, health or credit.",
        "",
    ]
    return "\n".join(lines)
