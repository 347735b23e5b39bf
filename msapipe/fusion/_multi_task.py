"""Models that score the clip and each modality, with pseudo-labels for the modalities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from msapipe.fusion._base import Batch, Batches, Given, Group, Output, Phase, absolute_error
from msapipe.fusion._checks import check_sizes
from msapipe.fusion._pseudo_labels import FUSED, PseudoLabels, given_errors
from msapipe.fusion._subnet import TaskHead
from msapipe.fusion._text_states import TextFusion

# Values for language model, audio, vision and the rest; or for text, audio, vision and the clip.
Four = tuple[float, float, float, float]
Unimodal = Literal["pseudo", "labels"]


class MultiTask(TextFusion):
    """One vector and score per modality, and a fused vector for the clip's score.

    Learning rates and weight decays are those of the language model ("text."), ``nets.audio.``, ``nets.vision.`` and
    the rest.
    """

    nets: nn.ModuleDict
    batch_size = 16

    def add_tasks(
        self,
        widths: Mapping[str, int],
        fused: int,
        units: tuple[int, int, int],
        fusion_units: int,
        dropout: Four,
        label_bound: float,
        unimodal: Unimodal,
        rates: Four,
        decays: Four,
        accumulate: int,
    ) -> None:
        """Add heads on vectors of these widths and on the fused one; see ``self_mm`` for the parameters."""
        check_sizes(units=units, fusion_units=fusion_units, accumulate=accumulate)
        self.rates, self.decays, self.accumulate, self.unimodal = rates, decays, accumulate, unimodal
        sizes = dict(zip(("text", "audio", "vision"), units, strict=True))
        drops = dict(zip(("text", "audio", "vision", FUSED), dropout, strict=True))
        self.heads = nn.ModuleDict({name: TaskHead(width, sizes[name], drops[name]) for name, width in widths.items()})
        self.fusion = TaskHead(fused, fusion_units, drops[FUSED])
        self.pseudo = PseudoLabels({**{name: sizes[name] for name in widths}, FUSED: fusion_units}, label_bound)

    def scored(self, vectors: Mapping[str, Tensor], fused: Tensor) -> Output:
        """Scores from the modalities' vectors (B, d_m), and from the fused one (B, d)."""
        whole = self.fusion(fused)
        own = {name: self.heads[name](vector) for name, vector in vectors.items()}
        return Output(
            score=whole.score,
            unimodal={name: said.score for name, said in own.items()},
            features={FUSED: whole.first, **{name: said.first for name, said in own.items()}},
        )

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Mean absolute error, plus in training the errors of the modalities against their own labels."""
        total = absolute_error(output.score, batch.labels["M"])
        if self.unimodal == "labels":
            return total + given_errors(output.unimodal, batch.labels, self.pseudo.names)
        return total + self.pseudo.errors(output.unimodal, batch) if self.training else total

    def phases(self) -> tuple[Phase, ...]:
        """MMSA's settings for MOSI."""
        prefixes = (("text.",), ("nets.audio.",), ("nets.vision.",), ("",))
        names = ("language_model", "audio", "vision", "fusion")
        groups = tuple(Group(*each) for each in zip(prefixes, self.rates, self.decays, names, strict=True))
        return (Phase(groups=groups, batch=self.batch_size, accumulate=self.accumulate, clip=None),)

    def begin(self, phase: str, batches: Batches) -> None:
        """Load the language model; initialise every pseudo-label with the clip's label."""
        super().begin(phase, batches)
        if self.unimodal == "pseudo":
            self.pseudo.start(batches)

    def after_step(self, output: Output, batch: Batch, phase: str, epoch: int) -> None:
        """Update the pseudo-labels of the batch."""
        if self.unimodal == "pseudo" and batch.index is not None:
            self.pseudo.follow(output.features, batch.index, epoch)

    @classmethod
    def params_of(cls, scale: tuple[float, float]) -> dict[str, Any]:
        """Pseudo-labels are bounded by the label scale."""
        return {"label_bound": max(map(abs, scale))}

    @classmethod
    def unfit(cls, given: Given, params: Mapping[str, Any]) -> str | None:
        """Training on labels of modalities requires them."""
        if params.get("unimodal") == "labels" and not given.labels & {"T", "A", "V"}:
            return "no clip has a label T, A or V of a modality by itself; take unimodal=pseudo, which guesses them"
        return super().unfit(given, params)
