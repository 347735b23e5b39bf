"""Contract checks of stages, fusion models and readers. Each check raises AssertionError with a sentence.

A plug-in's test is one line: ``check_stage("vision", MyStage)``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from msapipe.cache import digest, stage_key
from msapipe.datasets import DatasetReader, Example
from msapipe.stages import CHAINS, MODALITIES, Stage
from msapipe.testing import fakes
from msapipe.types import FaceTracks, FeatureSequence, PassedOver, Speaker, Transcript

if TYPE_CHECKING:
    from msapipe.fusion._base import Batch, FusionModel

_MAKES: dict[str, type] = {
    "transcript": Transcript,
    "words": Transcript,
    "faces": FaceTracks,
    "speaker": Speaker,
    **dict.fromkeys(MODALITIES, FeatureSequence),
}


def _must(holds: object, sentence: str) -> None:
    if not holds:
        raise AssertionError(sentence)


def check_stage(slot: str, cls: type[Stage], **params: Any) -> None:
    """Check type, determinism, edge cases, documentation, weights and key of a stage made with ``params``."""
    name = cls.__name__
    doc = inspect.getdoc(cls) or ""
    _must(doc and not doc.startswith(f"{name}("), f"{name} has no docstring")
    if slot in MODALITIES:
        _must(re.search(r"\(T, ", doc), f"the docstring of {name} does not state the shape of its output: (T, ...)")
    for weights in cls.weights:
        _must(weights.identity, f"{name}: nothing stands for the bytes of {weights.name}: give a sha256 or revision")
        _must(weights.licence and weights.source, f"{name}: {weights.name} lacks licence or source")
    stage, again = cls(**params), cls(**params)
    own = [weights.identity for weights in stage.own_weights()]
    digest(stage_key(slot, name, stage.version, stage.params(), own, {}))
    stage.load("cpu")
    again.load("cpu")
    widths = set()
    for kind in ("usual", "empty", "short"):
        out = stage.run(**fakes.inputs(cls.needs(), kind))
        same = again.run(**fakes.inputs(cls.needs(), kind))
        nothing = out is None or (slot in CHAINS and isinstance(out, PassedOver))
        _must(nothing or isinstance(out, _MAKES[slot]), f"{name} returned {type(out).__name__} for {kind} input")
        _must(_equal(out, same), f"{name} gives other numbers the second time ({kind} input)")
        if isinstance(out, FeatureSequence):
            widths.add(out.values.shape[1])
            _must(len(out.names) == out.values.shape[1], f"{name} does not name its columns ({kind} input)")
    _must(len(widths) <= 1, f"{name} has {sorted(widths)} columns, depending on the input")


def _equal(a: Any, b: Any) -> bool:
    from msapipe.cache.store import entry_bytes

    return entry_bytes(a, {}, ()) == entry_bytes(b, {}, ())


def check_fusion(cls: type[FusionModel], steps: int = 300, **params: Any) -> None:
    """Check padding, batch independence, missing modalities, phases, gradients, learning and saving of a model."""
    import torch

    dims = {"text": 12, "audio": 10, "vision": 8}
    torch.manual_seed(0)
    model = cls(dims, **params).eval()
    _check_scores(model, cls(dims, **params).eval(), [fakes.features(dims, steps=4 + i, seed=i) for i in range(5)])
    torch.manual_seed(0)
    _check_phases(cls(dims, **params).train())

    def build() -> FusionModel:
        torch.manual_seed(0)
        return cls(dims, **params).train()

    _check_learning(build, steps)


def _check_scores(model: FusionModel, twin: FusionModel, clips: list[dict[str, FeatureSequence]]) -> None:
    import torch

    from msapipe.fusion._base import collate

    name = type(model).__name__
    dims = model.dims
    with torch.inference_mode():
        together = model(collate(clips, dims)).score
        alone = torch.cat([model(collate([clip], dims)).score for clip in clips])
        _must(together.shape == (len(clips),), f"{name} scores {tuple(together.shape)} for {len(clips)} clips")
        _must(torch.allclose(together, alone, atol=1e-5), f"{name}: batch mates or padding move a score")
        for modality in dims:
            part = [{key: value for key, value in clip.items() if key != modality} for clip in clips]
            _must(torch.isfinite(model(collate(part, dims)).score).all(), f"{name}: not finite without {modality}")
        _must(torch.isfinite(model(collate([{}], dims)).score).all(), f"{name}: not finite without any modality")
        if model.by_video:
            _check_videos(model, clips)
        longer = _longer(collate(clips, dims), 7)
        _must(torch.allclose(model(longer).score, together, atol=1e-5), f"{name}: more padding moves a score")
        batch = collate(clips, dims)
        batch.values["text"][~batch.mask["text"]] = 1e3
        _must(torch.allclose(model(batch).score, together, atol=1e-4), f"{name} reads what is masked out")
        twin.load_state_dict(model.state_dict(), strict=True)
        _must(torch.equal(twin(collate(clips, dims)).score, together), f"{name}: other scores after save and load")
        if model.standardizes:
            twin.get_buffer("std_text").fill_(3.0)
            moved = twin(collate(clips, dims)).score
            _must(not torch.allclose(moved, together), f"{name}.forward does not begin with self.standardized(batch)")


def _check_videos(model: FusionModel, clips: list[dict[str, FeatureSequence]]) -> None:
    """Clips of one video are read together; other videos change nothing."""
    import torch

    from msapipe.fusion._base import collate

    name = type(model).__name__
    videos = torch.tensor([7, 2, 7, 2, 7])
    batch = collate(clips, model.dims)
    batch.video = videos
    together = model(batch).score
    for video in (2, 7):
        rows = (videos == video).nonzero()[:, 0]
        part = collate([clips[row] for row in rows.tolist()], model.dims)
        part.video = videos[rows]
        _must(torch.allclose(model(part).score, together[rows], atol=1e-5), f"{name}: another video moves a score")
    batch.video = None
    _must(not torch.allclose(model(batch).score, together, atol=1e-5), f"{name} reads no clip in its video")


def _longer(batch: Batch, steps: int) -> Batch:
    """The batch with more padding after every sequence."""
    from dataclasses import replace

    from torch.nn.functional import pad

    return replace(
        batch,
        values={name: pad(values, (0, 0, 0, steps)) for name, values in batch.values.items()},
        mask={name: pad(mask, (0, steps)) for name, mask in batch.mask.items()},
        times={name: pad(times, (0, 0, 0, steps)) for name, times in batch.times.items()},
    )


def _check_phases(model: FusionModel) -> None:
    """Every parameter is trained in some phase, and gets a gradient in each of its phases."""
    from msapipe.fusion._base import owners

    called = type(model).__name__
    batch = _labelled(model.dims)
    names = set(dict(model.named_parameters()))
    learned: set[str] = set()
    for phase in model.phases():
        prefixes = [prefix for group in phase.groups for prefix in group.prefixes]
        _must(len(prefixes) == len(set(prefixes)), f"{called}: phase {phase.name} names a prefix twice")
        mine = set(owners(model, phase))
        model.begin(phase.name, lambda: [batch])
        model.begin_epoch(phase.name, 1, lambda: [batch])
        model.zero_grad()
        output = model(batch)
        model.loss(output, batch, phase.name).backward()  # type: ignore[no-untyped-call]
        still = [name for name, item in model.named_parameters() if name in mine and item.grad is None]
        idle = [name for name in still if name.startswith(model.idle)] if model.idle else []
        _must(still == idle, f"{called}: in phase {phase.name} no gradient reaches {', '.join(set(still) - set(idle))}")
        read = [start for start in model.idle if not any(name.startswith(start) for name in idle)]
        _must(not read, f"{called}: said to be idle, but a gradient reaches {', '.join(read)}")
        learned |= mine
    _must(learned == names, f"{called}: no phase trains {', '.join(sorted(names - learned)[:5])}")


def _labelled(dims: dict[str, int]) -> Batch:
    import torch

    from msapipe.fusion._base import collate

    batch = collate([fakes.features(dims, steps=6, seed=i) for i in range(32)], dims)
    batch.labels = {name: torch.linspace(-2, 2, 32) for name in ("M", "T", "A", "V")}
    batch.index = torch.arange(32)
    return batch


def _check_learning(build: Callable[[], FusionModel], steps: int) -> None:
    """The last phase overfits thirty-two clips at one of three learning rates; with two classes, signs are checked."""
    found = []
    for rate in (3e-3, 1e-2, 3e-2):
        found.append(_learned(build(), steps, rate))
        if found[-1] <= 0.1:
            return
    raise AssertionError(f"{type(build()).__name__} does not learn 32 clips by heart: mean error {min(found):.2f}")


def _learned(model: FusionModel, steps: int, rate: float) -> float:
    """The smallest mean error, or share of wrong signs, on clips after ``steps`` steps of Adam on them."""
    import torch

    batch = _labelled(model.dims)
    phase = model.phases()[-1]
    model.begin(phase.name, lambda: [batch])
    optimiser = torch.optim.Adam(model.parameters(), rate)
    slower = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, steps)
    best = float("inf")
    for epoch in range(1, steps + 1):
        optimiser.zero_grad()
        loss = model.loss(model(batch), batch, phase.name)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        slower.step()
        if epoch % 25 == 0 and best > 0.1:
            with torch.no_grad():
                said, label = model.eval()(batch).score, batch.labels["M"]
            wrong = (said > 0) != (label > 0) if phase.monitor == "acc2" else said - label
            best = min(best, float(wrong.float().abs().mean()))
            model.train()
        if best <= 0.1:
            break
    return best


def check_reader(reader: DatasetReader) -> list[Example]:
    """Unique ids, labels in scale, no video in two splits, the same order twice; returns the examples."""
    examples = [item for item in reader.read() if isinstance(item, Example)]
    again = [item.clip.id for item in reader.read() if isinstance(item, Example)]
    ids = [example.clip.id for example in examples]
    _must(ids == again, "the order of clips changes from one reading to the next")
    _must(len(ids) == len(set(ids)), f"clip ids stand twice: {sorted({i for i in ids if ids.count(i) > 1})[:3]}")
    if reader.scale is not None:
        low, high = reader.scale
        odd = [e.clip.id for e in examples if not all(low <= label <= high for label in e.labels.values())]
        _must(not odd, f"labels outside [{low}, {high}]: {odd[:3]}")
    splits: dict[Path, set[str]] = {}
    for example in examples:
        if example.split is not None:
            splits.setdefault(example.clip.path, set()).add(example.split)
    _must(all(len(found) == 1 for found in splits.values()), "one video is in two splits")
    _must(not any(np.isnan(label) for e in examples for label in e.labels.values()), "a label is NaN")
    return examples
