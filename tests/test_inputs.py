from __future__ import annotations

import io
import os
import sys
import unicodedata
from pathlib import Path

import pytest

from msapipe.datasets import READERS, Example, Refused
from msapipe.pipeline.inputs import find_clips
from msapipe.testing.contract import check_reader
from msapipe.types import Clip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.wav", "a.txt", "notes.md", "deep/er/c.MKV", "deep/b.mp4", ".git/d.mp4", "list.m3u8"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "tree"


def clips(arguments: list[str]) -> list[Clip]:
    return [item.clip for item in find_clips(arguments) if isinstance(item, Example)]


def names(arguments: list[str], tree: Path) -> list[str]:
    return [clip.path.relative_to(tree).as_posix() for clip in clips(arguments)]


def refused(arguments: list[str]) -> dict[str, Refused]:
    return {item.path.name: item for item in find_clips(arguments) if isinstance(item, Refused)}


def test_a_folder_is_searched_through_and_nothing_is_dropped_in_silence(tree: Path) -> None:
    assert names([str(tree)], tree) == ["a.wav", "b.mp4", "list.m3u8", "deep/b.mp4", "deep/er/c.MKV"]
    assert set(refused([str(tree)])) == {"notes.md"}, "the sidecar of a.wav is no clip and no stray file"


def test_ids_are_unique_and_files_are_taken_once(tree: Path) -> None:
    ids = [clip.id for clip in clips([str(tree), str(tree / "b.mp4"), str(tree / "deep")])]
    assert len(set(ids)) == len(ids) == 5
    two = [clip.id for clip in clips([str(tree / "b.mp4"), str(tree / "deep" / "b.mp4")])]
    assert two == ["b.mp4", (tree / "deep" / "b.mp4").as_posix()]


def test_patterns_lists_and_standard_input(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names([str(tree / "*.mp4")], tree) == ["b.mp4"]
    assert names([str(tree / "**" / "b.mp4")], tree) == ["b.mp4", "deep/b.mp4"]
    (tree / "list.txt").write_text("\ufeffb.mp4\r\n# a comment\r\n\r\ndeep/er/c.MKV\r\n")
    assert names([str(tree / "list.txt")], tree) == ["b.mp4", "deep/er/c.MKV"]
    lines = f"{tree / 'b.mp4'}\0{tree / 'a.wav'}\0".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert names(["-"], tree) == ["b.mp4", "a.wav"]
    assert not refused([str(tree / "no*.mp4")])["no*.mp4"].skipped


def test_a_media_file_named_like_a_list_is_a_clip(tree: Path) -> None:
    (tree / "odd.txt").write_bytes(b"\0\0\0\x20ftypisom")
    assert names([str(tree / "odd.txt")], tree) == ["odd.txt"]


def test_a_name_with_pattern_characters_is_a_name_first(tree: Path) -> None:
    (tree / "[1] *.mp4").write_bytes(b"x")
    assert names([str(tree / "[1] *.mp4")], tree) == ["[1] *.mp4"]


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    assert "without any media file" in refused([str(tmp_path)])[tmp_path.name].reason


def test_links_stay_inside(tree: Path) -> None:
    (tree.parent / "outside.mp4").write_bytes(b"x")
    (tree / "ok.mp4").symlink_to("b.mp4")
    (tree / "escape.mp4").symlink_to("../outside.mp4")
    (tree / "nowhere.mp4").symlink_to("gone")
    (tree / "round.mp4").symlink_to("round.mp4")
    (tree / "loop").symlink_to(".")
    (tree / "folder.mp4").mkdir()
    bad = refused([str(tree)])
    assert {name: item.skipped for name, item in bad.items() if name != "notes.md"} == {
        "escape.mp4": False,
        "nowhere.mp4": False,
        "round.mp4": False,
        "loop": True,
        "folder.mp4": True,
    }
    found = names([str(tree)], tree)
    assert "ok.mp4" in found
    assert found.count("b.mp4") == 1


@pytest.mark.skipif(os.name == "nt", reason="names are bytes on POSIX only")
def test_names_of_any_bytes(tree: Path) -> None:
    path = os.fsencode(tree) + b"/bad\xff\xfe\n -i.mp4"
    with open(path, "wb") as file:
        file.write(b"x")
    assert os.fsdecode(path) in [str(clip.path) for clip in clips([str(tree)])]


def test_the_folder_reader_keeps_the_contract(tree: Path) -> None:
    examples = check_reader(READERS.get("folder")(tree))
    assert [example.clip.id for example in examples][:2] == ["a.wav", "b.mp4"]


def listed(tree: Path, data: bytes) -> tuple[list[str], list[str]]:
    (tree / "list.txt").write_bytes(data)
    items = list(find_clips([str(tree / "list.txt")]))
    errors = [item.reason for item in items if isinstance(item, Refused) and not item.skipped]
    return [item.clip.path.name for item in items if isinstance(item, Example)], errors


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gbk"])
def test_lists_in_any_encoding(tree: Path, encoding: str) -> None:
    name = "我非常喜欢这部电影.mp4"
    (tree / name).write_bytes(b"x")
    assert listed(tree, f"{name}\r\nb.mp4\r\n".encode(encoding)) == ([name, "b.mp4"], [])


def test_lists_as_other_systems_write_them(tree: Path) -> None:
    accent = unicodedata.normalize("NFD", "é.mp4")
    (tree / accent).write_bytes(b"x")
    (tree / "._b.mp4").write_bytes(b"x")
    lines = ["deep\\er\\c.MKV", f'"{tree / "a.wav"}"', " b.mp4 ", unicodedata.normalize("NFC", accent), "._b.mp4"]
    assert listed(tree, "\n".join(lines).encode()) == (["c.MKV", "a.wav", "b.mp4", accent], [])


def test_a_line_that_leads_nowhere_is_named(tree: Path) -> None:
    found, errors = listed(tree, b"b.mp4\n\n# a comment\ngone.mp4\n")
    assert found == ["b.mp4"]
    assert errors == ["line 4: gone.mp4 names no file or folder that is there"]


def test_names_that_are_no_text_are_found_by_their_bytes(tree: Path) -> None:
    with open(os.fsencode(tree) + b"/odd\xff.mp4", "wb") as file:
        file.write(b"x")
    assert listed(tree, b"odd\xff.mp4\nb.mp4\n")[0] == [os.fsdecode(b"odd\xff.mp4"), "b.mp4"]
