"""Shards: each clip in one of them, whatever its place in the list."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msapipe.datasets import Example, Refused
from msapipe.errors import ConfigError
from msapipe.pipeline.shard import Shard
from msapipe.types import Clip

names = st.text(st.characters(codec=None), min_size=1)


def shares(items: Sequence[Example | Refused], count: int) -> list[list[Example | Refused]]:
    return [Shard(number, count).share(items) for number in range(1, count + 1)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(names, names), max_size=40), st.integers(1, 12), st.randoms(use_true_random=False))
def test_all_shards_together_are_all_once(clips: list[tuple[str, str]], count: int, chance: random.Random) -> None:
    examples = [Example(Clip(f"{i}/{name}", Path(name)), video=video) for i, (video, name) in enumerate(clips)]
    items = [*examples, *(Refused(Path(name), "gone", skipped=False) for _, name in clips)]
    parts = shares(items, count)
    assert sorted(id(item) for part in parts for item in part) == sorted(map(id, items))
    for part in parts:
        inside = {item.video for item in part if isinstance(item, Example)}
        assert inside.isdisjoint(e.video for e in examples if not any(e is item for item in part))
    chance.shuffle(items)
    for part, again in zip(parts, shares(items, count), strict=True):
        assert {id(item) for item in part} == {id(item) for item in again}, "whatever the order"


def test_a_clip_is_in_the_same_shard_wherever_the_data_set_is_mounted() -> None:
    here, there = ([Example(Clip(f"v{i}/1", Path(root, f"{i}"))) for i in range(9)] for root in ("/a", "/mnt/other"))
    assert [[item.clip.id for item in part] for part in shares(here, 4)] == [
        [item.clip.id for item in part] for part in shares(there, 4)
    ]


def test_few_videos_are_shared_evenly() -> None:
    sizes = {"a": 3, "b": 5, "c": 3, "d": 4, "e": 2, "f": 7}
    examples = [Example(Clip(f"{v}{i}", Path("x")), video=v) for v, count in sizes.items() for i in range(count)]
    parts = shares(examples, 3)
    assert [{item.video for item in part} for part in parts] == [{"e", "f"}, {"b", "c"}, {"a", "d"}]
    assert [len(part) for part in parts] == [9, 8, 7]
    assert [item.clip.id for item in parts[0]] == ["e0", "e1", *(f"f{i}" for i in range(7))], "in the order of the list"


def test_files_of_their_own_are_dealt_out_one_by_one() -> None:
    parts = shares([Example(Clip(f"{i}.mp4", Path("x"))) for i in range(10)], 4)
    assert [len(part) for part in parts] == [3, 3, 2, 2]


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "1", "1/0", "-1/4", "a/b", "1/4/2", "", "1.0/2", "²/3", "9" * 5000 + "/1"]
)
def test_what_is_no_shard_is_said(text: str) -> None:
    with pytest.raises(ConfigError, match="expected I/N"):
        Shard.parse(text)


def test_a_shard_as_it_is_written() -> None:
    assert Shard.parse(" 2/4 ") == Shard(2, 4)
    assert Shard.parse("1/1") == Shard(1, 1)
