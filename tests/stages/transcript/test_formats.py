"""Every kind of file with words that people have, and what is right for it."""

# ruff: noqa: E501 - what files hold stands in one line

from __future__ import annotations

import json
from pathlib import Path

import pytest

from msapipe.stages.transcript.sidecar import Sidecar
from msapipe.types import Clip, MediaInfo, PassedOver, Transcript

HATED = "I hated it it was awful"
ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:03.50,Default,,0,0,0,,nobody says this
Dialogue: 0,0:00:00.00,0:00:03.50,Default,,0,0,0,,{\\an7\\p1\\pos(1,1)}m 0 0 l 100 0 100 20 0 20{\\p0}
Dialogue: 0,0:00:00.30,0:00:03.50,Default,,0,0,0,,{\\i1}I hated it{\\i0}\\Nit was awful
Dialogue: 1,0:00:00.30,0:00:03.50,Shadow,,0,0,0,,{\\blur4}I hated it\\Nit was awful
"""
SSA = """[Script Info]
ScriptType: v4.00
[Events]
Format: Marked, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: Marked=0,0:00:00.30,0:00:01.80,Default,JOHN,0000,0000,0000,,I hated it
Dialogue: Marked=0,0:00:02.00,0:00:03.80,Default,JOHN,0000,0000,0000,,{\\k20}it {\\k30}was {\\k10}aw{\\k10}ful
"""
TTML = """<?xml version="1.0" encoding="UTF-16"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" ttp:frameRate="25" xml:lang="en">
<head><metadata>no words</metadata></head>
<body begin="0.1s"><div><p begin="00:00:00.200" end="00:00:01.700">I<br/>hated <span>it</span></p>
<p begin="00:00:01:22" dur="1.8s">it was
 awful</p></div></body></tt>"""
DFXP = """<tt xmlns="http://www.w3.org/2006/04/ttaf1"><body><div>
<p begin="3000000t" end="18000000t" xmlns:ttp="x">I hated it</p><p begin="20000000t" end="38000000t">it was awful</p>
</div></body></tt>""".replace(
    "<tt ", '<tt ttp:tickRate="10000000" xmlns:ttp="http://www.w3.org/2006/04/ttaf1#parameter" '
)
SMI = """<SAMI><HEAD><STYLE TYPE="text/css"><!--
.FRCC { Name: French; lang: fr-FR; } .ENCC { Name: English; lang: en-US; } --></STYLE></HEAD><BODY>
<SYNC Start=300><P Class=FRCC>Je le d&eacute;teste<P Class=ENCC>I hated<br>it
<SYNC Start=1800><P Class=ENCC>&nbsp;
<SYNC Start=2000><P Class=ENCC>it was awful</BODY></SAMI>"""
SRT = "1\n00:00:00,300 --> 00:00:01,800\nI hated it\n\n2\n00:00:02,000 --> 00:00:03,800\nit was awful\n"
SBV = "0:00:00.300,0:00:01.800\nI hated it\n\n0:00:02.000,0:00:03.800\nit was awful\n"
LINES = "[ar: nobody]\n[00:00.30]I hated it\n[00:02.00] <00:02.00> it <00:02.50> was <00:03.00> awful\n"
YOUTUBE = {
    "events": [
        {"tStartMs": 0, "dDurationMs": 4000, "id": 1},
        {"tStartMs": 300, "dDurationMs": 1500, "segs": [{"utf8": "I"}, {"utf8": " hated it", "tOffsetMs": 400}]},
        {"tStartMs": 1800, "aAppend": 1, "segs": [{"utf8": "\n"}]},
        {"tStartMs": 2000, "dDurationMs": 1800, "segs": [{"utf8": "it was awful"}]},
    ]
}
TWO = [{"text": " I hated it", "start": 0.3, "end": 1.8}, {"text": " it was awful", "start": 2, "end": 3.8}]
SPOKEN = [
    *(("I", 0.3, 0.5), ("hated", 0.5, 1.2), ("it", 1.2, 1.8)),
    *(("it", 2.0, 2.4), ("was", 2.4, 3.0), ("awful", 3.0, 3.8)),
]


def words(text: str, start: str, end: str, scale: float = 1.0, kind: type = float) -> list[dict[str, object]]:
    return [{text: word, start: kind(a * scale), end: kind(b * scale)} for word, a, b in SPOKEN]


def alternatives(start: str = "start_time", end: str = "end_time") -> list[dict[str, object]]:
    """Words with alternatives, punctuation apart."""
    found: list[dict[str, object]] = [
        {"type": "pronunciation", start: str(a), end: str(b), "alternatives": [{"content": word, "confidence": "0.9"}]}
        for word, a, b in SPOKEN
    ]
    return [*found, {"type": "punctuation", "alternatives": [{"content": ""}]}]


# fmt: off
JSONS: dict[str, object] = {
    "whisper": {"text": HATED, "language": "en", "segments": TWO},
    "faster-whisper": TWO,
    "whisper.cpp": {
        "result": {"language": "en"},
        "transcription": [
            {"offsets": {"from": 300, "to": 1800}, "timestamps": {"from": "00:00:00,300"}, "text": " I hated it"},
            {"timestamps": {"from": "00:00:02,000", "to": "00:00:03,800"}, "text": " it was awful"},
        ],
    },
    "whisperx": {"segments": [{"text": HATED, "start": 0.3, "end": 3.8, "words": words("word", "start", "end")}]},
    "transformers": {
        "text": HATED,
        "chunks": [{"timestamp": [0.3, 1.8], "text": "I hated it"}, {"timestamp": [2, 3.8], "text": "it was awful"}],
    },
    "vosk": {"text": HATED, "result": words("word", "start", "end")},
    "vosk, a list": [{"result": words("word", "start", "end")}, {"text": ""}],
    "funasr": [{"key": "clip", "text": HATED, "timestamp": [[a * 1000, b * 1000] for _, a, b in SPOKEN]}],
    "funasr, sentences": [
        {
            "sentence_info": [
                {"text": "I hated it", "start": 300, "end": 1800},
                {"text": "it was awful", "start": 2000, "end": 3800},
            ]
        }
    ],
    "youtube": YOUTUBE,
    "youtube-transcript-api": [
        {"text": "I hated it", "start": 0.3, "duration": 1.5},
        {"text": "it was awful", "start": 2.0, "duration": 1.8},
    ],
    "deepgram": {"results": {"channels": [{"alternatives": [{"words": words("punctuated_word", "start", "end")}]}]}},
    "assemblyai": {"audio_duration": 4, "words": words("text", "start", "end", 1000, int)},
    "amazon": {"results": {"transcripts": [], "items": alternatives()}},
    "speechmatics": {"results": alternatives()},
    "google": {
        "results": [
            {"alternatives": [{"words": [{"word": w, "startTime": f"{a}s", "endTime": f"{b}s"} for w, a, b in SPOKEN]}]}
        ]
    },
    "rev": {
        "monologues": [
            {
                "elements": [{"type": "text", "value": w, "ts": a, "end_ts": b} for w, a, b in SPOKEN]
                + [{"type": "punct", "value": "."}]
            }
        ]
    },
    "milliseconds": words("word", "start", "end", 1000, int),
}
FILES: dict[str, tuple[str, str]] = {
    "srt": (".srt", SRT),
    "srt as txt": (".txt", SRT),
    "vtt without its header": (".vtt", SRT.replace(",", ".")),
    "ass": (".ass", ASS),
    "ssa": (".ssa", SSA),
    "ass as srt": (".srt", ASS),
    "ttml": (".ttml", TTML),
    "dfxp": (".dfxp", DFXP),
    "srv1": (
        ".srv1",
        '<transcript><text start="0.3" dur="1.5">I hated it</text><text start="2">it &amp;#119;as awful</text></transcript>',
    ),
    "srv3": (
        ".srv3",
        '<timedtext format="3"><body><p t="300" d="1500"><s>I</s><s t="400"> hated it</s></p><p t="2000" d="1800">it was awful</p></body></timedtext>',
    ),
    "smi": (".smi", SMI),
    "sbv": (".sbv", SBV),
    "subviewer": (".sub", "[INFORMATION]\n[TITLE]x\n[END INFORMATION]\n" + SBV.replace("hated it", "hated[br]it")),
    "microdvd": (".sub", "{1}{1}25\n{8}{45}{y:i}I hated|it\n{50}{95}it was awful\n"),
    "microdvd by the film's rate": (".sub", "{8}{45}I hated|it\n{50}{95}it was awful\n"),
    "mpl2": (".mpl", "[3][18]I hated|/it\n[20][38]it was awful\n"),
    "tmp": (".txt", "00:00:00:I hated|it\n00:00:02:it was awful\n"),
    "lrc": (".lrc", LINES),
    "whisper.tsv": (".tsv", "start\tend\ttext\n300\t1800\tI hated it\n2000\t3800\tit was awful\n"),
    "labels": (".tsv", "0.3\t1.8\tI hated it\n2.0\t3.8\tit was awful\n"),
    **{name: (".json3" if name == "youtube" else ".json", json.dumps(tree)) for name, tree in JSONS.items()},
}

# fmt: on


def found_in(
    folder: Path, name: str, content: str | bytes, seconds: float | None = 4.0
) -> Transcript | PassedOver | None:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return Sidecar().run(Clip("c", folder / "clip.mp4"), MediaInfo("mp4", "h264", "aac", seconds, rate=25.0))


def read(folder: Path, name: str, content: str | bytes, seconds: float | None = 4.0) -> Transcript:
    found = found_in(folder, name, content, seconds)
    assert isinstance(found, Transcript), found
    return found


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_words_and_times(tmp_path: Path, name: str) -> None:
    suffix, content = FILES[name]
    found = read(tmp_path, f"clip{suffix}", content)
    assert found.text == HATED
    assert all(word.start is not None and word.end is not None for word in found.words)
    whole_seconds = name == "tmp"
    first, last = found.words[0].start or 0.0, found.words[-1].end or 0.0
    assert first == pytest.approx(0.0 if whole_seconds else 0.3, abs=0.03)
    if name not in ("ass", "ass as srt"):  # one cue
        assert found.words[3].start == pytest.approx(2.0, abs=0.03)
    assert 3.0 < last <= 4.0
    assert bool(found.notes) == (name in ("milliseconds", "smi"))


@pytest.mark.parametrize(
    ("name", "lines", "text"),
    [
        ("no blank line", "1\n{a}\nI hated it\n2\n{b}\nit was awful", HATED),
        ("blank lines in a cue", "1\n{a}\nI\n\nhated it\n\n\n2\n{b}\n\nit was awful\n", HATED),
        ("no numbers", "{a}\nI hated it\n{b}\nit was awful", HATED),
        ("a number that is spoken", "1\n{a}\nI hated\n\n1984\n\n2\n{b}\nit was awful", "I hated 1984 it was awful"),
        ("end before start", "1\n{a}\nI hated it\n\n2\n00:00:03,500 --> 00:00:02,100\nit was awful", HATED),
        ("out of order", "1\n{b}\nit was awful\n\n2\n{a}\nI hated it", HATED),
        ("old line ends", "1\r{a}\rI hated it\r\r2\r{b}\rit was awful", HATED),
        ("doubled line ends", "1\r\r\n{a}\r\r\nI hated it\r\r\n\r\r\n2\r\r\n{b}\r\r\nit was awful", HATED),
        ("odd arrows", "1\n0:00:00.3 -> 0:00:01.8\nI hated it\n2\n00:00:02:000 \u2013> 00:00:03:800\nit was awful", HATED),
        ("text behind the times", "1\n{a} I hated it\n\n2\n{b}\nit was awful", HATED),
        ("position", "1\n{a} X1:40 X2:600 Y1:20 Y2:50\nI hated it\n\n2\n{b} align:start\nit was awful", HATED),
        ("html", "1\n{a}\n<font color='#fff'>I <b>ha</b>ted</font>\u200b it\n\n2\n{b}\n{\\an8}it&nbsp;was awful", HATED),
        ("overlap", "1\n00:00:00,300 --> 00:00:03,500\nI hated it\n\n2\n00:00:00,400 --> 00:00:03,500\nit was awful", HATED),
        ("layers", "1\n{a}\nI hated it\n\n2\n{a}\nI hated it\n\n3\n{b}\nit was awful", HATED),
        ("growing", "1\n00:00:00,3 --> 00:00:00,5\nI hated\n\n2\n00:00:00,4 --> 00:00:01,8\nI hated it\n\n3\n{b}\nit was awful", HATED),
        ("said twice", "1\n{a}\nawful\n\n2\n00:00:01,800 --> 00:00:02,500\nawful", "awful awful"),
    ],
)  # fmt: skip
def test_subrip_as_people_write_it(tmp_path: Path, name: str, lines: str, text: str) -> None:
    content = lines.replace("{a}", "00:00:00,300 --> 00:00:01,800").replace("{b}", "00:00:02,000 --> 00:00:03,800")
    found = read(tmp_path, "clip.srt", content)
    assert found.text == text
    starts = [word.start or 0.0 for word in found.words]
    assert starts == sorted(starts)
    assert bool(found.notes) == (name == "end before start")


ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:00.320 --> 00:00:02.310 align:start position:0%
 
i<00:00:00.480><c> really</c><00:00:00.800><c> hated</c><00:00:01.200><c> it</c>

00:00:02.310 --> 00:00:02.320 align:start position:0%
i really hated it
 

00:00:02.320 --> 00:00:04.000 align:start position:0%
i really hated it
and<00:00:02.500><c> the</c><00:00:02.700><c> end</c><00:00:03.000><c> was</c><00:00:03.300><c> awful</c>
"""  # noqa: W293 - as they are written


