"""The local engine: the same results from worker processes, and a worker's death costs one clip."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from msapipe.cache import Store
from msapipe.engines.local import Worker, _Pool
from msapipe.errors import CacheError
from msapipe.pipeline.run import Options, Outcome, Runner
from msapipe.pipeline.spec import parse_spec
from msapipe.types import Clip
from tests.engines import run_clips

# Cheap to run: what is tried is the engine.
PIPELINE = parse_spec("schema: 1\nstages: {audio: {use: mfcc, n_mfcc: 5}}", "cheap")


@pytest.fixture
def clips(samples: Path, tmp_path: Path) -> list[Clip]:
    made = []
    for number, name in enumerate(("positive", "negative", "vfr", "no_face", "two_faces")):
        path = tmp_path / "clips" / f"{number} {name} \udcff.mp4"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(samples / f"{name}.mp4", path)
        made.append(Clip(path.name, path))
    return made


def run(clips: list[Clip], cache: Path, jobs: int) -> dict[str, Outcome]:
    return {outcome.clip.id: outcome for outcome in run_clips(clips, PIPELINE, cache, Options(), jobs)}


def files(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.glob("*/*/*.safetensors")}


def test_two_workers_write_what_one_process_writes(clips: list[Clip], tmp_path: Path) -> None:
    one, two = run(clips, tmp_path / "one", 1), run(clips, tmp_path / "two", 2)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    for name, outcome in one.items():
        other = two[name]
        assert (outcome.status, outcome.notes, outcome.keys) == (other.status, other.notes, other.keys)
        assert outcome.computed
        assert other.computed
    assert not list((tmp_path / "two" / "writing").iterdir())


def test_what_is_stored_needs_no_worker(clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(clips, tmp_path / "cache", 1)
    monkeypatch.setattr("msapipe.engines.local.Worker", None)
    again = run(clips, tmp_path / "cache", 2)
    assert len(again) == len(clips)
    assert not any(outcome.computed for outcome in again.values())
    assert all(outcome.features for outcome in again.values())


def test_without_summaries_the_first_clips_are_read_here_and_the_others_by_workers(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    run(clips, cache, 1)
    shutil.rmtree(cache / "summary")
    monkeypatch.setattr("msapipe.engines.look._READ_HERE", 1)
    asked: list[str] = []
    monkeypatch.setattr("msapipe.engines.local.Worker", _counted(asked))
    for jobs, workers_asked in ((2, 4), (2, 0)):  # the second time there are summaries
        asked.clear()
        again = {found.clip.id: found for found in run_clips(clips, PIPELINE, cache, Options(), jobs, brief=True)}
        assert len(asked) == workers_asked
        assert [again[clip.id].status for clip in clips] == ["ok"] * 5
        assert not any(outcome.computed or outcome.features for name, outcome in again.items() if name in asked)


def _counted(asked: list[str]) -> type[Worker]:
    class Counted(Worker):
        def run(self, clip: Clip) -> Outcome | None:
            asked.append(clip.id)
            return super().run(clip)

    return Counted


def test_a_worker_that_dies_costs_one_clip(clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(
        "import os\nfrom msapipe.pipeline.run import Runner\n_run = Runner.run\n"
        "def run(self, clip):\n    return os._exit(9) if 'vfr' in clip.id else _run(self, clip)\nRunner.run = run\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(shim))
    outcomes = run(clips, tmp_path / "cache", 2)
    assert len(outcomes) == len(clips)
    dead = [outcome for outcome in outcomes.values() if outcome.status == "error"]
    assert [outcome.clip.id for outcome in dead] == [clips[2].id]
    assert "died on it twice" in (dead[0].error or "")


def test_a_cache_that_cannot_be_written_stops_the_run(clips: list[Clip], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="--cache DIR"):
        run(clips, tmp_path / "file" / "cache", 2)


def test_stopped_early_it_leaves_nothing(clips: list[Clip], tmp_path: Path) -> None:
    outcomes = run_clips(clips, PIPELINE, tmp_path / "cache", Options(), 2)
    assert next(outcomes).status == "ok"
    outcomes.close()
    assert not list((tmp_path / "cache" / "writing").iterdir())
    with Runner(PIPELINE, Store(tmp_path / "cache")) as runner:
        assert all(runner.run(clip).status == "ok" for clip in clips)


def test_two_runs_on_one_cache_share_the_work(clips: list[Clip], tmp_path: Path) -> None:
    import threading

    counts: list[int] = []

    def work() -> None:
        outcomes = run_clips(clips, PIPELINE, tmp_path / "cache", Options(), 1)
        counts.append(sum(outcome.computed for outcome in outcomes))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == len(clips)


def test_several_devices_are_dealt_out_to_the_workers(tmp_path: Path) -> None:
    with Runner(PIPELINE, Store(tmp_path)) as runner:
        pool = _Pool(runner, 3, runner.stored, ["cuda:0", "cuda:1"])
    assert [start["options"]["device"] for start in pool._starts] == ["cuda:0", "cuda:1", "cuda:0"]
