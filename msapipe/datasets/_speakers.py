"""Which videos must stay on one side of a split: those that share a speaker."""

from __future__ import annotations

from collections.abc import Iterable


def groups(seen: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of (video, speaker), each video to the name of its group: the least of all videos that it shares speakers with.

    Sharing goes on: where a is with b in one video and b with c in another, all three are one group. An empty speaker
    is nobody, who is in no two videos.
    """
    above: dict[str, str] = {}  # a forest of videos and speakers, a tree a group

    def top(node: str) -> str:
        while above.setdefault(node, node) != node:
            above[node] = node = above[above[node]]
        return node

    videos = []
    for video, speaker in seen:
        videos.append(video)
        if speaker:
            above[top(f"s{speaker}")] = top(f"v{video}")
    least: dict[str, str] = {}
    for video in sorted(videos):
        least.setdefault(top(f"v{video}"), video)
    return {video: least[top(f"v{video}")] for video in videos}
