"""Extract speech from captions: drop sounds, music, speaker names, dashes and styling; keep times in tags."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable

from msapipe.types import Word

# {\p1} m 0 0 l 100 0 {\p0}: a drawing. {\an8}, {Y:i}, {i}: display codes.
_DRAWING = re.compile(r"\{[^{}]*\\p[1-9][^{}]*\}.*?(?:\{[^{}]*\\p0[^{}]*\}|$)", re.DOTALL)
_OVERRIDES = re.compile(r"\{[^{}]{0,500}\}")
_BREAKS = re.compile(r"\\[Nn]|<br\s*/?>", re.IGNORECASE)
_TIME_TAG = re.compile(r"<(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2}(?:[.,:]\d{1,3})?)>")
# <i>, </font>, <v Anna>, <c.yellow>. "a < b" is not a tag.
_TAG = re.compile(r"</?[a-zA-Z0-9][^<>]{0,500}>")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffc]")
_MUSIC = re.compile("[\u2669-\u266f\U0001f3b5\U0001f3b6\U0001f3bc]")
_SQUARE = re.compile(r"\[[^\[\]]{0,200}\]|［[^［］]{0,200}］|【[^【】]{0,200}】")
_ROUND = re.compile(r"\(([^()]{0,120})\)|（([^（）]{0,120})）|\*([^*\n]{1,60})\*")
_SOUND = re.compile(
    r"\b(laugh|chuckl|giggl|sigh|music|applau|clap|cheer|cough|gasp|groan|moan|sob|cry|crie|scream|shout|inaudible|"
    r"indistinct|unintelligible|silen|crosstalk|whisper|sing|hum|clear\w* throat|sneez|sniff|snor|yawn|breath|beep|"
    r"buzz|bang|knock|phone|ring|bark|door|footstep|engine|speaking|foreign|laught|growl|grunt|mutter|chatter|noise|"
    r"static|blank|audio|click|thunder|rain|wind)",
    re.IGNORECASE,
)
_MARK = re.compile(r"^\s*(?:>>+|»|[-\u2010-\u2015\u2212]+)\s*")
_NAME = re.compile(r"^\s*([^:：\n]{1,40}?)\s*[:：](?=\s|$)\s*")
_ROLE = re.compile(
    r"(?:(?:speaker|spk|person|man|woman|boy|girl|male|female|host|guest|interviewer|interviewee|narrator|reporter|"
    r"moderator|participant|announcer|audience|both|all)[ _#]*\w{0,3}|unknown speaker|[QAI])",
    re.IGNORECASE,
)
_GIVEN_NAME = re.compile(r"(?:[A-Z][\w'’.-]*)(?: [A-Z][\w'’.-]*){0,2}")
_NO_WORD = re.compile(r"[-\u2010-\u2015\u2212.\u2026_#~|/\\*>»<=]+")
_PIECE = re.compile("\ue000(\\d+)\ue000|([^\\s\ue000]+)|(\\s+)")


def names_in(texts: Iterable[str]) -> frozenset[str]:
    """Speaker names: words such as "John" before a colon on at least two lines of a file."""
    found: Counter[str] = Counter()
    for text in texts:
        for line in _BREAKS.sub("\n", text).split("\n"):
            match = _NAME.match(_MARK.sub("", line))
            if match and _GIVEN_NAME.fullmatch(match[1]):
                found[match[1]] += 1
    return frozenset(name for name, count in found.items() if count > 1)


def spoken_lines(text: str, speakers: frozenset[str] = frozenset()) -> list[list[Word]]:
    """The words of each line of a caption, without empty lines.

    A word after a time tag has that start, in seconds, and no duration yet (end = start); others have no times.
    """
    times: list[float] = []

    def marked(match: re.Match[str]) -> str:
        hours, minutes, seconds = match.groups()
        times.append(int(hours or 0) * 3600 + int(minutes) * 60 + float(re.sub("[,:]", ".", seconds)))
        return f"\ue000{len(times) - 1}\ue000"

    text = _OVERRIDES.sub("", _DRAWING.sub("", text.replace("\ue000", " ")))
    text = _TAG.sub("", _TIME_TAG.sub(marked, _BREAKS.sub("\n", text).replace("\\h", " ")))
    text = _INVISIBLE.sub("", html.unescape(text))
    text = _ROUND.sub(_unless_sound, _SQUARE.sub(" ", _MUSIC.sub(" ", text)))
    lines = [_said(line, speakers) for line in text.split("\n")]
    return [words for line in lines if (words := _words(line, times))]


def _unless_sound(match: re.Match[str]) -> str:
    """Keep brackets within a sentence; drop those that stand alone, begin a line or name a sound."""
    inside = match[1] or match[2] or match[3] or ""
    # Lines are short; the bound limits the search in hostile ones.
    before = match.string[max(0, match.start() - 200) : match.start()].rpartition("\n")[2]
    after = match.string[match.end() : match.end() + 200]
    begins = not _MARK.sub("", before).strip()
    alone = begins and not after.split("\n")[0].strip(" .-")
    short = len(inside.split()) <= 3
    starred = match[3] is not None
    if not starred and (alone or (begins and short) or (inside.isupper() and len(inside) > 1)):
        return " "
    return " " if _SOUND.search(inside) and len(inside.split()) <= 6 else match.group()


def _said(line: str, speakers: frozenset[str]) -> str:
    """A line without prefixes of the speech: >>, dashes and the speaker's name."""
    marked = False
    for _ in range(4):
        shorter = _MARK.sub("", line, count=1)
        if shorter != line:
            line, marked = shorter, True
            continue
        match = _NAME.match(re.sub("^\\s*:", "", line))
        if line.lstrip().startswith(":"):  # a name in brackets was removed before it
            line = line.lstrip()[1:]
        elif match and _is_speaker(match[1], marked, speakers, line[match.end() :]):
            line = line[match.end() :]
        else:
            break
    return line


def _is_speaker(name: str, marked: bool, speakers: frozenset[str], rest: str) -> bool:
    cased = [char for char in name if char.isalpha() and char.lower() != char.upper()]
    words = name.split()
    if name in speakers or _ROLE.fullmatch(name):
        return True
    if cased and all(char.isupper() for char in cased) and len(words) <= 4:
        # If the whole line is in capitals, a capitalised beginning with a colon is no name.
        return not rest.isupper() or marked or len(words) == 1
    return marked and bool(_GIVEN_NAME.fullmatch(name))


def _words(line: str, times: list[float]) -> list[Word]:
    found: list[tuple[str, float | None]] = []
    pending: float | None = None
    inside = False
    for match in _PIECE.finditer(line):
        mark, text, _ = match.groups()
        if mark is not None:
            pending = times[int(mark)]
        elif text is None:
            inside = False
        elif inside:  # a tag within a word times a syllable
            found[-1] = (found[-1][0] + text, found[-1][1])
            pending = None
        else:
            found.append((text, pending))
            pending, inside = None, True
    return [Word(text, at, at) for text, at in found if not _NO_WORD.fullmatch(text)]
