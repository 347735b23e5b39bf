"""Pre-trained extractors, a simple fusion of what they say, and one task a modality beside the common one.

Hai, Liu and Elhilali, "Boosting Modality Representation with Pre-trained Models and Multi-task Training for Multimodal
Sentiment Analysis" (2023).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from msapipe.errors import RecipeError
from msapipe.fusion._attention import Dropout
from msapipe.fusion._base import Batch, Batches, FusionModel, Group, Output, Phase, absolute_error, masked_mean
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._crossmodal import Crossmodal
from msapipe.fusion._language_model import LanguageModel, with_tokens

Modality = Literal["text", "audio", "vision"]
Fusion = Literal["sf", "tfn", "mult"]
Regime = Literal["single", "joint", "two_step"]

LETTERS = {"text": "T", "audio": "A", "vision": "V"}

# Columns that a vector is reduced to before the outer product, and sizes of the crossmodal transformers.
REDUCED = {"text": 32, "audio": 16, "vision": 16}
WIDTH, HEADS, LAYERS = 40, 8, 4


class SubNet(nn.Module):
    """An LSTM's states through a layer, for features made by hand: (B, T, D), (B, T) to (B, T, units)."""

    def __init__(self, columns: int, units: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(columns, units, batch_first=True)
        self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(units, units))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """The states; padding behind a clip does not reach them, unseen steps are zeros."""
        states, _ = self.lstm(values)
        return self.layers(states) * mask.unsqueeze(-1)  # type: ignore[no-any-return]


class Sequences(nn.Module):
    """MulT: (B, T_m, D_m) per modality to vectors side by side (B, M max(1, M - 1) WIDTH)."""

    def __init__(self, widths: Mapping[str, int], dropout: float) -> None:
        super().__init__()
        self.crossmodal = Crossmodal(
            widths,
            WIDTH,
            HEADS,
            LAYERS,
            kernels=dict.fromkeys(widths, 1),
            attention=dict.fromkeys(widths, dropout),
            dropout=Dropout(hidden=dropout, residual=dropout),
        )
        self.width = len(widths) * self.crossmodal.width

    def forward(
        self, states: Mapping[str, Tensor], mask: Mapping[str, Tensor], vectors: Mapping[str, Tensor]
    ) -> Tensor:
        """It reads the sequences and their masks."""
        return torch.cat(list(self.crossmodal(states, mask).values()), dim=1)


class Product(nn.Module):
    """TFN: each vector reduced by a layer, a 1 before it, all multiplied out: (B, D_m) to (B, product of r_m + 1)."""

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.reduce = nn.ModuleDict({name: nn.Linear(width, REDUCED[name]) for name, width in widths.items()})
        self.width = math.prod(REDUCED[name] + 1 for name in widths)

    def forward(
        self, states: Mapping[str, Tensor], mask: Mapping[str, Tensor], vectors: Mapping[str, Tensor]
    ) -> Tensor:
        """It reads the vectors."""
        longer = [functional.pad(layer(vectors[name]), (1, 0), value=1.0) for name, layer in self.reduce.items()]
        product = longer[0]
        for entries in longer[1:]:
            product = torch.einsum("bi,bj->bij", product, entries).flatten(1)
        return product


class SideBySide(nn.Module):
    """SF: the vectors of all modalities (B, sum of D_m)."""

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.width = sum(widths.values())

    def forward(
        self, states: Mapping[str, Tensor], mask: Mapping[str, Tensor], vectors: Mapping[str, Tensor]
    ) -> Tensor:
        """It reads the vectors."""
        return torch.cat(list(vectors.values()), dim=1)


