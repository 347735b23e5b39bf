"""What a stage is: a dataclass that turns some slots into one more."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, get_args

from msapipe.errors import ConfigError
from msapipe.weights import Weights, choose

# What a stage's ``run`` may ask for, and the type that it then gets:
#   clip Clip · media MediaInfo · frames Frames · waveform Waveform · transcript, words Transcript · faces FaceTracks
#   face_clip FaceClip (made of what fills faces and speaker)
INPUTS = ("clip", "media", "frames", "waveform", "transcript", "words", "faces", "face_clip")

# The slots that stages fill, in the order in which a clip flows through them.
SLOTS = ("transcript", "words", "faces", "speaker", "text", "audio", "vision")

# Slots whose stages may be listed one behind the other: the first that yields wins.
CHAINS = ("transcript", "words", "speaker")

# The slots whose stages return a FeatureSequence, several of which may stand side by side as channels.
MODALITIES = ("text", "audio", "vision")

# Parameters that stages were given later, and the value with which they do what they did before. It stands in no key
# and on no model card, so that those made before stay what they were.
LATER = {"dtype": "float32"}

Dtype = Literal["float32", "bfloat16"]


@dataclass
class Stage(ABC):
    """Turns the slots that ``run`` names into one more. Its dataclass fields are its parameters, and nothing else is.

    version: raise it whenever the numbers change; it is part of the cache key.
    weights: all that the stage knows of; those that ``own_weights`` names are part of the key.
    on_device: it can use a GPU; others are loaded with "cpu", so that no GPU is looked for on their account.
    """

    version: ClassVar[int] = 1
    weights: ClassVar[tuple[Weights, ...]] = ()
    on_device: ClassVar[bool] = False

    def load(self, device: str) -> None:  # noqa: B027 - most stages have nothing to load
        """Import what is heavy and read weights, once a process before ``run``; ``device`` as torch names it."""

    @abstractmethod
    def run(self, *args: Any, **slots: Any) -> Any:
        """Compute. The parameter names are the slots that are read: the edges of the graph.

        None says "this source has nothing for the clip": where a pipeline lists several stages for a slot, the next
        one is asked.
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

    def own_weights(self) -> tuple[Weights, ...]:
        """The weights that the numbers of this stage, with these parameters, depend on."""
        return type(self).weights

    def params(self) -> dict[str, Any]:
        """The parameters as plain values, for keys and cards; see LATER for those that are left out."""
        return {name: value for name, value in asdict(self).items() if name not in LATER or value != LATER[name]}


@dataclass
class CheckpointStage(Stage):
    """A stage whose numbers come from one of several checkpoints.

    checkpoint: the name of one of ``weights``, a path to the user's own (./folder, /folder, ~/folder; in a pipeline
    relative to its file), or ``org/name@COMMIT`` of a model hub.
    """

    checkpoint: str = ""

    def own_weights(self) -> tuple[Weights, ...]:
        """The checkpoint that is named."""
        return (choose(self.weights, self.checkpoint, type(self).__name__.lower()),)

    def params(self) -> dict[str, Any]:
        """The parameters; of the user's own checkpoint the hash stands for the path."""
        return {**super().params(), "checkpoint": self.own_weights()[0].name}


@dataclass
class NeuralStage(CheckpointStage):
    """A stage whose network may compute in half the width: two to three times as fast on a CPU with AMX.

    dtype: "float32", or "bfloat16": numbers of 8 bits of precision within the network. The features are float32 either
    way. It is part of the key, and a model that was trained on one is not scored with the other.
    """

    dtype: Dtype = field(default="float32", kw_only=True)

    def __post_init__(self) -> None:
        if self.dtype not in get_args(Dtype):
            called = type(self).__name__.lower()
            raise ConfigError(f"{called}: dtype must be one of {', '.join(get_args(Dtype))}, got {self.dtype!r}")
