"""From what a file or stream of captions says to the words of a clip, or to why they are not taken."""

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


def transcript_of(
    written: Written, clip: Clip, length: float | None, source: str, wanted: str, stated: str | None = None
) -> Transcript | PassedOver | None:
    """The words of ``clip``; why they are passed over; or None where nothing is said at all.

    length: seconds of the whole file, None when not known.   source: how notes call the captions.
    wanted: the language that the pipeline reads, "" for any.   stated: the language that the name or stream says.
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
    """The language of words that the pipeline does not read, or None."""
    if not wanted:
        return None
    if told is not None and not may_be(wanted, told):
        return told
    return stated if stated is not None and stated != wanted else None


def _before(words: Sequence[Word], length: float) -> list[Word]:
    """Words of which the middle lies before the end of the file; one without times follows the one before."""
    kept: list[Word] = []
    inside = True
    for word in words:
        if word.start is not None and word.end is not None:
            inside = (word.start + word.end) / 2 < length
        kept += [word] if inside else []
    return kept


def _summed(problems: Sequence[str], most: int = 3) -> list[str]:
    """The first problems, and how many more there are."""
    more = len(problems) - most
    return [*problems[:most], *([f"{more} more such places"] if more > 0 else [])]
