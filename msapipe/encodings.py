"""Detect the encoding of text by its content, or refuse to guess."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from msapipe.errors import MediaError

_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
# Encoding: its name in messages, and the languages that use it.
_MEANT = {
    "gb18030": ("GBK", ("zh",)),
    "big5hkscs": ("Big5", ("zh",)),
    "cp932": ("Shift-JIS", ("ja",)),
    "euc_jp": ("EUC-JP", ("ja",)),
    "cp949": ("EUC-KR", ("ko",)),
    "cp1251": ("cp1251", ("ru", "uk", "bg", "sr", "mk")),
    "koi8-r": ("KOI8-R", ("ru",)),
    "cp866": ("cp866", ("ru",)),
    "cp1253": ("cp1253", ("el",)),
    "cp1255": ("cp1255", ("he",)),
    "cp1256": ("cp1256", ("ar", "fa", "ur")),
    "cp874": ("cp874", ("th",)),
    "cp1250": ("cp1250", ("cs", "pl", "hu", "sk", "sl", "hr", "ro")),
    "cp1254": ("cp1254", ("tr",)),
    "cp1252": ("cp1252", ()),
}
# The commonest characters. A wrong encoding yields rare characters of the same tables.
_COMMON = {
    "gb18030": "的一是不了在人有我他这个们中来上大为和国地到以说时要就"
    "出会可也你对生能而子那得于着下自之年过发后作里好很么没真",
    "big5hkscs": "的一是不了在人有我他這個們中來上大為和國地到以說時要就"
    "出會可也你對生能而子那得於著下自之年過發後作裡好很麼沒真",
    "cp949": "이다는고의가에을를한은지하어도나로서사리자기라아니그해게요대시정일있수들부만안보여과인스거네내없습",
    "cp1251": "оеаинтсрвлк",
    "koi8-r": "оеаинтсрвлк",
    "cp866": "оеаинтсрвлк",
    "cp1253": "αοιετσνηυρ",
    "cp1255": "יוהלאמרתבש",
    "cp1256": "اليمونرتبةعد",
    "cp874": "าอนรกเงมยลวดทส่้",
}
_PUNCTUATION = set("，。！？、：；“”‘’…—–《》「」『』（）·～•»«¡¿€£°´")
_LATIN = {
    "cp1252": set("éèàùâêîôûëïüçñáíóúãõäöåßæøœÿìòýÉÈÀÇÑÁÍÓÚÄÖÜÅÆØÊÂÎÔšžŠŽ"),
    "cp1250": set("áéíóúýčďěňřšťůžĺľôŕąćęłńóśźżőűăâîşţäöüßđÁÉÍÓÚČŘŠŽŁŚŻŐ"),
    "cp1254": set("çğıöşüâîûÇĞİÖŞÜ"),
}
_ENOUGH, _APART = 0.55, 0.1


def decode_text(data: bytes, languages: tuple[str, ...] = ()) -> tuple[str, str]:
    """Decode ``data``; returns the text with newline line ends, and the name of its encoding.

    Checks in order: byte order mark; UTF-16 by its zero bytes; UTF-8 (a few damaged bytes are allowed and become
    U+FFFD); the encoding whose text looks most like a language. ``languages``: likely languages; their encodings win
    when two fit. Raises MediaError (part of a sentence) if the data is binary, or if no encoding or more than one fits.
    """
    text, name = _by_mark(data) or _by_zeros(data) or _as_utf8(data) or _by_content(data, languages)
    text = text.removeprefix("\ufeff").rstrip("\0")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise MediaError(f"line {line}: found a zero byte, expected text")
    return re.sub(r"\r\r?\n|\r|\x85|\u2028|\u2029", "\n", text), name


def _by_mark(data: bytes) -> tuple[str, str] | None:
    for mark, name in _MARKS:
        if data.startswith(mark):
            text = data.decode(name, "replace")
            return (text, name.removesuffix("-sig").upper()) if name != "utf-8-sig" or "\ufffd" not in text else None
    return None


def _by_zeros(data: bytes) -> tuple[str, str] | None:
    """UTF-16 without a byte order mark: every second byte of ASCII characters is zero."""
    head = data[: 1 << 16]
    pairs = len(head) // 2
    for name, zeros, others in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if pairs >= 2 and zeros.count(0) >= 0.2 * pairs and others[:pairs].count(0) <= 0.02 * pairs:
            text = data[: len(data) // 2 * 2].decode(name, "replace")
            if text.count("\ufffd") <= 0.02 * len(text):
                return text, name.upper()
    return None


def _as_utf8(data: bytes) -> tuple[str, str] | None:
    """UTF-8; some damaged bytes are allowed if most non-ASCII characters are intact."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    whole = sum(char > "\x7f" and char != "\ufffd" for char in text)
    # A truncated last character is one broken character. In other encodings hardly any character is valid UTF-8.
    return (text, "UTF-8 (damaged)") if whole >= 3 and text.count("\ufffd") <= 0.1 * whole + 1 else None


