"""Nobody speaks in two splits, where the table says who speaks."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from msapipe.datasets import reader_of
from msapipe.datasets._rows import groups
from msapipe.formats._mmsa_splits import mmsa_id
from msapipe.pipeline.samples import bare_sample
from msapipe.testing.contract import check_reader
from msapipe.train.labels import read_labels, with_labels
from msapipe.train.split import with_splits
from msapipe.types import Sample


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["", *"123456"])), max_size=20))
def test_groups_are_what_is_joined_by_speakers(seen: list[tuple[str, str]]) -> None:
    found = groups(seen)
    assert found.keys() == {video for video, _ in seen}
    joined = {video: {video} for video, _ in seen}
    for _ in seen:  # the slow way: until nothing changes
        for video, speaker in seen:
            for other, same in seen:
                if speaker and speaker == same:
                    joined[video] |= joined[other]
                    joined[other] |= joined[video]
    assert found == {video: min(others) for video, others in joined.items()}


def table(root: Path, modes: str = "") -> Path:
    rows = ["video_id,clip_id,label,speaker" + (",mode" if modes else "")]
    for number in range(12):
        (root / f"Raw/v{number:02}").mkdir(parents=True)
        (root / f"Raw/v{number:02}/1.mp4").write_bytes(b"")
        rows.append(f"v{number:02},1,1,{('ann', 'bob', 'cy', 'di')[number % 4]}{modes}")
    (root / "label.csv").write_text("\n".join(rows))
    return root


def test_a_speaker_is_on_one_side_of_splits_that_are_made(tmp_path: Path) -> None:
    examples = list(check_reader(reader_of(table(tmp_path))))
    assert {example.video for example in examples} == {"v00", "v01", "v02", "v03"}
    side = {sample.id: sample.split for sample in with_splits([bare_sample(example) for example in examples])}
    assert set(side.values()) == {"train", "valid", "test"}
    for number in range(4):
        assert len({side[f"v{video:02}/1"] for video in range(number, 12, 4)}) == 1
    assert len({mmsa_id(bare_sample(example)) for example in examples}) == 12
    assert mmsa_id(bare_sample(examples[5])) == "v05$_$1"
    known = [Sample(f"Raw/v{video:02}/1.mp4", {}) for video in range(12)]
    labelled, _ = with_labels(known, read_labels(tmp_path / "label.csv"), tmp_path / "label.csv")
    assert {sample.video for sample in labelled} == {"v00", "v01", "v02", "v03"}


def test_a_split_that_is_given_stays(tmp_path: Path) -> None:
    examples = list(check_reader(reader_of(table(tmp_path, ",train"))))
    assert {example.video for example in examples} == {f"v{video:02}" for video in range(12)}