def test_rolling_captions_are_said_once_at_the_times_of_their_tags(tmp_path: Path) -> None:
    found = read(tmp_path, "clip.en.vtt", ROLLING)
    assert [(word.text, word.start, word.estimated) for word in found.words] == [
        *(("i", 0.32, False), ("really", 0.48, False), ("hated", 0.8, False), ("it", 1.2, False)),
        *(("and", 2.32, False), ("the", 2.5, False), ("end", 2.7, False), ("was", 3.0, False), ("awful", 3.3, False)),
    ]
    assert found.language == "en"


@pytest.mark.parametrize("third", ["c", "b\nc"])
def test_rolling_captions_without_tags(tmp_path: Path, third: str) -> None:
    shown = ["one two", "one two\nthree four", "three four\nfive six", f"five six\n{third}"]
    cues = [f"{i + 1}\n00:00:0{i},000 --> 00:00:0{i + 1},000\n{text}\n" for i, text in enumerate(shown)]
    assert read(tmp_path, "clip.srt", "\n".join(cues)).text == f"one two three four five six {' '.join(third.split())}"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("[MUSIC PLAYING] I hated it", "I hated it"),
        (">> JOHN: - I hated it\n{\\an8}so much", "I hated it so much"),
        ("- I hated it.\n- So did I.", "I hated it. So did I."),
        ("(laughs) I hated it", "I hated it"),
        ("(dramatic music playing)", ""),
        ("I hated it (a lot)", "I hated it (a lot)"),
        ("I hated it (sighs) so much", "I hated it so much"),
        ("♪ la la ♪", "la la"),
        ("♪♪", ""),
        ("MAN #1: I hated it", "I hated it"),
        ("[SPEAKER_00]: I hated it", "I hated it"),
        ("Speaker 1: I hated it", "I hated it"),
        ("- Anna: I hated it", "I hated it"),
        ("My verdict: awful", "My verdict: awful"),
        ("At 10:30 it ended", "At 10:30 it ended"),
        ("a < b and c > d", "a b and c d"),
        ("<v Anna>I hated it</v>", "I hated it"),
        ("*sobbing* well-made -- not", "well-made not"),
        ("【音乐】 I hated it ...", "I hated it"),
    ],
)
def test_what_is_not_spoken_is_no_word(tmp_path: Path, line: str, text: str) -> None:
    found = found_in(tmp_path, "clip.srt", f"1\n00:00:00,100 --> 00:00:03,000\n{line}\n")
    assert (found.text if isinstance(found, Transcript) else "") == text


