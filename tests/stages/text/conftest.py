"""Tiny text encoders of three families."""

from __future__ import annotations

from pathlib import Path

import pytest

PIECES = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>", "▁", "▁won", "der", "ful"]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a BERT and a RoBERTa that take 24 tokens, and of an XLNet, which takes any number."""
    import torch

    from msapipe.testing.tiny import text_bert

    folder = tmp_path_factory.mktemp("encoders")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text_bert.build(folder / "bert")
        _roberta(folder / "roberta")
        _xlnet(folder / "xlnet")
    return {name: folder / name for name in ("bert", "roberta", "xlnet")}


def _roberta(folder: Path) -> None:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizer

    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet()), "Ġw", "ha", "Ġwha"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    merges = [("Ġ", "w"), ("h", "a"), ("Ġw", "ha")]
    RobertaTokenizer(vocab=vocabulary, merges=merges).save_pretrained(folder)
    config = RobertaConfig(vocab_size=len(pieces), max_position_embeddings=26, initializer_range=0.5, **SMALL)
    RobertaModel(config).save_pretrained(folder)


def _xlnet(folder: Path) -> None:
    from transformers import XLNetConfig, XLNetModel, XLNetTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    scores = [(piece, 0.0 if len(piece) == 1 else -1.0) for piece in PIECES] + [(letter, -3.0) for letter in letters]
    XLNetTokenizer(vocab=scores).save_pretrained(folder)
    config = XLNetConfig(vocab_size=len(scores), d_model=16, n_layer=2, n_head=2, d_inner=32, initializer_range=0.5)
    XLNetModel(config).save_pretrained(folder)
