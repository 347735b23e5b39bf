"""What tests share: where media lie, and one cache in which the sample clips were run once."""

from __future__ import annotations

import os

# Before torch is imported: tests run in several processes, and threads that spin beside them cost more than they do.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from msapipe.api import Pipeline, load
from msapipe.pipeline.run import Outcome
from tests.outside import OUTSIDE, left_out

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_media"
SHARED = ROOT.parent / "shared"

# A busy machine must fail no test, and the same tests pass or fail wherever they run; --hypothesis-profile=searching
# tries other examples each time.
settings.register_profile("searching", deadline=None)
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same")


@pytest.fixture(autouse=True, scope="session")
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No variable of the user, and no cache of theirs, takes part in a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MSAPIPE_")]:
            patch.delenv(name)
        patch.setenv("MSAPIPE_WEIGHTS", str(tmp_path_factory.mktemp("no-weights")))
        patch.setenv("MSAPIPE_CACHE", str(tmp_path_factory.mktemp("default-cache")))
        yield


@pytest.fixture(scope="session")
def samples() -> Path:
    return SAMPLES


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real media beside the project."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: {OUTSIDE}")
    return SHARED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Nothing is left out quietly: the tests that want what lies outside the repository are counted and named."""
    if lines := left_out(terminalreporter.stats.get("skipped", [])):
        terminalreporter.section(f"not run without {SHARED}")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def worked_numbers() -> Path:
    """Numbers worked out by hand from the papers' equations, and metrics by scikit-learn and scipy."""
    return ROOT / "tests" / "worked_numbers"


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tiny checkpoints are built."""
    return tmp_path_factory.mktemp("tiny-weights")


@pytest.fixture(scope="session")
def sample_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sample-cache")


@pytest.fixture(scope="session")
def pocket(sample_cache: Path) -> Iterator[Pipeline]:
    """The default pipeline, over a cache that lasts for the whole run."""
    with load("pocket", cache=sample_cache, device="cpu") as pipeline:
        yield pipeline


@pytest.fixture(scope="session")
def outcomes(pocket: Pipeline) -> dict[str, Outcome]:
    """Every sample clip, run once for real: name without ending to outcome."""
    return {path.stem: next(pocket.run([path])) for path in sorted(SAMPLES.glob("*.mp4"))}
