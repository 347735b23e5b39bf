"""Entries that were damaged on disk are found by a plain run, without reading those that nobody touched."""

from __future__ import annotations

import hashlib
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from msapipe.cache import Store, _seals, store
from msapipe.pipeline.run import Options, Outcome, Runner
from msapipe.pipeline.spec import load_spec
from msapipe.testing.damage import damage
from msapipe.types import FeatureSequence
from tests.engines import run_clips

KEY = "ab" * 32


def value() -> FeatureSequence:
    return FeatureSequence(np.ones((4, 3), np.float32), np.arange(8.0).reshape(4, 2), np.ones(4, bool), ("a", "b", "c"))


def tree(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*.safetensors")
    }


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The entries that are read."""
    seen: list[Path] = []
    read = store.read_entry
    monkeypatch.setattr(store, "read_entry", lambda path, pictures=True: (seen.append(path), read(path, pictures))[1])
    return seen


def test_an_untouched_entry_is_not_read_to_know_that_it_is_whole(tmp_path: Path, reads: list[Path]) -> None:
    Store(tmp_path).put("vision", KEY, value(), {})
    again = Store(tmp_path)
    assert again.whole("vision", KEY)
    assert not reads
    assert again.whole("vision", KEY, verify=True)
    assert len(reads) == 1


@pytest.mark.parametrize("seed", range(20))
def test_a_touched_entry_is_read_and_found_damaged(tmp_path: Path, seed: int, reads: list[Path]) -> None:
    first = Store(tmp_path)
    first.put("vision", KEY, value(), {})
    damage(first.path("vision", KEY), random.Random(seed))
    for asked in (first, Store(tmp_path)):
        assert not asked.whole("vision", KEY)
        assert asked.get("vision", KEY, pictures=False) is None
    assert reads


def test_a_whole_copy_is_read_once(tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path / "a").put("vision", KEY, value(), {})
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    monkeypatch.setattr(_seals, "_SETTLED_SECONDS", -1.0)
    for _ in range(3):
        assert Store(tmp_path / "b").whole("vision", KEY)
    assert len(reads) == 1


def test_a_copy_that_may_still_change_is_not_sealed(tmp_path: Path, reads: list[Path]) -> None:
    Store(tmp_path / "a").put("vision", KEY, value(), {})
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for _ in range(2):
        assert Store(tmp_path / "b").whole("vision", KEY)
    assert len(reads) == 2


def test_without_or_with_torn_seals_entries_are_verified(tmp_path: Path) -> None:
    Store(tmp_path).put("vision", KEY, value(), {})
    (tmp_path / _seals.NAME).write_bytes(b"\xff torn")
    assert Store(tmp_path).whole("vision", KEY)
    (tmp_path / _seals.NAME).unlink()
    assert Store(tmp_path).whole("vision", KEY)


def test_twenty_of_twenty_damaged_entries_are_found_by_a_plain_run(
    outcomes: dict[str, Outcome], sample_cache: Path, tmp_path: Path
) -> None:
    spec, cache = load_spec("pocket"), tmp_path / "cache"
    shutil.copytree(sample_cache, cache)
    shutil.rmtree(cache / "prediction", ignore_errors=True)  # is no result of an extraction
    clips = [outcome.clip for outcome in outcomes.values()]
    before = tree(cache)
    rng = random.Random(7)
    entries = sorted(path for path in cache.rglob("*.safetensors"))
    with Runner(spec, Store(cache)) as runner:
        used = {str(runner.store.path(*one)) for clip in clips for one in runner._outcome(clip, False).keys.items()}
    victims = rng.sample([path for path in entries if str(path) in used], 20)
    for path in victims:
        damage(path, rng)
    list(run_clips(clips, spec, cache, Options("cpu"), jobs=1, brief=True))
    assert tree(cache) == before
    assert not any(outcome.computed for outcome in run_clips(clips, spec, cache, Options("cpu"), jobs=1, brief=True))


def test_damage_that_no_time_tells_is_found_when_asked(
    outcomes: dict[str, Outcome], sample_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, cache = load_spec("pocket"), tmp_path / "cache"
    shutil.copytree(sample_cache, cache)
    clip = outcomes["positive"].clip
    with Runner(spec, Store(cache)) as runner:
        victim = runner.store.path("vision", runner._outcome(clip, False).keys["vision"])
    data = bytearray(victim.read_bytes())
    data[-3] ^= 1
    victim.write_bytes(data)
    monkeypatch.setattr(_seals.Seals, "holds", lambda self, key, place: True)
    for verify, computed in ((False, False), (True, True), (True, False)):
        (outcome,) = run_clips([clip], spec, cache, Options("cpu", verify=verify), jobs=1, brief=True)
        assert outcome.computed == computed
