"""What a model says of a whole split, and how far that is from the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from msapipe.fusion._base import FusionModel, Output, Phase
from msapipe.train.metrics import Scores, pearson, scheme_of, score
from msapipe.train.table import Table, to_device
from msapipe.types import Sample

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SCORED_AT_ONCE = 256
VIDEOS_AT_ONCE = 16


def predict(model: FusionModel, table: Table, fabric: Fabric) -> Output:
    """What a model says of every clip of a table, in order, on the CPU."""
    model.eval()
    rows = table.arranged(torch.arange(len(table)), model.by_video)
    found: list[Output] = []
    with torch.inference_mode():
        for batch in table.batches(rows, _at_once(model), model.by_video):
            found.append(model(to_device(batch, fabric.to_device)))
    return _picked(_joined(found), rows.argsort())


def score_samples(model: FusionModel, samples: Sequence[Sample], scale: tuple[float, float]) -> Scores:
    """All metrics of a model over labelled samples, on the CPU."""
    from lightning_fabric import Fabric

    known = [sample for sample in samples if "M" in sample.labels]
    said = predict(model, Table.of(known, model.dims), Fabric(accelerator="cpu", devices=1)).score
    return score([sample.labels["M"] for sample in known], said.numpy(), scheme_of(scale))


def evaluate(model: FusionModel, table: Table, fabric: Fabric, phase: Phase) -> dict[str, float]:
    """Error, correlation and two-class accuracy over a split, and the mean loss of the phase."""
    model.eval()
    outputs, losses = [], []
    with torch.no_grad():
        rows = table.arranged(table.labelled(phase.labels), model.by_video)
        for batch in table.batches(rows, _at_once(model), model.by_video):
            there = to_device(batch, fabric.to_device)
            outputs.append(model(there))
            losses.append(float(model.loss(outputs[-1], there, phase.name)) * len(batch))
    whole = _joined(outputs)
    found = {"loss": sum(losses) / max(1, len(rows))}
    for name, said in {"M": whole.score, **whole.unimodal}.items():
        letter = name if name == "M" else name[0].upper()
        label = table.whole.labels[letter][rows]
        known = label.isfinite()
        if known.any() and len(said) == len(label):
            mae = float((said[known] - label[known]).abs().mean())
            found["mae" if name == "M" else f"mae_{letter}"] = mae
    label = table.whole.labels["M"][rows]
    known = label.isfinite() & (label != 0)
    if known.any():
        found["acc2"] = float(((whole.score > 0) == (label > 0))[known].float().mean())
        found["corr"] = pearson(whole.score[known], label[known]) or 0.0
    return found


def _at_once(model: FusionModel) -> int:
    """How many clips, or videos of a model by video, are scored at once."""
    return VIDEOS_AT_ONCE if model.by_video else SCORED_AT_ONCE


def _picked(output: Output, rows: Tensor) -> Output:
    """The output's rows in another order."""
    return replace(
        output,
        score=output.score[rows],
        unimodal={name: part[rows] for name, part in output.unimodal.items()},
        features={name: part[rows] for name, part in output.features.items()},
        interval=None if output.interval is None else output.interval[rows],
    )


def _joined(outputs: list[Output]) -> Output:
    """Outputs of several batches one behind the other."""
    intervals = [part.interval.float().cpu() for part in outputs if part.interval is not None]
    return Output(
        score=torch.cat([part.score.float().cpu() for part in outputs]),
        unimodal={
            name: torch.cat([part.unimodal[name].float().cpu() for part in outputs]) for name in outputs[0].unimodal
        },
        features={
            name: torch.cat([part.features[name].float().cpu() for part in outputs]) for name in outputs[0].features
        },
        interval=torch.cat(intervals) if intervals else None,
    )
