"""The command line. One file per command; nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import sys

# Spinning OpenMP threads cost a busy machine two to five times the work; read by the libraries when they load.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# opencv, numpy and torch each bring threads of their own; one clip a process is what scales.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def main() -> None:
    """Entry point of the program ``msapipe``: errors made on purpose become a sentence and an exit code."""
    from msapipe.cli._app import app
    from msapipe.cli._exit import INTERRUPTED, run
    from msapipe.cli._streams import cleaned

    with cleaned():
        code = run(app)
    if code == INTERRUPTED:
        # An interrupt that passed through an exec() makes Python end by the signal after all; scripts want the code.
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
