"""A model's predictions for a whole split, and their errors against the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from msapipe.fusion._base import FusionModel, Output, Phase, neutral_band
from msapipe.train.metrics import Scores, class_scores, pearson, scheme_of, score
from msapipe.train.table import TensorTable, to_device
from msapipe.types import Sample

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SCORED_AT_ONCE = 256
# About the number of clips per video in the usual corpora.
CLIPS_OF_A_VIDEO = 16


def predict(
    model: FusionModel, table: TensorTable, fabric: Fabric, size: int = SCORED_AT_ONCE, diagnostics: bool = False
) -> Output:
    """The model's output for every clip of a table, in order, on the CPU; ``size`` clips per batch.

    Diagnostics only on request: attention maps of a whole split take much memory.
    """
    model.eval()
    rows = table.arranged(torch.arange(len(table)), model.by_video)
    found: list[Output] = []
    with torch.inference_mode():
        for batch in table.batches(rows, _units(model, size), model.by_video):
            found.append(model(to_device(batch, fabric.to_device)))
            if not diagnostics:
                found[-1].diagnostics = {}
    whole = _joined(found)
    return _picked(whole, rows.argsort()) if model.by_video else whole


def predict_samples(model: FusionModel, samples: Sequence[Sample]) -> Output:
    """The model's output for samples, in order, on the CPU."""
    from lightning_fabric import Fabric

    return predict(model, TensorTable.of(samples, model.dims), Fabric(accelerator="cpu", devices=1), diagnostics=True)


def scores_of(model: FusionModel, said: Output, labels: Mapping[str, Tensor], scale: tuple[float, float]) -> Scores:
    """All metrics of a model's output (B,), over the labelled clips; {} without any.

    labels: {"M", "T", "A", "V"} to (B,), NaN where missing. Unimodal predictions are compared with that modality's own
    labels, if there are any, as ``mae_T``, ``acc2_A`` ...

    A classification head is measured by its largest logit (see ``class_scores``). If the model learns only classes, and
    they are the three of acc3, that accuracy is reported as acc3.
    """
    found = _of_score(said.score, labels["M"], scale)
    known = labels["M"].isfinite()
    if said.classes is not None and known.any():
        classes = class_scores(labels["M"][known].numpy(), said.classes[known].numpy(), model.class_edges)
        band = neutral_band(scale)
        if model.scored_by_classes and tuple(model.class_edges) == (-band, band):
            found["acc3"] = classes["class_acc"]
        found = {**classes, **found}
    for name, alone in said.unimodal.items():
        letter = name[0].upper()
        if letter in labels:
            own = _of_score(alone, labels[letter], scale)
            found |= {f"{metric}_{letter}": value for metric, value in own.items()}
    return found


def _of_score(said: Tensor, label: Tensor, scale: tuple[float, float]) -> Scores:
    known = label.isfinite()
    return score(label[known].numpy(), said[known].numpy(), scheme_of(scale)) if known.any() else {}


def evaluate(
    model: FusionModel, table: TensorTable, fabric: Fabric, phase: Phase, size: int = SCORED_AT_ONCE
) -> dict[str, float]:
    """Error, correlation, accuracy and F1 over a split, and the phase's mean loss; ``size`` clips per batch."""
    model.eval()
    outputs, losses = [], []
    with torch.no_grad():
        rows = table.arranged(table.labelled(phase.labels), model.by_video)
        for batch in table.batches(rows, _units(model, size), model.by_video):
            there = to_device(batch, fabric.to_device)
            outputs.append(model(there))
            losses.append(float(model.loss(outputs[-1], there, phase.name)) * len(batch))
            outputs[-1].diagnostics = {}
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
        found["f1"] = _weighted_f1(label[known] > 0, whole.score[known] > 0)
        found["corr"] = pearson(whole.score[known], label[known]) or 0.0
    if whole.classes is not None and (known := label.isfinite()).any():
        classes = class_scores(label[known].numpy(), whole.classes[known].numpy(), model.class_edges)
        found |= {name: value for name, value in classes.items() if value is not None}
    return found


def _units(model: FusionModel, size: int) -> int:
    """The batch size in units of the model: clips, or videos for a model by video."""
    return max(1, size // CLIPS_OF_A_VIDEO) if model.by_video else size


def _picked(output: Output, rows: Tensor) -> Output:
    """The output's rows in another order."""
    return replace(
        output,
        score=output.score[rows],
        unimodal={name: part[rows] for name, part in output.unimodal.items()},
        features={name: part[rows] for name, part in output.features.items()},
        diagnostics={name: part[rows] if part.ndim else part for name, part in output.diagnostics.items()},
        interval=None if output.interval is None else output.interval[rows],
        classes=None if output.classes is None else output.classes[rows],
    )


def _weighted_f1(truth: Tensor, said: Tensor) -> float:
    """Binary F1 weighted by class support, without clips labelled 0."""
    from sklearn.metrics import f1_score

    return float(f1_score(truth.numpy(), said.numpy(), average="weighted", zero_division=0))


def _joined(outputs: list[Output]) -> Output:
    """The outputs of several batches, concatenated."""
    intervals = [part.interval.float().cpu() for part in outputs if part.interval is not None]
    sizes = [len(part.score) for part in outputs]
    classes = [part.classes.float().cpu() for part in outputs if part.classes is not None]
    return Output(
        score=torch.cat([part.score.float().cpu() for part in outputs]),
        unimodal=_one_behind_the_other([part.unimodal for part in outputs], sizes),
        features=_one_behind_the_other([part.features for part in outputs], sizes),
        losses=_one_behind_the_other([part.losses for part in outputs], sizes),
        diagnostics=_one_behind_the_other([part.diagnostics for part in outputs], sizes),
        interval=torch.cat(intervals) if intervals else None,
        classes=torch.cat(classes) if classes else None,
    )


def _one_behind_the_other(parts: list[dict[str, Tensor]], sizes: list[int]) -> dict[str, Tensor]:
    """Concatenate tensors (B, ...) to (N, ...) on the CPU, padding shorter axes with NaN; average scalars ()."""
    found = {}
    for name in parts[0]:
        tensors = [part[name].detach().float().cpu() for part in parts]
        if not tensors[0].ndim:
            weights = torch.tensor(sizes, dtype=torch.float32)
            found[name] = (torch.stack(tensors) * weights).sum() / weights.sum()
            continue
        longest = [max(tensor.shape[axis] for tensor in tensors) for axis in range(1, tensors[0].ndim)]
        found[name] = torch.cat([_widened(tensor, longest) for tensor in tensors])
    return found


def _widened(tensor: Tensor, sizes: list[int]) -> Tensor:
    missing = [size - have for size, have in zip(sizes, tensor.shape[1:], strict=True)]
    if not any(missing):
        return tensor
    ends = [end for much in reversed(missing) for end in (0, much)]
    return functional.pad(tensor, ends, value=torch.nan)
