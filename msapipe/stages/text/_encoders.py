"""The known text encoders, and tokenization of words for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import WeightsError
from msapipe.stages import _transformers
from msapipe.types import Word
from msapipe.weights.encoders import BERT, CHINESE_BERT, MINILM, XLNET, on_hub

ENCODERS = (
    BERT,
    CHINESE_BERT,
    on_hub("google-bert/bert-base-multilingual-cased", "3f076fdb1ab68d5b2880cb87a0886f315b8146f8", "Apache-2.0"),
    on_hub("hfl/chinese-roberta-wwm-ext", "5c58d0b8ec1d9014354d691c538661bf00bfdb44", "Apache-2.0"),
    on_hub("FacebookAI/roberta-base", "e2da8e2f811d1448a5b465c236feacd80ffbac7b", "MIT", 498818054),
    XLNET,
    MINILM,
)

# Model families whose position ids start after the padding token's id.
_OFFSET_POSITIONS = ("roberta", "camembert", "mpnet", "data2vec-text", "longformer", "xmod")
# Share of unknown tokens above which an encoder has not really read the text.
MANY_UNKNOWN = 0.1
# Most tokens at once for a network without a limit of its own: attention over them takes a gigabyte.
_UNLIMITED = 2048


@dataclass(frozen=True, eq=False)
class Pieces:
    """A text as N tokens of an encoder, in its order, including special tokens.

    ids, types: int64 (N,), token ids and token types.   unknown: number of unknown tokens.
    word_of: int64 (N,), index of the word that a token belongs to, -1 for a special token.
    """

    ids: NDArray[np.int64]
    types: NDArray[np.int64]
    word_of: NDArray[np.int64]
    unknown: int


def load_tokenizer(folder: Path) -> Any:
    """The checkpoint's tokenizer; raises WeightsError if it does not give the character offsets of tokens."""
    tokenizer = _transformers.load_tokenizer(folder)
    if not tokenizer.is_fast:
        raise WeightsError(
            f"{folder}: {type(tokenizer).__name__} does not tell where in the text a token stands; "
            "expected a checkpoint with a tokenizer.json"
        )
    return tokenizer


def most_tokens(config: Any, tokenizer: Any) -> int:
    """Most tokens of the encoder's input, including special ones."""
    positions = int(getattr(config, "max_position_embeddings", None) or -1)
    if positions <= 0:
        return min(_UNLIMITED, int(tokenizer.model_max_length))
    if any(family in config.model_type for family in _OFFSET_POSITIONS):
        positions -= int(config.pad_token_id) + 1
    return min(positions, int(tokenizer.model_max_length))


def unknown_note(pieces: Pieces, name: str) -> tuple[str, ...]:
    """A note if some tokens are unknown to the encoder; a stronger one from MANY_UNKNOWN on."""
    spoken = int((pieces.word_of >= 0).sum())
    if not pieces.unknown:
        return ()
    note = f"{pieces.unknown} of {spoken} word pieces are unknown to {name}"
    if pieces.unknown < MANY_UNKNOWN * spoken:
        return (note,)
    return (f"{note}: it cannot read this text; another language or script? name a checkpoint that knows it",)


def split(tokenizer: Any, words: Sequence[Word]) -> Pieces:
    """Tokenize the words, joined by single spaces, as one text; nothing is truncated.

    The joined text is tokenized, not each word: a byte-level tokenizer treats a word after a space differently from one
    at the beginning. A word such as "[SEP]" is text, not a special token. A token for the space between two words
    belongs to the second word.
    """
    texts = [" ".join(word.text.split()) for word in words]
    said = np.array([index for index, text in enumerate(texts) if text], np.int64)
    ends = np.cumsum([len(texts[index]) + 1 for index in said], dtype=np.int64) - 1
    encoded = tokenizer(
        " ".join(texts[index] for index in said),
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_token_type_ids=True,
        split_special_tokens=True,
        truncation=False,
    )
    ids = np.array(encoded["input_ids"], np.int64)
    special = np.array(encoded["special_tokens_mask"], bool)
    first_letters = np.array(encoded["offset_mapping"], np.int64).reshape(-1, 2)[:, 0]
    word_of = np.full(len(ids), -1, np.int64)
    if len(said):
        behind = np.searchsorted(ends, first_letters[~special], side="right")
        word_of[~special] = said[np.minimum(behind, len(said) - 1)]
    unknown = 0 if tokenizer.unk_token_id is None else int((ids[~special] == tokenizer.unk_token_id).sum())
    return Pieces(ids, np.array(encoded["token_type_ids"], np.int64), word_of, unknown)