def test_a_name_before_two_lines_is_a_speaker(tmp_path: Path) -> None:
    assert read(tmp_path, "clip.txt", "Anna: I hated it\nBen: why\nAnna: it was bad\nBen: no").text == (
        "I hated it why it was bad no"
    )


def test_two_speakers_in_a_list_of_words_are_not_mixed(tmp_path: Path) -> None:
    tree = {"segments": [
        {"start": 0, "end": 3, "words": [{"word": w, "start": i, "end": i + 1} for i, w in enumerate(["this", "is", "good"])]},
        {"start": 0.5, "end": 3.5, "words": [{"word": w, "start": i + 0.5, "end": i + 1} for i, w in enumerate(["no", "not", "really"])]},
    ]}  # fmt: skip
    assert read(tmp_path, "clip.json", json.dumps(tree)).text == "this is good no not really"
    flat = [word for segment in tree["segments"] for word in segment["words"]]  # type: ignore[attr-defined]
    assert read(tmp_path, "clip.json", json.dumps(flat)).text == "this is good no not really"


def test_several_words_in_the_place_of_one_that_has_no_end(tmp_path: Path) -> None:
    tree = {"segments": [{"start": 0, "end": 3, "words": [{"word": "this is", "start": 1}]}]}
    found = read(tmp_path, "clip.json", json.dumps(tree))
    assert [(word.text, word.start) for word in found.words] == [("this", 1), ("is", 1)]


