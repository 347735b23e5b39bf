"""Clips behind addresses: a site on this machine that lies, breaks and has too much."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from msapipe.errors import MediaError, MissingLibrary, NotMedia
from msapipe.pipeline import web
from msapipe.pipeline.web import fetch_clip, is_address, place_of
from tests.conftest import SAMPLES
from tests.loopback import Page, Site, serving
from tests.program import run_program

FILM = (SAMPLES / "silent_face.mp4").read_bytes()
pytestmark = pytest.mark.skipif(importlib.util.find_spec("yt_dlp") is None, reason="yt-dlp is not installed")


def site_with(site: Site, path: str = "/a%20film.mp4", **more: object) -> str:
    page = Page(FILM, kind="video/mp4", **more)  # type: ignore[arg-type]
    site.pages[path] = page
    return site.url + path


def left_over(cache: Path) -> list[str]:
    return [path.name for path in (cache / "web").iterdir() if not path.name.endswith(".lock")]


def test_a_film_is_fetched_once_and_kept_by_the_hash_of_its_address(tmp_path: Path) -> None:
    with serving() as site:
        address = site_with(site)
        found = fetch_clip(address, tmp_path)
        assert found.read_bytes() == FILM
        assert found.parent == place_of(address, tmp_path)
        assert found.suffix == ".mp4"
        asked = len(site.asked)
        assert fetch_clip(address, tmp_path) == found
        assert fetch_clip(address, tmp_path, offline=True) == found
        assert len(site.asked) == asked
        assert left_over(tmp_path) == [found.parent.name]
        assert place_of(address + "?x", tmp_path) != found.parent


@pytest.mark.parametrize("length", [True, False])
def test_more_than_the_limit_is_given_up(tmp_path: Path, length: bool) -> None:
    with serving() as site:
        address = site_with(site, length=length)
        with pytest.raises(MediaError, match=r"larger than 0\.01 MB"):
            fetch_clip(address, tmp_path, most=10_000)
    assert left_over(tmp_path) == []


def test_what_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    told: list[int] = []
    with serving() as site:
        site.pages["/a.mp4"] = Page(FILM + bytes(20_000_000), kind="video/mp4", length=False)
        with pytest.raises(MediaError, match="larger than 1 MB"):
            fetch_clip(f"{site.url}/a.mp4", tmp_path, most=1_000_000, report=lambda done, total: told.append(done))
    assert max(told, default=0) <= 1_000_000


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    with serving() as site:
        site.pages["/playlist.mp4"] = Page(b"ffconcat version 1.0\nfile /etc/passwd\n", kind="video/mp4")
        with pytest.raises(NotMedia, match="playlist"):
            fetch_clip(f"{site.url}/playlist.mp4", tmp_path)
        for path in ("/nothing.mp4", "/page.html"):
            site.pages["/page.html"] = Page(b"<html><body>no film here</body></html>", kind="text/html")
            with pytest.raises(MediaError, match="cannot be fetched"):
                fetch_clip(f"{site.url}{path}", tmp_path)
    assert left_over(tmp_path) == []


def test_a_film_that_breaks_off_is_not_kept(tmp_path: Path) -> None:
    with serving() as site:
        address = site_with(site, breaks=[1000] * 50, ranges=False)
        with pytest.raises(MediaError):
            fetch_clip(address, tmp_path)
        assert left_over(tmp_path) == []
        assert fetch_clip(site_with(site), tmp_path).read_bytes() == FILM


def test_names_of_strangers_stay_names(tmp_path: Path) -> None:
    with serving() as site:
        address = site_with(site, headers={"Content-Disposition": 'attachment; filename="../../../pwn.mp4"'})
        found = fetch_clip(address, tmp_path / "cache")
        assert found.parent == place_of(address, tmp_path / "cache")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingLibrary, match=r"pip install 'msapipe\[url\]'"):
        fetch_clip("https://example.invalid/a.mp4", tmp_path)


def test_offline_nothing_is_fetched(tmp_path: Path) -> None:
    with serving() as site, pytest.raises(MediaError, match="--offline"):
        fetch_clip(site_with(site), tmp_path, offline=True)
    assert site.asked == []


def test_what_is_an_address() -> None:
    assert is_address("https://x.y/z")
    assert is_address("HTTP://x")
    assert not any(is_address(path) for path in ("a.mp4", "/https://x", "C:/a", "file:///etc/passwd", "ftp://x"))


def test_the_command_takes_addresses_beside_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plain.yaml").write_text(
        "schema: 1\nabout: sound\nmodel: pocket\nstages:\n  audio: {use: prosody}\nalign: none\n"
    )
    with serving() as site:
        addresses = (site_with(site, "/one.mp4"), f"{site.url}/nothing.mp4")
        report = tmp_path / "report.jsonl"
        run_program(
            *("predict", *addresses, "-p", tmp_path / "plain.yaml", "--allow-mismatch", "--report", report),
            *("--cache", tmp_path / "cache", "--json"),
        )
    lines = {line["file"]: line for line in map(json.loads, report.read_text().splitlines())}
    assert lines[addresses[1]]["status"] == "error"
    assert "cannot be fetched" in lines[addresses[1]]["error"]
    assert len(lines) == 2
