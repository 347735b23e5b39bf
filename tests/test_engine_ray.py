"""The Ray engine: what a cluster computes is what one process computes, and a node that is lost loses no clip."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msapipe.cache import Store, open_store
from msapipe.cluster._nodes import folder_of_run
from msapipe.cluster._run_folder import RunFolder
from msapipe.engines.wire import answer, clip_message, outcome_of, runner_of, start_message
from msapipe.errors import CacheError, ConfigError, EndsRun, MissingLibrary
from msapipe.pipeline.plan import plan
from msapipe.pipeline.run import Options, Outcome, Runner
from msapipe.pipeline.spec import PipelineSpec, load_spec, parse_spec
from msapipe.types import Clip
from tests import engines
from tests.engines import run_on_ray as run_clips
from tests.program import run_program

# Cheap to run: what is tried is the engine.
PIPELINE = parse_spec("schema: 1\nstages: {audio: {use: mfcc, n_mfcc: 5}}", "cheap")
# Faces may use a GPU, and geometry waits for them; sound needs none.
TWO_STEPS = parse_spec(
    "schema: 1\nmedia: {fps: 2, max_side: 160}\n"
    "stages: {faces: {use: mtcnn}, speaker: {use: largest}, audio: {use: mfcc}, vision: {use: geometry}}",
    "two",
)
SECONDS_OF_SOUND = 0.5
NODES = 3
TIMES = ("seconds",)

with_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray")


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """A hundred short sounds, five of which are broken."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(100):
        path = tmp_path / "clips" / f"{number:02d} \udcff.wav"
        path.parent.mkdir(exist_ok=True)
        noise = rng.normal(0, 3000, int(16_000 * SECONDS_OF_SOUND)).astype("<i2")
        with path.open("wb") as file, wave.open(file, "wb") as sound:
            sound.setparams((1, 2, 16_000, 0, "NONE", ""))
            sound.writeframes(noise.tobytes())
        if number % 20 == 7:
            path.write_bytes(b"no sound at all")
        made.append(Clip(path.name, path))
    return made


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Three nodes on this machine, each with one CPU and (by its word) one GPU; who has no token stays outside."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 100_000_000}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(NODES - 1):
        made.add_node(**node)
    yield made
    made.shutdown()


def files(cache: Path) -> dict[str, bytes]:
    return {str(path.relative_to(cache)): path.read_bytes() for path in cache.glob("*/*/*.safetensors")}


def said(outcome: Outcome) -> tuple[Any, ...]:
    """What a report says of a clip, times left out."""
    names = ("status", "computed", "error", "missing", "coverage", "notes", "keys")
    return (*(getattr(outcome, name) for name in names), set(outcome.timings) - {"loading"})


def lines(report: Path) -> list[dict[str, Any]]:
    """A report without its times, in order of the clips."""
    found = [json.loads(line) for line in report.read_text().splitlines()]
    return sorted(({k: v for k, v in line.items() if k not in TIMES} for line in found), key=lambda line: line["file"])


def lose_a_node(cluster: Any) -> None:
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)


@with_ray
@pytest.mark.slow
def test_a_node_that_is_lost_loses_no_clip(clips: list[Clip], cluster: Any, tmp_path: Path) -> None:
    spread: dict[str, Outcome] = {}
    for outcome in run_clips(clips, PIPELINE, tmp_path / "ray", Options(), cluster.address):
        spread[outcome.clip.id] = outcome
        if len(spread) == len(clips) // 3:
            lose_a_node(cluster)
    here = {
        outcome.clip.id: outcome for outcome in engines.run_clips(clips, PIPELINE, tmp_path / "local", Options(), 1)
    }
    assert len(spread) == len(clips)
    assert sum(outcome.status == "error" for outcome in spread.values()) == 5
    # A clip may have been stored when its node was lost; it is then found, not computed.
    different = [name for name in here if said(here[name]) != said(spread[name])]
    assert all(not spread[name].computed and here[name].status == spread[name].status for name in different)
    assert len(different) <= NODES
    assert files(tmp_path / "ray") == files(tmp_path / "local")
    assert not list((tmp_path / "ray" / "writing").iterdir())
    assert not list((tmp_path / "ray").glob("run-*"))


