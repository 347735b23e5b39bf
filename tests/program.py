"""The program in this process, as tests of training use it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import pytest

from msapipe.cli import main

Program = Callable[..., int]


def run_program(*arguments: object) -> int:
    """The exit code of ``msapipe ARGUMENTS``."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["msapipe", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
        finally:
            for number, handler in before.items():  # the program ends by ignoring them
                signal.signal(number, handler)
    return 0
