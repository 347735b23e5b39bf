"""List the files that a checkpoint needs from its hub repository at its commit, with the hub's hashes.

HF_ENDPOINT names a mirror and HF_TOKEN a token, as for huggingface_hub, whose own download is not used because it
discards the bytes of an interrupted download.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from msapipe.documents import read_json
from msapipe.weights._http import Failed, Remote, no_answer
from msapipe.weights.folder import stays_inside
from msapipe.weights.kinds import Checkpoint

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

# Config and tokenizer.
_SMALL = (".json", ".txt", ".model")
_INDEX = ".index.json"
# Parameter files in order of preference; each is a single file, or shards with an index.
_NUMBERS = (("model", ".safetensors"), ("pytorch_model", ".bin"), ("model", ".bin"))  # the last is of CTranslate2
_SECONDS = 30.0


def remotes(checkpoint: Checkpoint) -> tuple[Remote, ...]:
    """Every file that the checkpoint needs; raises Failed if the hub lacks one."""
    own = _listing(checkpoint, checkpoint.revision)
    other = checkpoint.weights_revision
    files = {
        name: _remote(checkpoint, checkpoint.revision, file)
        for name, file in own.items()
        if name.endswith(_SMALL) and not name.endswith(_INDEX)
    }
    from_other = _listing(checkpoint, other) if other else own
    names = numbers(from_other)
    if not names:
        raise Failed(
            f"{checkpoint.repository} holds neither model.safetensors nor pytorch_model.bin nor model.bin at "
            f"{(other or checkpoint.revision)[:12]} (there are: {', '.join(sorted(from_other)[:12])})"
        )
    files |= {name: _remote(checkpoint, other or checkpoint.revision, from_other[name]) for name in names}
    if checkpoint.sha256 and not any(file.sha256.startswith(checkpoint.sha256) for file in files.values()):
        raise Failed(
            f"{checkpoint.repository} states the sha256 {files[names[-1]].sha256[:16]}... for {names[-1]}, "
            f"msapipe expects {checkpoint.sha256[:16]}...; is HF_ENDPOINT a faithful mirror?"
        )
    return tuple(files.values())


def numbers(names: Iterable[str]) -> tuple[str, ...]:
    """The files of a repository that hold the parameters; () if there are none."""
    there = set(names)
    for stem, suffix in _NUMBERS:
        whole, index = f"{stem}{suffix}", f"{stem}{suffix}{_INDEX}"
        if whole in there:
            return (whole,)
        shards = sorted(name for name in there if re.fullmatch(rf"{stem}-\d+-of-\d+\{suffix}", name))
        if index in there and shards:
            return (index, *shards)
    return ()


def check_index(folder: Path, files: Iterable[str]) -> None:
    """Raise Failed if the index of a sharded checkpoint names a file that is not among ``files``."""
    there = set(files)
    for index in (name for name in there if name.endswith(_INDEX)):
        try:
            named = set(read_json((folder / index).read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Failed(f"{index} is no index of a checkpoint: {error}") from error
        if odd := sorted(map(str, named - there)):
            raise Failed(f"{index} names {odd[0]!r}, which does not belong to the checkpoint")


def _endpoint() -> str:
    from huggingface_hub import constants

    return os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")


def _listing(checkpoint: Checkpoint, revision: str) -> dict[str, RepoSibling]:
    """Top-level files of the repository: name to the hub's metadata."""
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub import HfApi, errors

    repository, hub = checkpoint.repository, _endpoint()
    try:
        api = HfApi(endpoint=hub, library_name="msapipe")
        info = api.model_info(repository, revision=revision, files_metadata=True, timeout=_SECONDS)
    except errors.GatedRepoError as error:
        raise Failed(
            f"{hub}/{repository} is gated; accept its terms there, and set HF_TOKEN to your token of the hub"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise Failed(f"{hub}/{repository} has no commit {revision}; look up its 40 digits there") from error
    except errors.RepositoryNotFoundError as error:
        raise Failed(
            f"{hub} knows no {repository}, or it is private; check the name, or set HF_TOKEN to your token of the hub"
        ) from error
    except errors.HfHubHTTPError as error:
        said = f"{error.response.status_code} {error.response.reason_phrase}"
        what_to_do = "set HF_TOKEN to your token" if error.response.status_code in (401, 403) else "type the same later"
        raise Failed(f"{hub}/{repository} answers {said}; {what_to_do}") from error
    except (HTTPError, InvalidURL) as error:
        raise Failed(no_answer(f"{hub}/{repository}", error)) from error
    except (ValueError, TypeError, KeyError) as error:
        raise Failed(f"{hub} does not answer as a model hub does ({error}); look at HF_ENDPOINT") from error
    if info.sha != revision or not info.siblings:
        raise Failed(f"{hub} answers for {repository} with commit {info.sha}, asked for {revision}")
    for file in info.siblings:
        if not stays_inside(file.rfilename):
            raise Failed(f"{hub}/{repository} names a file {file.rfilename!r}, which leads out of the folder")
    return {file.rfilename: file for file in info.siblings if "/" not in file.rfilename}


def _remote(checkpoint: Checkpoint, revision: str, file: RepoSibling) -> Remote:
    from huggingface_hub import get_token, hf_hub_url

    if file.lfs is None and not file.blob_id:
        raise Failed(f"{_endpoint()} states no hash of {file.rfilename}; name another mirror with HF_ENDPOINT")
    token = get_token()
    return Remote(
        file=file.rfilename,
        url=hf_hub_url(checkpoint.repository, file.rfilename, revision=revision, endpoint=_endpoint()),
        bytes=file.lfs.size if file.lfs else file.size,
        sha256=file.lfs.sha256 if file.lfs else "",
        git_blob="" if file.lfs else file.blob_id or "",
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )
