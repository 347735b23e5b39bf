"""msapipe cache: its size, its integrity, and how to make it smaller."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated

import typer

from msapipe.cli import _options as options
from msapipe.cli import _streams
from msapipe.report.marks import marked

if TYPE_CHECKING:
    from pathlib import Path

    from msapipe.cache import Store

app = typer.Typer(help="Look at the cache: stat, verify, prune.", no_args_is_help=True, rich_markup_mode=None)

Cache = options.Cache


@app.command()
def stat(
    cache: Cache = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Count the files anew instead of reading the index.")
    ] = False,
) -> int:
    """Entries and bytes of each slot."""
    from rich.table import Table

    from msapipe.cache import index
    from msapipe.errors import CacheError

    store = _open(cache)
    found = None if rebuild else index.read(store.root)
    if found is None:
        try:
            found = index.rebuild(store.root, store.entries()) if store.root.is_dir() else {}
        except OSError as error:
            raise CacheError(store.unwritable(error)) from error
    counts: dict[str, list[int]] = defaultdict(list)
    for (slot, _), size in found.items():
        counts[slot].append(size)
    table = Table("slot", "entries", "MB", box=None, padding=(0, 2))
    for slot, sizes in sorted(counts.items()):
        table.add_row(slot, str(len(sizes)), f"{sum(sizes) / 1e6:.1f}")
    table.add_row("all", str(len(found)), f"{sum(found.values()) / 1e6:.1f}")
    out = _streams.console()
    out.print(f"{store.root}", markup=False, soft_wrap=True)
    out.print(table)
    return 0


@app.command()
def verify(cache: Cache = None) -> int:
    """Read every entry and check its checksum. Exit code 1 when one is damaged (it would be recomputed)."""
    from msapipe.cache.store import read_entry

    store = _open(cache)
    count = bad = 0
    for _, _, path in store.entries():
        count += 1
        try:
            read_entry(path)
        except (ValueError, OSError) as error:
            bad += 1
            print(marked(str(error)))
    print(f"{count} entries, {bad} damaged" + ("; to remove them, type: msapipe cache prune" if bad else ""))
    return 1 if bad else 0


@app.command()
def prune(
    cache: Cache = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Remove entries written more than so many days ago.")
    ] = None,
    slot: Annotated[str | None, typer.Option(help="Only entries of this slot (all of them, or the old ones).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and stop.")] = False,
) -> int:
    """Remove damaged entries and leftovers of killed runs; with --older-than or --slot, also whole entries."""
    from msapipe.cache import index
    from msapipe.errors import CacheError

    store = _open(cache)
    entries = [(name, path) for name, _, path in store.entries()]
    doomed = [path for name, path in entries if _doomed(name, path, older_than, slot)]
    size = sum(path.stat().st_size for path in doomed)
    if dry_run:
        print(f"would remove {len(doomed)} of {len(entries)} entries, {size / 1e6:.1f} MB")
        return 0
    try:
        for path in doomed:
            path.unlink()
        swept = store.sweep()
        if store.root.is_dir():
            index.rebuild(store.root, store.entries())
    except OSError as error:
        raise CacheError(store.unwritable(error)) from error
    print(f"removed {len(doomed)} of {len(entries)} entries, {size / 1e6:.1f} MB, and what {swept} killed runs left")
    return 0


def _open(cache: str | None) -> Store:
    """The cache; for one in a storage service, note that only its local folder is examined."""
    from msapipe.cache import open_store

    store = open_store(options.cache_folder(cache))
    if store.address != str(store.root):
        typer.echo(f"of {store.address}, what is near, in {store.root}; the service is left as it is", err=True)
    return store


def _doomed(name: str, path: Path, older_than: float | None, slot: str | None) -> bool:
    from msapipe.cache.store import read_entry

    if slot is not None and name != slot:
        return False
    if older_than is not None:
        return path.stat().st_mtime < time.time() - older_than * 86400
    if slot is not None:
        return True
    try:
        read_entry(path)
    except (ValueError, OSError):
        return True
    return False
