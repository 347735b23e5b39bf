"""Every error that msapipe raises on purpose.

A message names the file or field, what was found, what was expected, and what to type next.

MsapipeError
├── MediaError            a file cannot be opened or decoded
│   ├── NotMedia          it is not a regular file, or holds neither sound nor pictures
│   └── DecoderDied       the decoder crashed, hung or ran out of memory on it
├── ConfigError           a pipeline file, a model card, an option or a parameter is invalid
│   └── UnknownName       no stage, model, pipeline or data set of that name
├── WeightsError          weights are missing, or are not the bytes they should be
├── MissingLibrary        a package, or a shared library that it needs, is not on this machine
├── FeatureMismatch       a model was trained on other features than the pipeline makes
├── EndsRun               no other clip of the run would fare better
│   ├── CacheError        the cache cannot be written, is full, or cannot be reached
│   └── MissingWeights    (also a WeightsError) they were never fetched, or their licence was not accepted
└── NothingToScore        a clip has no modality that the model can read
"""

MOST_LETTERS, _END = 4000, 800


class MsapipeError(Exception):
    """Base of all errors raised on purpose; its text can be shown to a user unchanged.

    A long text (a quoted file value, a library's message) is cut in the middle.
    """

    def __str__(self) -> str:
        text = super().__str__()
        if len(text) <= MOST_LETTERS:
            return text
        return f"{text[: MOST_LETTERS - _END]} [{len(text) - MOST_LETTERS} characters more] {text[-_END:]}"


class MediaError(MsapipeError):
    """A media file cannot be opened or decoded."""


class NotMedia(MediaError):
    """The path is not a regular file, or the file holds neither sound nor pictures."""


class DecoderDied(MediaError):
    """The decoding child process crashed, passed its time limit or its memory limit."""


class ConfigError(MsapipeError, ValueError):
    """A pipeline file, a model card, an option or a parameter is invalid."""


class UnknownName(ConfigError):
    """There is no stage, model, pipeline or data set of this name."""


class WeightsError(MsapipeError):
    """Weights are missing, or their hash differs from the stated one."""


class EndsRun(MsapipeError):
    """An error that every other clip would meet too: it ends the run instead of failing each clip."""


class MissingWeights(WeightsError, EndsRun):
    """Weights must be downloaded, or their licence accepted, before a pipeline can run."""


class MissingLibrary(MsapipeError, ImportError):
    """A package or a shared library is not installed on this machine."""


class FeatureMismatch(MsapipeError):
    """The pipeline's features differ from those that the model was trained on."""


class CacheError(EndsRun, OSError):
    """The cache cannot be written, or its storage service cannot be reached."""


class NothingToScore(MsapipeError):
    """No modality that the model reads has a single valid step."""
