"""From time stamps, which may be missing, repeated or absurd, to times that only grow. Runs in the child."""

from __future__ import annotations

from fractions import Fraction

from msapipe.media._notes import counted

# Further jumps are believed only this far: a recording may pause, a broken stamp says years.
PICTURE_JUMP = 12 * 3600.0
SMALL_STEP_BACK = 1.0


class Clock:
    """Times of pictures in seconds from ``zero``, strictly growing.

    A missing stamp is the previous time plus one picture. A stamp that steps back a little is a picture out of order,
    which is dropped; one that steps far back or absurdly far ahead begins a new count right after the last picture.
    """

    def __init__(self, zero: Fraction, base: Fraction | None, step: float) -> None:
        """``base``: seconds of one unit of the stamps; ``step``: from one picture to the next when no stamp says so."""
        self._zero = float(zero)
        self._base = float(base or 0)
        self.step = step
        self._shift = 0.0
        self._last: float | None = None
        self.missing = self.dropped = self.restarts = 0

    def time(self, pts: int | None) -> float | None:
        """The time of the next picture, or None when it is to be dropped."""
        if pts is None:
            self.missing += 1
            time = self._next()
        else:
            raw = pts * self._base - self._zero
            time = raw + self._shift
            if not self._believable(time):
                self.restarts += 1
                time = self._next()
                self._shift = time - raw
            elif self._last is not None and time <= self._last:
                self.dropped += 1
                return None
        self._last = time
        return time

    def _next(self) -> float:
        return 0.0 if self._last is None else self._last + self.step

    def _believable(self, time: float) -> bool:
        last = self._last
        if last is None:
            return abs(time) <= PICTURE_JUMP
        return last - SMALL_STEP_BACK <= time <= last + PICTURE_JUMP

    def notes(self) -> list[str]:
        """What was wrong with the stamps, as sentences."""
        said = []
        if self.missing:
            said.append(f"{counted(self.missing, 'picture')} without a time stamp placed by the frame rate.")
        if self.dropped:
            said.append(f"{counted(self.dropped, 'picture')} out of order dropped.")
        if self.restarts:
            said.append(f"Time stamps that jump absurdly were not believed ({counted(self.restarts, 'time')}).")
        return said