# Times and the length of the film


def srt(*cues: tuple[float, float, str]) -> str:
    def at(seconds: float) -> str:
        whole = round(seconds * 1000)
        return f"{whole // 3600000:02d}:{whole // 60000 % 60:02d}:{whole // 1000 % 60:02d},{whole % 1000:03d}"

    return "\n".join(f"{i}\n{at(a)} --> {at(b)}\n{text}\n" for i, (a, b, text) in enumerate(cues, 1))


OWN = ((0.3, 1.8, "I hated it"), (2.0, 3.8, "it was awful"))


def test_words_after_the_end_do_not_count(tmp_path: Path) -> None:
    late = ((10.0, 12.0, "but the ending is wonderful and I love it"), (1200.0, 1202.0, "so happy"))
    found = read(tmp_path, "clip.srt", srt(*OWN, *late), 4.3)
    assert found.text == HATED
    assert "11 words come after the end" in found.notes[0]
    assert max(word.end or 0.0 for word in found.words) <= 4.3
    assert read(tmp_path, "clip.srt", srt(*OWN, *late), None).text.endswith("so happy"), "of no known length"


def test_a_cue_that_stays_longer_than_the_film_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, "clip.srt", srt(OWN[0], (2.0, 359_999.0, "it was awful")))
    assert (found.text, found.notes) == (HATED, ())
    cut = read(tmp_path, "clip.srt", srt(OWN[0], (3.8, 9.0, "it was awful and I will never see it again")))
    assert cut.text.startswith("I hated it")
    assert "come after the end" in cut.notes[0]
    assert "again" not in cut.text


