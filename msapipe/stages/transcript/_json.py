"""Read JSON transcripts of speech recognisers and platforms."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from msapipe.errors import MediaError
from msapipe.languages import language_code
from msapipe.stages.transcript._clock import ordered, tag
from msapipe.stages.transcript._cues import Cue, Written
from msapipe.types import Word

_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2}(?:[.,]\d{1,9})?)")
_STARTS = ("start", "start_time", "startTime", "begin", "ts", "offset", "from", "begin_time", "st")
_ENDS = ("end", "end_time", "endTime", "stop", "end_ts", "to", "et")
_LENGTHS = ("duration", "dur")
_TEXTS = ("punctuated_word", "word", "text", "value", "transcript", "content", "sentence", "utf8", "DisplayText")
_SURE = ("confidence", "probability", "score", "conf", "p", "prob")
_MOST_ENTRIES = 1_000_000
_PAUSE = 0.5  # seconds without speech that end a phrase in a word list


def read_json(text: str) -> Written:
    """The words of a transcript, one cue per segment if it has segments.

    Supports lists of words or segments, and the formats of Whisper, faster-whisper, whisper.cpp, whisperX,
    transformers, Vosk, FunASR, YouTube (json3), Deepgram, AssemblyAI, Amazon, Google, Speechmatics and Rev. Other
    entries are dropped and reported. Raises MediaError if the file is not a transcript.
    """
    tree = _tree(text)
    written = Written([])
    for reads in (_youtube, _whisper_cpp, _funasr, _vosk, _nested, _simple):
        entries = reads(tree)
        if entries is not None:
            break
    else:
        raise MediaError(f'line 1: found {_kind(tree)}, expected a list of words, or {{"segments": [...]}}')
    written.bare = reads is _simple
    if isinstance(tree, dict):
        told = tree.get("language") or tree.get("language_code") or tree.get("lang")
        told = (
            told or (tree.get("result") or {}).get("language") if isinstance(tree.get("result") or {}, dict) else told
        )
        written.language = language_code(told)
    words: list[Word] = []
    for place, entry in entries:
        cue = _cue(place, entry, written.problems)
        if isinstance(cue, Word):
            words.append(cue)
        elif cue is not None:
            written.cues.append(cue)
    written.cues += _phrases(words)
    if not written.cues and written.problems:
        raise MediaError(written.problems[0])
    return written


def _tree(text: str) -> Any:
    if text.count("{") + text.count("[") > _MOST_ENTRIES:
        raise MediaError(f"line 1: found more than {_MOST_ENTRIES} objects and lists, expected a transcript")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) > 1 and error.msg == "Extra data":  # JSON Lines
            try:
                return [json.loads(line) for line in lines]
            except (ValueError, RecursionError):
                pass
        found = text[error.pos : error.pos + 20]
        raise MediaError(f"line {error.lineno}: found {found!r}, expected JSON ({error.msg})") from None
    except (RecursionError, ValueError) as error:
        raise MediaError(f"line 1: found JSON that cannot be read ({str(error)[:60]})") from None


def _kind(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"JSON with {', '.join(map(repr, list(tree)[:3]))[:60] or 'nothing'}"
    return f"JSON of type {type(tree).__name__}"


Entries = Iterator[tuple[str, Any]] | list[tuple[str, Any]] | None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _youtube(tree: Any) -> Entries:
    """json3: events with segments; milliseconds. Events that only start a new line are dropped."""
    if not isinstance(tree, dict) or not isinstance(tree.get("events"), list):
        return None
    found: list[tuple[str, Any]] = []
    for at, event in enumerate(_dicts(tree["events"])):
        pieces = _dicts(event.get("segs"))
        start = _value(event.get("tStartMs"))
        if start is None or not "".join(str(piece.get("utf8", "")) for piece in pieces).strip():
            continue
        length = _value(event.get("dDurationMs"))
        timed = [(str(p.get("utf8", "")), start + (_value(p.get("tOffsetMs")) or 0)) for p in pieces]
        found.append((f"events[{at}]", _rolled(timed, start, None if length is None else start + length)))
    return found


def _rolled(pieces: list[tuple[str, float]], start: float, end: float | None) -> Cue:
    """Segments of one line, in milliseconds: their starts become tags, unless they add nothing to the line's start."""
    tagged = len(pieces) > 1
    parts = [(tag(max(0.0, at)) if tagged else "") + text.replace("<", "&lt;") for text, at in pieces]
    end = None if end is None else max(0.0, start, end) / 1000
    return Cue("".join(parts), max(0.0, start / 1000), end)


