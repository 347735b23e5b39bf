"""The tokenizer and config of the tiny BERT; token ids need no weights."""

from msapipe.testing.tiny.text_bert import build

__all__ = ["build"]
