"""Atomic writes: a file or directory is there whole, or it is not there."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dialoom.errors import CheckpointError


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yields a temporary sibling directory that becomes `path` when the block ends well.

    Everything in it is synced to disk before the rename. An existing `path` is replaced. If the
    block fails, nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        _sync_tree(temporary)
        _replace_directory(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(path.parent)


def sweep(directory: Path) -> None:
    """Removes what killed writers left in a directory that no other process writes to.

    A writer killed between its two renames leaves the old state under a name of its own: it is put
    back.
    """
    if not directory.is_dir():
        return
    for path in directory.glob(".*.old"):
        name = path.name[1:].rsplit(".", 2)[0]
        if not (directory / name).exists():
            path.rename(directory / name)
    for path in (*directory.glob(".*.tmp"), *directory.glob(".*.old")):
        path.unlink() if path.is_symlink() else shutil.rmtree(path)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Writes readable JSON; atomicity is the caller's directory."""
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        CheckpointError: the file is missing, is no JSON, or is no object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is no valid JSON ({error}): is it half-written?") from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return data


def replace_link(link: Path, target: str) -> None:
    """Points a symbolic link at a sibling, in one step."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


def _replace_directory(source: Path, target: Path) -> None:
    """Renames over an existing directory, which POSIX allows only when that is empty."""
    if not target.exists():
        source.rename(target)
        return
    retired = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.rename(retired)
    source.rename(target)
    shutil.rmtree(retired)


def _sync_tree(directory: Path) -> None:
    for path in (*directory.rglob("*"), directory):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