def _whisper_cpp(tree: Any) -> Entries:
    """transcription: [{offsets: {from, to} in milliseconds, text}]."""
    if not isinstance(tree, dict) or not isinstance(tree.get("transcription"), list):
        return None
    found: list[tuple[str, Any]] = []
    for at, entry in enumerate(tree["transcription"]):
        place = f"transcription[{at}]"
        offsets = entry.get("offsets") if isinstance(entry, dict) else None
        if isinstance(offsets, dict):
            span = [_value(offsets.get(key)) for key in ("from", "to")]
            entry = {"text": entry.get("text"), "segment": True, **_milli(*span)}
        elif isinstance(entry, dict) and isinstance(entry.get("timestamps"), dict):
            stamps = entry["timestamps"]
            entry = {"text": entry.get("text"), "segment": True, "start": stamps.get("from"), "end": stamps.get("to")}
        found.append((place, entry))
    return found


def _milli(start: float | None, end: float | None) -> dict[str, float | None]:
    """Milliseconds as seconds."""
    return {"start": None if start is None else start / 1000, "end": None if end is None else end / 1000}


def _funasr(tree: Any) -> Entries:
    """[{text, timestamp: [[ms, ms], ...], sentence_info: [{text, start, end}]}]; milliseconds."""
    items = _dicts(tree) if isinstance(tree, list) else [tree] if isinstance(tree, dict) else []
    found: list[tuple[str, Any]] = []
    for at, item in enumerate(items):
        for i, sentence in enumerate(_dicts(item.get("sentence_info"))):
            span = _milli(_value(sentence.get("start")), _value(sentence.get("end")))
            text = sentence.get("text") or sentence.get("sentence")
            found.append((f"[{at}].sentence_info[{i}]", {"text": text, "segment": True, **span}))
        stamps = item.get("timestamp")
        spans = (
            [pair for pair in stamps if isinstance(pair, list) and len(pair) == 2] if isinstance(stamps, list) else []
        )
        if spans and not item.get("sentence_info") and isinstance(item.get("text"), str):
            found += _stamped(f"[{at}].text", item["text"], spans)
    return found or None


def _stamped(place: str, text: str, stamps: list[list[Any]]) -> list[tuple[str, Any]]:
    """Text with one time stamp per word or Chinese character; otherwise one cue spanning all stamps."""
    spans = [(_value(start), _value(end)) for start, end in stamps]
    pieces = re.findall(r"[\u3040-\u9fff]|[^\s\u3040-\u9fff，。！？、,.!?]+", text)
    if len(pieces) == len(spans):
        return [(place, {"word": piece, **_milli(*span)}) for piece, span in zip(pieces, spans, strict=True)]
    return [(place, {"text": text, "segment": True, **_milli(spans[0][0], spans[-1][1])})]


def _vosk(tree: Any) -> Entries:
    """{result: [{word, start, end, conf}], text}, or a list of these."""
    items = tree if isinstance(tree, list) else [tree]
    parts = [
        item for item in items if isinstance(item, dict) and ("result" in item or set(item) in ({"text"}, {"partial"}))
    ]
    if not any(isinstance(item.get("result"), list) for item in parts) or len(parts) != len(items):
        return None
    return [(f"[{at}].result", word) for at, item in enumerate(parts) for word in item.get("result") or []]


