"""Subtitles with every damage at once: no error, and no word lost without a note."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msapipe.stages.transcript.sidecar import Sidecar
from msapipe.types import Clip, MediaInfo, PassedOver, Transcript

LENGTH = 100.0
TOKENS = [f"{a}{b}o{c}a" for a in "bdfgkl" for b in "aeiu" for c in "mnrst"]

times = st.tuples(st.integers(0, 140_000), st.integers(-2_000, 9_000))
breaks = st.sampled_from(["\n\n", "\n", "\n\n\n", "\n \n"])
cues = st.lists(
    st.tuples(times, st.integers(1, 4), breaks, breaks.map(lambda text: text[:2]), st.booleans()),
    min_size=1,
    max_size=8,
)


def clock(milliseconds: int, point: str) -> str:
    whole = max(0, milliseconds)
    return f"{whole // 3600000:02d}:{whole // 60000 % 60:02d}:{whole // 1000 % 60:02d}{point}{whole % 1000:03d}"


@settings(max_examples=120, deadline=None)
@given(
    cues=cues,
    suffix=st.sampled_from([".srt", ".vtt", ".sbv", ".txt"]),
    numbered=st.booleans(),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]),
)
def test_every_cue_is_read_refused_with_its_line_or_noted(
    tmp_path_factory: pytest.TempPathFactory,
    cues: list[tuple[tuple[int, int], int, str, str, bool]],
    suffix: str,
    numbered: bool,
    ends: str,
    encoding: str,
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    tokens = iter(TOKENS)
    text, inside, written = "WEBVTT\n\n" if suffix == ".vtt" else "", [], []
    for number, ((start, length), count, between, within, broken) in enumerate(cues, 1):
        said = [next(tokens) for _ in range(count)]
        arrow = "," if suffix == ".sbv" else " --> "
        line = f"{clock(start, '.')}{arrow}{clock(start + length, '.')}"
        bad = broken and suffix != ".sbv" and number > 1
        text += (f"{number}\n" if numbered else "") + (line.replace(":", "x") if bad else line) + "\n"
        text += within.join(said) + between
        written += said
        inside += said if not bad and max(start, start + length) < LENGTH * 1000 else []
    (folder / f"clip{suffix}").write_bytes(text.replace("\n", ends).encode(encoding))
    found = Sidecar().run(Clip("c", folder / "clip.mp4"), MediaInfo("mp4", None, None, LENGTH))
    assert found is not None
    if isinstance(found, PassedOver):
        assert not inside
        assert found.notes
        return
    heard = [word.text for word in found.words]
    assert set(inside) <= set(heard)
    assert set(heard) <= set(written)
    assert len(set(heard)) == len(heard)
    lost = len(written) - len(heard)
    told = sum(int(number) for note in found.notes for number in re.findall(r"(\d+) words come after", note))
    assert lost == told
    for word in found.words:
        assert word.start is None or (word.end is not None and 0 <= word.start <= word.end)
    assert isinstance(found, Transcript)
