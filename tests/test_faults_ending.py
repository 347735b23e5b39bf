"""Runs that end early: every clip is told, no process and no half-made folder stays; what a model folder may ask."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from msapipe.cache import Store
from msapipe.cli import main
from msapipe.cli._exit import of_counts
from msapipe.engines import local
from msapipe.errors import CacheError, ConfigError, WeightsError
from msapipe.interrupts import uninterrupted
from msapipe.media import Decoder, MediaOptions
from msapipe.media import decoder as media_decoder
from msapipe.media._process import Child
from msapipe.pipeline.card import model_folder, read_card
from msapipe.pipeline.network import load_network
from msapipe.pipeline.reasons import why_missing
from msapipe.pipeline.run import Options, Outcome, Runner
from msapipe.pipeline.spec import load_spec
from msapipe.types import Clip
from msapipe.weights.torch_file import load_tensors
from tests.program import run_program

SAMPLE = Path(__file__).resolve().parents[1] / "sample_media" / "negative.mp4"


def test_a_cache_that_cannot_be_written_serves_hits_and_tells_every_clip(
    outcomes: dict[str, Outcome],
    sample_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    shutil.copy(outcomes["negative"].clip.path, clips / "b_stored.mp4")
    for name in ("a_new.mp4", "c_new.mp4"):
        (clips / name).write_bytes(SAMPLE.read_bytes() + name.encode())

    def refuse(self: Store, slot: str, key: str, *pieces: object, verify: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Store, "_write", refuse)
    report = tmp_path / "report.jsonl"
    assert run_program("extract", clips, "--cache", sample_cache, "--report", report, "--jobs", "1") == 1
    lines = {Path(line["file"]).name: line for line in map(json.loads, report.read_text().splitlines())}
    assert {name: line["status"] for name, line in lines.items()} == {
        "a_new.mp4": "error",
        "b_stored.mp4": "ok",
        "c_new.mp4": "error",
    }
    assert "cannot be written" in lines["c_new.mp4"]["error"]
    assert "Traceback" not in capsys.readouterr().err


def test_an_interrupt_waits_until_what_was_started_is_known() -> None:
    seen: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("handled"))
    try:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):
                seen[:] = seen
            assert not seen
        assert seen == ["handled"]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as in the program."""

    def handler(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("interrupts")
def test_a_signal_while_a_run_ends_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decoder, "close", lambda self: os.kill(os.getpid(), signal.SIGTERM))
    runner = Runner(load_spec("plain"), Store(tmp_path), Options())
    assert runner.store._writing().is_dir()
    with pytest.raises(KeyboardInterrupt):
        runner.close()
    assert not list((tmp_path / "writing").iterdir())


@pytest.mark.usefixtures("interrupts")
def test_a_signal_while_workers_are_stopped_waits_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Ending:
        def __init__(self, start: object) -> None:
            pass

        def run(self, clip: Clip) -> Outcome:
            return Outcome(clip)

        def stop(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.3)
            told.append("stopped")

    monkeypatch.setattr(local, "Worker", Ending)
    monkeypatch.setattr(Store, "sweep", lambda self: told.append("swept"))
    with Runner(load_spec("plain"), Store(tmp_path), Options()) as runner:
        pool = local._Pool(runner, 1, lambda clip: None, ["cpu"])
        with pytest.raises(KeyboardInterrupt):
            list(pool.run(iter([Clip("a", SAMPLE)])))
    assert told == ["stopped", "swept"]


@pytest.mark.usefixtures("interrupts")
def test_a_child_whose_call_was_interrupted_ends_with_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Child] = []

    class Interrupted(Child):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            made.append(self)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(media_decoder, "Child", Interrupted)
    with Decoder() as decoder, pytest.raises(KeyboardInterrupt):
        decoder.waveform(Clip("c", SAMPLE), MediaOptions())
    assert len(made) == 1
    assert made[0]._process.poll() is not None


