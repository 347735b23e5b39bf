"""The speed of extraction in one table: each part against what is used today, in the same run, on one thread."""

from __future__ import annotations

import argparse
import importlib
import tempfile
import time
from pathlib import Path

import torch
from _extract_table import HEAD, Row, markdown

# In the order in which they are run; each module has a function rows(place).
PARTS = {
    "faces": "_extract_faces",
    "networks": "_extract_networks",
    "pipelines": "_extract_pipelines",
    "mmsa-fet": "_extract_fet",
    "runs": "_extract_runs",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--all", action="store_true", help="every part")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--mmsa-fet", type=Path, metavar="PYTHON", help="of an environment with MMSA-FET")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if not (asked.all or asked.parts):
        parser.error("name parts, or --all")
    torch.set_num_threads(1)
    begun = time.perf_counter()
    found: list[Row] = []
    print(" | ".join(HEAD))
    with tempfile.TemporaryDirectory() as place:
        for part in PARTS if asked.all else asked.parts:
            rows = importlib.import_module(PARTS[part]).rows
            for row in rows(Path(place), asked.mmsa_fet) if part == "mmsa-fet" else rows(Path(place)):
                print(" | ".join(row.cells()), flush=True)
                found.append(row)
                if asked.markdown:
                    asked.markdown.write_text(markdown(found))
    print(f"{time.perf_counter() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
