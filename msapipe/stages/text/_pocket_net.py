"""A BiGRU and a convolution over words, pooled by attention and maximum; several side by side on one embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

WIDTH = 300  # of the embedding
HIDDEN = 112  # of the GRU, each way
CHANNELS = 96  # of the convolution
LEXICON = 3  # lexicon features a token
MOODS = 3  # classes of the side task: negative, neutral, positive


def network(vocabulary: int, branches: int) -> nn.ModuleDict:
    """The layers: one embedding of ``vocabulary`` rows (row 0 the unknown word), and ``branches`` readers of it."""
    import torch
    from torch import nn

    # Filled by the caller: to draw numbers here would import half of torch where only shapes are wanted.
    embedding = nn.Embedding.from_pretrained(torch.zeros(vocabulary, WIDTH), freeze=False)  # type: ignore[no-untyped-call]
    return nn.ModuleDict({"embedding": embedding, "branches": nn.ModuleList(_branch() for _ in range(branches))})


def _branch() -> nn.ModuleDict:
    from torch import nn

    return nn.ModuleDict(
        {
            "gru": nn.GRU(WIDTH + LEXICON, HIDDEN, batch_first=True, bidirectional=True),
            "conv": nn.Conv1d(WIDTH + LEXICON, CHANNELS, 3, padding=1),
            "attention": nn.Linear(2 * HIDDEN, 1),
            "hidden": nn.Linear(4 * HIDDEN + CHANNELS, 96),
            "score": nn.Linear(96, 1),
            "mood": nn.Linear(96, MOODS),
        }
    )


def forward(
    net: Any, ids: torch.Tensor, lexicon: torch.Tensor, lengths: torch.Tensor, dropout: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (N, B) and mood logits (N, B, 3) of B branches.

    ids: (N, T) int64, lexicon: (N, T, 3), lengths: (N,) at least 1, on the CPU, the longest of them T.
    """
    import torch
    from torch.nn import functional

    embedded = functional.dropout(net["embedding"](ids), dropout, dropout > 0)
    tokens = torch.cat([embedded, lexicon], dim=2)
    padding = (torch.arange(ids.shape[1])[None] >= lengths[:, None]).to(ids.device)
    tokens = tokens.masked_fill(padding[..., None], 0)
    heads = [_read(branch, tokens, padding, lengths, dropout) for branch in net["branches"]]
    return torch.cat([head[0] for head in heads], dim=1), torch.stack([head[1] for head in heads], dim=1)


def _read(
    branch: Any, tokens: torch.Tensor, padding: torch.Tensor, lengths: torch.Tensor, dropout: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Score (N, 1) and mood (N, 3) of one branch."""
    import torch
    from torch.nn import functional
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    packed = pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
    states = pad_packed_sequence(branch["gru"](packed)[0], batch_first=True)[0]
    weight = branch["attention"](states)[..., 0].masked_fill(padding, -torch.inf).softmax(dim=1)
    conv = functional.relu(branch["conv"](tokens.transpose(1, 2))).transpose(1, 2)
    pooled = [
        (weight[..., None] * states).sum(dim=1),
        states.masked_fill(padding[..., None], -torch.inf).amax(dim=1),
        conv.masked_fill(padding[..., None], 0).amax(dim=1),
    ]
    both = functional.dropout(torch.cat(pooled, dim=1), dropout, dropout > 0)
    hidden = functional.dropout(functional.relu(branch["hidden"](both)), dropout, dropout > 0)
    return branch["score"](hidden), branch["mood"](hidden)
