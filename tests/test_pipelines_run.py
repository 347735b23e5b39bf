"""Every bundled pipeline end to end on tiny checkpoints: the code that reads them is the one that reads real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from msapipe.cache import Store
from msapipe.pipeline.plan import plan
from msapipe.pipeline.run import Options, Outcome, Runner
from msapipe.pipeline.spec import PipelineSpec, load_spec, pipeline_names
from msapipe.testing import tiny
from msapipe.types import Clip
from tests.engines import run_clips

PIPELINES = sorted(set(pipeline_names()) - {"pocket"})
OPTIONS = Options("cpu", offline=True)

# Rows on the pipeline's grid, where it is of one length; the channels of each modality.
STATED: dict[str, tuple[int | None, dict[str, list[str]]]] = {
    "agfn_finetune": (None, {"text": ["tokens"], "audio": ["egemaps", "mfcc"], "vision": ["action_units"]}),
    "boosting_chinese": (None, {"text": ["tokens"], "audio": ["samples"], "vision": ["pixels"]}),
    "smp_sims": (None, {"text": ["bert"], "audio": ["wav2vec2", "mfcc"], "vision": ["resnet18", "au"]}),
    "agfn": (None, {"text": ["bert"], "audio": ["egemaps", "mfcc"], "vision": ["action_units"]}),
    "boosting": (None, {"text": ["bert"], "audio": ["hubert"], "vision": ["video_swin"]}),
    "boosting_finetune": (None, {"text": ["tokens"], "audio": ["samples"], "vision": ["pixels"]}),
    "chinese": (32, {"text": ["bert"], "audio": ["hubert", "mfcc"], "vision": ["resnet18", "au"]}),
    "dec": (None, {"text": ["glove"], "audio": ["mfcc"], "vision": ["action_units"]}),
    "hma": (None, {"text": ["tokens"], "audio": ["mfcc"], "vision": ["action_units"]}),
    "permissive": (
        32,
        {"text": ["bert"], "audio": ["hubert", "mfcc"], "vision": ["hsemotion", "au", "video_swin"]},
    ),
    "plain": (None, {"text": ["lexicon"], "audio": ["mfcc"], "vision": ["geometry"]}),
    "studio": (None, {"text": ["studio"], "audio": ["prosody"], "vision": ["expression"]}),
    "smp": (None, {"text": ["bert"], "audio": ["wav2vec2", "mfcc"], "vision": ["resnet18", "au"]}),
}


@pytest.fixture(scope="module")
def clips(samples: Path) -> list[Clip]:
    """One in which somebody speaks (its words are given), and one without sound."""
    spoken, silent = samples / "subtitled.mp4", samples / "silent_face.mp4"
    return [Clip(path.name, path, 0.0, 2.5) for path in (spoken, silent)]


@pytest.fixture(scope="module")
def accepted() -> Iterator[None]:
    """The licence of openSMILE, which comes with its package, is accepted for the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MSAPIPE_ACCEPT_LICENCES", "opensmile")
        yield


@pytest.fixture(scope="module")
def first_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("first")


@pytest.fixture(scope="module")
def second_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("second")


def test_every_pipeline_is_stated_here() -> None:
    assert sorted(STATED) == PIPELINES


@pytest.mark.parametrize("name", PIPELINES)
def test_the_pipeline_as_it_comes_is_planned_without_its_weights(name: str, clips: list[Clip], tmp_path: Path) -> None:
    planned = plan(clips[0], load_spec(name), Store(tmp_path))
    named = {(step.slot, step.channel) for step in planned.steps}
    for modality, channels in STATED[name][1].items():
        assert {(modality, channel) for channel in channels} <= named
    assert len({step.key for step in planned.steps}) == len(planned.steps)


@pytest.mark.parametrize("name", PIPELINES)
def test_extract_gives_the_stated_shapes(
    name: str, clips: list[Clip], tiny_weights: Path, first_cache: Path, accepted: None
) -> None:
    spoken, silent = extracted(load_spec(str(tiny.spec(name, tiny_weights))), first_cache, clips)
    check(name, spoken)
    assert silent.status == "partial", silent.error
    assert set(silent.missing) == {"text", "audio"}, silent.notes


# Each run starts two processes that load everything anew: one pipeline stands for all, unless slow tests are asked for.
REPEATED = [name if name == "smp" else pytest.param(name, marks=pytest.mark.slow) for name in PIPELINES]


@pytest.mark.parametrize("name", REPEATED)
def test_extracted_again_by_two_processes_the_bits_are_the_same(
    name: str, clips: list[Clip], tiny_weights: Path, first_cache: Path, second_cache: Path, accepted: None
) -> None:
    spec = load_spec(str(tiny.spec(name, tiny_weights)))
    for outcome in run_clips(clips, spec, second_cache, OPTIONS, jobs=2):
        assert outcome.status in ("ok", "partial"), outcome.error
    again = looked_up(spec, second_cache, clips)
    for one, other in zip(extracted(spec, first_cache, clips), again, strict=True):
        assert one.features.keys() == other.features.keys()
        for modality, part in one.features.items():
            assert np.array_equal(part.values, other.features[modality].values), modality
            assert np.array_equal(part.times, other.features[modality].times), modality
            assert np.array_equal(part.valid, other.features[modality].valid), modality


def extracted(spec: PipelineSpec, cache: Path, clips: list[Clip]) -> list[Outcome]:
    with Runner(spec, Store(cache), OPTIONS) as runner:
        return [runner.run(clip) for clip in clips]


def looked_up(spec: PipelineSpec, cache: Path, clips: list[Clip]) -> list[Outcome]:
    """What workers left in the cache, nothing computed."""
    with Runner(spec, Store(cache), OPTIONS) as runner:
        found = [runner.stored(clip) for clip in clips]
    assert all(found)
    return [outcome for outcome in found if outcome is not None]


def check(name: str, outcome: Outcome) -> None:
    assert outcome.status == "ok", (outcome.error, outcome.notes)
    rows, modalities = STATED[name]
    assert set(outcome.features) == set(modalities)
    for modality, channels in modalities.items():
        part = outcome.features[modality]
        assert list(part.channels) == channels
        assert part.values.shape[1] == part.channels[channels[-1]][1] == len(part.names)
        assert np.isfinite(part.values).all()
        assert part.coverage > 0.1, (modality, part)
        assert rows is None or len(part.values) == rows
    if name in ("agfn", "hma"):  # on one grid, whatever its length
        assert len({len(part.values) for part in outcome.features.values()}) == 1
