"""Caption cues to words, and words cut to a clip's span."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import replace

from msapipe.stages._spread import share_out
from msapipe.types import Clip, Word

# <i>, </font>, <00:01.200>, <v Anna>, {\an8}: marks for a screen, not words. "a < b" is no tag.
_TAG = re.compile(r"</?[a-zA-Z0-9][^<>]*>|\{\\[^{}]*\}")


def words_of_cue(cue: Word) -> list[Word]:
    """The words of a cue; its seconds are shared out by letters, so they are estimated."""
    words = [Word(text, confidence=cue.confidence) for text in html.unescape(_TAG.sub(" ", cue.text)).split()]
    if cue.start is None or cue.end is None:
        return words
    return share_out(words, cue.start, cue.end)


def in_span(words: Iterable[Word], clip: Clip) -> tuple[Word, ...]:
    """Words whose times count from the start of the file, cut to the clip and counted from its start.

    A word belongs to the clip that holds its middle, so that neighbouring clips share no word and lose none.
    A word without times goes where the timed word before it goes; one that none comes before is kept only when the
    clip is the whole file.
    """
    keep = clip.start == 0 and clip.end is None
    kept: list[Word] = []
    for word in words:
        if word.start is None or word.end is None:
            kept += [word] if keep else []
            continue
        middle = (word.start + word.end) / 2
        keep = middle >= clip.start and (clip.end is None or middle < clip.end)
        if keep:
            start = max(word.start, clip.start) - clip.start
            end = (word.end if clip.end is None else min(word.end, clip.end)) - clip.start
            kept.append(replace(word, start=start, end=end))
    return tuple(kept)
