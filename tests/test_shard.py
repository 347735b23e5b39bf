"""Shards: each clip in one of them, whatever its place in the list."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msapipe.datasets import Example, Refused
from msapipe.errors import RecipeError
from msapipe.pipeline.shard import Shard
from msapipe.types import Clip

names = st.text(st.characters(codec=None), min_size=1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(names, names), max_size=40), st.integers(1, 12), st.randoms())
def test_all_shards_together_are_everything_once(clips: list[tuple[str, str]], count: int, chance: object) -> None:
    examples = [Example(Clip(f"{i}/{name}", Path(name)), video=video) for i, (video, name) in enumerate(clips)]
    items = [*examples, *(Refused(Path(name), "gone", skipped=False) for _, name in clips)]
    parts = [[item for item in items if Shard(number, count).holds(item)] for number in range(1, count + 1)]
    assert sorted(id(item) for part in parts for item in part) == sorted(map(id, items))
    for part in parts:
        inside = {item.video for item in part if isinstance(item, Example)}
        assert inside.isdisjoint(e.video for e in examples if not any(e is item for item in part))


def test_a_clip_stays_in_its_shard_whatever_the_machine() -> None:
    found = [next(n for n in range(1, 5) if Shard(n, 4).holds(Example(Clip(f"v{i}/1", Path("x"))))) for i in range(8)]
    assert found == [3, 4, 2, 1, 1, 1, 4, 4]
    elsewhere = Example(Clip("v0/1", Path("/mnt/other/x")))
    assert Shard(found[0], 4).holds(elsewhere)


def test_many_videos_are_shared_evenly() -> None:
    examples = [Example(Clip(f"{i}.mp4", Path("x")), video=f"video{i // 3}") for i in range(3000)]
    sizes = [sum(Shard(number, 4).holds(example) for example in examples) for number in range(1, 5)]
    assert sum(sizes) == 3000
    assert all(600 < size < 900 for size in sizes)


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "1", "1/0", "-1/4", "a/b", "1/4/2", "", "1.0/2", "²/3", "9" * 5000 + "/1"]
)
def test_what_is_no_shard_is_said(text: str) -> None:
    with pytest.raises(RecipeError, match="expected I/N"):
        Shard.parse(text)


def test_a_shard_as_it_is_written() -> None:
    assert Shard.parse(" 2/4 ") == Shard(2, 4)
    assert Shard.parse("1/1") == Shard(1, 1)
