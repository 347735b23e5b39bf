"""The public surface is a list, and importing it costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import msapipe

HEAVY = ("torch", "cv2", "av", "transformers", "librosa", "numba", "scipy", "facenet_pytorch", "pocketsphinx")


def test_public_names() -> None:
    assert msapipe.__all__ == [
        "Clip",
        "FeatureSequence",
        "MsapipeError",
        "Pipeline",
        "Prediction",
        "Recording",
        "__version__",
        "load",
    ]
    for name in msapipe.__all__:
        assert getattr(msapipe, name) is not None
    assert dir(msapipe) == sorted(msapipe.__all__)


def test_no_library_reports_its_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime's reports begin with a file of their session, ``.ses``."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    subprocess.run([sys.executable, "-c", "import msapipe, onnxruntime"], check=True)
    assert list(tmp_path.iterdir()) == []


def _run(code: str) -> None:
    block = f"import sys\nfor name in {HEAVY!r}: sys.modules[name] = None\n"
    subprocess.run([sys.executable, "-c", block + code], check=True)


def test_import_needs_nothing_heavy() -> None:
    _run("import msapipe; msapipe.load; msapipe.Prediction")


def test_every_stage_reader_and_format_imports_without_heavy_packages() -> None:
    _run(
        "from msapipe.stages import STAGES\n"
        "from msapipe.datasets import READERS\n"
        "from msapipe.formats import FORMATS\n"
        "for registry in (*STAGES.values(), READERS, FORMATS):\n"
        "    for name in registry.where(): registry.get(name); assert registry.about(name)\n"
    )


def test_command_line_help_needs_nothing_heavy() -> None:
    _run("sys.modules['pydantic'] = None\nfrom msapipe.cli._app import app")
