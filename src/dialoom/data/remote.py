"""Corpora in object storage: a local copy, brought up to date when the corpus is opened.

Training reads clips at random and every clip again in each epoch; a request for each would cost
more time and money than the 5.6 MB that an hour of speech takes on a disk. So whole shards are
copied, those that changed, and then read as any other corpus is. `fsspec` knows the storages: s3://
(with the package s3fs), gs:// (gcsfs), hf://, https://, and whatever else it lists.
"""

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from dialoom.data.atomic import atomic_path
from dialoom.data.index import INDEX_FILE
from dialoom.data.shard import SHARD_PATTERN
from dialoom.errors import DataError

CACHE_VARIABLE = "DIALOOM_CACHE"
"""Names the directory of the copies; without it that is ~/.cache/dialoom."""

_KEYS_FILE = "copied.json"
_OTHER_FILES = ("rejected.jsonl", INDEX_FILE, "corpus.json")


def is_remote(path: str | Path) -> bool:
    """Whether it is an address such as s3://bucket/corpus; a `Path` never is."""
    return isinstance(path, str) and "://" in path


def local_copy(address: str) -> Path:
    """The directory with the files of a corpus, up to date; one process copies, others wait.

    Only what changed is fetched, and a file is there whole or not at all.

    Raises:
        DataError: the storage is unknown, cannot be reached, or its package is not installed; or
            there is no corpus.
    """
    name = PurePosixPath(address.rstrip("/")).name or "corpus"
    cache = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "dialoom")
    directory = cache / "corpora" / hashlib.sha256(address.encode()).hexdigest()[:16] / name
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory.with_name("lock")):
            _update(address, directory)
    except DataError:
        raise
    except Exception as error:  # every storage raises its own
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DataError(
            f"corpus {address}: cannot be copied to {directory} ({reason}); correct the address, "
            "the access rights or the room on the disk"
        ) from error
    return directory


def _update(address: str, directory: Path) -> None:
    """corpus.json comes last: a copy that broke off is no corpus."""
    from fsspec.core import url_to_fs

    storage, root = url_to_fs(address)
    if not storage.exists(f"{root}/corpus.json"):
        raise DataError(
            f"corpus {address}: no corpus.json there; make it with `dialoom prepare` and upload it"
        )
    shards = sorted(storage.glob(f"{root}/{SHARD_PATTERN}"))
    others = [f"{root}/{name}" for name in _OTHER_FILES if storage.exists(f"{root}/{name}")]
    present = {PurePosixPath(path).name: path for path in (*shards, *others)}
    found = {name: str(storage.ukey(path)) for name, path in present.items()}
    copied = {n: key for n, key in _read_keys(directory).items() if (directory / n).is_file()}
    if copied == found:
        return
    (directory / "corpus.json").unlink(missing_ok=True)
    for name in copied.keys() - found.keys():
        (directory / name).unlink()
    for name, path in present.items():
        if name == "corpus.json" or copied.get(name) != found[name]:
            _fetch(storage, path, directory / name)
            copied[name] = found[name]
            _write_keys(directory, {n: key for n, key in copied.items() if n in found})


def _fetch(storage: Any, path: str, target: Path) -> None:
    with storage.open(path, "rb") as source, atomic_path(target) as temporary:
        with temporary.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)


def _read_keys(directory: Path) -> dict[str, str]:
    """File → what its storage said of it when it was copied; empty where that is not known."""
    with suppress(OSError, ValueError, AttributeError):
        keys = json.loads((directory / _KEYS_FILE).read_text(encoding="utf-8"))
        return {str(name): str(key) for name, key in keys.items()}
    return {}


def _write_keys(directory: Path, keys: dict[str, str]) -> None:
    with atomic_path(directory / _KEYS_FILE) as temporary:
        temporary.write_text(json.dumps(keys), encoding="utf-8")
