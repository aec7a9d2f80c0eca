"""Atomic writes: a file or directory is there whole, or it is not there."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from dialoom.errors import CheckpointError

_TORCH_WRITER = ("inline_container", "PyTorchStreamWriter", "PytorchStreamWriter")
"""What torch.save names in the RuntimeError that stands for a failed write."""


@contextmanager
def refuse_failed_writes(path: Path) -> Iterator[None]:
    """Turns every form that a full or forbidden disk has into one line about `path`.

    Raises:
        CheckpointError: the block could not write.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if isinstance(error, RuntimeError) and not any(name in reason for name in _TORCH_WRITER):
            raise
        raise CheckpointError(
            f"{path} cannot be written: free space on its disk, or take another place ({reason})"
        ) from None


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yields a temporary sibling directory that becomes `path` when the block ends well.

    Everything in it is synced to disk before the rename. An existing `path` is replaced. If the
    block fails, nothing is left behind.

    Raises:
        CheckpointError: the disk is full or does not let anything be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with refuse_failed_writes(path):
        path.parent.mkdir(parents=True, exist_ok=True)
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


def remove_directory(path: Path) -> None:
    """Removes a directory; killed in between it leaves none that looks whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.rename(temporary)
    shutil.rmtree(temporary)


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
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is no valid JSON ({error}): is it half-written?") from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return data


def replace_link(link: Path, target: str) -> None:
    """Points a symbolic link at a sibling, in one step.

    Raises:
        CheckpointError: the disk is full or does not let anything be written.
    """
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    with refuse_failed_writes(link):
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
    try:
        source.rename(target)
    except OSError:
        retired.rename(target)
        raise
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
