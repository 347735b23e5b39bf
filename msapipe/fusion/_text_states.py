"""Text of models that fine-tune a language model on token ids, or read extracted states.

With ``language_model`` (and ``language_config``, see ``_language_model``) the text is tokens; without, the features are
used as the states: those of a frozen BERT in MMSA's files, GloVe, or any others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from msapipe.fusion._base import Batch, Batches, FusionModel, masked_mean, present
from msapipe.fusion._language_model import LanguageModel, with_tokens

# Maximum number of feature steps, practically unlimited.
MOST = 1_000_000

TextPool = Literal["auto", "cls", "mean"]


class TextStates(nn.Module):
    """Text as a state per step: (B, N, width), (B, N), from token ids or from features of ``columns`` columns.

    pool: the clip's vector: the state at [CLS] (for features: at the first valid step), or the mean; "auto" is [CLS]
    with a language model, else the mean, since the first step may be any word.   what: the model's name for errors.
    most: maximum number of steps.
    """

    model: LanguageModel | None

    def __init__(
        self, columns: int, language_model: str, language_config: str, what: str, pool: TextPool = "auto"
    ) -> None:
        super().__init__()
        named = bool(language_model or language_config)
        self.model = LanguageModel(language_model, language_config, what, families=()) if named else None
        self.width = self.model.width if self.model is not None else columns
        self.most = self.model.most if self.model is not None else MOST
        self.at_cls = pool == "cls" or (pool == "auto" and named)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States, zero where masked, and their mask; ``batch`` is standardised."""
        if self.model is None:
            return batch.values["text"], batch.mask["text"]
        mask = self.model.mask(batch)
        return self.model(batch, mask.shape[1]), mask

    def pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """One vector per clip, zero if the text is missing: (B, N, width), (B, N) to (B, width)."""
        if not self.at_cls:
            return masked_mean(states, mask)
        at = mask.int().argmax(dim=1) if self.model is None else self.model.summary(mask)
        return states[torch.arange(len(states), device=states.device), at] * present(mask).unsqueeze(1)


def states_of(
    dims: Mapping[str, int], language_model: str, language_config: str, what: str, pool: TextPool = "auto"
) -> TextStates | None:
    """The text branch of a model with these input widths; None without text."""
    return TextStates(dims["text"], language_model, language_config, what, pool) if "text" in dims else None


class TextFusion(FusionModel):
    """A fusion model whose text goes through ``TextStates`` or a similar branch, in ``text``.

    Weights are read from the checkpoint when training begins; the configuration is saved with a trained model, so that
    it is rebuilt without the checkpoint.
    """

    reads_tokens = True
    text: Any

    def read_text(self, text: nn.Module | None) -> None:
        """Set ``text`` as the text branch; ids of a language model are not standardised."""
        self.text = text
        if self.language_model is not None:
            self.raw = frozenset({"text"})

    @property
    def language_model(self) -> LanguageModel | None:
        """The branch's language model, or None."""
        found = getattr(self.text, "model", self.text)
        return found if isinstance(found, LanguageModel) else None

    def seen(self, batch: Batch) -> Batch:
        """``batch`` prepared for ``forward``: with tokens if its text features are token columns, and standardised."""
        return self.standardized(with_tokens(batch))

    def begin(self, phase: str, batches: Batches) -> None:
        """Load the weights of the language model."""
        if self.language_model is not None:
            self.language_model.load()

    def kept_params(self) -> dict[str, str]:
        """Parameters to save with a trained model, so that it is rebuilt without the checkpoint."""
        return {"language_config": self.language_model.config} if self.language_model is not None else {}
