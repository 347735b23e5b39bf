"""The stage interface: a dataclass that computes one slot from others."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, get_args

from msapipe.errors import ConfigError
from msapipe.weights import Weights, choose

# Parameters that a stage's ``run`` may ask for, with their types:
#   clip Clip · media MediaInfo · frames Frames · waveform Waveform · transcript, words Transcript · faces FaceTracks
#   face_clip FaceClip (made of what fills faces and speaker)
INPUTS = ("clip", "media", "frames", "waveform", "transcript", "words", "faces", "face_clip")

# The slots that stages fill, in processing order.
SLOTS = ("transcript", "words", "faces", "speaker", "text", "audio", "vision")

# Slots for which a pipeline may list several stages: the first one with a result wins.
CHAINS = ("transcript", "words", "speaker")

# The slots whose stages return a FeatureSequence; several stages may fill one as its channels.
MODALITIES = ("text", "audio", "vision")

# Parameters added to stages later, and the values that keep the earlier behaviour. These values are left out of keys
# and model cards, so that older ones stay valid.
LATER = {"dtype": "float32"}

Dtype = Literal["float32", "bfloat16"]


@dataclass
class Stage(ABC):
    """Computes one slot from the slots that ``run`` names. Its dataclass fields, and only these, are its parameters.

    version: increase it if the results change; it is part of the cache key.
    weights: all weights that the stage can use; those in ``own_weights`` are part of the key.
    on_device: it can use a GPU; other stages are loaded with "cpu" and need no GPU lookup.
    """

    version: ClassVar[int] = 1
    weights: ClassVar[tuple[Weights, ...]] = ()
    on_device: ClassVar[bool] = False

    def load(self, device: str) -> None:  # noqa: B027 - most stages have nothing to load
        """Heavy imports and loading of weights, once per process before ``run``; ``device`` as named by torch."""

    @abstractmethod
    def run(self, *args: Any, **slots: Any) -> Any:
        """Compute the slot. The parameter names are the slots that are read: the edges of the graph.

        None means that this source has nothing for the clip; the next stage that the pipeline lists for the slot is
        tried.
        """

    @classmethod
    def needs(cls) -> tuple[str, ...]:
        """The slots that ``run`` asks for."""
        return tuple(name for name in inspect.signature(cls.run).parameters if name != "self")

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "run" in vars(cls):
            odd = [name for name in cls.needs() if name not in INPUTS]
            if odd:
                raise TypeError(f"{cls.__name__}.run asks for {odd[0]!r}; it may ask for {', '.join(INPUTS)}")

    @property
    def called(self) -> str:
        """Its name in messages."""
        return type(self).__name__.lower()

    def require(self, holds: bool, sentence: str) -> None:
        """Raise ConfigError, which begins with the stage's name, unless a parameter ``holds`` what it must."""
        if not holds:
            raise ConfigError(f"{self.called}: {sentence}")

    def own_weights(self) -> tuple[Weights, ...]:
        """The weights that the results of this stage, with these parameters, depend on."""
        return type(self).weights

    def params(self) -> dict[str, Any]:
        """The parameters as plain values, for keys and model cards; without the values in LATER."""
        return {name: value for name, value in asdict(self).items() if name not in LATER or value != LATER[name]}


@dataclass
class CheckpointStage(Stage):
    """A stage that can use one of several checkpoints.

    checkpoint: one of the names in ``weights``, a path of the user's own (./folder, /folder, ~/folder; relative to the
    pipeline file), or ``org/name@COMMIT`` of a model hub.
    """

    checkpoint: str = ""

    def own_weights(self) -> tuple[Weights, ...]:
        """The selected checkpoint."""
        return (choose(self.weights, self.checkpoint, self.called),)

    def params(self) -> dict[str, Any]:
        """The parameters; the path of a user's own checkpoint is replaced by its hash."""
        return {**super().params(), "checkpoint": self.own_weights()[0].name}


@dataclass
class NeuralStage(CheckpointStage):
    """A stage whose network may run in half precision: two to three times as fast on a CPU with AMX.

    dtype: "float32", or "bfloat16" (8 bits of precision) within the network; the features are float32 either way. It is
    part of the key, and a model trained on one does not score the other.
    """

    dtype: Dtype = field(default="float32", kw_only=True)

    def __post_init__(self) -> None:
        kinds = get_args(Dtype)
        self.require(self.dtype in kinds, f"dtype must be one of {', '.join(kinds)}, got {self.dtype!r}")