@pytest.mark.parametrize("hours", [1, 10])
def test_whole_hours_are_taken_off(tmp_path: Path, hours: int) -> None:
    found = read(tmp_path, "clip.srt", srt(*((a + hours * 3600, b + hours * 3600, text) for a, b, text in OWN)))
    assert found.text == HATED
    assert found.words[0].start == pytest.approx(0.3)
    assert f"{hours} h were taken off" in found.notes[0]


@pytest.mark.parametrize("offset", [20.0, 1170.0, 3600.0 + 900.0])
def test_cues_all_after_the_end_leave_the_speech_to_the_next_source(tmp_path: Path, offset: float) -> None:
    passed = found_in(tmp_path, "clip.srt", srt(*((a + offset, b + offset, text) for a, b, text in OWN)))
    assert isinstance(passed, PassedOver)
    assert "after the end" in passed.notes[0]


def test_milliseconds_are_seen_by_their_size(tmp_path: Path) -> None:
    for content in (json.dumps(words("word", "start", "end", 1000, int)), json.dumps([{**one, "start": 0 if not at else one["start"]} for at, one in enumerate(words("word", "start", "end", 1000, int))])):  # fmt: skip
        found = read(tmp_path, "clip.json", content)
        assert found.text == HATED
        assert found.words[-1].end == pytest.approx(3.8)
        assert "milliseconds" in found.notes[0]
    seconds = read(
        tmp_path, "clip.json", json.dumps([{"word": "a", "start": 1, "end": 2}, {"word": "b", "start": 3, "end": 4}])
    )
    assert (seconds.words[1].start, seconds.notes) == (3.0, ())


