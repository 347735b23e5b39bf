"""A data set's numbers for people: the same rows on a terminal and on a page."""

from __future__ import annotations

from pathlib import Path

from msapipe.report.dataset import DataSetNumbers, Labels
from msapipe.report.html import bars, paragraph, section, table, write_page

MODALITIES = {"M": "label", "T": "label_T (text)", "A": "label_A (audio)", "V": "label_V (vision)"}


def facts(numbers: DataSetNumbers) -> list[tuple[str, str]]:
    """The content of the data set as pairs of a name and a sentence part."""
    rows = [
        ("read as", numbers.reader),
        ("clips", f"{numbers.clips}, of {numbers.videos} videos"),
        ("refused", f"{len(numbers.problems) - numbers.unreadable} files or lines"),
        ("unreadable", f"{numbers.unreadable} clips"),
        ("durations", _lengths(numbers)),
        ("language", _language(numbers)),
        ("without text", f"{numbers.without_text} clips"),
        ("without label", f"{numbers.without_label} clips"),
    ]
    if numbers.leading_zeros:
        rows.append(("leading zeros", f"{numbers.leading_zeros} ids, kept: read them as text elsewhere too"))
    if numbers.passed_over:
        rows.append(("other files", f"{numbers.passed_over} passed over"))
    return rows


def _lengths(numbers: DataSetNumbers) -> str:
    lengths = numbers.lengths
    if lengths is None:
        return "not known"
    unknown = f", {numbers.unknown_length} clips declare none" if numbers.unknown_length else ""
    spread = f"median {lengths.median:.1f} s, {lengths.shortest:.1f} to {lengths.longest:.1f} s"
    return f"{duration(lengths.total)} in all, {spread} (as the files declare{unknown})"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as "1:02:03"."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _language(numbers: DataSetNumbers) -> str:
    stated = ", ".join(f"{name} ({count})" for name, count in numbers.languages.items())
    letters = ", ".join(f"{share:.0%} {name}" for name, share in numbers.letters.items())
    return f"{stated or 'not stated'}; letters of the texts: {letters or 'none'}"


def warnings(numbers: DataSetNumbers) -> list[str]:
    """One sentence per problem that is readable but would spoil a training or a score."""
    found = [
        f"video {video} is in several splits ({', '.join(splits)}): a score would be that of recognising the video"
        for video, splits in numbers.torn.items()
    ]
    found += [f"the same bytes under several ids: {', '.join(ids)}" for ids in numbers.same_bytes]
    found += numbers.notes
    if numbers.left_out:
        some = ", ".join(numbers.left_out[:3]) + (" ..." if len(numbers.left_out) > 3 else "")
        found.append(f"{len(numbers.left_out)} media files are no clip of it: {some}")
    return found


def splits(numbers: DataSetNumbers) -> list[tuple[str, str, str, str]]:
    """Name, clips, videos and duration of each split."""
    return [
        (name, str(part.clips), str(part.videos), duration(part.hours * 3600))
        for name, part in numbers.splits.items()
    ]  # fmt: skip


def caption(letter: str, labels: Labels) -> str:
    """The caption of a histogram."""
    return f"{MODALITIES[letter]}: {labels.clips} clips, mean {labels.mean:+.3f}, deviation {labels.deviation:.3f}"


def write(path: Path, numbers: DataSetNumbers) -> None:
    """Write the page of a data set."""
    parts = [table(facts(numbers))]
    told = warnings(numbers)
    if told:
        parts.append(section("Warnings", *map(paragraph, told)))
    parts.append(section("Splits", table(splits(numbers), ("split", "clips", "videos", "duration"))))
    if numbers.labels:
        charts = [bars(found.histogram, caption(letter, found)) for letter, found in numbers.labels.items()]
        parts.append(section("Labels", *charts))
    if numbers.problems:
        by_cause = table([(count, reason) for reason, count in numbers.causes], ("", "cause"))
        each = table([(problem.name, problem.reason) for problem in numbers.problems], ("file", "what is wrong"))
        parts += [section("Cannot be used, by cause", by_cause), section("Cannot be used", each)]
    write_page(path, f"Data set {numbers.root}", parts)
