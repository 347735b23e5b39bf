"""The pickle of MMSA (Mao et al., 2022), read without running any code in it: numpy arrays, text and numbers only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from msapipe.formats._base import Format, made_whole
from msapipe.formats._fields import Remarks
from msapipe.formats._mmsa_parts import Parts
from msapipe.formats._mmsa_splits import Splits, check_splits, split_of
from msapipe.types import Sample


class Mmsa(Format):
    """{"train", "valid", "test"} to arrays of all clips: ids ``video$_$clip``, features (N, T, D), labels (N,).

    text_bert (N, 3, L): token ids, mask and segments. Steps are valid up to the clip's length (``audio_lengths`` if
    present, else the mask of ``text_bert``, else the last row that is not zero; an empty length or mask is ignored if
    there are values); a zero row before it is an invalid step. NaN and infinity become 0, with a note. The format holds
    no times: step i covers [i, i + 1).

    Related files can be read too: other names of splits, MulT's ``labels`` (N, 1, 1) and ids in rows, CH-SIMS v2's
    ``train_mix``, lists of arrays, files of Python 2, and MAG-BERT's lists of examples.

    Written files hold all keys that MMSA's loader reads with either ``need_data_aligned``, float32, and also the
    lengths of text. Clips are padded with zeros to the longest, or to ``steps`` ({"text": 50, "audio": 500, "vision":
    375}), where longer ones are cut; if all modalities of each clip have the same length, so do all arrays (an aligned
    file). A missing modality is one step of zeros. Writing streams; reading loads the whole file.
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
        """Write clips, each with a label and a split; raises MsapipeError if MMSA could not load them."""
        count = 0
        with made_whole(path) as work, closing(Splits(path, work, self.steps)) as splits:
            for sample in samples:
                splits.add(sample)
                count += 1
            with (work / "made").open("wb") as file:
                splits.write(file)
        return count

    def read(self, path: Path) -> Iterator[Sample]:
        """All clips, split by split; raises MsapipeError naming the invalid split and key."""
        remarks, self.notes = Remarks(), ()
        yield from Parts(path, remarks).samples()
        self.notes = remarks.sentences()
