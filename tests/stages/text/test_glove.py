"""Word vectors against the numbers that stand in the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from msapipe.errors import MissingWeights, WeightsError
from msapipe.stages.text import glove as module
from msapipe.stages.text.glove import Glove
from msapipe.types import Transcript, Word
from msapipe.weights import weights_folder
from msapipe.weights.folder import StoredFile, sha256_of, write_manifest

LINES = """, -0.5 1e-2 3
the 1 2 3
Day 4 5 6
day 7 8 9
don't 0.1 0.2 0.3
at name@domain.com 0.25 0.5 0.75
naïve -1 -2 -3
day 70 80 90
好 1 1 1
U.S. 2 2 2
"""


def said(text: str) -> Transcript:
    return Transcript(tuple(Word(word, i * 0.5, i * 0.5 + 0.4) for i, word in enumerate(text.split())), "en")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.txt"
    path.write_text(LINES, encoding="utf-8")
    return path


def stage(path: Path) -> Glove:
    made = Glove(checkpoint=str(path))
    made.load("cpu")
    return made


def test_a_word_is_looked_up_as_it_is_then_in_lower_case_then_without_punctuation(text: Path) -> None:
    features = stage(text).run(said("THE Day DAY day, “Day!” don’t naïve 好 U.S. ,"))
    the, capital, day, naive = [1, 2, 3], [4, 5, 6], [7, 8, 9], [-1, -2, -3]
    want = [the, capital, day, day, capital, [0.1, 0.2, 0.3], naive, [1, 1, 1], [2, 2, 2], [-0.5, 0.01, 3]]
    assert np.array_equal(features.values, np.float32(want))
    assert features.valid.all()
    assert not features.notes
    assert features.names == ("glove_0", "glove_1", "glove_2")
    assert features.times[1].tolist() == [0.5, 0.9]


def test_unknown_words_are_invalid_and_counted(text: Path) -> None:
    features = stage(text).run(said("the xyzzy day xyzzy plugh ... '' 2"))
    assert features.valid.tolist() == [True, False, True, False, False, False, False, False]
    assert not features.values[~features.valid].any()
    assert features.notes == ("6 of 8 words are not in GloVe: xyzzy, plugh, ..., '', 2",)


def test_words_with_spaces(text: Path) -> None:
    words = Word("at name@domain.com"), Word("the xyzzy  day"), Word("xyzzy plugh"), Word("")
    features = stage(text).run(Transcript(words))
    assert features.values.tolist() == [[0.25, 0.5, 0.75], [4, 5, 6], [0, 0, 0], [0, 0, 0]]
    assert features.valid.tolist() == [True, True, False, False]


def test_no_words(text: Path) -> None:
    assert stage(text).run(Transcript()).values.shape == (0, 3)


def test_the_index_is_made_once_and_belongs_to_the_bytes_of_the_file(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stage(text).run(said("day"))
    monkeypatch.setattr("msapipe.stages.text._vectors._index", lambda path: pytest.fail("it was read again"))
    again = stage(text).run(said("day"))
    assert np.array_equal(first.values, again.values)
    monkeypatch.undo()
    text.write_text("other 1 2\nday 3 4\n", encoding="utf-8")
    assert stage(text).run(said("day")).values.tolist() == [[3, 4]]


def test_a_broken_build_leaves_nothing(text: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MSAPIPE_WEIGHTS", str(tmp_path / "weights"))

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("msapipe.stages.text._vectors.np.save", full)
    with pytest.raises(WeightsError, match="No space left on device; name another folder with MSAPIPE_WEIGHTS"):
        stage(text)
    assert not [path for path in (tmp_path / "weights").rglob("*") if path.suffix != ".lock" and path.is_file()]
    monkeypatch.undo()
    assert len(stage(text).run(said("day")).values) == 1


def test_the_download_is_a_zip(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSAPIPE_WEIGHTS", str(tmp_path / "weights"))
    with pytest.raises(MissingWeights, match="fetch"):
        stage(Path("glove.840B.300d"))
    (known,) = Glove.weights
    folder = known.folder
    folder.mkdir(parents=True)
    with ZipFile(folder / known.file, "w") as archive:
        archive.write(text, "glove.840B.300d.txt")
    packed = folder / known.file
    write_manifest(folder, (StoredFile(known.file, sha256_of(packed), packed.stat().st_size),), {"name": known.name})
    made = Glove()
    made.load("cpu")
    assert made.run(said("day")).values.tolist() == [[7, 8, 9]]
    assert weights_folder() == tmp_path / "weights"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no word vectors"),
        (b"not vectors\nat all\n", "holds no word vectors"),
        (b"%PDF-1.4\x00\xff\n", "holds no word vectors"),
    ],
)
def test_another_format_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "odd.txt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=says):
        stage(path)


def test_a_file_that_breaks_off_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cut.txt"
    path.write_text("".join(f"w{i} 1 2 3\n" for i in range(1500)) + "cut 1 2", encoding="utf-8")
    with pytest.raises(WeightsError, match="line 1501 holds 2 numbers, expected 3"):
        stage(path)


@pytest.mark.parametrize("number", ["nan", "1e999", "x"])
def test_a_line_that_holds_no_numbers_is_refused(tmp_path: Path, number: str) -> None:
    path = tmp_path / "odd.txt"
    path.write_text(f"good 1 2 3\nbad 1 {number} 3\n", encoding="utf-8")
    made = stage(path)
    assert made.run(said("good")).valid.all()
    with pytest.raises(WeightsError, match="the line of 'bad'"):
        made.run(said("bad"))


def test_the_header_of_other_programs_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "word2vec.txt"
    path.write_bytes(b"2 3\nthe 1 2 3\r\nday 4 5 6 \r\n")
    assert stage(path).run(said("the day")).values.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_zip_of_several_files_is_refused(text: Path, tmp_path: Path) -> None:
    path = tmp_path / "several.zip"
    with ZipFile(path, "w") as archive:
        archive.write(text, "a.txt")
        archive.write(text, "b.txt")
    with pytest.raises(WeightsError, match=r"holds 2 .txt \(a.txt, b.txt\), expected one"):
        stage(path)


def test_a_damaged_zip_is_refused(text: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.zip"
    with ZipFile(path, "w") as archive:
        archive.write(text, "a.txt")
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(WeightsError, match="is damaged"):
        stage(path)


def test_two_words_of_one_hash_are_told_apart(text: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MSAPIPE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("msapipe.stages.text._vectors._hash", lambda word: len(word))
    assert stage(text).run(said("the dog")).valid.tolist() == [True, False]


def test_real_vectors_of_mosi(shared: Path, tmp_path: Path) -> None:
    data = shared / "data" / "mosi" / "glove300_subset.npz"
    if not data.is_file():
        pytest.skip(f"{data} is not there")
    with np.load(data, allow_pickle=False) as arrays:
        words, vectors = arrays["words"], arrays["vectors"]
    path = tmp_path / "mosi.txt"
    with path.open("w", encoding="utf-8") as file:
        for word, vector in zip(words, vectors, strict=True):
            file.write(f"{word} {' '.join(map(repr, vector.tolist()))}\n")
    made = stage(path)
    features = made.run(Transcript(tuple(Word(str(word)) for word in words)))
    assert features.values.shape == (2729, 300)
    assert np.array_equal(features.values, vectors)
    spoken = made.run(said("THIS MOVIE WAS REALLY GOOD, ANYHOW."))
    assert spoken.valid.all()
    assert np.array_equal(spoken.values[5], vectors[list(words).index("anyhow")])


def test_the_address_names_the_commit() -> None:
    known = module._GLOVE
    assert "/1db2080b2d94def6e5b0386a523102f9d8849e9d/" in known.url
    assert known.folder != replace(known, url="https://elsewhere").folder
