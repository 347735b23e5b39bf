"""The pickle of MMSA (Mao et al., 2022), read without running anything in it: numpy arrays, text and numbers only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from msapipe.formats._base import Format
from msapipe.formats._fields import Remarks
from msapipe.formats._mmsa_parts import Parts
from msapipe.formats._mmsa_splits import Splits, check_splits, split_of
from msapipe.formats._whole import made_whole
from msapipe.types import Sample


class Mmsa(Format):
    """{"train", "valid", "test"} to arrays of all clips: ids ``video$_$clip``, features (N, T, D), labels (N,).

    text_bert (N, 3, L): token ids, mask and segments. A step counts up to the clip's length (``audio_lengths`` where
    there are any, else the mask of ``text_bert``, else the last row that is not zero; a length or a mask of nothing is
    not believed where there is something); a zero row before it is a step at which nothing was seen. NaN and infinity
    become 0, and are said. The format holds no times: step i is written [i, i + 1).

    Read are also its kin: other names of splits, MulT's ``labels`` (N, 1, 1) and ids in rows, CH-SIMS v2's
    ``train_mix``, lists of arrays, files of Python 2, and MAG-BERT's lists of examples.

    Written are all keys that MMSA's loader reads in either setting of ``need_data_aligned``, float32, and the lengths
    of text too. Clips are filled up with zeros to the longest, or to ``steps`` ({"text": 50, "audio": 500, "vision":
    375}), at which longer ones are cut; where all modalities of every clip have as many steps, all arrays have (an
    aligned file). A modality that a clip lacks is one step of zeros. A file is written in a stream and read as a whole.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".pkl", ".pickle")
    loses: ClassVar[Mapping[str, str]] = {
        "times": "step i is read back as second i to i + 1",
        "valid": "a step that was seen and is zero in all columns is read back as not seen",
        "names": "columns have no names in it",
        "channels": "columns of several stages stand side by side",
        "notes": "it has no place for them",
        "made_by": "models trained on it do not know which pipeline made the features",
    }

    def __init__(self, steps: Mapping[str, int] | None = None) -> None:
        self.steps = steps

    def check(self, path: Path, bare: Iterable[Sample] = ()) -> None:
        """See Format."""
        super().check(path, bare)
        if splits := {split_of(path, sample) for sample in bare}:
            check_splits(path, splits)

    def write(self, path: Path, samples: Iterable[Sample], made_by: Mapping[str, Any] | None = None) -> int:
        """Write clips, each with a label and a split; raises MsapipeError for what MMSA cannot load."""
        count = 0
        with made_whole(path) as work, closing(Splits(path, work, self.steps)) as splits:
            for sample in samples:
                splits.add(sample)
                count += 1
            with (work / "made").open("wb") as file:
                splits.write(file)
        return count

    def read(self, path: Path) -> Iterator[Sample]:
        """All clips, split by split; raises MsapipeError naming the split and key that does not fit."""
        remarks, self.notes = Remarks(), ()
        yield from Parts(path, remarks).samples()
        self.notes = remarks.sentences()