def _by_content(data: bytes, languages: tuple[str, ...]) -> tuple[str, str]:
    sample = b"\n".join(line for line in data[: 1 << 18].splitlines() if not line.isascii())[: 1 << 14]
    scores = {name: _score(name, sample) for name in _MEANT}
    for name, (_, meant) in _MEANT.items():
        scores[name] += 0.25 * (scores[name] > 0.3 and any(language in meant for language in languages))
    best, second = sorted(scores, key=lambda name: (-round(scores[name], 2), name != "cp1252"))[:2]
    clear = scores[best] - scores[second] >= _APART or {best, second} <= set(_LATIN)
    if scores[best] < _ENOUGH or not clear:
        likely = " or ".join(_MEANT[name][0] for name in (best, second) if scores[name] > 0.3)
        guess = f"it may be {likely}" if likely else "it is none that is known here"
        raise MediaError(f"its encoding cannot be told ({guess}); save it as UTF-8")
    return data.decode(best, "replace"), _MEANT[best][0]


def _score(name: str, sample: bytes) -> float:
    """How plausible the sample is in an encoding, in [0, 1]."""
    try:
        # A sample may be cut within a character.
        text = sample.decode(name) if len(sample) < 1 << 14 else sample[:-4].decode(name, "ignore")
    except UnicodeDecodeError:
        return 0.0
    odd = [char for char in text if char > "\x7f"]
    if not odd:
        return 0.0
    if name in _LATIN:
        return _latin(text, odd, _LATIN[name])
    judge = _JUDGES.get(name, _of_common)
    return judge(name, text, [char for char in odd if char not in _PUNCTUATION] or odd)


def _latin(text: str, odd: list[str], letters: set[str]) -> float:
    """Accented letters among plain letters score; words made of them only are another script, decoded wrongly."""
    plausible = 0.0
    for match in re.finditer(r"\S+", text):
        word = match.group()
        signs = [char for char in word if char > "\x7f" and char not in _PUNCTUATION]
        plain = sum(char.isascii() and char.isalpha() for char in word)
        if len(signs) <= plain or (len(signs) == 1 and len(word.strip(".,!?")) == 1):
            plausible += sum(char in letters for char in signs)
        plausible += sum(char in "“”‘’…—–«»¡¿€£°´" for char in word)
    return 0.9 * plausible / len(odd)


def _of_common(name: str, text: str, odd: list[str]) -> float:
    """Score a single-byte alphabet by its letters, frequent letters, and the lack of capitals within words."""
    lower = [char.lower() for char in odd]
    known = [char for char in lower if char.isalpha() and _same_alphabet(char, _COMMON[name][0])]
    marks = sum(0x0E31 <= ord(char) <= 0x0E4E or 0x064B <= ord(char) <= 0x0652 for char in lower)
    turns = sum(a.islower() and b.isupper() for a, b in pairwise(text))
    mixed = sum(len(word) for word in re.findall(r"[a-zA-Z]+[^\W\d_a-zA-Z]+|[^\W\d_a-zA-Z]+[a-zA-Z]+", text))
    capitals = sum(char.isupper() for char in odd)  # a wrong encoding may turn small letters into capitals
    share = (len(known) + min(marks, len(known)) - 2 * turns - mixed - 0.3 * capitals) / len(lower)
    common = sum(char in _COMMON[name] for char in lower) / len(lower)
    return max(0.0, 0.5 * share + 0.5 * min(1.0, 1.4 * common))


def _same_alphabet(char: str, other: str) -> bool:
    return abs(ord(char) - ord(other)) < 0x60


def _chinese(name: str, text: str, odd: list[str]) -> float:
    """Share of characters in the table's first (frequent) level, and of the commonest characters."""
    first = {"gb18030": ("gb2312", 0xB0, 0xD7), "big5hkscs": ("big5", 0xA4, 0xC6), "cp949": ("euc_kr", 0xB0, 0xC8)}
    table, low, high = first[name]
    level = sum(low <= (char.encode(table, "ignore") or b"\0")[0] <= high for char in odd) / len(odd)
    common = sum(char in _COMMON[name] for char in odd) / len(odd)
    return 0.5 * level + 0.5 * min(1.0, 4 * common)


def _japanese(name: str, text: str, odd: list[str]) -> float:
    """Share of kana and kanji; full only if a third is kana."""
    kana = sum("\u3041" <= char <= "\u30ff" for char in odd) / len(odd)
    kanji = sum("\u4e00" <= char <= "\u9fff" for char in odd) / len(odd)
    return (kana + kanji) * min(1.0, 3 * kana)


_JUDGES: dict[str, Callable[[str, str, list[str]], float]] = {
    "gb18030": _chinese,
    "big5hkscs": _chinese,
    "cp949": _chinese,
    "cp932": _japanese,
    "euc_jp": _japanese,
}
