"""YAML and JSON of strangers: bounded in what is read, and in what a message shows of it."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msapipe.documents import MOST_DEPTH, MOST_YAML, read_json, read_yaml, shown, text_of
from msapipe.errors import MOST_LETTERS, ConfigError, MsapipeError
from msapipe.pipeline.card import model_folder, read_card
from msapipe.pipeline.spec import load_spec, parse_spec
from msapipe.train.variants import load_ablation


def laughs(levels: int = 9, width: int = 10) -> str:
    """The billion laughs: each list holds the one before ten times."""
    lines = ["a0: &a0 [lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels + 1)]
    return "\n".join(lines)


def deep_aliases() -> str:
    """Each line one level deeper than the one before, by an alias."""
    return "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 500))])


BOMBS = {
    "laughs": laughs(),
    "laughs in a mapping": laughs().replace("a9: &a9", "stages: &a9"),
    "letters": "a: &a " + "x" * 500_000 + "\nb: [" + ", ".join(["*a"] * 5000) + "]",
    "merges": "a: &a {b: 1}\n" + "\n".join(f"m{n}: &m{n} {{<<: [{', '.join(['*a'] * 300)}]}}" for n in range(800)),
    "deep flow": "[" * 100_000,
    "deep mapping": "{a: " * 5000,
    "deep block": "\n".join(" " * n + "a:" for n in range(1500)),
    "deep aliases": deep_aliases(),
    "itself": "a: &a [*a]",
    "large": "x" * (MOST_YAML + 1),
    "number": "a: " + "9" * 10_000,
    "date": "a: 2001-99-99",
    "unhashable": "? {a: 1}\n: 2",
    "tag": "a: !!python/object/apply:os.system [true]",
    "torn": "a: [",
    "bytes": "a: \x00",
}


@pytest.mark.parametrize("bomb", BOMBS, ids=str)
def test_a_bomb_is_a_sentence(bomb: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the kind is all that is promised
        read_yaml(BOMBS[bomb])
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("bomb", BOMBS, ids=str)
def test_in_a_pipeline_a_model_card_and_an_ablation(bomb: str, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(BOMBS[bomb])
    for read in (load_spec, load_ablation):
        with pytest.raises(ConfigError) as error:
            read(str(path))
        assert str(path) in str(error.value)
        assert len(str(error.value)) <= MOST_LETTERS + 100
    with pytest.raises(ConfigError):
        read_card(tmp_path)


def test_anchors_that_people_write_are_read() -> None:
    text = "base: &base {fps: 10}\na: {<<: *base, rate: 8000}\nb: [*base, *base]"
    assert read_yaml(text) == {
        "base": {"fps": 10},
        "a": {"fps": 10, "rate": 8000},
        "b": [{"fps": 10}, {"fps": 10}],
    }
    many = "\n".join(f"a{n}: &a{n} {n}\nb{n}: *a{n}" for n in range(1000))
    assert read_yaml(many)["b999"] == 999


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 60 + "]" * 60])
def test_deep_json(text: str) -> None:
    with pytest.raises(ValueError, match=f"at most {MOST_DEPTH}"):
        read_json(text)


def test_brackets_in_texts_do_not_nest() -> None:
    assert read_json('["' + "[" * 1000 + '", "\\"[[[[", [1]]') == ["[" * 1000, '"[[[[', [1]]
    assert len(read_json("[" + "[], " * 1000 + "[]]")) == 1001


def test_a_message_shows_the_beginning_of_what_is_long() -> None:
    assert shown("a") == "'a'"
    assert len(shown({"k" * 9999: ["x" * 9999] * 9999})) < 2000
    with pytest.raises(ConfigError) as error:
        parse_spec("schema: 1\nstages: {faces: " + "y" * 900_000 + "}", "r")
    assert len(str(error.value)) < 5000
    text = str(MsapipeError(f"beginning {'x' * 99_999} type: this"))
    assert len(text) < MOST_LETTERS + 100
    assert text.startswith("beginning")
    assert text.endswith("type: this")


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.yaml")
    with pytest.raises(ValueError, match="no regular file"):
        text_of(tmp_path / "model.yaml", 10)
    (tmp_path / "long").write_text("x" * 11)
    with pytest.raises(ValueError, match="more than 10"):
        text_of(tmp_path / "long", 10)


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_TREES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
)
PIPELINE = load_spec("plain").text


@given(st.text(max_size=300) | _TREES.map(str))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_pipeline_or_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_spec(text, "r")


@given(st.integers(0, len(PIPELINE) - 1), st.integers(0, 20), st.text(max_size=20))
@settings(max_examples=100, deadline=None)
def test_a_damaged_pipeline_is_a_pipeline_or_a_sentence(at: int, cut: int, put: str) -> None:
    with suppress(MsapipeError):  # nothing else may be raised
        parse_spec(PIPELINE[:at] + put + PIPELINE[at + cut :], "r")


CARD = (model_folder("pocket") / "model.yaml").read_text(encoding="utf-8")


@given(st.integers(0, len(CARD) - 1), st.integers(0, 20), st.text(max_size=20))
@settings(max_examples=50, deadline=None)
def test_a_damaged_model_card_is_a_card_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, at: int, cut: int, put: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "card"
    if not folder.is_dir():
        shutil.copytree(model_folder("pocket"), folder)
    (folder / "model.yaml").write_text(CARD[:at] + put + CARD[at + cut :], encoding="utf-8", errors="replace")
    with suppress(MsapipeError):
        read_card(folder)
