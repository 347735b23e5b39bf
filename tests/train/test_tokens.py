"""Token ids of another vocabulary never pass for those of the model's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from msapipe.errors import ConfigError
from msapipe.stages.text.tokens import Tokens
from msapipe.testing import fakes
from msapipe.testing.tiny import text_bert
from msapipe.train.data import DataSet
from msapipe.train.settings import Settings
from msapipe.train.study import Study, make_fabric
from msapipe.train.tokens import fitting, tokenised
from msapipe.types import Sample

TEXTS = ("what a day", "wonderful", "so good !", "day after day", "a b c", "what")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(text_bert.build(tmp_path_factory.mktemp("bert"))["checkpoint"])


def data(
    tokens: list[np.ndarray | None], texts: tuple[str, ...] = TEXTS, made_by: dict[str, object] | None = None
) -> DataSet:
    samples = tuple(
        Sample(
            f"{i}",
            fakes.features({"text": 5, "audio": 4}, seed=i),
            {"M": i % 3 - 1.0},
            ["train", "valid", "test"][i % 3],
            text=texts[i],
            tokens=tokens[i],
        )
        for i in range(len(texts))
    )
    return DataSet("own.pkl", samples, {"features": made_by or {"file": {}}, "align": None}, (-1.0, 1.0))


def own(bert: str) -> list[np.ndarray | None]:
    stage = Tokens(checkpoint=bert)
    stage.load("cpu")
    return [tokenised(stage, text) for text in TEXTS]


def padded(tokens: np.ndarray | None) -> np.ndarray:
    assert tokens is not None
    return np.pad(tokens, ((0, 0), (0, 12 - tokens.shape[1])))


def test_ids_of_the_same_vocabulary_stay_as_they_are(bert: str) -> None:
    given = data([padded(ids) for ids in own(bert)])
    found, note = fitting(given, bert)
    assert found is given
    assert note == ""


def test_others_are_made_anew_from_the_texts_and_it_is_said(bert: str, tmp_path: Path) -> None:
    right = own(bert)
    foreign = [padded(ids) + np.array([[7], [0], [0]]) for ids in right]
    study = Study(data(foreign), "agfn", {"language_model": bert, "d": 8, "heads": 2}, Settings(epochs=1), tmp_path)
    assert any("are not those of" in note and "6 of 6 texts differ" in note for note in study.notes())
    for sample, ids in zip(study.data.samples, right, strict=True):
        assert sample.tokens is not None
        assert ids is not None
        assert np.array_equal(sample.tokens, ids)
    train = study.tables["train"].whole.tokens
    assert train is not None
    assert right[0] is not None
    assert np.array_equal(train[0, 0, : right[0].shape[1]], right[0][0])
    assert study.run(1, make_fabric()).epochs == 1


def test_ids_that_a_pipeline_made_for_another_checkpoint_are_refused(bert: str, tmp_path: Path) -> None:
    spec = {"text": {"tokens": {"use": "tokens", "version": 1, "checkpoint": "google-bert/bert-base-uncased"}}}
    given = data([None] * 6, made_by=spec)
    with pytest.raises(ConfigError, match=r"made for google-bert/bert-base-uncased, and the model runs xlnet/xlnet"):
        fitting(given, "xlnet/xlnet-base-cased")
    with pytest.raises(ConfigError, match=r"in the stage text\.tokens"):
        Study(given, "hma", {"language_model": bert}, Settings(), tmp_path)
    for same in ("google-bert/bert-base-uncased", "bert-base-uncased", "google-bert/bert-base-uncased@86b5e09"):
        assert fitting(given, same) == (given, "")


def test_without_texts_a_bert_s_ids_are_refused_for_an_xlnet_and_told_for_a_bert() -> None:
    ids = np.array([[101, 2054, 102, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
    given = data([ids] * 6, texts=("",) * 6)
    with pytest.raises(ConfigError, match="token ids are those of a BERT"):
        fitting(given, "xlnet/xlnet-base-cased")
    found, note = fitting(given, "google-bert/bert-base-uncased")
    assert found is given
    assert "has no texts to compare them with" in note
    bare = replace(given, samples=tuple(replace(sample, tokens=None) for sample in given.samples))
    assert fitting(bare, "xlnet/xlnet-base-cased") == (bare, "")
