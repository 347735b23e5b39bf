"""Each paper's tables and figures, and the command that makes them; run through on labels with random features.

``--list`` prints table and command only. Else every command is run for a few epochs: labels of CH-SIMS v2 (its own
split), features drawn at random with the widths of the papers' extractors: the figures mean nothing, that they come
out at all is what is shown. ``--gates`` is another thing: AGFN's four variants with three seeds on the official
training split of CMU-MOSI with GloVe words and 73 acoustic columns (setting b of mosi.py), with a table for LaTeX.
"""

from __future__ import annotations

import argparse
import io
import itertools
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from msapipe.cli._training import markdown
from msapipe.formats import FORMATS
from msapipe.train.labels import read_labels
from msapipe.types import FeatureSequence, Sample

SHARED = Path(__file__).resolve().parents[2] / "shared"

# Columns of the channels of each modality: SMP's extractors, as features that any model reads.
CHANNELS = {
    "text": {"bert": 768},
    "audio": {"wav2vec2": 1024, "mfcc": 40},
    "vision": {"resnet18": 512, "au": 34},
}
STEPS = 12


@dataclass(frozen=True)
class Result:
    """A table or figure of a paper; command: after ``msapipe``, with FEATURES, LABELS, MODEL and FIGURE to fill in."""

    paper: str
    what: str
    command: str


RESULTS = (
    Result("AGFN", "table 2", "compare FEATURES --models tfn,lmf,mfn,misa,self_mm,tetfn,agfn --preset mosi"),
    Result("AGFN", "table 3", "compare FEATURES --ablation agfn_table3"),
    Result("AGFN", "figure 3, PSC", "embed FEATURES --model MODEL -o FIGURE"),
    Result("AGFN", "figure 4, gates of a clip", "explain FEATURES --model MODEL --clip CLIP -o FIGURE"),
    Result("SMP", "tables III, IV", "compare FEATURES --models ef_lstm,lf_dnn,mfn,tfn,mult,smp --preset sims"),
    Result("SMP", "table V", "compare FEATURES --ablation smp_table5"),
    Result(
        "SMP",
        "figure 5",
        "compare FEATURES --preset sims --models "
        "smp:modalities=text,smp:modalities=audio,smp:modalities=vision,smp:modalities=text+audio,smp",
    ),
    Result("SMP", "figure 6", "compare FEATURES --ablation smp_figure6"),
    Result("BoostingMSA", "table 1", "compare FEATURES --ablation boosting_table1"),
    Result(
        "BoostingMSA",
        "table 2",
        "compare FEATURES --preset mosi --models mag_bert,boosting:fusion=sf,boosting:fusion=tfn,boosting:fusion=mult",
    ),
    Result(
        "BoostingMSA",
        "table 3 (columns of T, A, V)",
        "compare FEATURES --models boosting:regime=two_step,boosting:regime=two_step:features=handcrafted",
    ),
    Result("BoostingMSA", "table 4", "compare FEATURES --ablation boosting_table4"),
    Result(
        "HMA",
        "tables I, II",
        "compare FEATURES --preset mosi --models "
        "tfn,lmf,mfn,marn,mfm,raven,mult,mctn,qmf,misa,iccn,mag_bert,cm_bert,self_mm,hma",
    ),
    Result("HMA", "table III", "compare FEATURES --ablation hma_table3"),
    Result("HMA", "table IV", "compare FEATURES --ablation hma_table4"),
    Result("HMA", "table V", "compare FEATURES --ablation hma_table5 --set language_model="),
    Result("HMA", "table VI", "compare FEATURES --ablation hma_table6"),
    Result("HMA", "figure 5", "compare FEATURES --models hma:insert_layer=0,hma:insert_layer=1,hma:insert_layer=2"),
    Result("HMA", "figures 6, 8, attention of a clip", "explain FEATURES --model HMA --clip CLIP -o FIGURE"),
    Result("DEC", "table 1", "compare FEATURES --ablation dec_table1"),
    Result("DEC", "map of its clusters", "embed FEATURES --model DEC --color cluster -o FIGURE"),
)


