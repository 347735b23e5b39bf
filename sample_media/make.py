"""Make the sample clips: `uv run python sample_media/make.py`, about a minute.

Nothing is downloaded: the portrait and the pictures come with scikit-image, the voices with espeakng-loader.
Every random number is seeded, the encoders run on one thread and write no version or date, so two runs on one
machine with the same packages give the same bytes. `README.md` says what each clip is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import cv2
import numpy as np
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import SubtitleSet
from puppet import Camera, Image, Look, Pose, Puppet
from skimage import data
from voice import RATE, Cue, Samples, Synthesiser, Voice, opening

HERE = Path(__file__).parent
FPS = 25
TICKS = Fraction(1, 12800)  # the clock of the video tracks
MILLISECOND = Fraction(1, 1000)  # the clock of the subtitles
QUALITY = "23"  # x264's constant rate factor
SPEECH_BITS = 64_000

# The words of each clip. The recogniser has to find them by itself: no clip but `subtitled.mp4` carries them.
WORDS: dict[str, tuple[str, ...]] = {
    "positive": ("What a wonderful day.", "I am so happy, and I love this movie."),
    "negative": ("It was a disaster.", "The music was awful, and I'm really disappointed."),
    "two_faces": ("The story was great and the music was beautiful. I love this movie.",),
    "no_face": ("We are going to the mountains today.", "The weather is beautiful."),
    "vfr": ("It was a beautiful day,", "and the weather was wonderful."),
    "subtitled": ("I am so happy today.", "I love this movie.", "The people are wonderful."),
}
# Speed, pitch, its range and the seed were chosen, for each text, so that the recogniser hears every word.
VOICES: dict[str, Voice] = {
    "positive": Voice("en-us+f2", 140, 60, 50),
    "negative": Voice("en-us+m2", 155, 50, 50),
    "two_faces": Voice("en-us+f3", 140, 45, 50, seed=2),
    "no_face": Voice("en-us+f2", 145, 60, 50, seed=2),
    "vfr": Voice("en-us+m3", 135, 55, 50),
    "subtitled": Voice("en-us+f2", 140, 50, 40),
}
SILENT_SECONDS = 4.0

BLONDE = Look()
BROWN = Look(
    mirror=True,
    hair=(0.55, 0.45, 0.45),
    suit_hue=100,
    jaw=0.12,
    length=0.06,
    tint=(0.96, 0.98, 1.0),
)
DARK = Look(hair=(0.35, 0.33, 0.36), suit_hue=45, jaw=-0.10, length=-0.04)
PAIR_CAMERA = Camera(left=129.0, span=216.0, width=300, height=336)

CHEERFUL = Pose(gap=2.4, corners=-1.0, narrow=0.06, lip=1.6, teeth=1.6, brow_inner=-0.6, brow_outer=-0.8)
GLOOMY = Pose(
    gap=0.0,
    corners=8.0,
    narrow=0.20,
    lip=0.5,
    teeth=2.4,
    brow_inner=3.2,
    brow_outer=1.6,
    frown=3.0,
    lids=0.15,
)
CALM = Pose(gap=0.0, corners=2.2, narrow=0.10, lip=1.2, teeth=2.0)
WIDE_OPEN = 9.5  # added to the gap between the lips by the loudest vowel

Act = Callable[[float], Pose]
Frames = Iterable[tuple[float, Image]]
Clock = Callable[[float], list[float]]


def act(mood: Pose, seed: int, seconds: float, mouth: Samples | None = None) -> Act:
    """The pose at any time: the mood, a mouth that follows the sound, blinks, a head never quite still."""
    random = np.random.default_rng(seed)
    phases = random.uniform(0, 2 * np.pi, 6)
    blinks = np.cumsum(random.uniform(1.4, 2.4, 8)) - 0.6
    blinks = blinks[blinks < seconds - 0.2]
    aperture = np.zeros(1) if mouth is None else opening(mouth)
    half_second = np.ones(min(RATE // 2, len(aperture))) / (RATE // 2)
    stress = np.convolve(aperture, half_second, mode="same")

    def wave(number: int, hertz: float, t: float) -> float:
        return float(np.sin(2 * np.pi * hertz * t + phases[number]))

    def pose(t: float) -> Pose:
        sample = min(round(t * RATE), len(aperture) - 1)
        wide, strong = float(aperture[sample]), float(stress[sample])
        blink = max((1 - (abs(t - middle) / 0.085) ** 2 for middle in blinks), default=0.0)
        return Pose(
            gap=mood.gap + WIDE_OPEN * wide,
            corners=mood.corners * (1 - 0.1 * wide),
            narrow=mood.narrow + 0.06 * wide,
            lip=mood.lip * (1 - 0.5 * wide),
            teeth=mood.teeth * (1 - 0.4 * wide),
            brow_inner=mood.brow_inner * (0.7 + 0.6 * strong),
            brow_outer=mood.brow_outer * (0.7 + 0.6 * strong),
            frown=mood.frown,
            lids=max(mood.lids, blink),
            shift=(1.2 * wave(0, 0.31, t) + 0.5 * wave(1, 0.83, t), 0.8 * wave(2, 0.43, t) + 1.5 * strong),
            turn=0.9 * wave(3, 0.27, t) + 0.4 * wave(4, 0.71, t),
        )

    return pose


def steady(seconds: float) -> list[float]:
    """Frame times at a constant rate."""
    return [number / FPS for number in range(int(seconds * FPS))]


def irregular(seconds: float) -> list[float]:
    """Frame times that an index cannot tell: a late start, 25, 12.5 and 30 frames a second, and a gap."""
    times, now = [], 0.2
    while now < seconds - 0.04:
        times.append(now)
        if len(times) == 60:
            now += 0.4
        elif now < 1.4:
            now += 1 / 25
        elif now < 2.6:
            now += 1 / 12.5
        else:
            now += 1 / 30
    return times


def filmed(puppet: Puppet, acting: Act, times: list[float]) -> Frames:
    """The puppet at these times."""
    return ((t, puppet.draw(acting(t))) for t in times)


def side_by_side(left: Frames, right: Frames) -> Frames:
    """Two films in one picture."""
    return ((t, np.hstack([one, other])) for (t, one), (_, other) in zip(left, right, strict=True))


def scenery(seconds: float, size: int = 360) -> Frames:
    """A slow pan over a rocket on its pad, faded into one over a cup of coffee."""
    pictures = [cv2.GaussianBlur(picture, (0, 0), 1.2) for picture in (data.rocket(), data.coffee())]

    def view(picture: Image, way: float) -> Image:
        scale = size / (picture.shape[0] - 20)
        room = picture.shape[1] * scale - size
        matrix = np.array([[scale, 0, -room * (0.25 + 0.5 * way)], [0, scale, -10 * scale]])
        return np.asarray(cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_AREA), np.uint8)

    for t in steady(seconds):
        way = t / seconds
        share = float(np.clip((way - 0.45) / 0.1, 0, 1))
        yield t, cv2.addWeighted(view(pictures[0], way), 1 - share, view(pictures[1], 1 - way), share, 0)


def write(name: str, frames: Frames, sound: Samples, cues: tuple[Cue, ...] = ()) -> None:
    """Encode one clip: h264, AAC, and subtitles if there are cues."""
    path = HERE / f"{name}.mp4"
    frames = iter(frames)
    first = next(frames)
    height, width = first[1].shape[:2]
    with av.open(path, "w", container_options={"fflags": "+bitexact", "movflags": "+faststart"}) as container:
        video = _video_stream(container, width, height)
        audio = container.add_stream("aac", rate=RATE, layout="mono", options={"flags": "+bitexact"})
        audio.bit_rate = SPEECH_BITS
        text = _text_stream(container) if cues else None
        for t, image in chain([first], frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(t / TICKS), TICKS
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        block = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = RATE, 0, Fraction(1, RATE)
        container.mux(audio.encode(block))
        container.mux(audio.encode(None))
        if text is not None:
            container.mux([_subtitle(text, cue) for cue in cues])
    print(f"{path.name:15} {len(sound) / RATE:4.1f} s {path.stat().st_size / 1000:5.0f} KB")


def _video_stream(container: av.container.OutputContainer, width: int, height: int) -> av.VideoStream:
    options = {"crf": QUALITY, "preset": "slow", "threads": "1", "flags": "+bitexact"}
    options["x264-params"] = "mbtree=0"  # x264's mbtree is not always the same twice
    stream = container.add_stream("libx264", rate=FPS, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.time_base = stream.codec_context.time_base = TICKS
    return stream


ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, \
Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, \
MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def _text_stream(container: av.container.OutputContainer) -> SubtitleStream:
    stream = container.add_stream("mov_text")
    stream.codec_context.subtitle_header = ASS_HEADER
    stream.time_base = stream.codec_context.time_base = MILLISECOND
    return stream


def _subtitle(stream: SubtitleStream, cue: Cue) -> av.Packet:
    start, length = round(cue.start / MILLISECOND), round((cue.end - cue.start) / MILLISECOND)
    line = f"0,0,Default,,0,0,0,,{cue.text}".encode()
    packet = stream.codec_context.encode_subtitle(SubtitleSet.create(line, 0, length, pts=start))
    packet.stream, packet.time_base = stream, MILLISECOND
    packet.pts = packet.dts = start
    packet.duration = length
    return packet


def main() -> None:
    """Make all clips."""
    said = {name: Synthesiser().speak(words, VOICES[name]) for name, words in WORDS.items()}
    pair, quiet = said["two_faces"], np.zeros(round(SILENT_SECONDS * RATE), np.float32)
    blonde, brown, dark = (Puppet(look, Camera()) for look in (BLONDE, BROWN, DARK))

    def talking(name: str, puppet: Puppet, mood: Pose, seed: int, clock: Clock = steady) -> Frames:
        seconds, samples = said[name].seconds, said[name].samples
        return filmed(puppet, act(mood, seed, seconds, samples), clock(seconds))

    def listening(puppet: Puppet, seed: int, seconds: float) -> Frames:
        return filmed(puppet, act(CALM, seed, seconds), steady(seconds))

    films: dict[str, Frames] = {
        "positive": talking("positive", blonde, CHEERFUL, 1),
        "negative": talking("negative", brown, GLOOMY, 2),
        "two_faces": side_by_side(
            talking("two_faces", Puppet(BLONDE, PAIR_CAMERA), CHEERFUL, 3),
            listening(Puppet(BROWN, PAIR_CAMERA), 4, pair.seconds),
        ),
        "no_face": scenery(said["no_face"].seconds),
        "vfr": talking("vfr", dark, CHEERFUL, 5, irregular),
        "subtitled": talking("subtitled", blonde, CHEERFUL, 6),
        "silent_face": listening(brown, 7, SILENT_SECONDS),
    }
    for name, frames in films.items():
        sound = said[name].samples if name in said else quiet
        write(name, frames, sound, said[name].cues if name == "subtitled" else ())


if __name__ == "__main__":
    main()
