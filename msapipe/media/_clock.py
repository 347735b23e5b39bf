"""Turn time stamps, which may be missing, repeated or absurd, into increasing times. Runs in the child."""

from __future__ import annotations

from fractions import Fraction

from msapipe.media._decode import counted

# Larger jumps are ignored: a recording may pause for hours, but a broken stamp may be off by years.
PICTURE_JUMP = 12 * 3600.0
SMALL_STEP_BACK = 1.0


class Clock:
    """Times of frames in seconds from ``zero``, strictly increasing.

    A missing stamp becomes the previous time plus one frame. A stamp slightly before the last one marks a frame out of
    order, which is dropped. A stamp far back or absurdly far ahead starts a new count right after the last frame.
    """

    def __init__(self, zero: Fraction, base: Fraction | None, step: float) -> None:
        """``base``: seconds per stamp unit; ``step``: seconds from one frame to the next if no stamp says so."""
        self._zero = float(zero)
        self._base = float(base or 0)
        self.step = step
        self._shift = 0.0
        self._last: float | None = None
        self.missing = self.dropped = self.restarts = 0

    def time(self, pts: int | None) -> float | None:
        """The time of the next frame, or None if it is dropped."""
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
        """Sentences on faults of the stamps."""
        said = []
        if self.missing:
            said.append(f"{counted(self.missing, 'picture')} without a time stamp placed by the frame rate.")
        if self.dropped:
            said.append(f"{counted(self.dropped, 'picture')} out of order dropped.")
        if self.restarts:
            said.append(f"Time stamps that jump absurdly were not believed ({counted(self.restarts, 'time')}).")
        return said