# Encodings and languages


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32", "utf-8-sig", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = "I hated the café, it’s déjà vu" if encoding == "cp1252" else "I hated the café"
    assert read(tmp_path, "clip.srt", srt((0.3, 3.5, text)).encode(encoding)).text == text


@pytest.mark.parametrize(
    ("text", "encoding", "called", "language"),
    [
        ("我真的很讨厌这部电影", "gbk", "GBK", "Chinese"),
        ("太糟糕了", "gbk", "GBK", "Chinese"),
        ("我真的很討厭這部電影", "big5", "Big5", "Chinese"),
        ("この映画は本当に嫌いだった", "shift_jis", "Shift-JIS", "Japanese"),
        ("이 영화는 정말 싫었어요", "euc-kr", "EUC-KR", "Korean"),
        ("Я правда ненавидел этот фильм, это было ужасно", "cp1251", "cp1251", "Russian"),
        ("Я правда ненавидел этот фильм", "koi8-r", "KOI8-R", "Russian"),
        ("Μισώ αυτή την ταινία", "cp1253", "cp1253", "Greek"),
        ("أنا أكره هذا الفيلم", "cp1256", "cp1256", "Arabic"),
    ],
)
def test_other_alphabets_are_told_and_never_mojibake(
    tmp_path: Path, text: str, encoding: str, called: str, language: str
) -> None:
    passed = found_in(tmp_path, "clip.srt", srt((0.3, 3.5, text)).encode(encoding))
    assert isinstance(passed, PassedOver)
    assert called in passed.notes[0]
    assert language in passed.notes[1]
    any_language = Sidecar(language="").run(Clip("c", tmp_path / "clip.mp4"), MediaInfo("mp4", None, None, 4.0))
    assert isinstance(any_language, Transcript)
    assert any_language.text == text


def test_damaged_utf_8_is_not_another_encoding(tmp_path: Path) -> None:
    data = srt((0.3, 3.5, "café crème brûlée à la carte, I hated it")).encode()
    found = read(tmp_path, "clip.srt", data.replace("à".encode(), b"\xc3"))
    assert found.text.startswith("café crème brûlée")
    assert "line 3" in found.notes[0]


def test_words_of_another_language_are_passed_over(tmp_path: Path) -> None:
    spanish = "el perro no es mi amigo y yo estoy muy cansado por las cosas que hay"
    passed = found_in(tmp_path, "clip.srt", srt((0.3, 3.5, spanish)))
    assert isinstance(passed, PassedOver)
    assert "Spanish" in passed.notes[0]
