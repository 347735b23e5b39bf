"""Nothing outside a root is read, and nothing outside a target is written, whatever links lie in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from msapipe.datasets import Example, Refused, reader_of
from msapipe.errors import CacheError, MsapipeError
from msapipe.formats.csd import Csd
from msapipe.pipeline.crops import below
from msapipe.pipeline.inputs import find_clips
from msapipe.safe_paths import leads_out
from msapipe.sidecars import sidecars_of

SECRET = "secret words of gold"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.txt").write_text(SECRET)
    (folder / "secret.mp4").write_bytes(b"secret")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def both(root: Path, name: str = "") -> tuple[list[Example], list[str]]:
    found = list(reader_of(root, name).read())
    texts = [item.clip.text or "" for item in found if isinstance(item, Example)]
    assert not any("gold" in text for text in texts)
    return [item for item in found if isinstance(item, Example)], [r.reason for r in found if isinstance(r, Refused)]


@pytest.mark.parametrize("ending", [".txt", ".srt", ".en.vtt", ".mp4.json"])
def test_words_beside_a_clip(root: Path, outside: Path, ending: str) -> None:
    clip = put(root / "Raw" / "v" / "1.mp4")
    link(clip.with_name(f"1{ending}"), outside / "secret.txt")
    (found,) = sidecars_of(clip)
    assert found.refused is not None
    assert "leads out" in found.refused


def test_words_beside_a_clip_that_is_a_link_itself_bear_the_name_of_its_target(root: Path, outside: Path) -> None:
    link(root / "1.mp4", outside / "secret.mp4")
    link(root / "1.txt", outside / "other.txt")
    put(outside / "other.txt", "of another clip")
    (found,) = sidecars_of(root / "1.mp4")
    assert found.refused is not None
    (root / "1.txt").unlink()
    link(root / "1.txt", outside / "secret.txt")
    (found,) = sidecars_of(root / "1.mp4")
    assert found.refused is None


def test_a_link_back_and_forth_counts_by_where_it_ends(root: Path, outside: Path) -> None:
    inner = put(root / "inner.txt", "inner")
    link(outside / "back.txt", inner)
    link(root / "a.txt", outside / "back.txt")
    assert not leads_out(root / "a.txt", root)
    link(root / "circle", root / "circle")
    link(root / "up", root / "..")
    assert leads_out(root / "up" / "outside" / "secret.txt", root)


def test_the_table_of_labels(root: Path, outside: Path) -> None:
    table = put(outside / "table.csv", f"clip_id,label,text\n1,0.5,{SECRET}\n")
    put(root / "Raw" / "1.mp4")
    link(root / "label.csv", table)
    examples, reasons = both(root, "table")
    assert not examples
    assert "leads out" in reasons[0]


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize("kind", ["table", "meld", "iemocap", "mosei", "folder"])
def test_media(root: Path, outside: Path, kind: str, what: str) -> None:
    video = {
        "table": "Raw/v/1.mp4",
        "folder": "v/1.mp4",
        "meld": "train_splits/dia0_utt0.mp4",
        "iemocap": "Session1/dialog/avi/DivX/Ses01F_impro01.avi",
        "mosei": "Raw/Videos/Full/Combined/abc.mp4",
    }[kind]
    turn = "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\n"
    put(root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt", turn) if kind == "iemocap" else None
    if kind == "meld":
        put(root / "train_sent_emo.csv", "Dialogue_ID,Utterance_ID,Utterance,Sentiment\n0,0,hi,neutral\n")
    if kind == "mosei":
        put(root / "Raw/Transcript/Segmented/Combined/abc.txt", "abc___0___1.5___3.25___So\n")
    if kind == "table":
        put(root / "label.csv", "clip_id,label\nv/1,0.5\n")
    target = put(outside / "media" / Path(video).name)
    if what == "file":
        link(root / video, target)
    else:
        link((root / video).parent, target.parent)
    examples, reasons = both(root, kind)
    assert not examples
    assert any("link" in reason for reason in reasons)


def test_words_of_the_data_sets_own_files(root: Path, outside: Path) -> None:
    put(root / "Raw/Videos/Full/Combined/abc.mp4")
    link(
        root / "Raw/Transcript/Segmented/Combined/abc.txt", put(outside / "abc.txt", f"abc___0___1.5___3.25___{SECRET}")
    )
    assert both(root, "mosei")[0] == []
    session = root / "Session1/dialog"
    put(session / "avi/DivX/Ses01F_impro01.avi")
    turn = "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\n"
    put(session / "EmoEvaluation/Ses01F_impro01.txt", turn)
    words = put(outside / "words.txt", f"Ses01F_impro01_F000 [006.2901-008.2357]: {SECRET}\n")
    link(session / "transcriptions/Ses01F_impro01.txt", words)
    assert both(root, "iemocap")[0] == []


def test_readers_of_others_are_looked_after(root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from msapipe.datasets import DatasetReader
    from msapipe.types import Clip

    class Trusting(DatasetReader):
        def read(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
            yield Example(Clip("1", self.root / "1.mp4"))

    link(root / "1.mp4", outside / "secret.mp4")
    monkeypatch.setattr("msapipe.pipeline.inputs.reader_of", lambda path, name: Trusting(path))
    found = list(find_clips([str(root)]))
    assert isinstance(found[0], Refused)


def test_a_feature_file_that_names_another_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret.bin").write_bytes(b"\x01\x02\x03\x04" * 8)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["features"] = [[1.0]]
        file["intervals"] = [[0.0, 1.0]]
    for kind in ("link", "bytes", "soft"):
        path = tmp_path / f"text_{kind}.csd"
        with h5py.File(path, "w") as file:
            file.create_dataset("text/metadata/root name", data=['"text"'], dtype=h5py.string_dtype())
            entry = file.create_group("text/data/one")
            entry["intervals"] = [[0.0, 1.0]]
            if kind == "link":
                entry["features"] = h5py.ExternalLink("other.h5", "/features")
            elif kind == "bytes":
                entry.create_dataset("features", (1, 4), "<f4", external=[(str(tmp_path / "secret.bin"), 0, 16)])
            else:
                file["zz"] = h5py.ExternalLink("other.h5", "/")
                entry["features"] = h5py.SoftLink("/zz/features")
        with pytest.raises(MsapipeError, match="refused"):
            list(Csd().read(path))


def test_crops_and_tracks_stay_below_their_folder(tmp_path: Path, outside: Path) -> None:
    target = tmp_path / "crops"
    target.mkdir()
    (target / "v").symlink_to(outside)
    with pytest.raises(CacheError, match="leads out"):
        below(target, "v/1")
    assert below(target, "w/1") == target / "w" / "1"
