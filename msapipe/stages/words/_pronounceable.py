"""Convert written English words to entries of a pronouncing dictionary."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_SIGNS = {"%": "percent", "&": "and", "+": "plus", "=": "equals", "@": "at"}
_MONEY = {"$": "dollars", "£": "pounds", "€": "euros"}
_QUOTES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "´": "'", "`": "'"})
_NUMBER = re.compile(r"(\d+)(?:\.(\d+))?(st|nd|rd|th|s)?$")


def pronounceable(text: str, knows: Callable[[str], bool]) -> list[str]:
    """The dictionary words that pronounce ``text``; [] if a part of it is unknown.

    Lower case, without accents and punctuation; numbers are spelled out (1984 as nineteen eighty four); hyphens
    separate words; an unknown "dog's" becomes "dog"; unknown capitals become letters ("BBC" as b b c).
    """
    plain = unicodedata.normalize("NFKD", text.translate(_QUOTES))
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    words: list[str] = []
    for part in re.findall(r"[$£€]?\d+(?:,\d{3})*(?:\.\d+)?(?:st|nd|rd|th|s)?|[A-Za-z']+|[%&+=@]", plain):
        said = _part(part, knows)
        if not said:
            return []
        words += said
    return words


def _part(part: str, knows: Callable[[str], bool]) -> list[str]:
    if part in _SIGNS:
        return [_SIGNS[part]]
    if part[0] in _MONEY:
        return [*_number(part[1:]), _MONEY[part[0]]]
    if part[0].isdigit():
        return _number(part)
    word = part.lower()
    for candidate in (word, word.strip("'"), word.strip("'").removesuffix("'s"), word.replace("'", "")):
        if knows(candidate):
            return [candidate]
    letters = word.strip("'")
    if part.isupper() and 2 <= len(letters) <= 5 and all(knows(letter) for letter in letters):
        return list(letters)
    return []


def _number(text: str) -> list[str]:
    match = _NUMBER.match(text.replace(",", ""))
    if not match or len(match[1]) > 9:
        return []
    whole, fraction, suffix = match[1], match[2], match[3]
    year = len(whole) == 4 and "," not in text and "11" <= whole[:2] <= "20" and whole[1:3] != "00"
    if whole[0] == "0" and len(whole) > 1:
        words = [_ONES[int(digit)] for digit in whole]
    elif year and not fraction:
        words = [*_cardinal(int(whole[:2])), *_year_end(int(whole[2:]))]
    else:
        words = _cardinal(int(whole))
    if fraction:
        words += ["point", *(_ONES[int(digit)] for digit in fraction)]
    if suffix == "s":
        words[-1] = words[-1][:-1] + "ies" if words[-1].endswith("y") else words[-1] + "s"
    elif suffix:
        words[-1] = _ordinal(words[-1])
    return words


def _year_end(number: int) -> list[str]:
    if number == 0:
        return ["hundred"]
    return ["oh", _ONES[number]] if number < 10 else _cardinal(number)


def _ordinal(word: str) -> str:
    if word in _ORDINALS:
        return _ORDINALS[word]
    return word[:-1] + "ieth" if word.endswith("y") else word + "th"


def _cardinal(number: int) -> list[str]:
    """A number below 1e9 in American English words (without "and")."""
    for size, name in ((1_000_000, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = _cardinal(number % size) if number % size else []
            return [*_cardinal(number // size), name, *rest]
    if number < 20:
        return [(*_ONES, *_TEENS)[number]]
    return [_TENS[number // 10], *([_ONES[number % 10]] if number % 10 else [])]
