"""From the captions of a file or stream to the words of a clip, or the reason why they are rejected."""

from __future__ import annotations

from collections.abc import Sequence

from msapipe.errors import ConfigError
from msapipe.languages import language_code, language_name, may_be, told_by_text
from msapipe.stages.transcript._cues import Written, in_span, words_of
from msapipe.stages.transcript._fit import fitted
from msapipe.types import Clip, PassedOver, Transcript, Word


def check_language(stage: str, language: str) -> None:
    """Raise ConfigError unless ``language`` is empty or an ISO 639-1 code."""
    if language and language_code(language) != language:
        raise ConfigError(f"{stage}: language {language!r} must be a code such as en or zh, or empty for any")


def why_not(language: str | None, wanted: str, forced: bool, commentary: bool) -> str | None:
    """Why captions that say this of themselves are passed over; None if they are not."""
    if forced:
        return "forced subtitles leave out most of what is spoken"
    if commentary:
        return "a commentary is not what is spoken in the film"
    if wanted and language not in (None, wanted):
        return f"it is {language_name(language or '')}, and the pipeline reads {language_name(wanted)}"
    return None


def transcript_of(
    written: Written, clip: Clip, length: float | None, source: str, wanted: str, stated: str | None = None
) -> Transcript | PassedOver | None:
    """The words of ``clip``; or why they are rejected; or None if there are none.

    length: seconds of the whole file, None if unknown.   source: name of the captions in notes.
    wanted: the pipeline's language, "" for any.   stated: the language in the file name or stream.
    """
    notes = [f"{source}: {note}" for note in _summed(written.problems)]
    fit = fitted(written.cues, length, written.bare)
    notes += [f"{source}: {note}" for note in fit.notes]
    if fit.misfit:
        return PassedOver(tuple(notes))
    words = words_of(fit.cues, length)
    if not words:
        return PassedOver(tuple(notes)) if notes else None
    language = stated or written.language
    told = told_by_text(word.text for word in words)
    foreign = _foreign(wanted, language, told)
    if foreign is not None:
        why = f"{source}: its words are {language_name(foreign)}, and the pipeline reads {language_name(wanted)}"
        return PassedOver((*notes, f"{why}; they were passed over"))
    if length is not None:
        inside = _before(words, length)
        if len(inside) < len(words) and not fit.outside:
            late = len(words) - len(inside)
            notes.append(f"{source}: {late} words come after the end of the clip ({length:.1f} s) and do not count")
        words = inside
    kept = in_span(words, clip)
    if not kept and all(word.start is None for word in words):
        return PassedOver((*notes, f"{source}: it has no times, so its words count for the whole file only"))
    return Transcript(kept, language or told, source, tuple(notes))


def _foreign(wanted: str, stated: str | None, told: str | None) -> str | None:
    """The language of the words if it is not the pipeline's, else None."""
    if not wanted:
        return None
    if told is not None and not may_be(wanted, told):
        return told
    return stated if stated is not None and stated != wanted else None


def _before(words: Sequence[Word], length: float) -> list[Word]:
    """Words whose midpoint is before the end of the file; a word without times follows the previous one."""
    kept: list[Word] = []
    inside = True
    for word in words:
        if word.start is not None and word.end is not None:
            inside = (word.start + word.end) / 2 < length
        kept += [word] if inside else []
    return kept


def _summed(problems: Sequence[str], most: int = 3) -> list[str]:
    """The first problems, and the number of others."""
    more = len(problems) - most
    return [*problems[:most], *([f"{more} more such places"] if more > 0 else [])]
