"""What strangers named and wrote reaches a terminal and a page as marks, never as control characters."""

from __future__ import annotations

import io
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from msapipe.cli._streams import Cleaned, clean, cleaned, console
from msapipe.report.html import paragraph, write_page
from msapipe.report.template import write_text
from tests.program import run_program

ESC = "\x1b]0;owned\x07\x1b[2J\x9b31m"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
REPOSITORY = Path(__file__).resolve().parents[1]


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert not RAW.search(out), out
    assert not RAW.search(err), err
    return out + err


def test_print_and_rich(capsys: pytest.CaptureFixture[str]) -> None:
    with cleaned():
        sys.stdout.write(f"a{ESC}b\tc\n")
        sys.stderr.write(f"a{ESC}\r\n")
        console().print(f"[bold]x{ESC}[/bold] y")
        console(stderr=True).print(f"x{ESC}", markup=False)
    text = printed(capsys)
    assert r"a\x1b]0;owned\x07" in text
    assert "\tc" in text
    assert not isinstance(sys.stdout, Cleaned)


def test_colours_of_our_own_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with cleaned():
        console().print("[red]word[/red]")
    assert "\x1b[31mword" in stream.getvalue()


def test_what_can_be_seen_stays() -> None:
    for text in ("plain\n", "日本語 ünï \U0001f468\u200d\U0001f469", "a\tb"):
        assert clean(text) == text
    assert clean("a\rb\u202ec") == "a\\rb\\u202ec"


def test_names_of_files_pipelines_and_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / f"a{ESC}.mp4"
    clip.write_bytes((REPOSITORY / "sample_media" / "negative.mp4").read_bytes())
    spec = tmp_path / f"r{ESC}.yaml"
    spec.write_text((REPOSITORY / "pipelines" / "plain.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    cache = tmp_path / "cache"
    assert run_program("extract", clip, "--dry-run", "--cache", cache, "-p", spec) == 0
    assert "would compute" in printed(capsys)
    assert run_program("plan", clip, "--cache", cache, "-p", spec) == 0
    printed(capsys)
    assert run_program("extract", clip, "--cache", cache, "-p", tmp_path / f"no{ESC}.yaml") == 2
    printed(capsys)
    assert run_program("convert", tmp_path / f"x{ESC}.pkl", tmp_path / f"y{ESC}.safetensors") == 2
    printed(capsys)
    assert run_program("cache", "stat", "--cache", tmp_path / f"c{ESC}") == 0
    printed(capsys)
    assert run_program(f"no{ESC}command") == 2
    printed(capsys)


def test_ids_of_clips_in_a_file_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / f"features{ESC}.pkl"
    split = {
        "id": [f"v$_${ESC}{n}" for n in range(4)],
        "raw_text": [f"words {ESC}"] * 4,
        "text": np.full((4, 2, 3), np.nan, np.float32),
        "audio": np.ones((4, 2, 3), np.float32),
        "vision": np.ones((4, 2, 3), np.float32),
        "regression_labels": np.array([0.5, 9e9, np.nan, -1], np.float32),
    }
    source.write_bytes(pickle.dumps(dict.fromkeys(("train", "valid", "test"), split)))
    for command in (
        ("train", source, "--model", "late", "-o", tmp_path / f"m{ESC}", "--set", "epochs=1"),
        ("convert", source, tmp_path / f"out{ESC}.safetensors"),
    ):
        run_program(*command)
        printed(capsys)


def test_pages(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_page(page, f"title{ESC}", [paragraph(f"<b>{ESC}")])
    assert not RAW.search(page.read_text(encoding="utf-8"))
    assert "&lt;b&gt;\\x1b]0" in page.read_text(encoding="utf-8")
    write_text(page, f"raw {ESC}\n\tline")
    assert not RAW.search(page.read_text(encoding="utf-8"))


FULL = Path("/dev/full")
DEEP = {"yaml": "a: " + "[" * 5000, "torn": "a: [", "date": "a: 2001-99-99"}


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_report_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "a.mp4"
    clip.write_bytes(b"")
    assert run_program("extract", clip, "--cache", tmp_path / "c", "--report", FULL) == 1
    text = printed(capsys)
    assert "/dev/full cannot be written: No space left on device" in text
    assert "internal error" not in text
    assert run_program("extract", clip, "--cache", tmp_path / "c", "--html", tmp_path / "no" / "x.html") == 2
    assert "internal error" not in printed(capsys)


@pytest.mark.parametrize("kind", DEEP)
def test_bad_input_is_no_internal_error(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "r.yaml"
    spec.write_text(DEEP[kind])
    assert run_program("extract", tmp_path, "--cache", tmp_path / "c", "-p", spec) == 2
    (tmp_path / "model.yaml").write_text(DEEP[kind])
    assert run_program("predict", tmp_path, "--cache", tmp_path / "c", "--model", tmp_path) == 2
    source = tmp_path / "f.pkl"
    source.write_bytes(pickle.dumps({}))
    for value in DEEP.values():
        assert run_program("train", source, "--model", "late", "-o", tmp_path / "m", "--set", f"dropout={value}") != 0
    text = printed(capsys)
    assert "internal error" not in text
    assert len(text) < 20_000


def test_deep_json_in_a_header(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.numpy import save_file

    for name, text in {"deep": "[" * 100_000, "closed": "[" * 3000 + "]" * 3000, "number": "9" * 9999}.items():
        path = tmp_path / f"{name}.safetensors"
        save_file({"0/text/values": np.ones((1, 1), np.float32)}, str(path), {"msapipe": text})
        assert run_program("convert", path, tmp_path / f"{name}.pkl") == 1
    head = b'{"__metadata__":' + b"[" * 100_000
    (tmp_path / "raw.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)
    assert run_program("convert", tmp_path / "raw.safetensors", tmp_path / "raw.pkl") == 1
    assert "internal error" not in printed(capsys)
