"""Pickles of lists of examples, as MAG-BERT (Rahman et al., 2020) and MISA read them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from msapipe.formats._fields import Numbers, Remarks, one_number_each, sequences, texts
from msapipe.formats._safe_pickle import as_text


def columns(examples: Any, remarks: Remarks) -> dict[str, Any]:
    """The fields of an MMSA pickle from examples ((words, visual, acoustic, ...), label, segment).

    Words may be vectors (T, D), which then become the text features; otherwise they are the clip's words. A segment
    ``video[3]`` is clip 3 of its video. Raises ValueError naming the row.
    """
    found: dict[str, list[Any]] = {"id": [], "text": [], "vision": [], "audio": [], "raw_text": [], "labels": []}
    for row, example in enumerate(examples):
        try:
            words, vision, audio, said, label, segment = _parts(example)
        except ValueError as error:
            raise ValueError(f"row {row}: {error}") from None
        for name, value in (("text", words), ("vision", vision), ("audio", audio), ("labels", label)):
            found[name].append(value)
        found["raw_text"].append(said)
        found["id"].append(re.sub(r"^(.+)\[(\w+)\]$", r"\1$_$\2", segment))
    bare = sum(part is None for part in found["text"])
    if bare:
        remarks.add(
            "the words of {n} clips have no vectors: they are the clips' text, and there is no feature text", bare
        )
        if bare < len(found["id"]):
            raise ValueError(f"{bare} of {len(found['id'])} rows have words without vectors, the others have vectors")
        del found["text"]
    return found


def _parts(example: Any) -> tuple[Numbers | None, Numbers, Numbers, str, float, str]:
    """Word vectors, visual, acoustic, words, label and segment of one example."""
    if not (isinstance(example, list | tuple) and len(example) >= 3 and isinstance(example[0], list | tuple)):
        raise ValueError("expected ((words, visual, acoustic), label, segment)")
    inputs, label, segment = example[0], example[1], example[2]
    if len(inputs) < 3:
        raise ValueError(f"{len(inputs)} inputs, expected words, visual, acoustic")
    vision, audio = (sequences([part], 1)[0] for part in inputs[1:3])
    given = inputs[3] if len(inputs) > 3 else inputs[0]
    vectors = np.asarray(inputs[0]) if _is_matrix(inputs[0]) else None
    said = "" if vectors is not None and len(inputs) == 3 else texts([given], 1)[0]
    return vectors, vision, audio, said, float(one_number_each([label], 1)[0]), as_text(segment)


def _is_matrix(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "fiu"
