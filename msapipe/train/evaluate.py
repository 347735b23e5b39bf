"""What a model says of a whole split, and how far that is from the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from msapipe.fusion._base import FusionModel, Output, Phase, neutral_band
from msapipe.train.metrics import Scores, class_scores, pearson, scheme_of, score
from msapipe.train.table import Table, to_device
from msapipe.types import Sample

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SCORED_AT_ONCE = 256


def predict(model: FusionModel, table: Table, fabric: Fabric, size: int = SCORED_AT_ONCE) -> Output:
    """What a model says of every clip of a table, in order, on the CPU; ``size`` clips at a time."""
    model.eval()
    rows = torch.arange(len(table))
    found: list[Output] = []
    with torch.inference_mode():
        for batch in table.batches(rows, size):
            found.append(model(to_device(batch, fabric.to_device)))
    return _joined(found)


def score_samples(model: FusionModel, samples: Sequence[Sample], scale: tuple[float, float]) -> Scores:
    """All metrics of a model over labelled samples, on the CPU."""
    from lightning_fabric import Fabric

    known = [sample for sample in samples if "M" in sample.labels]
    table = Table.of(known, model.dims)
    return scores_of(model, predict(model, table, Fabric(accelerator="cpu", devices=1)), table.whole.labels["M"], scale)


def scores_of(model: FusionModel, said: Output, label: Tensor, scale: tuple[float, float]) -> Scores:
    """All metrics of what a model said (B,) against labels (B,), NaN where there is none; {} without any label.

    A head of classes is measured by its largest logit (see ``class_scores``). Where classes are all that a model
    learns, and they are the three of acc3, acc3 is their accuracy and no other.
    """
    known = label.isfinite()
    if not known.any():
        return {}
    scheme = scheme_of(scale)
    found = score(label[known].numpy(), said.score[known].numpy(), scheme)
    if said.classes is None:
        return found
    classes = class_scores(label[known].numpy(), said.classes[known].numpy(), model.class_edges)
    band = neutral_band(scale)
    if model.scored_by_classes and tuple(model.class_edges) == (-band, band):
        found["acc3"] = classes["class_acc"]
    return {**classes, **found}


def evaluate(
    model: FusionModel, table: Table, fabric: Fabric, phase: Phase, size: int = SCORED_AT_ONCE
) -> dict[str, float]:
    """Error, correlation and accuracy over a split, and the mean loss of the phase; ``size`` clips at a time."""
    model.eval()
    outputs, losses = [], []
    with torch.no_grad():
        rows = table.labelled(phase.labels)
        for batch in table.batches(rows, size):
            there = to_device(batch, fabric.to_device)
            outputs.append(model(there))
            losses.append(float(model.loss(outputs[-1], there, phase.name)) * len(batch))
    whole = _joined(outputs)
    found = {"loss": sum(losses) / max(1, len(rows))}
    for name, said in {"M": whole.score, **whole.unimodal}.items():
        letter = name if name == "M" else name[0].upper()
        label = table.whole.labels[letter][rows]
        known = label.isfinite() & said.isfinite()
        if known.any() and len(said) == len(label):
            mae = float((said[known] - label[known]).abs().mean())
            found["mae" if name == "M" else f"mae_{letter}"] = mae
    label = table.whole.labels["M"][rows]
    known = label.isfinite() & (label != 0) & whole.score.isfinite()
    if known.any():
        found["acc2"] = float(((whole.score > 0) == (label > 0))[known].float().mean())
        found["corr"] = pearson(whole.score[known], label[known]) or 0.0
    if whole.classes is not None and (known := label.isfinite()).any():
        classes = class_scores(label[known].numpy(), whole.classes[known].numpy(), model.class_edges)
        found |= {name: value for name, value in classes.items() if value is not None}
    return found


def _joined(outputs: list[Output]) -> Output:
    """Outputs of several batches one behind the other."""
    intervals = [part.interval.float().cpu() for part in outputs if part.interval is not None]
    classes = [part.classes.float().cpu() for part in outputs if part.classes is not None]
    return Output(
        score=torch.cat([part.score.float().cpu() for part in outputs]),
        unimodal={
            name: torch.cat([part.unimodal[name].float().cpu() for part in outputs]) for name in outputs[0].unimodal
        },
        features={
            name: torch.cat([part.features[name].float().cpu() for part in outputs]) for name in outputs[0].features
        },
        interval=torch.cat(intervals) if intervals else None,
        classes=torch.cat(classes) if classes else None,
    )
