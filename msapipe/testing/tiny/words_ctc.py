"""A tiny checkpoint for words/ctc, like wav2vec2-base-960h: group norm, capital letters, | between words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msapipe.testing.tiny._speech import CONFIG, write_preprocessor

VOCABULARY = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
_TOKENIZER = {
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "word_delimiter_token": "|",
    "do_lower_case": False,
}


def build(folder: Path) -> dict[str, Any]:
    """Write config, parameters, preprocessor_config.json and vocab.json with its tokenizer's files into ``folder``."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    config = Wav2Vec2Config(**CONFIG, feat_extract_norm="group", vocab_size=len(VOCABULARY), pad_token_id=0)
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    write_preprocessor(folder, return_attention_mask=False)
    for name, content in (("vocab", {text: i for i, text in enumerate(VOCABULARY)}), ("tokenizer_config", _TOKENIZER)):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return {"checkpoint": str(folder)}
