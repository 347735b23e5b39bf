from __future__ import annotations

import torch

from msapipe.fusion._aligned import last_step, lengths, one_grid
from msapipe.fusion._base import Batch


def batch(**steps: list[list[float | None]]) -> Batch:
    """One column a modality; None is a step that is masked out."""
    values = {
        name: torch.tensor([[[0.0 if step is None else step] for step in row] for row in rows])
        for name, rows in steps.items()
    }
    mask = {name: torch.tensor([[step is not None for step in row] for row in rows]) for name, rows in steps.items()}
    return Batch(values, mask)


def test_lengths_end_at_the_last_valid_step() -> None:
    mask = torch.tensor([[True, False, True, False], [False] * 4])
    assert lengths(mask).tolist() == [3, 0]
    states = torch.arange(8.0).view(2, 4, 1)
    assert last_step(states, mask)[:, 0].tolist() == [2.0, 4.0]


def test_windows_are_averages_over_what_is_valid() -> None:
    clips = batch(
        text=[[1, 2, 3], [4, 5, None]],
        audio=[[1, 3, 5, 7, None, None], [10, None, 20, 30, 40, 60]],
        vision=[[7, 8, 9], [6, None, None]],
    )
    values, mask = one_grid(clips, ["text", "audio", "vision"])
    assert mask.tolist() == [[True, True, True], [True, True, False]]
    # Four steps in three windows share their borders; six in two are split evenly, and the hole does not count.
    assert torch.allclose(values["audio"][:, :, 0], torch.tensor([[2.0, 4.0, 6.0], [15.0, 130 / 3, 0.0]]))
    assert values["text"][:, :, 0].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 0.0]]
    # A sequence shorter than the grid is repeated.
    assert values["vision"][:, :, 0].tolist() == [[7.0, 8.0, 9.0], [6.0, 6.0, 0.0]]


def test_holes_keep_their_place() -> None:
    values, mask = one_grid(batch(text=[[1, None, 3]], audio=[[5, 6, 7]]), ["text", "audio"])
    assert values["text"][0, :, 0].tolist() == [1.0, 0.0, 3.0]
    assert values["audio"][0, :, 0].tolist() == [5.0, 6.0, 7.0]
    assert mask.all()


def test_without_text_the_shortest_gives_the_grid() -> None:
    clips = batch(text=[[None, None]], audio=[[1, 3, 5, 7]], vision=[[2, 4]])
    values, mask = one_grid(clips, ["text", "audio", "vision"])
    assert mask.tolist() == [[True, True]]
    assert values["audio"][0, :, 0].tolist() == [2.0, 6.0]
    assert values["text"][0, :, 0].tolist() == [0.0, 0.0]
    nothing, mask = one_grid(batch(audio=[[None]], vision=[[None, None]]), ["audio", "vision"])
    assert mask.tolist() == [[True]]
    assert not any(part.any() for part in nothing.values())


def test_no_more_windows_than_allowed() -> None:
    values, mask = one_grid(batch(text=[[1, 3, 5, 7]]), ["text"], most=2)
    assert values["text"][0, :, 0].tolist() == [2.0, 6.0]
    assert mask.tolist() == [[True, True]]