class Boosting(FusionModel):
    """(B, T_m, D_m) per modality, through extractors, to sequences and one vector (B, d_m) each; fused; to scores (B,).

    fusion: "sf", vectors side by side; "tfn", their outer product, each reduced to 32 or 16 columns before; "mult",
    crossmodal transformers over the sequences.   regime: "single" learns the common label alone; "joint" all labels
    at once; "two_step" first each extractor with its modality's own label, by itself, then fusion and the common
    head over frozen extractors. The latter two need labels T, A, V.   alphas: of M, T, A, V in "joint";
    normalise_alpha: divided by their sum.   freeze: extractors that never learn.

    Extractors: features are "pretrained", as BERT, HuBERT and Video Swin gave them, and are read as they are, the
    clip's vector their mean; or "handcrafted": audio and vision go through an LSTM of ``units``. With language_model
    (google-bert/bert-base-chinese, a folder, or org/name@COMMIT; language_config: see ``_language_model``) the text's
    tokens go through that, which learns, and the vector is [CLS]. Fine-tuning HuBERT and Video Swin, which the paper
    does in its first step, is not possible here: it needs sound and pictures, and a batch holds features. Their
    modalities begin with the paper's second step, the heads of the first being trained over frozen features.

    The paper reports a product without parameters of vectors of 768, which no layer could read: hence the reduction.
    """

    version = 1
    reads_tokens = True

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        fusion: Fusion = "sf",
        regime: Regime = "single",
        features: Literal["pretrained", "handcrafted"] = "pretrained",
        language_model: str = "",
        language_config: str = "",
        units: int = 32,
        hidden: int = 128,
        dropout: float = 0.1,
        alphas: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
        normalise_alpha: bool = True,
        freeze: tuple[Modality, ...] = (),
    ) -> None:
        super().__init__(dims)
        check_sizes(units=units, hidden=hidden)
        check_dropouts(dropout=dropout)
        self.regime, self.freeze = regime, freeze
        tasks = {"M": "M", **{name: LETTERS[name] for name in dims if regime != "single"}}
        self.alphas = _alphas(dict(zip("MTAV", alphas, strict=True)), tasks.values(), normalise_alpha)
        self.extractors = nn.ModuleDict()
        if "text" in dims and (language_model or language_config):
            self.extractors["text"] = LanguageModel(language_model, language_config, "boosting")
        for name, columns in dims.items():
            if name != "text" and features == "handcrafted":
                self.extractors[name] = SubNet(columns, units, dropout)
        widths = {name: units if name in self.extractors else columns for name, columns in dims.items()}
        if self.words is not None:
            widths["text"] = self.words.width
        self.fusion = _fusion(fusion, widths, dropout)
        entries = {"M": self.fusion.width, **widths}
        self.heads = nn.ModuleDict({name: _head(entries[name], hidden, dropout) for name in tasks})

    @property
    def words(self) -> LanguageModel | None:
        """The language model, where there is one."""
        return next((part for part in self.extractors.values() if isinstance(part, LanguageModel)), None)

    def forward(self, batch: Batch) -> Output:
        """Score a batch, by each modality alone too where those are tasks."""
        batch = self.standardized(with_tokens(batch))
        mask = {name: batch.mask[name] for name in self.dims}
        states: dict[str, Tensor] = {}
        vectors: dict[str, Tensor] = {}
        for name in self.dims:
            states[name] = batch.values[name]
            if name in self.extractors and name != "text":
                states[name] = self.extractors[name](states[name], mask[name])
            vectors[name] = masked_mean(states[name], mask[name])
        if self.words is not None:
            mask["text"] = self.words.mask(batch)
            states["text"] = self.words(batch, mask["text"].shape[1])
            row = torch.arange(len(batch), device=mask["text"].device)
            vectors["text"] = states["text"][row, self.words.summary(mask["text"])]
        fused = self.fusion(states, mask, vectors)
        scores = {name: head(fused if name == "M" else vectors[name])[:, 0] for name, head in self.heads.items()}
        return Output(score=scores.pop("M"), unimodal=scores, features={"fused": fused})

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Mean absolute error of the phase's tasks; clips without a task's label do not count in it."""
        said = {"M": output.score, **{LETTERS[name]: score for name, score in output.unimodal.items()}}
        alphas = self.alphas if phase == "joint" else {LETTERS.get(phase, "M"): 1.0}
        parts = [alpha * absolute_error(said[task], batch.labels[task]) for task, alpha in alphas.items()]
        return torch.stack(parts).sum()

    def phases(self) -> tuple[Phase, ...]:
        """The paper's rates; batches, epochs and patience are not stated there."""
        if self.regime == "two_step":
            steps = tuple(self._unimodal(name) for name in self.dims)
            return (*steps, Phase("fusion", (Group(("fusion.", "heads.M."), lr=1e-4),), epochs=30, batch=64))
        extractors = [name for name in self.extractors if name not in self.freeze]
        labels = tuple(self.alphas) if self.regime == "joint" else ("M",)
        groups = (Group(("fusion.", "heads."), lr=1e-4), *(self._group(name) for name in extractors))
        return (Phase(self.regime, groups, epochs=30, batch=16, labels=labels),)

    def _unimodal(self, name: str) -> Phase:
        """One extractor and its head, by the labels of its modality."""
        own = () if name in self.freeze or name not in self.extractors else (self._group(name),)
        letter = LETTERS[name]
        groups = (Group((f"heads.{name}.",), lr=1e-4), *own)
        return Phase(name, groups, epochs=30, batch=16, labels=(letter,), monitor=f"mae_{letter}")

    def _group(self, name: str) -> Group:
        """An extractor's parameters: slow where they were trained before."""
        trained = name == "text" and self.words is not None
        return Group((f"extractors.{name}.",), lr=1e-5 if trained else 1e-4)

    def begin(self, phase: str, batches: Batches) -> None:
        """Before the first phase, read the numbers of the language model."""
        if self.words is not None and phase == self.phases()[0].name:
            self.words.load()

    def kept_params(self) -> dict[str, str]:
        """Parameters to keep with a trained model, so that it is built without the checkpoint."""
        return {} if self.words is None else {"language_config": self.words.config}


def _fusion(kind: Fusion, widths: Mapping[str, int], dropout: float) -> SideBySide | Product | Sequences:
    if kind == "mult":
        return Sequences(widths, dropout)
    return Product(widths) if kind == "tfn" else SideBySide(widths)


def _head(entries: int, hidden: int, dropout: float) -> nn.Sequential:
    """The decision block: (B, entries) to (B, 1)."""
    return nn.Sequential(nn.Linear(entries, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1))


def _alphas(alphas: Mapping[str, float], tasks: Iterable[str], normalise: bool) -> dict[str, float]:
    """Weights of the tasks that there are."""
    mine = {task: alphas[task] for task in tasks}
    if min(mine.values()) < 0 or not sum(mine.values()):
        raise RecipeError(f"alphas: found {list(alphas.values())}, expected none below 0 and one above")
    total = sum(mine.values()) if normalise else 1.0
    return {task: alpha / total for task, alpha in mine.items()}
