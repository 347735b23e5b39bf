"""A folder of videos and sound files, however deep; sidecars stand beside the clips."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from msapipe.datasets._base import DatasetReader, Example, Refused
from msapipe.datasets._files import is_apple_double, is_media
from msapipe.safe_paths import leads_out
from msapipe.sidecars import sidecars_of
from msapipe.types import Clip

# Playlists name other files, but a clip is one file. They are reported, not skipped silently.
PLAYLIST_SUFFIXES = frozenset({".m3u8", ".m3u", ".mpd", ".pls", ".ffconcat", ".sdp"})


class Folder(DatasetReader):
    """Every media file below ``root``, in order of path.

    The clip's id is its path below the root. File links are followed inside the root only; linked folders, hidden
    folders, and a Mac's metadata files (``__MACOSX``, ``._clip.mp4``) are skipped.
    """

    def read(self) -> Iterator[Example | Refused]:
        """Walk the tree; see DatasetReader."""
        top = self.root.resolve()
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
            here = Path(folder)
            for name in [*folders]:
                path = here / name
                if path.is_symlink():
                    yield Refused(path, "a folder that is a link is not entered", skipped=True)
                elif is_media(name):
                    yield Refused(path, "a folder, not a file, though it is named like a clip", skipped=True)
            beside = {
                found.path
                for name in files
                if is_media(name) and not is_apple_double(name)
                for found in sidecars_of(here / name)
            }
            for name in sorted(files):
                path = here / name
                if path not in beside:
                    yield self._one(path, top)

    def _one(self, path: Path, top: Path) -> Example | Refused:
        suffix = path.suffix.lower()
        if is_apple_double(path.name):
            return Refused(path, "what a Mac notes of the file beside it (AppleDouble), not a clip", skipped=True)
        if not is_media(path.name) and suffix not in PLAYLIST_SUFFIXES:
            reason = f"not named like a media file ({suffix or 'no ending'}); name it by itself to use it all the same"
            return Refused(path, reason, skipped=True)
        if path.is_symlink():
            try:
                target = path.resolve(strict=True)
            except (OSError, RuntimeError) as error:
                return Refused(path, f"a link that leads nowhere ({type(error).__name__})", skipped=False)
            if leads_out(target, top):
                return Refused(path, "a link to outside the folder; name its target by itself to use it", skipped=False)
        return Example(Clip(path.relative_to(self.root).as_posix(), path))
