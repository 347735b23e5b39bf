"""The only loop: it runs the plan of a clip, be it alone, in a folder or on a cluster."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from msapipe.align import align_channels
from msapipe.cache import Entry, Store, digest
from msapipe.errors import (
    CacheError,
    DecoderDied,
    EndsRun,
    MediaError,
    MissingLibrary,
    MissingWeights,
    MsapipeError,
    WeightsError,
)
from msapipe.interrupts import uninterrupted
from msapipe.media import Decoder, Limits
from msapipe.pipeline.device import resolve_device
from msapipe.pipeline.plan import Plan, Step, plan
from msapipe.pipeline.progress import Follower, Listener
from msapipe.pipeline.reasons import why_missing
from msapipe.pipeline.spec import PipelineSpec
from msapipe.stages import MODALITIES, Stage
from msapipe.types import Clip, FaceClip, Failure, FeatureSequence, MediaInfo, Summary
from msapipe.types.words import PassedOver
from msapipe.weights import make_ready

log = logging.getLogger("msapipe")

Status = Literal["ok", "partial", "error", "skipped"]
Depth = Literal["features", "notes", "summary"]


@dataclass(frozen=True)
class Options:
    """Options of a run; none of them changes a result.

    device: as torch names it.   overwrite: compute stored results again.   retry: try files again that killed the
    decoder before.   must_keep: a cache that cannot be written is an error, not a note.
    offline: weights that are not on this machine are an error, instead of being fetched.
    in_part: another run with the rest of the pipeline follows, and reports the clip's outcome.
    verify: read stored results and check their checksums, even if their files did not change.
    """

    device: str = "cpu"
    overwrite: bool = False
    retry: bool = False
    must_keep: bool = True
    offline: bool = False
    limits: Limits | None = None
    in_part: bool = False
    verify: bool = False


@dataclass
class Outcome:
    """What became of one clip.

    status: ok, partial (a modality is missing), error, skipped.   computed: whether anything had to be computed.
    missing: modalities without a valid step.   coverage: modality to its share of valid steps, in [0, 1].
    seconds: total wall time.
    timings: seconds of each computed step, in order; "loading" is libraries and weights.
    values: slot to its value (not kept for batches).   plan: None when a worker ran it, or there is none.
    """

    clip: Clip
    status: Status = "ok"
    computed: bool = False
    error: str | None = None
    missing: tuple[str, ...] = ()
    coverage: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    timings: dict[str, float] = field(default_factory=dict, repr=False)
    values: dict[str, Any] = field(default_factory=dict, repr=False)
    features: dict[str, FeatureSequence] = field(default_factory=dict, repr=False)
    keys: dict[str, str] = field(default_factory=dict, repr=False)
    plan: Plan | None = field(default=None, repr=False, compare=False)


class Runner:
    """Runs clips one after the other; loads each stage once, on first use.   listener: gets each clip's progress."""

    def __init__(
        self, spec: PipelineSpec, store: Store, options: Options | None = None, listener: Listener | None = None
    ) -> None:
        self.spec, self.store, self.options, self.listener = spec, store, options or Options(), listener
        self._decoder = Decoder(self.options.limits)
        self._loaded: set[int] = set()
        self._asked: tuple[Clip, Plan] | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the decoding process and remove unfinished files; a signal in the meantime takes effect afterwards."""
        with uninterrupted(), contextlib.closing(self.store):
            self._decoder.close()

    def run(self, clip: Clip) -> Outcome:
        """Bring a clip's results into the cache. Errors of the clip are in the outcome, never raised."""
        return self._outcome(clip, compute=True)

    def stored(self, clip: Clip, read: Depth = "features") -> Outcome | None:
        """The outcome of a clip that is stored, or cannot be read; None when there is work.

        read: "features": with values and features. "notes": without them, though all results are read. "summary":
        without them, from the summary alone; its results are only checked to be whole.
        """
        if self.options.overwrite or self.options.retry:
            return None
        if read == "summary":
            return self._summed_up(clip)
        try:
            return self._outcome(clip, compute=False, brief=read == "notes")
        except _NotStored:
            return None

    def _summed_up(self, clip: Clip) -> Outcome | None:
        begun = time.perf_counter()
        try:
            planned = self._plan(clip, anew=True)
        except (MsapipeError, OSError):
            return None
        entry = self.store.get("summary", planned.summary_key(self.spec.align))
        known = entry.value if entry is not None else None
        whole = isinstance(known, Summary) and all(self.store.whole(*o, self.options.verify) for o in known.filled)
        if not isinstance(known, Summary) or not whole:
            return None
        status: Status = "partial" if known.missing else "ok"
        outcome = Outcome(clip, status, missing=known.missing, notes=known.notes, coverage=known.coverage)
        outcome.keys, outcome.seconds = dict(planned.keys), time.perf_counter() - begun
        return outcome

    def _outcome(self, clip: Clip, compute: bool, brief: bool = False) -> Outcome:
        begun = time.perf_counter()
        outcome = Outcome(clip)
        try:
            planned = self._plan(clip, anew=not compute and not brief)
            outcome.keys, outcome.plan = dict(planned.keys), planned
            if compute:
                self._asked = None  # its files may have changed by the next query
                # Runs on one cache share the work: the holder of the claim computes, those who waited find it stored.
                with self.store.claim(planned.file):
                    _Pass(self, planned, outcome).run()
            else:
                _Pass(self, planned, outcome, False, brief).run()
        except (_NotStored, EndsRun):
            raise
        except MsapipeError as error:
            outcome.status, outcome.error = "error", str(error)
        except Exception as error:
            log.debug("%s", clip.path, exc_info=True)
            outcome.status, outcome.error = "error", f"{clip.path}: {type(error).__name__}: {error}"
        outcome.seconds = time.perf_counter() - begun
        return outcome

    def _plan(self, clip: Clip, anew: bool) -> Plan:
        """A clip's plan; not anew: the plan of the previous query, if it was about the same clip."""
        if anew or self._asked is None or self._asked[0] is not clip:
            self._asked = None
            self._asked = clip, plan(clip, self.spec, self.store)
        return self._asked[1]

    def load(self, step: Step) -> None:
        """Load a step's stage, once."""
        stage = step.use.stage if step.use else None
        if stage is None or id(stage) in self._loaded:
            return
        for weights in stage.own_weights():
            make_ready(weights, self.spec.accept_licences, self.options.offline)
        try:
            stage.load(resolve_device(self.options.device.partition(",")[0]) if type(stage).on_device else "cpu")
        except ImportError as error:
            raise MissingLibrary(f"{step.name} cannot be loaded: {error}; type: msapipe doctor") from error
        self._loaded.add(id(stage))
        if "torch" in sys.modules:
            # Numbers must not depend on the number of cores; several clips run in several processes instead.
            sys.modules["torch"].set_num_threads(1)


