"""msapipe convert: features from one file format to another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msapipe.cli import _options as options
from msapipe.cli._streams import escape, tell_notes

if TYPE_CHECKING:
    from msapipe.formats import Format
    from msapipe.types import Sample


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="A", help="Features: a file, or a folder of them.", show_default=False)
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="B",
            help="What to write: .safetensors, .pkl (MMSA), .csd (CMU SDK, a folder), .parquet (a folder).",
            show_default=False,
        ),
    ],
    labels: Annotated[Path | None, typer.Option(help="label.csv whose labels, splits and words to write.")] = None,
    make_splits: Annotated[
        bool, typer.Option("--make-splits", help="Make train, valid and test by video, as train does.")
    ] = False,
    only_labelled: Annotated[bool, typer.Option("--only-labelled", help="Leave clips without a label out.")] = False,
    steps: Annotated[
        str | None,
        typer.Option(metavar="T,A,V", help=".pkl: steps of text, audio, vision of every clip (default: the longest)."),
    ] = None,
    per_split: Annotated[
        bool, typer.Option("--per-split", help=".safetensors: a folder of files a split, none much above 1 GB.")
    ] = False,
    quiet: options.Quiet = False,
) -> int:
    """Write features in another program's format, and say what that format cannot hold. Clips are read one by one.

    Formats are recognised by the suffix of the name, folders to read also by their content.
    """
    from msapipe.errors import ConfigError
    from msapipe.formats import format_of
    from msapipe.train.missing import Missing

    console = options.console(quiet)
    reader = format_of(source)
    if not source.exists():
        raise ConfigError(
            f"{source}: there is no such file; write one with: msapipe extract VIDEOS -o features.safetensors"
        )
    if target.exists() and target.samefile(source):
        raise ConfigError(f"{target}: is what is to be read; name another")
    writer = _writer(target, steps, per_split)
    given, notes = _given(reader, source, labels, make_splits, only_labelled)
    tell_notes(notes, console)
    writer.check(target, (sample for sample in given or () if "M" in sample.labels or not only_labelled))
    made_by = reader.made_by(source)
    held = {"made_by"} if made_by else set()
    missing = Missing()
    samples = missing.watch(_samples(reader, source, given, only_labelled))
    count = writer.write(target, _watched(samples, held), made_by)
    tell_notes((*missing.notes(), *reader.notes), console)
    console.print(f"wrote {count} clips to {escape(str(target))}", soft_wrap=True)
    for name in [name for name in writer.loses if name in held]:
        console.print(f"not kept by {target.suffix}: {name} ({writer.loses[name]})", soft_wrap=True)
    return 0


def _writer(target: Path, steps: str | None, per_split: bool) -> Format:
    from msapipe.errors import ConfigError
    from msapipe.formats import format_of
    from msapipe.formats.mmsa import Mmsa
    from msapipe.formats.safetensors import Safetensors

    writer = format_of(target, to_write=True)
    if steps is not None:
        if not isinstance(writer, Mmsa):
            raise ConfigError(f"--steps {steps}: {target} has no fixed number of steps; it is for .pkl")
        numbers = [int(part) if part.strip().isdecimal() else 0 for part in steps.split(",")]
        if len(numbers) != 3 or min(numbers) < 1:
            raise ConfigError(f"--steps {steps}: expected those of text, audio and vision, as in 50,500,375")
        writer = Mmsa(dict(zip(("text", "audio", "vision"), numbers, strict=True)))
    if per_split:
        if not isinstance(writer, Safetensors):
            raise ConfigError(f"--per-split: {target} is no .safetensors")
        writer = Safetensors(per_split=True)
    return writer


def _given(
    reader: Format, source: Path, labels: Path | None, make_splits: bool, only_labelled: bool
) -> tuple[list[Sample] | None, list[str]]:
    """Every clip without its features, with the labels and splits of the options, and notes."""
    from msapipe.errors import ConfigError
    from msapipe.train.labels import read_labels, with_labels
    from msapipe.train.split import with_splits

    if labels is None and not make_splits:
        return None, []
    bare = [replace(sample, features={}, tokens=None) for sample in reader.read(source)]
    notes: list[str] = []
    if labels is not None:
        bare, notes = with_labels(bare, read_labels(labels), labels)
        if bare and not any(sample.labels for sample in bare):
            raise ConfigError(f"--labels {labels}: has no label for any clip of {source}; fill in its column label")
    if make_splits:
        kept = [number for number, sample in enumerate(bare) if "M" in sample.labels or not only_labelled]
        for number, sample in zip(kept, with_splits([bare[number] for number in kept]), strict=True):
            bare[number] = sample
    return bare, notes


def _samples(reader: Format, source: Path, given: list[Sample] | None, only_labelled: bool) -> Iterator[Sample]:
    """The clips to write."""
    for number, sample in enumerate(reader.read(source)):
        if given is not None:
            about = given[number]
            sample = replace(sample, labels=about.labels, split=about.split, video=about.video, text=about.text)
        if "M" in sample.labels or not only_labelled:
            yield sample


def _watched(samples: Iterator[Sample], held: set[str]) -> Iterator[Sample]:
    """The same samples; records in ``held`` what they hold that a format may lack."""
    for sample in samples:
        about: dict[str, Any] = {"labels": sample.labels, "split": sample.split, "text": sample.text}
        about |= {"video": sample.video != sample.id, "tokens": sample.tokens is not None}
        for part in sample.features.values():
            about["times"] = about.get("times") or len(part.times)
            about["valid"] = about.get("valid") or bool((part.valid & ~part.values.any(axis=1)).any())
            for name in ("names", "channels", "notes"):
                about[name] = about.get(name) or getattr(part, name)
        held |= {name for name, value in about.items() if value}
        yield sample
