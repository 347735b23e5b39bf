from __future__ import annotations

from pathlib import Path

import pytest

from msapipe.datasets import READERS, Refused, reader_of
from msapipe.testing.contract import check_reader


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def refused(root: Path, name: str = "") -> list[str]:
    return [item.reason for item in reader_of(root, name).read() if isinstance(item, Refused) and not item.skipped]


def test_the_named_tables_know_their_scale(tmp_path: Path) -> None:
    table = (
        "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode\nvideo_0001,0001,x,0.8,1.0,,-0.2,P,train\n"
    )
    put(tmp_path, {"label.csv": table, "Raw/video_0001/0001.mp4": ""})
    for name in ("mosi", "mosei", "sims", "sims_v2"):
        (example,) = check_reader(reader_of(tmp_path, name))
        assert example.labels == {"M": 0.8, "T": 1.0, "V": -0.2}
        assert example.clip.id == "video_0001/0001"
    put(tmp_path, {"label.csv": table.replace("0.8", "1.8")})
    assert len(check_reader(reader_of(tmp_path, "mosi"))) == 1
    assert "expected -1 to 1" in refused(tmp_path, "sims")[0]


def test_mosei_as_cmu_hands_it_out_is_stretches_of_whole_videos(tmp_path: Path) -> None:
    lines = "abc___0___1.5___3.25___So ___ what\nabc___1___3.25___2___backwards\nnonsense\n"
    put(
        tmp_path,
        {
            "Raw/Transcript/Segmented/Combined/abc.txt": lines,
            "Raw/Transcript/Segmented/Combined/lost.txt": "lost___0___0___1___x",
            "Raw/Videos/Full/Combined/abc.mp4": "",
        },
    )
    (example,) = check_reader(reader_of(tmp_path))
    assert (example.clip.id, example.clip.start, example.clip.end) == ("abc/0", 1.5, 3.25)
    assert (example.clip.text, example.video, example.labels) == ("So ___ what", "abc", {})
    assert [reason[:7] for reason in refused(tmp_path)] == ["line 2:", "line 3:", "a missi"]


def test_mosei_labels_of_cmu_are_those_of_the_same_stretch(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    lines = "abc___0___1.5___3.25___good\nabc___1___3.25___5___bad\nabc___2___8___9___none\nabc___3___20___21___off\n"
    put(
        tmp_path,
        {"Raw/Transcript/Segmented/Combined/abc.txt": lines, "Raw/Videos/Full/Combined/abc.mp4": ""},
    )
    with h5py.File(tmp_path / "CMU_MOSEI_Labels.csd", "w") as file:
        # In another order than the transcript's, and not to the millisecond.
        file["All Labels/data/abc/intervals"] = [[3.3, 5.0], [1.5, 3.2], [9.0, 12.0], [20.0, 21.0]]
        file["All Labels/data/abc/features"] = [[-1.0, 9], [2.0, 9], [1.0, 9], [7.0, 9]]
    examples = {example.clip.text: example.labels for example in check_reader(reader_of(tmp_path))}
    assert examples == {"good": {"M": 2.0}, "bad": {"M": -1.0}, "none": {}}
    assert refused(tmp_path) == ["line 4: label M of abc/3 is 7, expected -3 to 3"]
    (tmp_path / "CMU_MOSEI_Labels.csd").write_text("nothing")
    assert [example.labels for example in check_reader(reader_of(tmp_path))] == [{}] * 4
    assert refused(tmp_path)[0].startswith("labels cannot be read")


def test_meld_is_three_tables_and_three_folders(tmp_path: Path) -> None:
    head = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
    put(
        tmp_path,
        {
            "train_sent_emo.csv": head + '1,"Oh, no",Joey,sadness,negative,0,3\n2,Yes,Ross,joy,glad,0,4\n',
            "dev_sent_emo.csv": head + "1,Hi,Joey,neutral,neutral,0,3\n",
            "test_sent_emo.csv": head + "1,Hey,Joey,joy,positive,5,0\n",
            "train_splits/dia0_utt3.mp4": "",
            "dev_splits_complete/dia0_utt3.mp4": "",
        },
    )
    first, second = check_reader(reader_of(tmp_path))
    assert (first.clip.id, first.labels, first.split, first.video) == (
        "train/dia0_utt3",
        {"M": -1.0},
        "train",
        "train/dia0",
    )
    assert (second.split, second.clip.text) == ("valid", "Hi")
    assert [reason.split(":")[0] for reason in refused(tmp_path)] == ["line 3", "line 2"]


def test_iemocap_is_turns_of_dialogues(tmp_path: Path) -> None:
    evaluation = (
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\n"
        "C-E2:\tNeutral;\t()\n\n"
        "[10.01 - 9.0]\tSes01F_impro01_F001\tneu\t[2.5000, 2.5000, 2.5000]\n"
        "[oddly]\n"
    )
    words = "Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.\n"
    put(
        tmp_path,
        {
            "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt": evaluation,
            "Session1/dialog/transcriptions/Ses01F_impro01.txt": words,
            "Session1/dialog/avi/DivX/Ses01F_impro01.avi": "",
            "Session2/dialog/EmoEvaluation/Ses02F_script01.txt": "",
        },
    )
    (example,) = check_reader(reader_of(tmp_path))
    assert example.clip.id == "Session1/Ses01F_impro01_F000"
    assert (example.clip.start, example.clip.end, example.clip.text) == (6.2901, 8.2357, "Excuse me.")
    assert (example.labels, example.video) == ({"M": -0.25}, "Session1")
    assert [reason[:7] for reason in refused(tmp_path)] == ["line 6:", "line 7:", "a missi"]


def test_every_reader_is_documented_and_bears_an_empty_folder(tmp_path: Path) -> None:
    for name in READERS.where():
        assert READERS.about(name)
        assert check_reader(READERS.get(name)(tmp_path)) == []
