"""Pages in a real browser: the demo, the report and the API's page; who is asked, what screen readers find, pictures.

With MSAPIPE_SCREENSHOTS=docs/pictures the pictures of docs/report.md are made anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import ROOT, SAMPLES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

# Read now: tests run without the variables of the user.
_PICTURES = os.environ.get("MSAPIPE_SCREENSHOTS", "")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# A camera and a microphone that are made up, and nobody to be asked.
_FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
_SECONDS = 120_000  # milliseconds, as the browser counts


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=_FLAGS)
        yield browser
        browser.close()


@contextmanager
def program(*arguments: object, folder: Path | None = None) -> Iterator[str]:
    """The address that a command of ours serves at, until the block ends."""
    command = [sys.executable, "-m", "msapipe", *map(str, arguments), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder)
    assert process.stderr is not None
    try:
        found = re.search(r"http://[\d.:]+", process.stderr.readline())
        assert found is not None
        yield found[0]
    finally:
        process.terminate()
        process.wait(60)
        process.stderr.close()


class Watched:
    """A page whose requests, dialogs and errors are written down."""

    def __init__(self, browser: Browser, width: int = 1100, height: int = 850, **options: Any) -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": height}, **options)
        self.asked: set[str] = set()
        self.trouble: list[str] = []
        self.page.on("request", lambda request: self.asked.add(urlsplit(request.url).netloc))
        self.page.on("dialog", lambda dialog: (self.trouble.append(dialog.message), dialog.dismiss()))
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.set_default_timeout(_SECONDS)

    def check(self, *addresses: str) -> None:
        """Nobody else was asked, and no script of a stranger ran."""
        assert self.asked - {"", *(urlsplit(address).netloc for address in addresses)} == set()
        assert self.trouble == []

    def violations(self, within: str = "") -> list[str]:
        """What axe-core finds that is serious or critical."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page, context=within or None).response["violations"]
        return [
            f"{each['id']}: {[node['html'][:80] for node in each['nodes']][:3]}"
            for each in found
            if each["impact"] in ("serious", "critical")
        ]

    def picture(self, name: str) -> None:
        """A small picture for the documentation, where it was asked for."""
        if _PICTURES:
            from PIL import Image

            path = ROOT / _PICTURES / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=path)
            with Image.open(path) as image:
                image.convert("RGB").quantize(64).save(path, optimize=True)


def score(watched: Watched, clip: Path) -> None:
    """Choose a file and press the button."""
    page = watched.page
    if page.locator("#upload [aria-label='Clear']").count():
        page.locator("#upload [aria-label='Clear']").first.click()
    page.set_input_files("#upload input[type=file]", clip)
    page.wait_for_selector("#upload .file-preview")
    page.click("#score")


def test_the_demo(browser: Browser, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "models" / "pocket", tmp_path / "other")
    with program("demo", "--cache", "cache", "--model", "pocket", "--model", "other", folder=tmp_path) as address:
        watched = Watched(browser)
        page = watched.page
        page.goto(address)
        page.wait_for_selector("#score")

        page.click("#score")
        page.wait_for_selector("#problem")
        assert "Choose a clip first" in page.inner_text("#problem")

        text = tmp_path / "<img src=x onerror=alert(1)>.mp4"
        text.write_text("this is no film")
        score(watched, text)
        page.wait_for_function("document.querySelector('#problem')?.innerText.includes('text file')")

        score(watched, SAMPLES / "positive.mp4")
        page.wait_for_selector("#progress")
        page.wait_for_selector("#scores")
        assert "+2.86" in page.inner_text("#scores")
        report = page.frame_locator("#pages iframe")
        report.locator("svg").first.wait_for()
        assert report.locator("video").count() == 1
        assert report.locator(".words button").count() > 5
        watched.picture("demo.png")

        page.click("#second input")
        page.get_by_role("option", name="other", exact=True).click()
        score(watched, SAMPLES / "negative.mp4")
        page.wait_for_function("document.querySelectorAll('#scores thead th').length == 3")
        assert page.locator("#pages iframe").count() == 2
        assert page.inner_text("#scores thead").split() == ["model", "pocket", "other"]
        assert page.inner_text("#scores tbody tr >> nth=0").count("-2.36") == 2
        watched.picture("compare.png")
        assert watched.violations() == []
        watched.check(address)


def test_the_demo_takes_what_the_camera_records(browser: Browser, tmp_path: Path) -> None:
    with program("demo", "--cache", tmp_path / "cache") as address:
        watched = Watched(browser, permissions=["camera", "microphone"])
        page = watched.page
        page.goto(address)
        page.get_by_role("tab", name="Record").click()
        page.get_by_role("button", name="Click to Access Webcam").click()
        page.locator(".capture-button", has_text="Record").click()
        page.locator(".capture-button", has_text="Stop").wait_for()
        page.wait_for_timeout(2500)
        page.locator(".capture-button", has_text="Stop").click()
        page.locator("video[src]").first.wait_for()
        page.click("#score")
        # A made-up picture without a face, and a beep: whatever is said of it, it was read.
        page.wait_for_selector("#scores, #problem")
        told = page.inner_text("#state")
        assert "nothing to score" in told or "score" in told
        watched.check(address)


def test_the_page_of_the_api(browser: Browser, tmp_path: Path) -> None:
    with program("serve", "--cache", tmp_path / "cache", "--root", SAMPLES) as address:
        watched = Watched(browser)
        page = watched.page
        page.goto(f"{address}/docs")
        page.get_by_text("/jobs/by-path").first.wait_for()
        assert page.locator(".opblock").count() >= 8
        watched.picture("api.png")
        assert watched.violations() == []
        watched.check(address)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report(browser: Browser, tmp_path: Path, scheme: Any) -> None:
    clip, path = tmp_path / "<img src=x onerror=alert(1)>.mp4", tmp_path / "page.html"
    shutil.copy(SAMPLES / "two_faces.mp4" if (SAMPLES / "two_faces.mp4").exists() else SAMPLES / "positive.mp4", clip)
    clip.with_suffix(".srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nI am <script>alert(2)</script> happy\n")
    command = [sys.executable, "-m", "msapipe", "predict", clip, "--html", path, "--cache", tmp_path / "cache"]
    subprocess.run(command, check=True, capture_output=True)
    watched = Watched(browser, color_scheme=scheme)
    page = watched.page
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelector('#film').readyState >= 1")
    page.click(".words button >> nth=2")
    page.wait_for_function("document.querySelector('#film').currentTime > 0")
    assert watched.violations() == []
    watched.check()
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_of_a_sample_clip(browser: Browser, tmp_path: Path, scheme: Any) -> None:
    path = tmp_path / "page.html"
    command = [sys.executable, "-m", "msapipe", "predict", SAMPLES / "positive.mp4", "--html", path]
    subprocess.run([*command, "--cache", tmp_path / "cache"], check=True, capture_output=True)
    assert path.stat().st_size < 1_000_000
    watched = Watched(browser, height=1250, color_scheme=scheme)
    watched.page.goto(path.as_uri())
    watched.page.wait_for_function("document.querySelector('#film').readyState >= 2")
    assert watched.violations() == []
    watched.picture(f"report-{scheme}.png")
    watched.check()