def test_no_worker_starts_once_the_pool_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is being started when the run ends: the end waits for it, and then stops it."""
    starting, go_on = threading.Event(), threading.Event()
    stopped: list[object] = []

    class Slow:
        def __init__(self, start: object) -> None:
            starting.set()
            assert go_on.wait(60)

        def run(self, clip: Clip) -> None:
            return None

        def stop(self) -> None:
            stopped.append(self)

    monkeypatch.setattr(local, "Worker", Slow)
    spec = load_spec("plain")
    with Runner(spec, Store(tmp_path), Options()) as runner:
        pool = local._Pool(runner, 1, lambda clip: None, ["cpu"])
        running = pool.run(iter([Clip("a", SAMPLE), Clip("b", SAMPLE)]))
        reader = threading.Thread(target=lambda: next(running, None), daemon=True)
        reader.start()
        assert starting.wait(60)
        ender = threading.Thread(target=pool.end)
        ender.start()
        assert not stopped
        go_on.set()
        ender.join(60)
        assert len(stopped) >= 1
        assert pool._try(0, Clip("a", SAMPLE)) is None


def test_a_folder_for_unfinished_files_that_was_begun_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)

    def interrupted(self: object, *_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("msapipe.cache.store.FileLock.acquire", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store._writing()
    monkeypatch.undo()
    store.close()
    assert not list((tmp_path / "writing").iterdir())


def test_sound_is_called_silent_only_where_it_is() -> None:
    assert why_missing("audio", {}, ["The sound is silent throughout."]) == "the sound is silent"
    assert "silent" not in why_missing("audio", {}, ["no speech heard: there is sound"])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    shutil.copytree(model_folder("pocket"), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["model.safetensors", "model.yaml"])
def test_a_model_folder_that_links_out_of_itself(model: Path, name: str) -> None:
    outside = shutil.move(model / name, model.parent / f"outside-{name}")
    (model / name).symlink_to(outside)
    with pytest.raises((WeightsError, ConfigError), match="link that leads out"):
        read_card(model)
    (model / name).unlink()
    shutil.move(outside, model / f"other-{name}")
    (model / name).symlink_to(f"other-{name}")
    read_card(model)


@pytest.mark.parametrize("file", ["/etc/passwd", "../outside", "sub/model.safetensors"])
def test_a_model_folder_that_names_other_places(model: Path, file: str) -> None:
    card = yaml.safe_load((model / "model.yaml").read_text())
    card["weights"]["file"] = file
    (model / "model.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(WeightsError, match="missing"):
        read_card(model)


def test_a_model_folder_that_asks_for_gigabytes(model: Path) -> None:
    card = yaml.safe_load((model / "model.yaml").read_text())
    card |= {"use": "tfn", "version": 1, "params": {}, "dims": {"text": 400_000_000, "audio": 5, "vision": 5}}
    (model / "model.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(WeightsError, match="it asks for"):
        load_network(model, read_card(model), "m")
    card["params"] = {"no_such": [1]}
    (model / "model.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(WeightsError, match="no tfn can be made"):
        load_network(model, read_card(model), "m")


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch executed",)


def test_a_file_that_runs_code_is_refused_without_advice_to_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    torch.save({"a": _Code()}, "new.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"a": _Code()}))
    (tmp_path / "junk.pt").write_bytes(b"junk" * 100)
    (tmp_path / "junk.safetensors").write_bytes(b"\xff" * 100)
    for name in ("new.pt", "old.pt", "junk.pt", "junk.safetensors"):
        with pytest.raises(ValueError) as error:  # noqa: PT011  # the text is looked at
            load_tensors(tmp_path / name)
        text = str(error.value)
        assert "weights_only" not in text
        assert "trust" not in text
        assert len(text) < 400
    assert not (tmp_path / "executed").exists()
    torch.save({"a": torch.ones(2)}, "good.pt")
    assert np.array_equal(load_tensors(tmp_path / "good.pt")["a"].numpy(), [1, 1])


def test_a_signal_after_all_is_done_does_not_change_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr("msapipe.cli._exit.run", lambda app: 3)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 3
        assert [signal.getsignal(number) for number in before] == [signal.SIG_IGN] * 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_exit_code_of_an_ended_run() -> None:
    assert (of_counts(0, 1), of_counts(1, 1), of_counts(1, 0)) == (1, 3, 0)
    assert issubclass(CacheError, OSError)
