"""The Python API: a pipeline, its cache and the model that scores its features, in one object."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import overload

from msapipe.cache import open_store
from msapipe.engines.local import run_clips
from msapipe.errors import EndsRun, MediaError, MsapipeError
from msapipe.media import write_recording
from msapipe.pipeline.explain import Explanation, explain
from msapipe.pipeline.inputs import find_clips, only_clips
from msapipe.pipeline.model_pipeline import choose_spec
from msapipe.pipeline.plan import Plan, plan
from msapipe.pipeline.predict import Model
from msapipe.pipeline.progress import with_bar
from msapipe.pipeline.run import Options, Outcome, Runner
from msapipe.pipeline.spec import PipelineSpec
from msapipe.types import Clip, FeatureSequence, Prediction, Recording

# Accepted inputs: a stretch of a file, a whole file, or frames and sound in memory.
Given = Clip | Path | str | Recording


class Pipeline:
    """A loaded pipeline. Use it as a context manager, or call ``close``, to end its decoding process.

    >>> with msapipe.load("pocket") as pipeline:
    ...     print(pipeline.predict("clip.mp4").score)
    """

    def __init__(
        self,
        spec: PipelineSpec,
        cache: Path | str | None = None,
        model: str | None = None,
        options: Options | None = None,
        allow_mismatch: bool = False,
    ) -> None:
        self.spec = spec
        self.store = open_store(cache)
        self._runner = Runner(spec, self.store, options or Options(must_keep=False))
        name = model or spec.model
        self.model = Model(name, spec, allow_mismatch) if name else None

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the decoding process and delete unfinished files."""
        self._runner.close()

    def __repr__(self) -> str:
        model = self.model.name if self.model is not None else None
        return f"Pipeline({self.spec.name!r}, model {model!r}, device {self._runner.options.device!r})"

    def run(self, clips: Iterable[Given], progress: bool | None = None, jobs: int = 1) -> Iterator[Outcome]:
        """Compute the features of clips into the cache; yields one outcome per clip, which also reports errors.

        A folder stands for its media files. progress: draw a progress bar on standard error; None: only for more than
        one clip, on a terminal or in a notebook. jobs: worker processes, as in ``msapipe extract --jobs``; 0: one per
        core, if that pays off. Several workers yield outcomes in order of completion, without features.
        """
        with ExitStack() as written:
            named = [written.enter_context(clip_of(one)) for given in clips for one in _below(given)]
            yield from with_bar(run_clips(self._runner, named, jobs), progress, len(named))

    def features(self, clip: Given) -> dict[str, FeatureSequence]:
        """Features by modality ("text", "audio", "vision"); a modality without input is left out.

        Raises MediaError when the file cannot be read.
        """
        with clip_of(clip) as one:
            return self._checked(one).features

    @overload
    def predict(self, clip: Given, progress: bool | None = None, jobs: int = 1) -> Prediction: ...

    @overload
    def predict(
        self, clip: list[Given] | list[str] | list[Path] | list[Clip], progress: bool | None = None, jobs: int = 1
    ) -> list[Prediction | MsapipeError]: ...

    def predict(
        self,
        clip: Given | list[Given] | list[str] | list[Path] | list[Clip],
        progress: bool | None = None,
        jobs: int = 1,
    ) -> Prediction | list[Prediction | MsapipeError]:
        """The sentiment of a clip. Raises MediaError, or NothingToScore if the clip has no modality.

        A list gives one entry per clip, in order; a folder in it stands for its media files. The entry of a clip that
        cannot be scored is the exception that says why. progress, jobs: as in ``run``.
        """
        if isinstance(clip, list):
            if jobs != 1:
                deque(self.run(clip, progress, jobs), 0)  # fills the cache; scored from there below
                progress = False
            return [
                self._predict_or_why(one)
                for one in with_bar([one for given in clip for one in _below(given)], progress)
            ]
        with clip_of(clip) as one:
            return self.score(self._checked(one))

    def explain(self, clip: Given) -> Explanation:
        """Explain the score of a clip: contribution of each word, trust in each modality, gates and attention.

        Raises as ``predict`` does.
        """
        with clip_of(clip) as one:
            outcome = self._checked(one)
            found = self.score(outcome)
            return explain(outcome, found, self._model(), self._runner)

    def score(self, outcome: Outcome) -> Prediction:
        """The sentiment of a clip that has already been run."""
        return self._model().predict(outcome, self.store)

    def plan(self, clip: Given) -> Plan:
        """What would be computed for a clip, and what is already cached."""
        with clip_of(clip) as one:
            return plan(one, self.spec, self.store)

    def _model(self) -> Model:
        if self.model is None:
            raise MediaError(f"pipeline {self.spec.name} names no model; give one: load({self.spec.name!r}, model=...)")
        return self.model

    def _predict_or_why(self, clip: Given) -> Prediction | MsapipeError:
        try:
            return self.predict(clip)
        except EndsRun:
            raise  # every other clip would fail too
        except MsapipeError as error:
            return error

    def _checked(self, clip: Clip) -> Outcome:
        outcome = self._runner.run(clip)
        if outcome.error is not None:
            raise MediaError(outcome.error)
        return outcome


@contextmanager
def clip_of(given: Given) -> Iterator[Clip]:
    """A whole file as a clip named after it; a recording as a temporary file."""
    if isinstance(given, Recording):
        with tempfile.TemporaryDirectory(prefix="msapipe-") as folder:
            path = Path(folder) / "recording.mov"
            write_recording(given, path)
            yield Clip(given.id, path, text=given.text)
    else:
        yield given if isinstance(given, Clip) else Clip(Path(given).name, Path(given))


def _below(given: Given) -> Iterator[Given]:
    """The clips of a folder, or ``given`` itself."""
    if isinstance(given, (str, Path)) and Path(given).is_dir():
        yield from only_clips(find_clips([str(given)]))
    else:
        yield given


def load(
    pipeline: str | None = None,
    *,
    model: str | None = None,
    cache: Path | str | None = None,
    device: str = "auto",
    allow_mismatch: bool = False,
    offline: bool = False,
) -> Pipeline:
    """Load a pipeline by name or file. None: the pipeline that ``model`` was trained on, else pocket.

    model: a name or folder instead of the pipeline's own.   cache: a folder, or an fsspec address of a storage service
    such as "s3://bucket/msapipe" (default: MSAPIPE_CACHE, or the user's cache folder).   device: auto, cpu or cuda:N.
    allow_mismatch: score features that the model was not trained on.   offline: raise an error instead of downloading
    weights.
    """
    options = Options(device=device, must_keep=False, offline=offline)
    return Pipeline(choose_spec(pipeline, model), cache, model, options, allow_mismatch)
