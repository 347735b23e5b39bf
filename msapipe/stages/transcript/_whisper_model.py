"""Whisper as transformers has it: up to 30 s of sound in, tokens of text with times and probabilities out."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import RecipeError, WeightsError
from msapipe.stages._speech import RATE
from msapipe.stages._transformers import load_config, load_model, load_tokenizer
from msapipe.stages.transcript._whisper_words import Segment

_PROMPT = 4  # tokens before the text: start, language, task, no times
_STEP = 0.02  # seconds from one time token to the next

# A window of s seconds has at most so many tokens of text; what goes beyond is a loop. Fast speech has some ten a
# second, scripts that are spelled in single bytes have more.
_TOKENS, _TOKENS_A_SECOND = 32, 25

# With these a checkpoint could have results thrown away, or sampled anew by chance.
_THRESHOLDS = ("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold")


@dataclass(frozen=True)
class Encoded:
    """A window of sound as the encoder hears it: a tensor (1, 1500, D), which frames of 10 ms are sound, seconds."""

    states: Any
    mask: Any
    seconds: float


class Recogniser:
    """A Whisper checkpoint, greedy, in float32, without memory of what it heard before.

    Raises WeightsError for a checkpoint of another kind or without the settings that generation needs.
    """

    def __init__(self, folder: Path, device: str) -> None:
        from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

        config = load_config(folder)
        if config.model_type != "whisper":
            raise WeightsError(f"{folder} holds a {config.model_type}; expected a whisper")
        # Attention is read for the times of words, which the fused kernels do not give.
        self._model = load_model(folder, WhisperForConditionalGeneration, device, attn_implementation="eager")
        self._tokenizer = load_tokenizer(folder)
        try:
            self._extractor = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{folder} holds no preprocessor_config.json that transformers reads: {error}"
            ) from error
        self._device = device
        settings = self._model.generation_config
        _check(settings, config, folder)
        for name in _THRESHOLDS:
            setattr(settings, name, None)
        self.aligns = bool(getattr(settings, "alignment_heads", None))
        self._codes = {number: name[2:-2] for name, number in (getattr(settings, "lang_to_id", None) or {}).items()}

    def check_language(self, language: str) -> None:
        """Raise RecipeError for a language that this checkpoint does not know."""
        known = sorted(self._codes.values()) or ["en"]
        if language not in known:
            raise RecipeError(f"whisper: language {language!r}: this checkpoint knows {', '.join(known)}")

    def encode(self, samples: NDArray[np.float32]) -> Encoded:
        """At most 30 s of 16 kHz sound, filled up with silence to 30 s."""
        import torch

        found = self._extractor(samples, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True)
        with torch.inference_mode():
            states = self._model.get_encoder()(found.input_features.to(self._device))
        return Encoded(states, found.attention_mask.to(self._device), len(samples) / RATE)

    def language(self, sound: Encoded) -> str:
        """The language that is spoken, by Whisper's code: two letters mostly."""
        import torch

        if not self._codes:
            return "en"
        with torch.inference_mode():
            found = int(self._model.detect_language(encoder_outputs=sound.states)[0])
        return str(self._codes[found])

    def hear(self, sound: Encoded, language: str) -> tuple[list[Segment], bool]:
        """What is said, and whether it was heard to its end, before the most tokens that it may have."""
        import torch

        spoken = {"language": f"<|{language}|>", "task": "transcribe"} if self._codes else {}
        most = int(_TOKENS + _TOKENS_A_SECOND * sound.seconds)
        with torch.inference_mode():
            out = self._model.generate(
                encoder_outputs=sound.states,
                attention_mask=sound.mask,
                return_timestamps=not self.aligns,
                return_token_timestamps=self.aligns or None,
                # With times of tokens the segment holds them; the whole would be one more copy of all attention.
                return_segments=self.aligns,
                return_dict_in_generate=None if self.aligns else True,
                output_scores=True,
                force_unique_generate_call=True,
                condition_on_prev_tokens=False,
                num_beams=1,
                max_new_tokens=min(most, self._model.config.max_target_positions - _PROMPT),
                **spoken,
            )
        return self._segments(out["segments"][0][0]["result"] if self.aligns else _only(out), sound.seconds)

    def decode(self, tokens: list[int]) -> str:
        """Tokens of text to text; a space before a word is kept."""
        return str(self._tokenizer.decode(tokens, clean_up_tokenization_spaces=False))

    def _segments(self, result: dict[str, Any], seconds: float) -> tuple[list[Segment], bool]:
        """Tokens with their probabilities and times, cut at the times that Whisper wrote between them."""
        import torch

        scores = torch.stack(list(result["scores"])).float().log_softmax(-1).cpu()
        tokens = result["sequences"].cpu()[-len(scores) :]
        probabilities = scores.gather(-1, tokens[:, None])[:, 0].exp().tolist()
        spoken = tokens.tolist()
        end = self._model.generation_config.eos_token_id
        finished = spoken[-1] == end
        # One row of attention has no spread by which it could be normalised.
        if self.aligns and len(spoken) > 2:
            last = result["token_timestamps"].double().clamp(0, seconds).tolist()
            times = list(itertools.pairwise(last[-len(spoken) - 1 :]))
            text = [index for index, token in enumerate(spoken) if token < end]
            return [_segment(text, spoken, probabilities, (0.0, seconds), times)], finished
        zero = self._model.generation_config.no_timestamps_token_id + 1
        return [
            _segment([index for index in part if spoken[index] < end], spoken, probabilities, span)
            for part, span in _between_times([(token - zero) * _STEP for token in spoken], seconds)
        ], finished


def _segment(
    text: list[int],
    tokens: list[int],
    probabilities: list[float],
    span: tuple[float, float],
    times: list[tuple[float, float]] | None = None,
) -> Segment:
    return Segment(
        tuple(tokens[index] for index in text),
        tuple(probabilities[index] for index in text),
        *span,
        None if times is None else tuple(times[index] for index in text),
    )


def _between_times(seconds: list[float], end: float) -> list[tuple[list[int], tuple[float, float]]]:
    """Indices between two time tokens, and the two times; ``seconds`` is below 0 for what is no time token."""
    out: list[tuple[list[int], tuple[float, float]]] = []
    start, part = 0.0, list[int]()
    for index, second in enumerate([*seconds, end]):
        if second < 0:
            part.append(index)
            continue
        second = max(start, min(second, end))
        if part:
            out.append((part, (start, second)))
        start, part = second, []
    return out


def _only(out: Any) -> dict[str, Any]:
    """The one result of a batch of one."""
    return {"sequences": out["sequences"][0], "scores": [score[0] for score in out["scores"]]}


def _check(settings: Any, config: Any, folder: Path) -> None:
    """That generation_config.json has what generation asks for, and alignment heads that are there."""
    several = ("lang_to_id", "task_to_id") if getattr(settings, "is_multilingual", True) else ()
    lacking = [name for name in ("no_timestamps_token_id", *several) if not getattr(settings, name, None)]
    if lacking:
        raise WeightsError(
            f"{folder}: generation_config.json lacks {', '.join(lacking)}; take that file from the checkpoint that "
            "this one was trained from"
        )
    heads = getattr(settings, "alignment_heads", None) or []
    size = (config.decoder_layers, config.decoder_attention_heads)
    odd = [(layer, head) for layer, head in heads if not (0 <= layer < size[0] and 0 <= head < size[1])]
    if odd:
        raise WeightsError(
            f"{folder}: generation_config.json names the alignment head {odd[0]} (layer, head), but the decoder has "
            f"{size[0]} layers of {size[1]} heads; take the heads of this size of Whisper, or none"
        )
