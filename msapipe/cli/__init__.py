"""The command line. One module per command; heavy imports wait until a command needs them."""

from __future__ import annotations

import os
import signal
import sys

# Spinning OpenMP threads make a busy machine two to five times as slow. Libraries read this when loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# opencv, numpy and torch each start threads of their own; one clip per process scales better.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def main() -> None:
    """Entry point of the program ``msapipe``: expected errors become a sentence and an exit code."""
    from msapipe.cli._app import app
    from msapipe.cli._exit import INTERRUPTED, run
    from msapipe.cli._streams import cleaned

    with cleaned():
        code = run(app)
    if code == INTERRUPTED:
        # After an interrupt inside exec(), Python ends by the signal after all; scripts need the exit code.
        sys.stdout.flush()
        os._exit(code)
    # All is done: a signal while Python takes itself apart must not change the exit code.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)
