"""Subtitles in markup formats: ASS and SSA, TTML and DFXP, YouTube's XML, SAMI."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from msapipe.errors import MediaError
from msapipe.languages import language_code, language_name
from msapipe.stages.transcript._clock import clock, ordered, tag
from msapipe.stages.transcript._cues import Cue, Written

_FIELDS = ["layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text"]
_OFFSET = re.compile(r"\s*(\d{1,12}(?:\.\d{1,9})?)(h|ms|m|s|f|t)\s*")
_FRAMES = re.compile(r"\s*(\d{1,3}):(\d{2}):(\d{2}):(\d{1,3})(?:\.\d+)?\s*")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def read_ass(text: str) -> Written:
    """The dialogue of Advanced SubStation Alpha and SubStation Alpha, without comments."""
    written = Written([])
    fields = _FIELDS
    for number, line in enumerate(text.split("\n"), 1):
        kind, _, rest = line.strip().partition(":")
        if kind.lower() == "format" and "text" in rest.lower().replace(" ", "").split(","):
            fields = [field.strip().lower() for field in rest.split(",")]
        if kind.lower() != "dialogue":
            continue
        values = rest.split(",", len(fields) - 1)
        event = dict(zip(fields[: len(values)], values, strict=True))
        start, end = clock(event.get("start", "")), clock(event.get("end", ""))
        if "text" not in event:
            written.problems.append(f"line {number}: found {line.strip()[:40]!r}, expected {', '.join(fields)}")
        elif start is None or end is None:
            written.problems.append(f"line {number}: found {rest.strip()[:40]!r}, expected times; its words have none")
            written.cues.append(Cue(event["text"]))
        else:
            start, end = ordered(number, start, end, written.problems)
            written.cues.append(Cue(event["text"], start, end))
    if not written.cues:
        raise MediaError(f"line 1: found {text.strip()[:40]!r}, expected [Events] with Dialogue: lines")
    return written


def read_xml(text: str, wanted: str) -> Written:
    """TTML, DFXP and YouTube's srv1, srv2, srv3, in the wanted language if there are several. Raises MediaError."""
    if re.search(r"<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise MediaError("line 1: found a document type, expected TTML; such files are not opened")
    try:
        # The text is already decoded; ElementTree refuses an encoding declaration in it.
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
    except ElementTree.ParseError as error:
        raise MediaError(
            f"line {error.position[0]}: found damaged XML ({error.msg if hasattr(error, 'msg') else error})"
        ) from None
    name = _local(root)
    if name == "tt":
        return _ttml(root, wanted)
    if name in ("transcript", "timedtext"):
        return _youtube(root)
    raise MediaError(f"line 1: found <{name[:40]}>, expected <tt> of TTML or YouTube's <timedtext>")


def _local(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""


def _attribute(node: ElementTree.Element, name: str) -> str | None:
    return next((value for key, value in node.attrib.items() if key.rpartition("}")[2] == name), None)


class _Rates:
    """Time units of a TTML file."""

    def __init__(self, root: ElementTree.Element) -> None:
        frames = _number(_attribute(root, "frameRate"), 30.0)
        top, _, below = (_attribute(root, "frameRateMultiplier") or "1 1").replace(":", " ").partition(" ")
        self.frames = frames * _number(top, 1.0) / _number(below, 1.0)
        self.ticks = _number(_attribute(root, "tickRate"), frames if _attribute(root, "frameRate") else 1.0)

    def seconds(self, text: str) -> float | None:
        """Seconds of "00:00:01.500", "00:00:01:12", "1.5s", "45f", "15000000t"; None for anything else."""
        frames = _FRAMES.fullmatch(text)
        if frames:
            hours, minutes, secs, count = (int(part) for part in frames.groups())
            return hours * 3600 + minutes * 60 + secs + count / self.frames
        match = _OFFSET.fullmatch(text)
        if match:
            unit = {"f": 1 / self.frames, "t": 1 / self.ticks}.get(match[2]) or _UNITS[match[2]]
            return float(match[1]) * unit
        return clock(text)


def _number(text: str | None, default: float) -> float:
    try:
        value = float(text or default)
    except ValueError:
        return default
    return value if 0 < value < 1e12 else default


def _ttml(root: ElementTree.Element, wanted: str) -> Written:
    rates, written = _Rates(root), Written([])
    top = _attribute(root, "lang")
    found: list[tuple[str | None, Cue]] = []
    body = next((node for node in root if _local(node) == "body"), None)
    for place, node, offset, language in _paragraphs(body, rates, 0.0, top):
        begin, end, length = (_attribute(node, key) for key in ("begin", "end", "dur"))
        start = rates.seconds(begin) if begin else 0.0
        if end or not (length or _attribute(node, "duration")):
            stop = rates.seconds(end) if end else None
        else:
            lasts = rates.seconds(length or _attribute(node, "duration") or "")
            stop = None if lasts is None or start is None else start + lasts
        text = _inner(node, rates, offset + (start or 0.0))
        timed = begin is not None or "<" in re.sub(r"&[^;]*;", "", text)
        if start is None or (end and stop is None) or not timed:
            written.problems += [f"paragraph {place}: its words have no times"] if text.strip() else []
            found.append((language, Cue(text)))
            continue
        start += offset
        if stop is not None:
            start, stop = ordered(f"paragraph {place}", start, stop + offset, written.problems)
        found.append((language, Cue(text, start, stop)))
    if not found:
        raise MediaError("line 1: found TTML without a paragraph, expected <p begin=... end=...>")
    _choose(found, wanted, written)
    return written


def _paragraphs(
    node: ElementTree.Element | None, rates: _Rates, offset: float, language: str | None
) -> Iterator[tuple[int, ElementTree.Element, float, str | None]]:
    """Every <p> with its number, the start of its parent and its language."""
    waiting = [(node, offset, language)] if node is not None else []
    place = 0
    while waiting:
        current, start, spoken = waiting.pop()
        spoken = _attribute(current, "lang") or spoken
        if _local(current) == "p":
            place += 1
            yield place, current, start, spoken
            continue
        start += rates.seconds(_attribute(current, "begin") or "0s") or 0.0
        waiting += [(child, start, spoken) for child in reversed(list(current))]


def _inner(node: ElementTree.Element, rates: _Rates, offset: float) -> str:
    """The text of a paragraph, with the start of a timed span before the span, as in WebVTT."""
    parts = [html.escape(" ".join((node.text or "").split("\n")), quote=False)]
    for child in node:
        name = _local(child)
        if name == "br":
            parts.append("\n")
        elif name == "span":
            begin = _attribute(child, "begin")
            at = rates.seconds(begin) if begin else None
            if at is not None:
                # Apple counts from the start of the video, the standard from that of the paragraph.
                parts.append(tag(1000 * (at if at >= offset else at + offset)))
            parts.append(_inner(child, rates, offset))
        parts.append(html.escape(" ".join((child.tail or "").split("\n")), quote=False))
    return "".join(parts)


def _choose(found: list[tuple[str | None, Cue]], wanted: str, written: Written) -> None:
    """Select the wanted language of a file with several, else the first."""
    codes = [language_code(tag) for tag, _ in found]
    several = list(dict.fromkeys(code for code in codes if code))
    chosen = wanted if wanted in several else next(iter(several), None)
    written.language = chosen
    written.cues = [cue for code, (_, cue) in zip(codes, found, strict=True) if code in (chosen, None)]
    if len(several) > 1 and chosen:
        written.problems.append(f"of {len(several)} languages in it, {language_name(chosen)} was read")


def _youtube(root: ElementTree.Element) -> Written:
    """srv1: <text start dur>, seconds; srv2: <text t d>; srv3: <p t d><s t>, milliseconds."""
    written = Written([])
    for place, node in enumerate((one for one in root.iter() if _local(one) in ("text", "p")), 1):
        try:
            if "start" in node.attrib:
                start, length = float(node.attrib["start"]), float(node.attrib.get("dur", "nan"))
            else:
                start, length = int(node.attrib["t"]) / 1000, float(node.attrib.get("d", "nan")) / 1000
            pieces = [(int(child.get("t", 0)) / 1000, child.text or "") for child in node if _local(child) == "s"]
        except (KeyError, ValueError):
            written.problems.append(f"entry {place}: found no times; its words have none")
            written.cues.append(Cue("".join(node.itertext())))
            continue
        text = "".join(tag(1000 * (start + at)) + html.escape(piece, quote=False) for at, piece in pieces)
        end = start + length if 0 <= length < 1e9 else None
        written.cues.append(Cue((node.text or "") + text, max(0.0, start), None if end is None else max(0.0, end)))
    if not written.cues:
        raise MediaError("line 1: found a <timedtext> without lines, expected <p t=... d=...>")
    return written


def read_sami(text: str, wanted: str) -> Written:
    """SAMI: a cue lasts until the next <SYNC>; of several paragraph classes, the wanted one is read."""
    written = Written([])
    tags: dict[str, Any] = {
        name.lower(): tag
        for name, tag in re.findall(r"\.(\w{1,40})\s*\{[^{}]{0,400}?lang\s*:\s*([\w-]{1,20})", text, re.IGNORECASE)
    }
    parts = re.split(r"<sync\b[^>]{0,100}?start\s*=\s*[\"']?\s*(-?\d{1,9})[^>]{0,100}>", text, flags=re.IGNORECASE)
    if len(parts) < 3:
        raise MediaError("line 1: found no <SYNC Start=...>, expected SAMI")
    found: list[tuple[str | None, Cue]] = []
    for start, body in zip(parts[1::2], parts[2::2], strict=True):
        pieces = re.split(
            r"<p\b([^>]{0,100})>", re.split(r"</body|</sami", body, flags=re.IGNORECASE)[0], flags=re.IGNORECASE
        )
        texts = [("", pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]
        for attributes, said in texts:
            of = re.search(r"class\s*=\s*[\"']?(\w{1,40})", attributes, re.IGNORECASE)
            if not attributes and not said.strip():
                continue
            tag = tags.get(of[1].lower(), of[1][:2]) if of else None
            found.append((tag, Cue(" ".join(said.split("\n")), max(0, int(start)) / 1000)))
    _choose(found, wanted, written)
    return written
