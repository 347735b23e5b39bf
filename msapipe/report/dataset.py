"""A data set in numbers: its content, unusable clips, and problems that would spoil a training."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msapipe.datasets import Example, Refused
from msapipe.report.causes import cause, cause_of_refusal, names_of
from msapipe.report.probing import Probed

# Up to this many distinct labels get a bar each; more are binned into this many bars of equal width.
MOST_BARS = 13
NO_SPLIT = "none"
# Sentiment labels lie in [-1, 1] or [-3, 3].
WIDEST = 3.0


@dataclass(frozen=True)
class Problem:
    """An unusable file, or an unusable line of a table (``name`` is then the table's)."""

    name: str
    reason: str
    cause: str


@dataclass(frozen=True)
class Lengths:
    """Lengths of all clips in seconds, as their files declare them."""

    total: float
    median: float
    shortest: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Lengths | None:
        """None for no clip."""
        if not seconds:
            return None
        return cls(sum(seconds), statistics.median(seconds), min(seconds), max(seconds))


@dataclass(frozen=True)
class Part:
    """A split: its clips, their videos, and hours."""

    clips: int
    videos: int
    hours: float


@dataclass(frozen=True)
class Labels:
    """Labels of one modality, or the common ones ("M"): mean, population standard deviation, and clips by label."""

    clips: int
    mean: float
    deviation: float
    histogram: Mapping[str, int]

    @classmethod
    def of(cls, labels: Sequence[float]) -> Labels:
        """Statistics of at least one label."""
        return cls(len(labels), statistics.fmean(labels), statistics.pstdev(labels), _histogram(labels))


@dataclass(frozen=True)
class DataSetNumbers:
    """The content of `msapipe data inspect`.

    clips: those that the reader accepts, unreadable ones included.   problems: unreadable clips, then the reader's
    refusals.   unknown_length: readable clips whose file declares none.   passed_over: files of other kinds.
    left_out: media files that are not clips.   splits: by name, "none" for clips without.   labels: by letter.
    languages: clips by language, as the data set or a transcript states it.   letters: shares of the texts' letters by
    script, in [0, 1].   same_bytes: ids of clips with the same content.   torn: videos in several splits, and these.
    leading_zeros: ids that change when read as numbers.   notes: other notes for the user.
    """

    root: str
    reader: str
    clips: int
    videos: int
    lengths: Lengths | None
    unknown_length: int
    problems: tuple[Problem, ...]
    unreadable: int
    passed_over: int
    left_out: tuple[str, ...]
    splits: Mapping[str, Part]
    labels: Mapping[str, Labels]
    languages: Mapping[str, int]
    letters: Mapping[str, float]
    without_text: int
    without_label: int
    same_bytes: tuple[tuple[str, ...], ...]
    torn: Mapping[str, tuple[str, ...]]
    leading_zeros: int
    notes: tuple[str, ...] = ()

    @property
    def causes(self) -> list[tuple[str, int]]:
        """Problems by cause, the most frequent first."""
        return Counter(problem.cause for problem in self.problems).most_common()


def count(
    root: str,
    reader: str,
    language: str | None,
    probed: Sequence[Probed],
    refused: Sequence[Refused],
    left_out: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> DataSetNumbers:
    """Count the probed clips (see ``probing``) and the reader's refusals and notes."""
    examples = [item.example for item in probed]
    seconds = [(item.example, _seconds(item)) for item in probed if item.problem is None]
    known = [length for _, length in seconds if length is not None]
    texts = {item.example.clip.id: _text(item) for item in probed}
    unreadable = [_unreadable(item.example, item.problem) for item in probed if item.problem is not None]
    wrong = [item for item in refused if not item.skipped]
    outliers, scale = outside(examples)
    return DataSetNumbers(
        root,
        reader,
        clips=len(examples),
        videos=len({_video(example) for example in examples}),
        lengths=Lengths.of(known),
        unknown_length=len(seconds) - len(known),
        problems=(*unreadable, *(_refused(item) for item in wrong), *outliers),
        unreadable=len(unreadable),
        passed_over=len(refused) - len(wrong),
        left_out=tuple(left_out),
        splits=_splits(examples, {example.clip.id: length or 0.0 for example, length in seconds}),
        labels=_labels(examples),
        languages=dict(Counter(language or _language(item) for item in probed)),
        letters=_letters(texts.values()),
        without_text=sum(not text for text in texts.values()),
        without_label=sum("M" not in example.labels for example in examples),
        same_bytes=_same_bytes(probed),
        torn=_torn(examples),
        leading_zeros=sum(_leads_with_zero(example.clip.id) for example in examples),
        notes=(*notes, *scale, *_mostly_missing(probed)),
    )


def _video(example: Example) -> str:
    return example.video or example.clip.id


def _seconds(item: Probed) -> float | None:
    clip, declared = item.example.clip, item.info.seconds if item.info else None
    ends = [end for end in (clip.end, declared) if end is not None]
    return max(0.0, min(ends) - clip.start) if ends else None


def _text(item: Probed) -> str:
    """The words of a clip: given, beside it, or in its subtitle track."""
    if item.words is not None and item.words.words:
        return item.words.text
    tracks = item.info.captions[:1] if item.info else ()
    return " ".join(" ".join(cue.text.split()) for track in tracks for cue in track.cues)


def _language(item: Probed) -> str:
    return (item.words.language if item.words else None) or "not stated"


def _unreadable(example: Example, reason: str) -> Problem:
    path = example.clip.path
    return Problem(str(path), reason, cause(reason, names_of(path, example.clip.id)))


def _refused(item: Refused) -> Problem:
    return Problem(str(item.path), item.reason, cause_of_refusal(item.reason, str(item.path)))


def _splits(examples: Iterable[Example], seconds: Mapping[str, float]) -> dict[str, Part]:
    parts: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        parts[example.split or NO_SPLIT].append(example)
    return {
        name: Part(
            len(parts[name]),
            len({_video(example) for example in parts[name]}),
            sum(seconds.get(example.clip.id, 0.0) for example in parts[name]) / 3600,
        )
        for name in ("train", "valid", "test", NO_SPLIT)
        if name in parts
    }


def _labels(examples: Sequence[Example]) -> dict[str, Labels]:
    given = {letter: [e.labels[letter] for e in examples if letter in e.labels] for letter in ("M", "T", "A", "V")}
    return {letter: Labels.of(labels) for letter, labels in given.items() if labels}


def outside(examples: Sequence[Example]) -> tuple[list[Problem], list[str]]:
    """Labels outside [-3, 3]: problems if most labels lie inside, else a note on the scale that training needs."""
    given = [(e.clip.id, letter, label) for e in examples for letter, label in e.labels.items()]
    odd = [item for item in given if not -WIDEST <= item[2] <= WIDEST]
    if not odd:
        return [], []
    if 2 * len(odd) > len(given):
        low, high = min(label for *_, label in given), max(label for *_, label in given)
        return [], [f"the labels lie in [{low:g}, {high:g}]; tell a training the whole scale: --scale LOW,HIGH"]
    mend = f"lies outside [-{WIDEST:g}, {WIDEST:g}], which holds most labels; mend it, or train with --scale LOW,HIGH"
    return [Problem(clip, f"label {letter} is {label:g}, which {mend}", mend) for clip, letter, label in odd], []


def _mostly_missing(probed: Sequence[Probed]) -> list[str]:
    """Notes on sound or pictures that most files lack."""
    infos = [item.info for item in probed if item.info is not None]
    lacks = {
        "sound": sum(info.audio is None for info in infos),
        "pictures": sum(info.video is None for info in infos),
    }
    return [f"{count} of {len(infos)} clips have no {what}" for what, count in lacks.items() if 2 * count > len(infos)]


def _histogram(labels: Sequence[float]) -> dict[str, int]:
    """Clips by label, or by bins of equal width when there are many labels; a bin is named by its middle."""
    counts = Counter(labels)
    if len(counts) <= MOST_BARS:
        return {f"{label:g}": counts[label] for label in sorted(counts)}
    low, high = min(counts), max(counts)
    width = (high - low) / MOST_BARS
    bars = Counter(min(int((label - low) / width), MOST_BARS - 1) for label in labels)
    return {f"{low + (place + 0.5) * width:.2f}": bars[place] for place in range(MOST_BARS)}


def _letters(texts: Iterable[str]) -> dict[str, float]:
    counts = Counter(_script(letter) for text in texts for letter in text if letter.isalpha())
    return {name: number / counts.total() for name, number in counts.most_common()}


def _script(letter: str) -> str:
    if letter < "\u0250":
        return "Latin"
    # Kana, CJK ideographs with extension A and compatibility ideographs, Hangul.
    cjk = ("\u3040", "\u30ff"), ("\u3400", "\u9fff"), ("\uac00", "\ud7af"), ("\uf900", "\ufaff")
    return "CJK" if any(first <= letter <= last for first, last in cjk) else "other"


def _same_bytes(probed: Iterable[Probed]) -> tuple[tuple[str, ...], ...]:
    found: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for item in probed:
        clip = item.example.clip
        if item.contents:
            found[item.contents, clip.start, clip.end].append(clip.id)
    return tuple(tuple(ids) for ids in found.values() if len(ids) > 1)


def _torn(examples: Iterable[Example]) -> dict[str, tuple[str, ...]]:
    sides: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        sides[_video(example)].add(example.split or NO_SPLIT)
    return {video: tuple(sorted(found)) for video, found in sides.items() if len(found) > 1}


def _leads_with_zero(clip: str) -> bool:
    """Whether any part of an id is a number with a superfluous leading zero."""
    names = (part.split(".")[0] for part in clip.split("/"))
    return any(len(name) > 1 and name[0] == "0" and name.isdecimal() for name in names)