def samples(clips: int) -> Iterator[Sample]:
    """Clips of CH-SIMS v2 with their labels and random features; of each split in proportion."""
    random = np.random.default_rng(0)
    rows = read_labels(SHARED / "data" / "sims_v2" / "label.csv")
    for row in itertools.islice(rows, 0, None, max(1, len(rows) // clips)):
        # One number of steps, as features on words have it: some models need that.
        steps = int(random.integers(STEPS // 2, STEPS))
        features = {name: _sequence(random, channels, steps) for name, channels in CHANNELS.items()}
        yield Sample(row.name, features, row.labels, row.split, row.group, row.text)


def _sequence(random: np.random.Generator, channels: dict[str, int], steps: int) -> FeatureSequence:
    values = random.normal(size=(steps, sum(channels.values()))).astype(np.float32)
    starts = np.arange(steps, dtype=np.float64)
    ends = list(itertools.accumulate(channels.values()))
    bounds = {name: (end - width, end) for (name, width), end in zip(channels.items(), ends, strict=True)}
    return FeatureSequence(values, np.stack([starts, starts + 1], 1), np.ones(steps, bool), (), bounds)


def msapipe(command: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the program, run in this process: torch is imported once."""
    from msapipe.cli._app import app
    from msapipe.cli._exit import INTERRUPTED
    from msapipe.cli._exit import run as run_app

    sys.argv = ["msapipe", *shlex.split(command)]
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as error:
        code = run_app(app)
    if code == INTERRUPTED:
        raise SystemExit(code)
    return code, out.getvalue(), error.getvalue()


def run(result: Result, number: int, folder: Path, epochs: int) -> dict[str, str]:
    """One row: what was asked, whether it came out, how long it took."""
    features = folder / "features.safetensors"
    clip = next(iter(FORMATS.get("safetensors")().read(features))).id
    command = result.command.replace("FEATURES", str(features)).replace("FIGURE", str(folder / f"{number}.png"))
    command = command.replace("CLIP", clip)
    for word, model in (("MODEL", "agfn"), ("HMA", "hma"), ("DEC", "dec")):
        command = command.replace(f"--model {word} ", f"--model {folder / model} ")
    if command.startswith("compare"):
        out = folder / f"compare{number}"
        command += (
            f" -o {out} --overwrite --seeds 1 --set epochs={epochs} --device cpu --latex {folder / f'{number}.tex'}"
        )
    if command.startswith("embed"):
        command += " --split all"  # the table of CH-SIMS v2 that is here has no test split
    begun = time.perf_counter()
    code, _, error = msapipe(command)
    came = "came out" if code == 0 else f"failed: {[str(code), *error.strip().splitlines()][-1]}"
    row = {"paper": result.paper, "result": result.what, "command": f"`msapipe {result.command}`", "run": came}
    return row | {"seconds": f"{time.perf_counter() - begun:.0f}"}


def gates(folder: Path, epochs: int) -> None:
    """AGFN's four variants on CMU-MOSI, in one command."""
    sys.path.insert(0, str(Path(__file__).parent))
    from mosi import official

    train, stop, test = next(official())
    sides = (("train", train), ("valid", stop), ("test", test))
    features = folder / "mosi_b.safetensors"
    FORMATS.get("safetensors")().write(features, [replace(s, split=name) for name, side in sides for s in side])
    command = f"compare {features} --ablation agfn_table3 --set epochs={epochs} --set patience=6 --scale -3,3"
    command += f" -o {folder / 'gates'} --latex {folder / 'agfn_table3.tex'} --overwrite --device cpu"
    code, out, error = msapipe(command)
    print(out, error, sep="\n")
    if code == 0:
        print((folder / "agfn_table3.tex").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="tables and commands, nothing is run")
    parser.add_argument("--gates", action="store_true", help="AGFN's four variants on CMU-MOSI instead")
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("table-runs"))
    asked = parser.parse_args()
    if asked.list:
        print(markdown({"paper": r.paper, "result": r.what, "command": f"`msapipe {r.command}`"} for r in RESULTS))
        return
    asked.folder.mkdir(parents=True, exist_ok=True)
    if asked.gates:
        gates(asked.folder, asked.epochs)
        return
    features = asked.folder / "features.safetensors"
    FORMATS.get("safetensors")().write(features, list(samples(asked.clips)))
    for model in ("agfn", "hma", "dec"):
        options = f"-o {asked.folder / model} --seeds 1 --set epochs={asked.epochs} --device cpu"
        code, _, error = msapipe(f"train {features} --model {model} {options}")
        if code:
            raise SystemExit(error)
    rows = []
    for number, result in enumerate(RESULTS):
        rows.append(run(result, number, asked.folder, asked.epochs))
        print(f"{result.paper} {result.what}: {rows[-1]['run']}, {rows[-1]['seconds']} s", file=sys.stderr, flush=True)
    print(markdown(rows))


if __name__ == "__main__":
    main()
