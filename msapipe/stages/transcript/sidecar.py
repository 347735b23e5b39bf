"""Words given with the clip, or in a file beside it: subtitles, recogniser output, plain text (no weights)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from msapipe.errors import MediaError
from msapipe.languages import language_name
from msapipe.sidecars import SidecarFile, sidecars_of
from msapipe.stages._base import Stage
from msapipe.stages.transcript._formats import read_file
from msapipe.stages.transcript._written import check_language, transcript_of, why_not
from msapipe.types import Clip, MediaInfo, PassedOver, Transcript, Word


@dataclass
class Sidecar(Stage):
    """The words that the caller gave with the clip, else those of a file beside it, else None.

    Files: clip.srt, clip.en.vtt, clip.mp4.json and so on, of every kind in `msapipe.sidecars`. Order of preference: in
    ``language`` before no stated language, written before automatic, with word times before without. Files in another
    language (by name, header or words), forced subtitles, commentary and unreadable files are skipped with a note; of a
    damaged file, the readable part is used, with a note.

    Times in a file count from the start of the media file (seconds) and are cut and shifted to the clip; a word belongs
    to the clip that contains its midpoint. Words after the end of the media file are dropped; milliseconds, and times
    that start at a whole hour, are converted; notes say so. The time of a cue is divided among its words by letters and
    marked as estimated. Overlapping cues are made consecutive; repeated lines count once. Sounds in brackets, music,
    speaker names, dashes and styling are removed. A text without times is used only if the clip is the whole file.
    Confidence, if the file gives it, is in [0, 1]. Sources: "given", "sidecar NAME". Paper: none.

    language: code of the language that the text stage supports, such as en or zh; "" accepts any.
    """

    version = 2
    language: str = "en"

    def __post_init__(self) -> None:
        check_language("sidecar", self.language)

    def run(self, clip: Clip, media: MediaInfo) -> Transcript | PassedOver | None:
        """The given or written words of ``clip``."""
        if clip.text is not None and clip.text.strip():
            return Transcript(tuple(Word(text) for text in clip.text.split()), source="given")
        notes: list[str] = []
        files = self._in_order(sidecars_of(clip.path))
        for file in files:
            found = self._one(file, clip, media)
            if isinstance(found, Transcript):
                return replace(found, notes=(*notes, *found.notes, *_others(file, files)))
            notes += found.notes if found is not None else ()
        return PassedOver(tuple(notes)) if notes else None

    def _in_order(self, files: list[SidecarFile]) -> list[SidecarFile]:
        """Sort by language (the pipeline's first, then unstated); automatic transcripts come last."""

        def rank(file: SidecarFile) -> tuple[bool, ...]:
            strange = bool(self.language) and file.language is not None and file.language != self.language
            aside = file.foreign_only or file.commentary or file.refused is not None
            unsaid = file.language is None and bool(self.language)
            return aside, strange, file.automatic, unsaid, file.hearing

        return sorted(files, key=rank)

    def _one(self, file: SidecarFile, clip: Clip, media: MediaInfo) -> Transcript | PassedOver | None:
        name = f"sidecar {file.path.name}"
        why = file.refused
        if why is None:
            why = why_not(file.language, self.language, file.foreign_only, file.commentary)
        if why is not None:
            return PassedOver((f"{name} was passed over: {why}",))
        try:
            languages = (file.language,) if file.language else ()
            written = read_file(file.path, self.language, media.rate, languages)
        except MediaError as error:
            return PassedOver((f"{name} was passed over: {error}",))
        if written is None:
            return None
        return transcript_of(written, clip, media.seconds, name, self.language, file.language)


def _others(taken: SidecarFile, files: list[SidecarFile]) -> list[str]:
    """A note on which of several languages was used."""
    languages = {file.language for file in files if file.language and file.refused is None}
    if len(languages) < 2:
        return []
    names = ", ".join(sorted(language_name(code) for code in languages))
    return [f"sidecars in {len(languages)} languages ({names}): {taken.path.name} was read"]