class _NotStored(Exception):
    """A lookup without computing met a result that is not stored."""


class _Quarantined(MsapipeError):
    """The decoder died on this file before."""


class _Pass:
    """One pass of a clip through the steps of its plan."""

    def __init__(
        self, runner: Runner, planned: Plan, outcome: Outcome, compute: bool = True, brief: bool = False
    ) -> None:
        self.runner, self.plan, self.outcome, self.compute, self.brief = runner, planned, outcome, compute, brief
        self.values: dict[str, Any] = {"clip": planned.clip}
        self.progress = Follower(runner.listener, planned.clip, [step.name for step in planned.steps])
        self.channels: dict[str, dict[str, FeatureSequence]] = {}
        self.notes: list[str] = []
        self.absent: dict[str, str] = {}
        self.filled: list[tuple[str, str]] = []
        self.failure_of = {"file": planned.file, "slot": "failures"}
        self.failure_key = digest(self.failure_of)
        self.lasting = not runner.options.in_part  # whether another run would give the same outcome

    def run(self) -> None:
        """Fill every slot from the cache or by computing; the outcome says what could not be filled."""
        if not self.runner.options.overwrite:
            self.runner.store.bring([("failures", self.failure_key), *self.plan.results])
        self._refuse_quarantined()
        for step in self.plan.steps:
            if step.slot in self.values:
                continue  # an earlier alternative has filled it
            try:
                self._step(step)
            except DecoderDied as error:
                if not self.runner.options.in_part:
                    self._quarantine(error)
                raise
            except (MissingLibrary, WeightsError) as error:
                self.lasting = False
                if self._another_may(step):
                    self._note(f"{step.name} was passed over: {error}")
                elif isinstance(error, MissingWeights) or (isinstance(error, WeightsError) and step.named_weights):
                    every = f"msapipe weights fetch --pipeline {self.runner.spec.called}"
                    raise MissingWeights(f"{step.name}: {error} (all that the pipeline needs: {every})") from error
                self._leave_out(step, str(error))
        if self.runner.options.retry or self.runner.options.overwrite:
            self.runner.store.discard("failures", self.failure_key)
        self._finish()

    def _step(self, step: Step) -> None:
        reason = self._why_not(step)
        if reason is not None:
            self._leave_out(step, reason)
            return
        options, pictures = self.runner.options, not self.brief or self.runner.options.verify
        entry = None if options.overwrite else self.runner.store.get(step.slot, step.key, pictures)
        if entry is None:
            entry = self._compute(step)
        self.filled.append((step.slot, step.key))
        self._note(*entry.notes)
        self._fill(step, entry.value)

    def _compute(self, step: Step) -> Entry:
        if not self.compute:
            raise _NotStored
        begun = time.perf_counter()
        self.progress.begin(step.name, self.values.get("media"))
        self.runner.load(step)
        if (loading := time.perf_counter() - begun) > 0.01:
            timings = self.outcome.timings
            timings["loading"], begun = timings.get("loading", 0.0) + loading, begun + loading
        inputs = {name: self._input(name) for name in step.inputs}
        if step.use is None:
            value: Any = self.runner._decoder.probe(self.plan.clip.path)
            notes = value.notes
        else:
            value = self._stage(step.name, step.use.stage, inputs)
            # The decoder's notes are stored with the results made from its output; media info has them already.
            heard = [note for name, item in inputs.items() if name != "media" for note in getattr(item, "notes", ())]
            notes = tuple(dict.fromkeys([*heard, *getattr(value, "notes", ())]))
        value = None if isinstance(value, PassedOver) else value
        self._keep(step, value, notes)
        self.outcome.computed = True
        self.outcome.timings[step.name] = time.perf_counter() - begun
        return Entry(value, notes, {})

    def _stage(self, name: str, stage: Stage, inputs: dict[str, Any]) -> Any:
        try:
            return stage.run(**inputs)
        except MsapipeError:
            raise
        except Exception as error:
            raise MsapipeError(f"{self.plan.clip.path}: {name} failed: {type(error).__name__}: {error}") from error

    def _keep(self, step: Step, value: Any, notes: tuple[str, ...]) -> None:
        try:
            self.runner.store.put(step.slot, step.key, value, dict(step.made_from), notes)
        except CacheError as error:
            if self.runner.options.must_keep:
                raise
            self.lasting = False
            self._note(f"nothing was kept: {error}")

    def _input(self, name: str) -> Any:
        """The value of a stage's input; sound is decoded, and the face clip made, on first use."""
        if name not in self.values:
            clip, options = self.plan.clip, self.runner.spec.media
            if name == "frames":
                return self.progress.over(self.runner._decoder.frames(clip, options))
            if name == "waveform":
                self.values[name] = self.runner._decoder.waveform(clip, options)
            if name == "face_clip":
                faces, speaker = self.values["faces"], self.values["speaker"]
                self.values[name] = FaceClip(faces, speaker)
        return self.values[name]

    def _why_not(self, step: Step) -> str | None:
        """Why a step cannot run for this clip, or None if it can."""
        info: MediaInfo | None = self.values.get("media")
        for name in step.use.needs() if step.use else ():
            if name == "frames" and info is not None and info.video is None:
                return "the file has no pictures"
            if name == "waveform" and info is not None and info.audio is None:
                return "the file has no sound"
            if name in self.absent:
                return self.absent[name]
        return None

    def _another_may(self, step: Step) -> bool:
        """Whether a later alternative in the pipeline may fill the step's slot."""
        if step.slot in MODALITIES:
            return False
        later = self.plan.steps[self.plan.steps.index(step) + 1 :]
        return any(other.slot == step.slot for other in later)

    def _leave_out(self, step: Step, reason: str) -> None:
        """Leave the step's slot empty; the next alternative may still fill it."""
        self.absent.setdefault(step.slot, reason)
        log.debug("%s: %s left out: %s", self.plan.clip.path, step.name, reason)

    def _fill(self, step: Step, value: Any) -> None:
        if value is None:
            self.absent.setdefault(step.slot, f"no source of the {step.slot} has any")
            return
        if step.slot in MODALITIES:
            self.channels.setdefault(step.slot, {})[step.channel] = value
        else:
            self.values[step.slot] = value
        self.absent.pop(step.slot, None)

    def _note(self, *notes: str) -> None:
        self.notes += [note for note in notes if note not in self.notes]

    def _finish(self) -> None:
        """Note what is missing and why, and join the channels of each modality."""
        outcome = self.outcome
        spec = self.runner.spec
        outcome.features = align_channels(self.channels, self.values.get("words"), spec.align)
        outcome.missing = tuple(
            name for name in spec.modalities if name not in outcome.features or not outcome.features[name].valid.any()
        )
        outcome.coverage = {
            name: outcome.features[name].coverage if name in outcome.features else 0.0 for name in spec.modalities
        }
        for name in outcome.missing:
            self._note(f"{name} is missing: {self.absent.get(name) or why_missing(name, self.values, self.notes)}")
        if self._undecodable():
            raise MediaError(f"{self.plan.clip.path}: neither a picture nor a sound in it could be decoded")
        outcome.notes = tuple(self.notes)
        self._sum_up()
        outcome.values = {**self.values, **outcome.features}
        if self.brief:
            outcome.values, outcome.features = {}, {}
        outcome.status = "partial" if outcome.missing else "ok"

    def _sum_up(self) -> None:
        """Store the clip's outcome as a summary, so that a later run need not read the results."""
        key = self.plan.summary_key(self.runner.spec.align)
        if not self.lasting or (not self.outcome.computed and self.runner.store.whole("summary", key)):
            return
        summary = Summary(self.outcome.missing, self.outcome.notes, self.outcome.coverage, tuple(self.filled))
        with contextlib.suppress(CacheError):  # a later run then reads the results
            self.runner.store.put("summary", key, summary, {"slot": "summary", "of": dict(self.plan.keys)})

    def _undecodable(self) -> bool:
        """Whether the file declares pictures or sound, but neither could be decoded."""
        info: MediaInfo = self.values["media"]
        came = []
        if info.video is not None and "faces" in self.values:
            came.append(len(self.values["faces"].times))
        if info.audio is not None and "audio" in self.channels:
            came.append(max(len(part.values) for part in self.channels["audio"].values()))
        return bool(came) and not any(came)

    def _refuse_quarantined(self) -> None:
        """Refuse a file on which the decoder died before, unless the user asks to retry."""
        again = self.runner.options.retry or self.runner.options.overwrite
        entry = None if again else self.runner.store.get("failures", self.failure_key)
        if entry is not None and isinstance(entry.value, Failure):
            told = f"{self.plan.clip.path}: {entry.value.message}"
            raise _Quarantined(f"{told} (not tried again; to do so, type --retry)")

    def _quarantine(self, error: DecoderDied) -> None:
        message = str(error).removeprefix(f"{self.plan.clip.path}: ")
        with contextlib.suppress(CacheError):  # it is then tried again next time
            self.runner.store.put("failures", self.failure_key, Failure(message), self.failure_of)
