"""A Whisper with sixteen dimensions: real layout, tokenizer and generation config, random numbers."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

_LETTERS = string.ascii_letters
_STEPS = 1501  # timestamps from 0 to 30 s, 20 ms apart


def build(folder: Path) -> dict[str, Any]:
    """Write the checkpoint; it speaks gibberish, the same one for the same sound."""
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    tokenizer = _tokenizer()
    end, start, first_language, translate, none = tokenizer.convert_tokens_to_ids(
        ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|notimestamps|>"]
    )
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_target_positions=64,
        decoder_start_token_id=start,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        begin_suppress_tokens=[],
        init_std=0.5,
    )
    model = WhisperForConditionalGeneration(config)
    # Letters come out, and not the times and bytes of which there are many more.
    letters = tokenizer.convert_tokens_to_ids([space + letter for space in ("", "Ġ") for letter in _LETTERS])
    model.model.decoder.embed_tokens.weight.data[letters] *= 2
    settings = {
        "decoder_start_token_id": start,
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "max_length": 64,
        "is_multilingual": True,
        "lang_to_id": {name: tokenizer.convert_tokens_to_ids(name) for name in _languages()},
        "task_to_id": {"translate": translate, "transcribe": translate + 1},
        "no_timestamps_token_id": none,
        "max_initial_timestamp_index": 50,
        "prev_sot_token_id": none - 2,
        "alignment_heads": [[0, 1], [1, 0]],
        "begin_suppress_tokens": [tokenizer.convert_tokens_to_ids("Ġ"), end],
        "suppress_tokens": [start, *range(first_language, none)],
    }
    model.generation_config = GenerationConfig(**settings)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)  # type: ignore[no-untyped-call]
    return {"checkpoint": str(folder)}


def _languages() -> list[str]:
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return [f"<|{code}|>" for code in LANGUAGES]


def _tokenizer() -> Any:
    """All bytes, a letter behind a space as one piece, and Whisper's special tokens in their order."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import AddedToken, WhisperTokenizer

    pieces = [*sorted(ByteLevel.alphabet()), *(f"Ġ{letter}" for letter in _LETTERS)]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tasks = [f"<|{name}|>" for name in ("translate", "transcribe", "startoflm", "startofprev", "nospeech")]
    special = ["<|startoftranscript|>", *_languages(), *tasks, "<|notimestamps|>"]
    merges = [("Ġ", letter) for letter in _LETTERS]
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=merges, extra_special_tokens=special)
    tokenizer.add_tokens([AddedToken(f"<|{0.02 * step:.2f}|>") for step in range(_STEPS)])
    return tokenizer