def _nested(tree: Any) -> Entries:
    """Services that nest the words deeper: Deepgram, Amazon, Google, Speechmatics, Rev, AssemblyAI."""
    if not isinstance(tree, dict):
        return None
    if "audio_duration" in tree and isinstance(tree.get("words"), list):  # AssemblyAI: milliseconds
        words = _dicts(tree["words"])
        return [
            (f"words[{at}]", {**word, **_milli(_value(word.get("start")), _value(word.get("end")))})
            for at, word in enumerate(words)
        ]
    if isinstance(tree.get("monologues"), list):
        elements = [one for part in _dicts(tree["monologues"]) for one in _dicts(part.get("elements"))]
        return [(f"elements[{at}]", one) for at, one in enumerate(elements) if one.get("type") == "text"]
    results = tree.get("results")
    if isinstance(results, dict):
        if channels := _dicts(results.get("channels")):
            return _best(channels, "channels")
        if isinstance(results.get("items"), list):
            return _items(results["items"], "results.items")
        return None
    if isinstance(results, list):
        if any("alternatives" in one and "type" in one for one in _dicts(results)):
            return _items(results, "results")
        return _best(_dicts(results), "results") or None
    return None


def _best(parts: list[dict[str, Any]], where: str) -> list[tuple[str, Any]]:
    """The words of the first alternative of each part, else its text."""
    found: list[tuple[str, Any]] = []
    for at, part in enumerate(parts):
        best = next(iter(_dicts(part.get("alternatives"))), {})
        words = _dicts(best.get("words"))
        found += [(f"{where}[{at}].words[{i}]", word) for i, word in enumerate(words)]
        if not words and isinstance(best.get("transcript"), str):
            found.append((f"{where}[{at}]", {"text": best["transcript"], "segment": True}))
    return found


def _items(items: list[Any], where: str) -> list[tuple[str, Any]]:
    """Words with alternatives; punctuation is attached to the previous word."""
    found: list[tuple[str, Any]] = []
    for at, item in enumerate(_dicts(items)):
        best = next(iter(_dicts(item.get("alternatives"))), {})
        if item.get("type") == "punctuation":
            if found:
                found[-1][1]["text"] = f"{found[-1][1]['text']}{best.get('content', '')}"
            continue
        span = {key: item.get(key) for key in ("start_time", "end_time")}
        found.append((f"{where}[{at}]", {"text": best.get("content"), "confidence": best.get("confidence"), **span}))
    return found


def _simple(tree: Any) -> Entries:
    """Lists of words or segments, and objects that contain one."""
    if isinstance(tree, list):
        return [(f"entry {at}", entry) for at, entry in enumerate(tree)]
    if not isinstance(tree, dict):
        return None
    segments = next(
        (tree[key] for key in ("segments", "chunks", "utterances", "sentences") if isinstance(tree.get(key), list)),
        None,
    )
    if segments is None and isinstance(tree.get("words"), list):
        return [(f"words[{at}]", entry) for at, entry in enumerate(tree["words"])]
    if segments is not None:
        return [
            (f"segments[{at}]", {**entry, "segment": True} if isinstance(entry, dict) else entry)
            for at, entry in enumerate(segments)
        ]
    if isinstance(tree.get("text"), str):
        return [("text", {"text": tree["text"], "segment": True})]
    return None


