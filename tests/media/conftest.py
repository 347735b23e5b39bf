"""One decoder for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from msapipe.media import Decoder, Limits


@pytest.fixture(scope="session")
def decoder() -> Iterator[Decoder]:
    with Decoder(Limits()) as one:
        yield one
