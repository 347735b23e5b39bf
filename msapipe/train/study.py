"""One model trained on one data set with several seeds, and the stored result of each."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from msapipe.cache import digest
from msapipe.documents import read_json
from msapipe.errors import MsapipeError
from msapipe.fusion import fusion_models
from msapipe.fusion._base import FusionModel
from msapipe.train.data import DataSet
from msapipe.train.evaluate import predict, scores_of
from msapipe.train.fitness import check_fit
from msapipe.train.loop import Line, Loop
from msapipe.train.metrics import Scores
from msapipe.train.settings import Settings
from msapipe.train.table import TensorTable
from msapipe.train.tokens import fitting
from msapipe.types import Sample
from msapipe.weights import Own

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SEEDS = (1111, 1112, 1113)


@dataclass(frozen=True)
class Trained:
    """The result of one seed.

    scores: split to metrics (see ``metrics.score``).   predictions: split to clip id to score.   epochs: number run.
    parts: parameters of parts that papers count separately.   by_classes: the model learned only classes.
    seconds: wall time.   kept_params: see ``FusionModel``.   weights: the safetensors file of the model's weights.
    """

    seed: int
    scores: dict[str, Scores]
    predictions: dict[str, dict[str, float]]
    parameters: int
    parts: dict[str, int]
    by_classes: bool
    epochs: int
    seconds: float
    kept_params: dict[str, str]
    weights: Path

    def error(self, split: str) -> float:
        """The criterion for the best seed: mean absolute error, or the share of wrong classes."""
        name = "class_acc" if self.by_classes else "mae"
        found = self.scores[split].get(name)
        return float("inf") if found is None else 1 - found if self.by_classes else found


class Study:
    """A model, its parameters and settings on a data set.

    folder: keeps a subfolder per seed; a finished seed is not trained again, and a killed one resumes.
    The path depends on everything that could change a result.
    """

    def __init__(
        self,
        data: DataSet,
        model: str,
        params: Mapping[str, Any],
        settings: Settings,
        folder: Path,
        modalities: Sequence[str] = (),
    ) -> None:
        self.model, self.settings = model, settings
        self.cls = fusion_models().get(model)
        self.params = {**self.cls.params_of(data.scale), **params}
        self.data, self._tokens = data, ""
        if self.cls.reads_tokens and params.get("language_model") and (not modalities or "text" in modalities):
            self.data, self._tokens = fitting(data, str(params["language_model"]))
        check_fit(model, self.cls, self.params, self.data)
        self.dims = {name: width for name, width in data.dims.items() if not modalities or name in modalities}
        if not self.dims:
            raise MsapipeError(f"{data.name} has none of the modalities {', '.join(modalities)}")
        self.tables = {name: TensorTable.of(self.data.split(name), self.dims) for name in ("train", "valid", "test")}
        self.folder = folder / digest(self._identity())[:12]

    def _identity(self) -> dict[str, Any]:
        # The batch size for evaluation changes no result.
        unchanging = ("seed", "scored_at_once")
        settings = {name: value for name, value in asdict(self.settings).items() if name not in unchanging}
        clips = [[s.id, s.split, dict(s.labels)] for s in self.data.samples]
        made_by = digest({name: self.data.made_by[name] for name in ("features", "align")})
        return {
            "model": [self.model, self.cls.version, {name: _identity(value) for name, value in self.params.items()}],
            "settings": settings,
            "dims": self.dims,
            "data": [made_by, digest({"clips": clips})],
        }

    def build(self, seed: int) -> FusionModel:
        """The untrained model, initialised from the seed."""
        torch.manual_seed(seed)
        return self.cls(self.dims, **self.params)

    def notes(self) -> list[str]:
        """Notes for the user before training: what plain settings mean for a model with several phases or groups."""
        asked, found = self.settings, [self._tokens] if self._tokens else []
        if asked.lr is None and asked.epochs is None:
            return found
        phases = asked.of(self.build(0).phases())
        if len(phases) == 1 and len(phases[0].groups) == 1:
            return found
        told = "; ".join(
            f"{phase.name} {phase.epochs} epochs, "
            + ", ".join(f"{group.name} at {group.lr:.3g}" for group in phase.groups)
            for phase in phases
        )
        return [
            *found,
            f"epochs and lr by phase and group: {told}; one alone: --set phase.NAME.epochs=, group.NAME.lr=",
        ]

    def run(self, seed: int, fabric: Fabric, tell: Callable[[Line], None] = lambda line: None) -> Trained:
        """Train with one seed, or read its stored result."""
        folder = self.folder / str(seed)
        done = _read(folder)
        if done is not None:
            return done
        folder.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        model = self.build(seed)
        settings = Settings(**{**asdict(self.settings), "seed": seed})
        history = Loop(model, self.tables["train"], self.tables["valid"], settings, fabric, folder, tell).run()
        spent = time.perf_counter() - begun
        return self._keep(folder, model, history, spent, seed, fabric)

    def _keep(
        self, folder: Path, model: FusionModel, history: list[Line], seconds: float, seed: int, fabric: Fabric
    ) -> Trained:
        from safetensors.torch import save_file

        scores: dict[str, Scores] = {}
        predictions: dict[str, dict[str, float]] = {}
        for name, table in self.tables.items():
            if len(table):
                said = predict(model, table, fabric, self.settings.scored_at_once)
                predictions[name] = dict(zip(table.ids, said.score.tolist(), strict=True))
                scores[name] = scores_of(model, said, table.whole.labels, self.data.scale)
        weights = folder / "model.safetensors"
        save_file({name: part.detach().cpu().contiguous() for name, part in model.state_dict().items()}, weights)
        found = {
            "seed": seed,
            "scores": scores,
            "predictions": predictions,
            "parameters": sum(part.numel() for part in model.parameters()),
            "parts": model.counts(),
            "by_classes": model.scored_by_classes,
            "epochs": len(history),
            "seconds": seconds,
            "kept_params": model.kept_params(),
        }
        _write(folder / "history.json", history)
        _write(folder / "result.json", found)
        (folder / "state.pt").unlink(missing_ok=True)
        return Trained(**found, weights=weights)  # type: ignore[arg-type]


def _identity(value: Any) -> Any:
    """A parameter's value in the key; a path to the user's own checkpoint becomes the hash of its bytes."""
    if isinstance(value, str) and value.startswith(("/", ".", "~")) and Path(value).expanduser().exists():
        return Own(name="", licence="", source="", where=Path(value).expanduser()).identity
    return list(value) if isinstance(value, tuple) else value


def _read(folder: Path) -> Trained | None:
    try:
        found = read_json((folder / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Trained(**{"parts": {}, "by_classes": False, **found}, weights=folder / "model.safetensors")


def _write(path: Path, value: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value) + "\n", encoding="utf-8")
    os.replace(part, path)


def make_fabric(device: str = "cpu", precision: str = "32-true") -> Fabric:
    """Lightning Fabric for "cpu", "cuda:N" or "cuda" (all GPUs, one process each)."""
    from lightning_fabric import Fabric

    kind, _, number = device.partition(":")
    devices: Any = [int(number)] if number else 1 if kind == "cpu" else "auto"
    fabric = Fabric(accelerator=kind, devices=devices, precision=precision)  # type: ignore[arg-type]
    if fabric.world_size > 1:
        fabric.launch()
    return fabric


def constant(count: int, train: Sequence[Sample]) -> list[float]:
    """Predict the training split's mean label for every clip: the baseline that every model must beat."""
    labels = [sample.labels["M"] for sample in train if "M" in sample.labels]
    return [sum(labels) / len(labels)] * count
