"""Pretrained extractors, a simple fusion of their outputs, and one task per modality beside the common one.

Hai, Liu and Elhilali, "Boosting Modality Representation with Pre-trained Models and Multi-task Training for Multimodal
Sentiment Analysis" (2023).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from msapipe.errors import ConfigError
from msapipe.fusion._attention import Dropout
from msapipe.fusion._base import Batch, Batches, FusionModel, Group, Output, Phase, Preset, absolute_error, masked_mean
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._crossmodal import Crossmodal
from msapipe.fusion._kept import Kept
from msapipe.fusion._language_model import LanguageModel, with_tokens
from msapipe.fusion._speech_encoder import SpeechEncoder
from msapipe.fusion._subnet import two_layers
from msapipe.fusion._video_encoder import VideoEncoder

Modality = Literal["text", "audio", "vision"]
Fusion = Literal["sf", "tfn", "mult"]
Regime = Literal["single", "joint", "two_step"]

LETTERS = {"text": "T", "audio": "A", "vision": "V"}
NAMES = {"text": "language_model", "audio": "speech_model", "vision": "video_model"}
CONFIGS = {"text": "language_config", "audio": "speech_config", "vision": "video_config"}

# Width of a vector before the outer product, and sizes of the crossmodal transformers.
REDUCED = {"text": 32, "audio": 16, "vision": 16}
WIDTH, HEADS, LAYERS = 40, 8, 4


Network = LanguageModel | SpeechEncoder | VideoEncoder
# By modality.
Parts = Mapping[str, Tensor]


class SubNet(nn.Module):
    """A linear layer on an LSTM's states, for handcrafted features: (B, T, D), (B, T) to (B, T, units)."""

    def __init__(self, columns: int, units: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(columns, units, batch_first=True)
        self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(units, units))

    def forward(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The states and their mask; padding does not affect them, masked steps are zero."""
        states, _ = self.lstm(values)
        return self.layers(states) * mask.unsqueeze(-1), mask


class Sequences(nn.Module):
    """MulT: (B, T_m, D_m) per modality to concatenated vectors (B, M max(1, M - 1) WIDTH)."""

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

    def forward(self, states: Parts, mask: Parts, vectors: Parts) -> Tensor:
        """Uses the sequences and their masks."""
        return torch.cat(list(self.crossmodal(states, mask).values()), dim=1)


class Product(nn.Module):
    """TFN: outer product of the vectors, each reduced and prefixed by 1: (B, D_m) to (B, product of r_m + 1)."""

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.reduce = nn.ModuleDict({name: nn.Linear(width, REDUCED[name]) for name, width in widths.items()})
        self.width = math.prod(REDUCED[name] + 1 for name in widths)

    def forward(self, states: Parts, mask: Parts, vectors: Parts) -> Tensor:
        """Uses the vectors."""
        longer = [functional.pad(layer(vectors[name]), (1, 0), value=1.0) for name, layer in self.reduce.items()]
        product = longer[0]
        for entries in longer[1:]:
            product = torch.einsum("bi,bj->bij", product, entries).flatten(1)
        return product


class SideBySide(nn.Module):
    """SF: the concatenated vectors of all modalities (B, sum of D_m)."""

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.width = sum(widths.values())

    def forward(self, states: Parts, mask: Parts, vectors: Parts) -> Tensor:
        """Uses the vectors."""
        return torch.cat(list(vectors.values()), dim=1)


class Boosting(FusionModel):
    """(B, T_m, D_m) per modality, through extractors, to sequences and one vector (B, d_m) each; fused; to scores (B,).

    fusion: "sf", concatenated vectors; "tfn", their outer product after reduction to 32 or 16 columns; "mult",
    crossmodal transformers on the sequences.   regime: "single" learns only the common label; "joint" all labels at
    once; "two_step" first each extractor with its modality's label, separately, then fusion and the common head on
    frozen extractors. "joint" and "two_step" require labels T, A, V.   alphas: loss weights of M, T, A, V in "joint";
    normalise_alpha: divide them by their sum.   freeze: extractors that are never trained.

    Extractors: features are "pretrained", from BERT, HuBERT and Video Swin, standardised by the training split
    (``--set standardize=false`` turns that off), with their mean as the clip's vector; or "handcrafted": audio and
    vision go through an LSTM of ``units``.

    Fine-tuned, as in the paper, the extractors are networks instead of features; without a network, a modality starts
    at the paper's second step, on frozen features.
    language_model: google-bert/bert-base-chinese ..., on the text of the stage tokens; the vector is [CLS].
    speech_model: facebook/hubert-base-ls960 ..., on the audio of the stage samples; the vector is the mean.
    video_model: swin3d_t ..., on the vision of the stage pixels; the vector is the mean. Each is a name, a folder or
    file (./own), or org/name@COMMIT. language_config, speech_config, video_config: see ``_language_model``,
    ``_speech_encoder``, ``_video_encoder``. Sound and frames of a whole split are in memory, frames as bytes. A phase
    runs only the extractor that it trains; outputs of frozen networks on the training split are computed once and
    cached.

    The paper reports a product of unreduced vectors of 768, which no layer could read: hence the reduction.
    """

    version = 1
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Hai, Liu, Elhilali",
        "year": 2023,
        "inputs": "tokens, sound, pictures",
        "aligned": "no",
        "tasks": "M T A V",
        "parameters": 101_761,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset("Hai et al., table 2: no labels of single modalities", {"regime": "single"}),
        "sims_v2": Preset("Hai et al., table 4: the best of their systems", {"regime": "two_step", "fusion": "mult"}),
    }
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
        speech_model: str = "",
        speech_config: str = "",
        video_model: str = "",
        video_config: str = "",
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
        if "audio" in dims and (speech_model or speech_config):
            self.extractors["audio"] = SpeechEncoder(speech_model, speech_config, dims["audio"], "boosting")
        if "vision" in dims and (video_model or video_config):
            self.extractors["vision"] = VideoEncoder(video_model, video_config, dims["vision"], "boosting")
        widths = {**dims, **{name: part.width for name, part in self.networks.items()}}
        self.raw = frozenset(self.networks)
        for name, columns in dims.items():
            if features == "handcrafted" and name not in {"text", *self.raw}:
                self.extractors[name] = SubNet(columns, units, dropout)
                widths[name] = units
        self.fusion = _fusion(fusion, widths, dropout)
        entries = {"M": self.fusion.width, **widths}
        self.heads = nn.ModuleDict({name: two_layers(entries[name], hidden, 1, dropout) for name in tasks})
        self.reads = tuple(dims)
        self.kept = Kept(frozenset(), sequences=False)
        self.sequences = fusion == "mult"

    @property
    def networks(self) -> dict[str, Network]:
        """The pretrained networks, by modality."""
        return {name: part for name, part in self.extractors.items() if isinstance(part, Network)}

    def forward(self, batch: Batch) -> Output:
        """Score a batch, also by each modality alone if those are tasks."""
        batch = self.standardized(with_tokens(batch))
        states: dict[str, Tensor] = {}
        mask: dict[str, Tensor] = {}
        vectors: dict[str, Tensor] = {}
        for name in self.reads:
            states[name], mask[name], vectors[name] = self._seen(name, batch)
        if self.reads != tuple(self.dims):  # a phase that trains one extractor runs no other
            alone = {name: self.heads[name](vectors[name])[:, 0] for name in self.reads}
            return Output(
                score=torch.full((len(batch),), torch.nan, device=vectors[self.reads[0]].device), unimodal=alone
            )
        fused = self.fusion(states, mask, vectors)
        scores = {name: head(fused if name == "M" else vectors[name])[:, 0] for name, head in self.heads.items()}
        return Output(score=scores.pop("M"), unimodal=scores, features={"fused": fused})

    def _seen(self, name: str, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """As ``_extracted``; outputs of a frozen network are cached for clips of the training split."""
        if not self.training or name not in self.kept.names or batch.index is None:
            return self._extracted(name, batch)
        return self.kept.of(name, batch.index, lambda rows: self._extracted(name, batch.some(rows)))

    def _extracted(self, name: str, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """A modality's states (B, T, d), their mask (B, T), and the clips' vectors (B, d)."""
        states, mask = batch.values[name], batch.mask[name]
        if name not in self.extractors:
            return states, mask, masked_mean(states, mask)
        extractor = self.extractors[name]
        if isinstance(extractor, LanguageModel):
            mask = extractor.mask(batch)
            states = extractor(batch, mask.shape[1])
            row = torch.arange(len(batch), device=mask.device)
            return states, mask, states[row, extractor.summary(mask)]
        states, mask = extractor(states, mask)
        return states, mask, masked_mean(states, mask)

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Mean absolute error of the phase's tasks, each over the clips with its label."""
        said = {"M": output.score, **{LETTERS[name]: score for name, score in output.unimodal.items()}}
        alphas = self.alphas if phase == "joint" else {LETTERS.get(phase, "M"): 1.0}
        parts = [alpha * absolute_error(said[task], batch.labels[task]) for task, alpha in alphas.items()]
        return torch.stack(parts).sum()

    def phases(self) -> tuple[Phase, ...]:
        """The paper's rates; it does not state batches, epochs and patience."""
        if self.regime == "two_step":
            steps = tuple(self._unimodal(name) for name in self.dims)
            return (
                *steps,
                Phase("fusion", (Group(("fusion.", "heads.M."), lr=1e-4, name="heads"),), epochs=30, batch=64),
            )
        extractors = [name for name in self.extractors if name not in self.freeze]
        labels = tuple(task for task, alpha in self.alphas.items() if alpha) if self.regime == "joint" else ("M",)
        groups = (Group(("fusion.", "heads."), lr=1e-4, name="heads"), *(self._group(name) for name in extractors))
        return (Phase(self.regime, groups, epochs=30, batch=16, labels=labels),)

    def _unimodal(self, name: str) -> Phase:
        """One extractor and its head, trained on the labels of its modality."""
        own = () if name in self.freeze or name not in self.extractors else (self._group(name),)
        letter = LETTERS[name]
        groups = (Group((f"heads.{name}.",), lr=1e-4, name="heads"), *own)
        return Phase(name, groups, epochs=30, batch=16, labels=(letter,), monitor=f"mae_{letter}")

    def _group(self, name: str) -> Group:
        """An extractor's trainable parameters, with a lower rate if it is pretrained."""
        learning = getattr(self.extractors[name], "learning", ("",))
        prefixes = tuple(f"extractors.{name}.{prefix}" for prefix in learning)
        lr = 1e-5 if name in self.networks else 1e-4
        return Group(prefixes, lr=lr, name=NAMES[name] if name in self.networks else name)

    def choose(self, phase: str, labels: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """All rows; sets which extractors the phase runs, and starts caching frozen outputs."""
        self.reads = (phase,) if phase in self.dims else tuple(self.dims)
        frozen = self.raw if self.regime == "two_step" and phase == "fusion" else self.raw & set(self.freeze)
        self.kept = Kept(frozen, self.sequences)
        return rows

    def begin(self, phase: str, batches: Batches) -> None:
        """Before the first phase, load the weights of the networks."""
        if phase == self.phases()[0].name:
            for network in self.networks.values():
                network.load()

    def kept_params(self) -> dict[str, str]:
        """Parameters to save with a trained model, so that it is rebuilt without the checkpoints."""
        return {CONFIGS[name]: network.config for name, network in self.networks.items()}


def _fusion(kind: Fusion, widths: Mapping[str, int], dropout: float) -> SideBySide | Product | Sequences:
    if kind == "mult":
        return Sequences(widths, dropout)
    return Product(widths) if kind == "tfn" else SideBySide(widths)


def _alphas(alphas: Mapping[str, float], tasks: Iterable[str], normalise: bool) -> dict[str, float]:
    """Loss weights of the existing tasks."""
    mine = {task: alphas[task] for task in tasks}
    if min(mine.values()) < 0 or not sum(mine.values()):
        raise ConfigError(f"alphas: found {list(alphas.values())}, expected none below 0 and one above")
    total = sum(mine.values()) if normalise else 1.0
    return {task: alpha / total for task, alpha in mine.items()}
