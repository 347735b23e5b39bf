"""Text to tokens, so that case, punctuation and the spelling of contractions do not matter, and to passages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from msapipe.types import Word

PASSAGE_WORDS = 60  # the longest passage: few labelled utterances are longer
PAUSE = 0.6  # seconds of silence that end a sentence where no punctuation does

_TOKEN = re.compile(r"[a-z0-9]+")
_APOSTROPHES = re.compile("['’‘`´ʼ＇]")
_ENDINGS = frozenset({"t", "s", "m", "d", "re", "ve", "ll"})  # of a contraction that was split: don t, it s
_NOT = (
    "aint arent couldnt didnt doesnt dont hadnt hasnt havent isnt mightnt mustnt neednt shouldnt wasnt werent wouldnt"
)
_SPLIT = {word: (word.removesuffix("nt"), "not") for word in _NOT.split()} | {
    "aint": ("is", "not"),
    "cannot": ("can", "not"),
    "cant": ("can", "not"),
    "shant": ("shall", "not"),
    "wont": ("will", "not"),
}

# The verb "like" has a subject or an auxiliary before it, with adverbs between at most. "You" and "would" are not among
# them: "if you like" and "I would like to" praise nothing.
_SUBJECTS = "i we they will might do did does"
_ADVERBS = (
    "not really also still always never just actually definitely totally truly especially particularly quite both "
    "absolutely personally generally honestly even kinda"
)
_BEFORE_LIKE, _BETWEEN = frozenset(_SUBJECTS.split()), frozenset(_ADVERBS.split())
_BARE = frozenset({"really", "also", "still", "actually"})  # enough at the beginning of a text: "really like it"
# Behind "like" the speaker begins anew with these: "I like, I went".
_ANEW = "i he she we they im its hes shes is was were so oh of and but or just really um uh umm uhh like said went"
_BEHIND_FILLER = frozenset(_ANEW.split())


def tokens(text: str) -> list[str]:
    """Lower case runs of a-z and 0-9, without accents; marks and letters of other scripts fall out.

    An apostrophe is dropped without a gap ("it's", "its" and "it s" are one token, "its"), and a negative contraction
    becomes two ("don't", "DONT" and "don t" are "do", "not"; "can't" is "can", "not"). The verb "like" becomes "liked",
    as people who talk say "like" mostly as a filler or preposition, which tells nothing.
    """
    plain = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text)).lower()
    joined: list[str] = []
    for token in _TOKEN.findall("".join(char for char in plain if not unicodedata.combining(char))):
        if joined and token in _ENDINGS:
            joined[-1] += token
        else:
            joined.append(token)
    split = [part for token in joined for part in _SPLIT.get(token, (token,))]
    return ["liked" if token == "like" and _is_verb(split, i) else token for i, token in enumerate(split)]


def _is_verb(words: Sequence[str], at: int) -> bool:
    """Whether the "like" at this place says that somebody likes something."""
    if words[at + 1 : at + 2] and words[at + 1] in _BEHIND_FILLER:
        return False
    first = at
    while first and words[first - 1] in _BETWEEN:
        first -= 1
    if first:
        return words[first - 1] in _BEFORE_LIKE
    return not _BARE.isdisjoint(words[:at])


def latin_share(text: str) -> float:
    """Share of the letters that are Latin ones, accents allowed; 1 for a text without letters."""
    letters = [char for char in text if char.isalpha()]
    latin = sum("LATIN" in unicodedata.name(char, "") for char in letters)
    return latin / len(letters) if letters else 1.0


def passages(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Index ranges that cover all words, of about PASSAGE_WORDS words at most.

    A short text is one passage. A longer one is cut behind sentences, as many to a passage as fit, and a sentence that
    does not fit into equal parts. One ``Word`` that is a caption of many words is never cut.
    """
    lengths = [max(1, len(word.text.split())) for word in words]
    if sum(lengths) <= PASSAGE_WORDS:
        return [(0, len(words))] if words else []
    pieces = [part for first, last in _sentences(words) for part in _parts(lengths, first, last)]
    found: list[tuple[int, int]] = []
    for first, last in pieces:
        if found and sum(lengths[found[-1][0] : last]) <= PASSAGE_WORDS:
            found[-1] = found[-1][0], last
        else:
            found.append((first, last))
    return found


def _parts(lengths: list[int], first: int, last: int) -> list[tuple[int, int]]:
    """A sentence in as few equal parts as bring it below the limit."""
    count = min(last - first, -(-sum(lengths[first:last]) // PASSAGE_WORDS))
    edges = [first + (last - first) * i // count for i in range(count + 1)]
    return list(pairwise(edges))


def _sentences(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Ranges that end behind . ! or ?, in a text without any behind a heard pause."""
    ends = [i + 1 for i, word in enumerate(words) if word.text.rstrip("\"'”’»)]}").endswith((".", "!", "?", "…"))]
    if not ends:
        ends = [
            i + 1
            for i, (a, b) in enumerate(pairwise(words))
            if a.timed and b.timed and (b.start or 0.0) - (a.end or 0.0) > PAUSE
        ]
    return list(pairwise(sorted({0, *ends, len(words)})))
