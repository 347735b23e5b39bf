"""The display size and orientation of a video. Runs in the child."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

# Rows (a, b), (c, d) of a display matrix: source pixel (x, y) is shown at (a x + c y, b x + d y).
Turn = tuple[int, int, int, int]
UPRIGHT: Turn = (1, 0, 0, 1)
UPRIGHT_MATRIX = (1, 0, 0, 0, 1, 0, 0, 0, 1)


def read_matrix(data: bytes) -> Sequence[int] | None:
    """The nine numbers of a display matrix in libav's side data; None if there are not nine."""
    if len(data) < 36:
        return None
    return [int(number) for number in np.frombuffer(data, "=i4", 9)]


def matrix_of(angle: int) -> Sequence[int]:
    """The display matrix of a counterclockwise rotation by ``angle`` degrees; exact for quarter turns."""
    turns = {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}
    a, b, c, d = turns.get(angle % 360, (1, 1, 1, 1))
    return (a, b, 0, c, d, 0, 0, 0, 1)


def turn_of(matrix: Sequence[int]) -> Turn | None:
    """The quarter turn or mirroring of a display matrix; None for anything else."""
    a, b, c, d = (float(matrix[i]) for i in (0, 1, 3, 4))
    size = max(abs(a), abs(b), abs(c), abs(d))
    if size == 0:
        return None
    whole = [round(value / size) for value in (a, b, c, d)]
    if any(abs(value / size - n) > 0.01 for value, n in zip((a, b, c, d), whole, strict=True)):
        return None
    turn: Turn = (whole[0], whole[1], whole[2], whole[3])
    straight = turn[1] == turn[2] == 0 and turn[0] and turn[3]
    crossed = turn[0] == turn[3] == 0 and turn[1] and turn[2]
    return turn if straight or crossed else None


def apply_turn(picture: NDArray[np.uint8], turn: Turn) -> NDArray[np.uint8]:
    """The image, uint8 (H, W, 3), in display orientation: (H, W, 3) or (W, H, 3)."""
    a, b, c, d = turn
    if a:
        rows, columns = d, a
    else:
        picture, rows, columns = picture.transpose(1, 0, 2), b, c
    return np.ascontiguousarray(picture[::rows, ::columns])


def shown_size(width: int, height: int, aspect: Fraction | None, max_side: int) -> tuple[int, int]:
    """Width and height with square pixels, the longer side at most ``max_side``.

    aspect: pixel width over pixel height, which scales the width; None, 0 and absurd values count as 1.
    """
    wide = float(width)
    if aspect and Fraction(1, 10) <= aspect <= 10:
        wide *= float(aspect)
    scale = min(1.0, max_side / max(wide, height))
    return max(1, round(wide * scale)), max(1, round(height * scale))
