"""Every odd or broken file of the torture set ends as its manifest says: read, in part, or refused by name."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest

from msapipe.errors import MsapipeError
from msapipe.media import Decoder, MediaOptions
from msapipe.types import Clip

# Minutes of 1080p and 4K: tried by hand, see the benchmarks.
LONG = {"real/115", "real/116"}


def outcome(decoder: Decoder, path: Path) -> str:
    """What became of a file: "v", "a" or "va" for what was decoded, "error" when nothing was."""
    clip, options = Clip("a", path), MediaOptions()
    try:
        info = decoder.probe(path)
        pictures = sum(len(batch.pixels) for batch in decoder.frames(clip, options).batches(8))
        samples = len(decoder.waveform(clip, options).samples)
    except MsapipeError as error:
        return "error" if path.name in str(error) else f"an error without the file's name: {error}"
    assert bool(info.video) >= bool(pictures)
    assert bool(info.audio) >= bool(samples)
    return ("v" if pictures else "") + ("a" if samples else "")


def allowed(expect: str) -> set[str]:
    """Outcomes that the manifest's words leave open."""
    if expect.startswith("clear error"):
        return {"error"} if " or " not in expect else {"error", "v", "a", "va", ""}
    found = {"a"} if "no video -> visual" in expect else {"v"} if "no audio -> audio" in expect else {"va", "v"}
    either = "or clear error" in expect or "or refused" in expect or "refused by" in expect
    return found | ({"error"} if either else set()) | ({"a", ""} if "flagged" in expect else set())


@pytest.mark.slow
def test_every_file_ends_as_the_manifest_says(decoder: Decoder, shared: Path) -> None:
    folder = shared / "badmedia"
    with open(folder / "MANIFEST.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["file"][:8] not in LONG]
    wrong, slow = [], []
    for row in rows:
        begun = time.monotonic()
        got = outcome(decoder, folder / row["file"])
        if got not in allowed(row["expect"]):
            wrong.append(f"{row['file']}: {got or 'nothing'}, expected {row['expect']}")
        if time.monotonic() - begun > 60:
            slow.append(row["file"])
    assert len(rows) > 80
    assert not wrong, "\n".join(wrong)
    assert not slow
