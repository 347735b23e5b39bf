"""The built wheel, in an empty folder: it carries its pipelines and models, and scores a clip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_what_it_needs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    bundled = {name.removeprefix("msapipe/_bundled/") for name in names if name.startswith("msapipe/_bundled/")}
    for path in (
        *(ROOT / "pipelines").glob("*.yaml"),
        *(ROOT / "ablations").glob("*.yaml"),
        *(ROOT / "models").glob("*/model.*"),
        *(ROOT / "models").glob("*/README.md"),
    ):
        assert path.relative_to(ROOT).as_posix() in bundled
    assert "msapipe/py.typed" in names
    assert {name.split("/")[0] for name in names} == {"msapipe", f"{wheel.name.split('-py3')[0]}.dist-info"}
    assert wheel.stat().st_size < 32e6  # text 23.5, studio 5.8, faces 3.1 MB


def test_the_wheel_scores_a_clip_in_an_empty_folder(wheel: Path, samples: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    (tmp_path / "empty").mkdir()
    code = "import msapipe; assert 'site' in msapipe.__file__; from msapipe.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "predict", str(samples / "silent_face.mp4"), "--json"],
        cwd=tmp_path / "empty",
        env={**os.environ, "PYTHONPATH": str(site), "MSAPIPE_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "pocket"
