"""Token ids belong to one vocabulary: they must be made for the model's own language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import ConfigError
from msapipe.stages.text.tokens import Tokens
from msapipe.train.data import DataSet
from msapipe.types import Sample, Transcript, Word

# Texts tokenised to check whether the ids come from the same vocabulary.
_LOOKED_AT = 20

# The first id of BERT sequences: [CLS] in every checkpoint of the family that is used.
_BERT_CLS = 101


def fitting(data: DataSet, language_model: str) -> tuple[DataSet, str]:
    """The data with token ids for ``language_model``, and a sentence on what was done, "" for nothing.

    Ids from a pipeline must be from the same checkpoint. Ids of a file (``text_bert``) are compared with the texts
    beside them, and remade from these if they differ. Raises ConfigError, with what to type, if ids of another
    vocabulary cannot be remade.
    """
    made_for = _checkpoint_of(data.made_by["features"])
    if made_for is not None:
        if _same(made_for, language_model):
            return data, ""
        raise ConfigError(
            f"{data.name}: its token ids were made for {made_for}, and the model runs {language_model}, for which they "
            f"mean other words; extract the text again with checkpoint: {language_model} in the stage text.tokens, "
            f"or type --set language_model={made_for}"
        )
    bearing = [sample for sample in data.samples if sample.tokens is not None]
    if not bearing:
        return data, ""
    told = [sample for sample in bearing if sample.text.strip()]
    if len(told) < len(bearing):
        return data, _unchecked(data, language_model, bearing)
    stage = Tokens(checkpoint=language_model)
    stage.load("cpu")
    looked = (
        [told[number * len(told) // _LOOKED_AT] for number in range(_LOOKED_AT)] if len(told) > _LOOKED_AT else told
    )
    same = sum(_ids(sample.tokens) == _ids(tokenised(stage, sample.text)) for sample in looked)
    if 2 * same > len(looked):
        return data, ""
    samples = [
        replace(sample, tokens=tokenised(stage, sample.text)) if sample.tokens is not None else sample
        for sample in data.samples
    ]
    return replace(data, samples=tuple(samples)), (
        f"the token ids of {data.name} are not those of {language_model} ({len(looked) - same} of {len(looked)} texts "
        "differ): they were made anew from its texts; steps of audio and vision that were put on the old tokens are "
        "not on the new ones"
    )


def tokenised(stage: Tokens, text: str) -> NDArray[np.int64]:
    """Ids, mask and segments of a text, int64 (3, L)."""
    rows = stage.run(Transcript(tuple(Word(word) for word in text.split())))
    ids, segments, _ = rows.values.astype(np.int64).T
    return np.stack([ids, np.ones_like(ids), segments])


def _checkpoint_of(features: Mapping[str, Any]) -> str | None:
    """The checkpoint of the pipeline's tokens stage; None if the text is something else."""
    for channel in dict(features.get("text") or {}).values():
        if isinstance(channel, Mapping) and channel.get("use") == "tokens":
            return str(channel.get("checkpoint", Tokens.checkpoint))
    return None


def _same(one: str, other: str) -> bool:
    """Whether two names mean the same checkpoint: one folder, or one name with or without its owner or commit."""
    if any(name.startswith(("/", ".", "~")) for name in (one, other)):
        return Path(one).expanduser().resolve() == Path(other).expanduser().resolve()
    return one.partition("@")[0].rpartition("/")[2] == other.partition("@")[0].rpartition("/")[2]


def _ids(tokens: NDArray[np.int64] | None) -> list[int]:
    return [] if tokens is None else tokens[0][tokens[1].astype(bool)].tolist()


def _unchecked(data: DataSet, language_model: str, bearing: Sequence[Sample]) -> str:
    """A sentence on ids without texts; ConfigError if they are a BERT's and the model is not."""
    of_bert = all(_ids(sample.tokens)[:1] == [_BERT_CLS] for sample in bearing if _ids(sample.tokens))
    if of_bert and "xlnet" in language_model.lower():
        raise ConfigError(
            f"{data.name}: its token ids are those of a BERT, the model runs {language_model}, and there are no texts "
            "(raw_text) to make others from; choose a BERT: --set language_model=google-bert/bert-base-uncased"
        )
    return (
        f"{data.name} does not say which vocabulary its token ids are of, and has no texts to compare them with: they "
        f"are read as those of {language_model}"
    )
