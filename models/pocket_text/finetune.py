"""Fine-tuning of a sentence encoder to a score: the model, the batches, the one loop that teacher and student share."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

BATCH, PIECES, WARM_UP, DECAY = 32, 96, 0.06, 0.998
SCALES = ("mosi", "mosei", "sims_v2")  # corpora whose raters used the scale in their own way; the first is what is said

Loss = Callable[["Reader", NDArray[np.int64]], torch.Tensor]


class Reader(nn.Module):
    """An encoder, pooled by attention and by the mean, and a small head: texts to one score, and to MELD's classes."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.fast = True  # bfloat16 where matrices are multiplied
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.encoder = AutoModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False)
        width = self.encoder.config.hidden_size
        self.attention = nn.Linear(width, 1)
        self.hidden, self.score = nn.Linear(2 * width, 128), nn.Linear(128, 1)
        self.mood = nn.Linear(2 * width, 3)
        self.scale, self.bias = nn.Parameter(torch.ones(len(SCALES))), nn.Parameter(torch.zeros(len(SCALES)))

    def pool(self, texts: Sequence[str]) -> torch.Tensor:
        """(B, 2 * width)."""
        pieces = self.tokenizer(list(texts), padding=True, truncation=True, max_length=PIECES, return_tensors="pt")
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.fast):
            states = self.encoder(**pieces).last_hidden_state
        states, mask = states.float(), pieces["attention_mask"]
        share = self.attention(states).squeeze(-1).masked_fill(mask == 0, -1e4).softmax(-1)
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.cat([(states * share[..., None]).sum(1), mean], -1)

    def read(self, pooled: torch.Tensor) -> torch.Tensor:
        """(B,), before the scale of a corpus."""
        dropped = functional.dropout(pooled, 0.1, self.training)
        return self.score(functional.gelu(self.hidden(dropped))).squeeze(-1)

    def on_scale(self, score: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Scores on the scale of each row's corpus, by its number in SCALES."""
        return score * self.scale[scale] + self.bias[scale]

    @torch.no_grad()
    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Scores on the first scale, MOSI's, by texts of about one length."""
        was, out = self.training, np.zeros(len(texts))
        self.eval()
        order = np.argsort([len(text) for text in texts], kind="stable")
        for rows in np.array_split(order, math.ceil(len(order) / 64)):
            score = self.read(self.pool([texts[i] for i in rows]))
            out[rows] = self.on_scale(score, torch.zeros(len(rows), dtype=torch.long)).numpy()
        self.train(was)
        return out


class LowRank(nn.Module):
    """A frozen linear map and a trained one of low rank beside it (LoRA; Hu et al., 2022)."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear.to(torch.bfloat16).requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) / math.sqrt(linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., in) to (..., out)."""
        return self.linear(x) + functional.linear(functional.linear(x, self.down), self.up)


def adapt(reader: Reader, rank: int) -> None:
    """Freeze the encoder but its norms and biases of position, and put a map of low rank beside each linear layer."""
    for name, value in reader.encoder.named_parameters():
        value.requires_grad_("LayerNorm" in name or "relative_attention_bias" in name)
    for module in list(reader.encoder.encoder.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, LowRank(child, rank))


def merge(reader: Reader) -> None:
    """Turn every map of low rank into part of its linear layer, in float32."""
    for module in list(reader.encoder.encoder.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LowRank):
                child.linear.float().weight.data += (child.up @ child.down).detach()
                setattr(module, name, child.linear)


def load_taught(base: Path, file: Path, rank: int) -> Reader:
    """A reader over ``base`` with what a training of maps of low rank has left in ``file``, merged."""
    reader = Reader(base)
    adapt(reader, rank)
    learned = {name: value.float() for name, value in load_file(file).items()}
    wanted = {name for name, value in reader.named_parameters() if value.requires_grad}
    if wanted != set(learned):
        raise ValueError(f"{file}: holds other names than a reader of rank {rank}: {sorted(wanted ^ set(learned))[:4]}")
    reader.load_state_dict(reader.state_dict() | learned)
    merge(reader)
    return reader.eval()


def batches(lengths: NDArray[np.int64], weight: NDArray[np.float64], seed: int) -> Iterator[NDArray[np.int64]]:
    """Rows drawn by weight, of about one length, for ever."""
    random = np.random.default_rng(seed)
    while True:
        drawn = random.choice(len(lengths), size=BATCH * 16, p=weight / weight.sum())
        split = np.split(drawn[np.argsort(lengths[drawn], kind="stable")], 16)
        yield from (split[i] for i in random.permutation(16))


def fit(
    reader: Reader,
    groups: list[dict[str, object]],
    loss: Loss,
    drawn: Iterator[NDArray[np.int64]],
    steps: int,
    look: Callable[[int], None],
) -> None:
    """AdamW with warm-up and cosine decay; what is left in the reader is the running mean of its weights."""
    began = time.monotonic()
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min(1, (step + 1) / (WARM_UP * steps)) * (0.5 + 0.5 * math.cos(math.pi * step / steps)),
    )
    trained = [value for group in optimiser.param_groups for value in group["params"]]
    average = [value.detach().clone() for value in trained]
    shown = 0.0
    reader.train()
    for step in range(steps):
        error = loss(reader, next(drawn))
        optimiser.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, trained, 1 - min(DECAY, (step + 1) / (step + 10)))
        shown += (error.item() - shown) / min(step + 1, 100)
        if step % 50 == 49:
            say(f"step {step + 1} of {steps}, loss {shown:.3f}, {time.monotonic() - began:.0f} s")
        if step % 300 == 299 or step == steps - 1:
            kept = [value.detach().clone() for value in trained]
            with torch.no_grad():
                torch._foreach_copy_(trained, average)
                look(step + 1)
                if step < steps - 1:
                    torch._foreach_copy_(trained, kept)
    reader.eval()


def say(text: str) -> None:
    """A line to the terminal, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
