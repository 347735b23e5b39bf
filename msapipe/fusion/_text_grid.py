"""Audio and vision on the steps of the text, one vector per word or token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from msapipe.fusion._aligned import lengths, window_means
from msapipe.fusion._base import Batch
from msapipe.fusion._language_model import TOKEN_COLUMNS

# Maximum number of steps of a clip without text, as in the word-aligned corpora.
MOST_WITHOUT_TEXT = 50


def on_text_grid(
    batch: Batch, text: Tensor | None, names: Sequence[str], aligned: bool, most: int
) -> tuple[dict[str, Tensor], Tensor]:
    """Modalities of a standardised batch at the text's steps: name to (B, N, D_m), and mask (B, N).

    text: bool (B, L), the words; the last valid one is the last step.   aligned: step k of a modality belongs to step k
    of the text, unless it has more steps than the text; such modalities, and all if not aligned, are averaged over as
    many even windows as the text has steps.   A clip without text has as many steps as its shortest modality, but at
    most ``most`` and MOST_WITHOUT_TEXT. A step without valid input is zero.
    """
    ends = {name: lengths(batch.mask[name]) for name in names}
    count = _steps(text, ends, most)
    step = torch.arange(int(count.max()), device=count.device)
    values = {}
    for name, end in ends.items():
        # A sequence that ends before its text is continued by masked steps.
        last = torch.maximum(end, count) if aligned else end
        values[name] = window_means(batch.values[name], batch.mask[name], last, count, step)
    return values, step < count.unsqueeze(1)


def by_words(batch: Batch, names: Sequence[str]) -> Batch:
    """Replace audio and vision at a word's tokens by their mean over the word's valid steps.

    Special tokens ([CLS], [SEP]) are not words and get nothing. Applies only if the text is token ids with word
    indices, and to modalities on the same steps; everything else is unchanged.
    """
    text = batch.values.get("text")
    if text is None or text.shape[2] != TOKEN_COLUMNS:
        return batch
    word = text[..., TOKEN_COLUMNS - 1].round().masked_fill(~batch.mask["text"], -1.0)
    same = (word.unsqueeze(2) == word.unsqueeze(1)) & (word >= 0).unsqueeze(2)
    values, mask = dict(batch.values), dict(batch.mask)
    for name in names:
        if mask[name].shape == word.shape:
            seen = (same & mask[name].unsqueeze(1)).to(values[name].dtype)
            values[name] = seen @ values[name] / seen.sum(dim=2, keepdim=True).clamp(min=1)
            mask[name] = seen.any(dim=2)
    return replace(batch, values=values, mask=mask)


def _steps(text: Tensor | None, ends: dict[str, Tensor], most: int) -> Tensor:
    """Number of steps of each clip, at least 1: int64 (B,)."""
    count = lengths(text) if text is not None else torch.zeros_like(next(iter(ends.values())))
    if ends:
        bound = min(most, MOST_WITHOUT_TEXT)
        shortest = torch.stack([end.masked_fill(end == 0, bound) for end in ends.values()]).amin(dim=0)
        some = torch.stack(list(ends.values())).any(dim=0)
        count = torch.where((count == 0) & some, shortest.clamp(max=bound), count)
    return count.clamp(min=1)
