"""What tests of stages share: the sound of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from msapipe.media import Decoder, MediaOptions
from msapipe.types import Clip, Waveform


@pytest.fixture(scope="session")
def sound() -> Iterator[Callable[[Path], Waveform]]:
    """Decodes the sound of a file as a pipeline would."""
    with Decoder() as decoder:
        yield lambda path: decoder.waveform(Clip(path.stem, path), MediaOptions())
