"""Spell words in the letters of a CTC network."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

from msapipe.errors import WeightsError

_QUOTES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "´": "'", "`": "'"})


class Letters:
    """The letters of a CTC tokenizer.

    blank: index of the blank.   delimiter: index of the word delimiter, None if there is none.
    """

    def __init__(self, folder: Path, tokenizer: Any, outputs: int) -> None:
        """``outputs``: number of outputs of the network; raises WeightsError if the vocabulary does not match."""
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        sign = tokenizer.word_delimiter_token
        special = {sign, *tokenizer.all_special_tokens}
        self._numbers = {text: i for text, i in vocabulary.items() if len(text) == 1 and text not in special}
        self.blank: int = tokenizer.pad_token_id
        self.delimiter = vocabulary.get(sign)
        if not self._numbers:
            raise WeightsError(f"{folder}/vocab.json holds no letters; expected a checkpoint trained with CTC")
        highest = max(self.blank, self.delimiter or 0, *self._numbers.values())
        if highest >= outputs:
            raise WeightsError(f"{folder}/vocab.json counts to {highest}, but the network has {outputs} outputs")

    def spell(self, word: str) -> list[int]:
        """The word's letters, in the vocabulary's case and accents; unknown ones are left out."""
        found = []
        for char in unicodedata.normalize("NFC", word.translate(_QUOTES)):
            bare = unicodedata.normalize("NFKD", char)[0]
            for form in (char, char.upper(), char.lower(), bare, bare.upper(), bare.lower()):
                if form in self._numbers:
                    found.append(self._numbers[form])
                    break
        return found if any(char.isalnum() for char in word) else []

    def text(self, words: list[str]) -> tuple[list[int], list[range]]:
        """All words as one sequence of letters, and the range of each word in it (empty if it has no letters).

        The delimiter separates words of scripts that use spaces.
        """
        row: list[int] = []
        places: list[range] = []
        before = ""
        for word in words:
            letters = self.spell(word)
            if row and letters and self.delimiter is not None and not (_unspaced(before) or _unspaced(word)):
                row.append(self.delimiter)
            places.append(range(len(row), len(row) + len(letters)))
            row += letters
            before = word if letters else before
        return row, places


def _unspaced(word: str) -> bool:
    """Whether a word is in a script without spaces: Chinese characters or kana."""
    return any("⺀" <= char <= "鿿" or "𠀀" <= char <= "𳎯" for char in word)
