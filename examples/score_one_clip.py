"""Score one clip, and say why.

uv run python examples/score_one_clip.py [CLIP]
"""

from __future__ import annotations

import json
import sys

import msapipe


def main(clip: str = "sample_media/positive.mp4") -> None:
    """Print the score of a clip, what each modality says, and the words that moved it."""
    with msapipe.load("pocket") as pipeline:
        prediction = pipeline.predict(clip)
        why = pipeline.explain(clip)
    print(prediction)
    for name, part in prediction.modalities.items():
        print(
            f"{name}: alone {part.score}, score without it {part.score_without}, seen {part.coverage:.0%} of the time"
        )
    print("words:", ", ".join(f"{word.text} {word.adds:+.2f}" for word in why.strongest(3)))
    print(json.dumps(prediction.to_dict())[:200], "...")


if __name__ == "__main__":
    main(*sys.argv[1:])
