"""Map the language names used by files and containers to codes, and detect the language of a text."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

# ISO 639-1 code: English name, ISO 639-2 codes, own names.
_NAMES = {
    "ar": "Arabic ara العربية",
    "bg": "Bulgarian bul български",
    "bn": "Bengali ben",
    "ca": "Catalan cat català",
    "cs": "Czech ces cze čeština",
    "da": "Danish dan dansk",
    "de": "German deu ger deutsch",
    "el": "Greek ell gre ελληνικά",
    "en": "English eng",
    "es": "Spanish spa español castellano",
    "et": "Estonian est",
    "eu": "Basque eus baq",
    "fa": "Persian fas per farsi",
    "fi": "Finnish fin suomi",
    "fr": "French fra fre français",
    "gl": "Galician glg",
    "he": "Hebrew heb iw עברית",
    "hi": "Hindi hin",
    "hr": "Croatian hrv hrvatski",
    "hu": "Hungarian hun magyar",
    "hy": "Armenian hye arm",
    "id": "Indonesian ind",
    "is": "Icelandic isl ice",
    "it": "Italian ita italiano",
    "ja": "Japanese jpn 日本語",
    "ka": "Georgian kat geo",
    "ko": "Korean kor 한국어",
    "lt": "Lithuanian lit",
    "lv": "Latvian lav",
    "mk": "Macedonian mkd mac",
    "ml": "Malayalam mal",
    "mr": "Marathi mar",
    "ms": "Malay msa may",
    "nl": "Dutch nld dut nederlands",
    "no": "Norwegian nor nob nno nb nn norsk",
    "pl": "Polish pol polski",
    "pt": "Portuguese por português",
    "ro": "Romanian ron rum română",
    "ru": "Russian rus русский",
    "sk": "Slovak slk slo",
    "sl": "Slovenian slv",
    "sq": "Albanian sqi alb",
    "sr": "Serbian srp",
    "sv": "Swedish swe svenska",
    "sw": "Swahili swa",
    "ta": "Tamil tam",
    "te": "Telugu tel",
    "th": "Thai tha ไทย",
    "tl": "Tagalog tgl filipino",
    "tr": "Turkish tur türkçe",
    "uk": "Ukrainian ukr українська",
    "ur": "Urdu urd",
    "vi": "Vietnamese vie",
    "zh": "Chinese zho chi cmn yue chs cht mandarin cantonese 中文 简体 繁體",
}
_CODES = {name.lower(): code for code, names in _NAMES.items() for name in (code, *names.split())}
_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")

_SCRIPT = {
    **dict.fromkeys(("ru", "uk", "bg", "sr", "mk"), "CYRILLIC"),
    **dict.fromkeys(("ar", "fa", "ur"), "ARABIC"),
    **dict.fromkeys(("hi", "mr"), "DEVANAGARI"),
    **{"he": "HEBREW", "el": "GREEK", "th": "THAI", "zh": "CJK", "ja": "CJK", "ko": "HANGUL"},
    **{"bn": "BENGALI", "ta": "TAMIL", "te": "TELUGU", "ml": "MALAYALAM", "hy": "ARMENIAN", "ka": "GEORGIAN"},
}
_LIKELY = {"CYRILLIC": "ru", "ARABIC": "ar", "DEVANAGARI": "hi", "CJK": "zh", "KANA": "ja"}

# Words that make up a third of any text in their language; no word is in two lists.
_FUNCTION_WORDS = {
    "en": "the and of to you that it was for is my with this have are not but be they we he she your what its it's",
    "de": "der das und ich nicht ist ein eine zu den mit sich auf für wir es von dem auch aber wie war hat sie sind",
    "fr": "le les et est je vous pas une que qui dans pour ce il elle nous c'est j'ai avec mais sur au des très",
    "es": "el los y es una por lo las pero muy con yo está para como del este eso hay fue ha qué mi",
    "it": "il che di è non un per sono ma gli della ho questo anche più mi ti perché una bene era molto",
    "pt": "o os que não um uma eu você mas isso ele ela muito foi são com em do da está meu",
    "nl": "het een van ik niet dat je zijn maar voor wat hij ook er naar heb deze wij met ze",
}
_ONLY = {
    code: {word for word in words.split() if sum(word in other.split() for other in _FUNCTION_WORDS.values()) == 1}
    for code, words in _FUNCTION_WORDS.items()
}


def language_code(tag: object) -> str | None:
    """The ISO 639-1 code of "en", "eng", "en-US", "English" or "english (auto)"; None when it names no language."""
    if not isinstance(tag, str):
        return None
    text = tag.strip().split(" (")[0].strip().lower()
    if text in _CODES:
        return _CODES[text]
    return _CODES.get(re.split("[-_]", text)[0]) if _TAG.fullmatch(text) else None


def language_name(code: str) -> str:
    """ "English" for "en"; the code itself if it is unknown."""
    return _NAMES[code].split()[0] if code in _NAMES else code


def told_by_text(words: Iterable[str]) -> str | None:
    """Detect the language of a text by its letters or function words; None if they do not tell.

    Other scripts need two letters. Languages in Latin letters need eight words; at least four of them, and a quarter,
    must be function words of that language alone, and three times as many as of English.
    """
    found = [word.strip('.,!?;:"()¿¡«»“”').lower().replace("’", "'") for word in words]
    scripts = Counter(script for word in found for script in map(_script, word) if script)
    if not scripts:
        return None
    letters = scripts.total()
    if scripts["LATIN"] < 0.4 * letters and letters >= 2:
        return _by_script(scripts)
    counts = {code: sum(word in own for word in found) for code, own in _ONLY.items()}
    best = max(counts, key=lambda code: counts[code])
    clear = all(counts[best] >= 3 * count for code, count in counts.items() if code != best)
    return best if len(found) >= 8 and counts[best] >= max(4, len(found) / 4) and clear else None


def _script(letter: str) -> str | None:
    if not letter.isalpha():
        return None
    if letter.isascii():
        return "LATIN"
    name = unicodedata.name(letter, "?").split()[0].split("-")[0]
    return "KANA" if name in ("HIRAGANA", "KATAKANA") else name


def _by_script(scripts: Counter[str]) -> str | None:
    if scripts["KANA"] * 5 >= scripts["KANA"] + scripts["CJK"] and scripts["KANA"]:
        return "ja"
    script = scripts.most_common(1)[0][0]
    codes = [code for code, name in _SCRIPT.items() if name == script]
    return _LIKELY.get(script) or (codes[0] if codes else None)


def may_be(language: str, told: str) -> bool:
    """Whether text detected as ``told`` may be in ``language``: the same language, or another of that script."""
    if language == told:
        return True
    script = _SCRIPT.get(told)
    return script is not None and script == _SCRIPT.get(language)