@with_ray
@pytest.mark.slow
def test_two_steps_store_what_one_process_stores(
    clips: list[Clip], samples: Path, cluster: Any, tmp_path: Path
) -> None:
    pictures = [
        Clip(f"{name} {start}", samples / f"{name}.mp4", start / 10, start / 10 + 1)
        for name in ("positive", "negative", "two_faces")
        for start in range(4)
    ]
    clips = [*pictures, clips[7]]
    spread: dict[str, Outcome] = {}
    for outcome in run_clips(clips, TWO_STEPS, tmp_path / "ray", Options("auto"), cluster.address, 0.5):
        spread[outcome.clip.id] = outcome
        if len(spread) == 2:
            lose_a_node(cluster)
    here = {outcome.clip.id: outcome for outcome in engines.run_clips(clips, TWO_STEPS, tmp_path / "one", Options(), 1)}
    assert len(spread) == len(clips)
    for name, outcome in here.items():
        assert (outcome.status, outcome.error, outcome.keys) == (
            spread[name].status,
            spread[name].error,
            spread[name].keys,
        )
    assert {"audio/mfcc", "faces/mtcnn"} <= {step for outcome in spread.values() for step in outcome.timings}
    assert files(tmp_path / "ray") == files(tmp_path / "one")


@with_ray
@pytest.mark.slow
def test_a_clip_that_kills_its_process_costs_itself(
    clips: list[Clip],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shim = tmp_path / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(
        "import os\nfrom msapipe.pipeline.run import Runner\n_run = Runner.run\n"
        "def run(self, clip):\n    return os._exit(9) if clip.id[:2] == '03' else _run(self, clip)\nRunner.run = run\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(shim), os.environ.get("PYTHONPATH", "")]))
    cluster = request.getfixturevalue("cluster")
    capsys.readouterr()
    outcomes = list(run_clips(clips[:7], PIPELINE, tmp_path / "cache", Options(), cluster.address))
    assert not capsys.readouterr().out, "standard output is for results, not for notices of raylets"
    dead = [outcome for outcome in outcomes if outcome.status == "error"]
    assert len(outcomes) == 7
    assert [outcome.clip.id for outcome in dead] == [clips[3].id]
    assert "processes died on it" in (dead[0].error or "")


@with_ray
@pytest.mark.slow
def test_the_cache_may_lie_in_a_storage_service(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("MSAPIPE_CACHE", str(tmp_path / "nodes"))
    cluster = request.getfixturevalue("cluster")
    monkeypatch.setenv("MSAPIPE_CACHE", str(tmp_path / "driver"))
    service = tmp_path / "service"
    outcomes = list(run_clips(clips[:20], PIPELINE, service.as_uri(), Options(), cluster.address))
    list(engines.run_clips(clips[:20], PIPELINE, tmp_path / "local", Options(), 1))
    assert sum(outcome.computed for outcome in outcomes) == 19
    assert files(service) == files(tmp_path / "local")
    assert {path.name for path in service.iterdir()} == {path.parts[0] for path in map(Path, files(service))}
    assert not list(tmp_path.glob("driver/remote/*/audio")), "the driver only looked"
    assert len(list(tmp_path.glob("nodes/remote/*/audio/*/*"))) == 19
    again = run_clips([*clips[:7], *clips[8:20]], PIPELINE, service.as_uri(), Options(), "127.0.0.1:1", brief=True)
    assert not any(outcome.computed for outcome in again), "and no cluster is needed for what is there"


@with_ray
@pytest.mark.slow
def test_the_program_reports_alike(clips: list[Clip], cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "cheap.yaml").write_text(PIPELINE.text)
    paths = [clip.path for clip in clips[5:9]]
    common = ("extract", *paths, "--pipeline", tmp_path / "cheap.yaml", "--quiet")
    ray = ("--engine", "ray", "--address", cluster.address)
    assert run_program(*common, "--cache", tmp_path / "a", "--report", tmp_path / "a.jsonl", *ray) == 3
    assert run_program(*common, "--cache", tmp_path / "b", "--report", tmp_path / "b.jsonl") == 3
    assert lines(tmp_path / "a.jsonl") == lines(tmp_path / "b.jsonl")


@with_ray
@pytest.mark.slow
def test_what_the_cluster_cannot_do_is_said(clips: list[Clip], cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the cluster has 3 GPUs"):
        list(run_clips(clips[:1], TWO_STEPS, tmp_path / "cache", Options("auto"), cluster.address, 2.0))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="--cache DIR"):
        list(run_clips(clips[:1], PIPELINE, tmp_path / "file" / "cache", Options(), cluster.address))
    with pytest.raises(EndsRun, match="does not see the cache memory://mine; with --cache name"):
        list(run_clips(clips[:1], PIPELINE, "memory://mine", Options(), cluster.address))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--engine", "rai"), "did you mean 'ray'?"),
        (("--address", "127.0.0.1:1"), "type --engine ray"),
        (("--engine", "ray", "--cache", "s4://bucket/cache"), "no kind of storage is called 's4'"),
        (("--engine", "ray", "--device", "cuda:0"), "--device auto"),
    ],
)
def test_the_program_says_what_is_wrong_with_its_words(
    arguments: tuple[str, ...], message: str, clips: list[Clip], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program("extract", clips[0].path, *arguments) == 2
    assert message in capsys.readouterr().err


@with_ray
def test_an_address_where_nobody_answers_is_said_at_once(clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(EndsRun, match=r"127\.0\.0\.1:1: nobody answers"):
        list(run_clips(clips[:1], PIPELINE, tmp_path / "cache", Options(), "127.0.0.1:1"))
    assert not list((tmp_path / "cache").glob("run-*"))


@with_ray
def test_what_is_stored_needs_no_cluster(clips: list[Clip], tmp_path: Path) -> None:
    list(engines.run_clips(clips[:3], PIPELINE, tmp_path / "cache", Options(), 1))
    outcomes = list(run_clips(clips[:3], PIPELINE, tmp_path / "cache", Options(), "127.0.0.1:1"))
    assert [outcome.computed for outcome in outcomes] == [False, False, False]


def test_what_no_cluster_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give it as a string"):
        list(run_clips([], PIPELINE, Path("s3://bucket/cache"), Options()))
    with pytest.raises(ConfigError, match="Ray says which GPU"):
        list(run_clips([], PIPELINE, tmp_path, Options("cuda:0")))


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_each_beginning_of_a_clip_is_counted(kind: str, tmp_path: Path) -> None:
    store = open_store(tmp_path / "cache" if kind == "folder" else f"memory:/{tmp_path}")
    with folder_of_run(store) as here:
        there = RunFolder(open_store(store.address), here.name)
        assert there.is_seen()
        assert not RunFolder(store, "run-other").is_seen()
        assert [there.begin(1), here.begin(1), there.begin(11), there.begin(1)] == [1, 2, 1, 3]
        here.end(1)
        assert [there.begin(1), there.begin(11)] == [1, 2]
    assert not there.is_seen()


def test_without_the_library_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingLibrary, match=r"uv pip install 'msapipe\[ray\]'"):
        list(run_clips([], PIPELINE, tmp_path, Options()))


def test_a_clip_and_its_outcome_pass_through_the_wire(clips: list[Clip], tmp_path: Path) -> None:
    options = Options(offline=True)
    start = json.loads(json.dumps(start_message(PIPELINE, str(tmp_path / "there"), options)))
    with runner_of(start) as there, Runner(PIPELINE, Store(tmp_path / "here"), options) as here:
        assert (there.spec.text, there.spec.called, there.options) == (PIPELINE.text, PIPELINE.called, options)
        for clip in (Clip("part", clips[0].path, 0.1, 0.3, "some words"), clips[7]):
            passed = json.loads(json.dumps(answer(there, json.loads(json.dumps(clip_message(clip))))))
            assert said(outcome_of(clip, passed)) == said(here.run(clip))
    assert files(tmp_path / "there") == files(tmp_path / "here")


def test_what_ends_a_run_passes_through_the_wire(clips: list[Clip], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with Runner(PIPELINE, Store(tmp_path / "file" / "cache")) as runner:
        passed = answer(runner, clip_message(clips[0]))
    with pytest.raises(CacheError, match="--cache DIR"):
        outcome_of(clips[0], passed)


@pytest.mark.parametrize("name", ["pocket", "plain", "chinese", "agfn"])
def test_the_first_step_makes_what_the_whole_pipeline_asks_for(name: str, samples: Path, tmp_path: Path) -> None:
    whole = load_spec(name)
    first = whole.on_cpu()
    assert whole.can_use_gpu
    assert first is not None
    assert not first.can_use_gpu
    clip, store = Clip("a", samples / "positive.mp4"), Store(tmp_path)
    keys = {step.key for step in plan(clip, whole, store).steps}
    made = {step.key for step in plan(clip, first, store).steps}
    assert len(made) > 1
    assert made < keys


def test_later_alternatives_wait_for_the_gpu() -> None:
    spec = _pipeline("transcript: [{use: sidecar}, {use: whisper}, {use: pocketsphinx}], audio: {use: mfcc}")
    first = spec.on_cpu()
    assert first is not None
    assert [use.where for use in first.uses()] == ["transcript.sidecar", "audio.mfcc"]
    assert _pipeline("faces: {use: mtcnn}, speaker: {use: largest}, vision: {use: geometry}").on_cpu() is None


def _pipeline(stages: str) -> PipelineSpec:
    return parse_spec(f"schema: 1\nstages: {{{stages}}}", "mine")