def _cue(place: str, entry: Any, problems: list[str]) -> Cue | Word | None:
    """A segment, or one word of a word list."""
    if isinstance(entry, Cue):
        return entry
    if isinstance(entry, str):
        return Cue(entry)
    text = _first(entry, _TEXTS) if isinstance(entry, dict) else None
    words = entry.get("words") if isinstance(entry, dict) else None
    if not isinstance(text, str) and not isinstance(words, list):
        problems.append(
            f'{place}: found {repr(entry)[:40]}, expected {{"word": "...", "start": 0.0, "end": 0.5}}; it was left out'
        )
        return None
    if isinstance(words, list) and words:
        inside = [_cue(f"{place}.words[{at}]", word, problems) for at, word in enumerate(words)]
        spoken = [word for one in inside if one is not None for word in _each(one)]
        timed = [word for word in spoken if word.start is not None]
        if spoken and timed:
            return Cue("", timed[0].start, max(word.end or 0.0 for word in timed), tuple(spoken))
    start, end = _span(place, entry, problems)
    sure = _value(_first(entry, _SURE))
    sure = None if sure is None else min(max(sure, 0.0), 1.0)
    said = str(text or "")
    if entry.get("segment") or len(said.split()) != 1:
        return Cue(said, start, end, confidence=sure)
    if re.fullmatch(r"\s*(\[[^\[\]]*\]|\([^()]*\)|[-.…♪]+)\s*", said):  # [laughter] in a word list
        return None
    return Word(said.strip(), start, end if start is None or end is not None else start, sure)


def _each(one: Cue | Word) -> list[Word]:
    """The word, or the words of a cue in a word list."""
    if isinstance(one, Word):
        return [one]
    end = one.start if one.end is None else one.end
    return [Word(text, one.start, end, one.confidence, estimated=True) for text in one.text.split()]


def _span(place: str, entry: dict[str, Any], problems: list[str]) -> tuple[float | None, float | None]:
    """Start and end in seconds; None, and a problem, for an invalid time."""
    pair = entry.get("timestamp")
    if isinstance(pair, list) and len(pair) == 2:  # transformers
        entry = {"start": pair[0], "end": pair[1]}
    given = {"start": _first(entry, _STARTS), "end": _first(entry, _ENDS), "length": _first(entry, _LENGTHS)}
    values = {name: _value(value) for name, value in given.items()}
    for name, value in given.items():
        if value is not None and values[name] is None:
            problems.append(f"{place}: found {name} {repr(value)[:40]}, expected a number of seconds below 1e9")
    start, end = values["start"], values["end"]
    if start is not None and end is None and values["length"] is not None:
        end = start + values["length"]
    if start is not None and start < 0:
        problems.append(f"{place}: found start {start:g}, expected 0 or more")
        start = 0.0
    if start is None:
        if end is not None:
            problems.append(f"{place}: found an end of {end:g} s without a start; its words have no times")
        return None, None
    if end is None:
        return start, None
    start, end = ordered(place, start, end, problems)
    return max(0.0, start), end


def _first(entry: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _value(value: Any) -> float | None:
    """A number, also as "1.5", "1.5s" or "00:00:01.500"; None for anything else, and for 1e9 or more."""
    if isinstance(value, str):
        match = _CLOCK.fullmatch(value.strip())
        if match:
            return int(match[1] or 0) * 3600 + int(match[2]) * 60 + float(match[3].replace(",", "."))
        text = value.strip().removesuffix("s")
        if not re.fullmatch(r"-?\d{1,12}(\.\d{1,12})?", text):
            return None
        value = float(text)
    # The limit excludes integers too large for a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9 or math.isnan(value):
        return None
    return float(value)


def _phrases(words: list[Word]) -> list[Cue]:
    """A word list as cues, split at pauses and where time runs backwards, which keeps speakers apart."""
    found: list[list[Word]] = []
    last: float | None = None
    for word in words:
        back = word.start is not None and last is not None and (word.start < last - 0.05 or word.start > last + _PAUSE)
        if not found or back:
            found.append([])
        found[-1].append(word)
        if word.end is not None:
            last = word.end
    cues = []
    for group in found:
        timed = [word for word in group if word.start is not None]
        start = timed[0].start if timed else None
        end = max((word.end or 0.0 for word in timed), default=None) if timed else None
        cues.append(Cue(" ".join(word.text for word in group), start, end, tuple(group)))
    return cues
