"""Exit codes, and the handling of errors and signals."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

from typer.exceptions import Abort, TyperException

from msapipe.errors import ConfigError, MsapipeError
from msapipe.report.marks import marked

if TYPE_CHECKING:
    import typer

OK, FAILED, USAGE, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130

_asked = False


def run(app: typer.Typer) -> int:
    """Run the program; returns 0 all good, 1 all failed, 2 usage, 3 some failed, 130 interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        code = int(app(standalone_mode=False) or OK)
        sys.stdout.flush()
        if code == INTERRUPTED:  # typer caught it
            raise KeyboardInterrupt
        return code
    except MsapipeError as error:
        _say(str(error))
        return USAGE if isinstance(error, ConfigError) else FAILED
    except (KeyboardInterrupt, Abort):
        _say("interrupted; what was finished is kept, and the same command goes on from there")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has gone (`| head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except TyperException as error:
        # Invalid arguments; typer shows the error with the usage line.
        show = getattr(error, "show", None)
        show() if show is not None else _say(error.format_message())
        return USAGE
    except OSError as error:
        return _of_system(error)
    except (MemoryError, RecursionError) as error:
        what = "there is not enough memory" if isinstance(error, MemoryError) else "something is nested too deeply"
        _say(f"{what} for what this was asked to read; set MSAPIPE_DEBUG=1 to see where")
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last resort: a sentence instead of a traceback
        return _internal(error)


def of_counts(good: int, failed: int) -> int:
    """The exit code of a run over clips."""
    if failed == 0:
        return OK
    return SOME_FAILED if good else FAILED


def _internal(error: Exception) -> int:
    """Report a bug in msapipe: a sentence, and the traceback only on request."""
    if os.environ.get("MSAPIPE_DEBUG"):
        raise error
    _say(f"internal error: {type(error).__name__}: {error}; set MSAPIPE_DEBUG=1 to see where, and please report it")
    return FAILED


def _of_system(error: OSError) -> int:
    """Report a system error such as a full disk or a file without permission, which is no bug."""
    if os.environ.get("MSAPIPE_DEBUG"):
        raise error
    where = f"{error.filename}: " if error.filename else ""
    _say(f"{where}{error.strerror or error}; free space, or name another file or folder")
    try:
        sys.stdout.flush()
    except OSError:  # the output itself failed; Python would try again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt


def stop_if_asked() -> None:
    """Raise KeyboardInterrupt again if a library swallowed the first one (some do while they are imported)."""
    if _asked:
        raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"msapipe: {marked(text)}", file=sys.stderr)
