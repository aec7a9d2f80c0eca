"""One process at a time writes into a directory, of a corpus or of a run.

The operating system holds the lock and lets it go when the process ends, however it ends: there is
no stale lock to remove after a `kill -9`, even where the empty file is still there.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dialoom.errors import DataError

LOCK_FILE = ".lock"


@contextmanager
def sole_writer(directory: Path, *, of: str = "corpus", is_required: bool = True) -> Iterator[None]:
    """Makes the directory and keeps other processes from writing to it.

    A directory that was made here and stays empty is removed again, and so is the lock's file.

    Args:
        directory: that is written to.
        of: what it is of, for messages.
        is_required: whether to refuse where the disk knows no locks; else there is none.

    Raises:
        DataError: another process is at work there, it is a file, or its disk knows no locks.
    """
    if directory.exists() and not directory.is_dir():
        raise DataError(f"{of} {directory}: is a file; name a directory")
    is_new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / LOCK_FILE
    try:
        descriptor = _lock(file)
    except BlockingIOError:
        raise DataError(
            f"{of} {directory}: another process is at work there; wait until that ends, or name "
            "another directory"
        ) from None
    except OSError as error:
        if is_required:
            raise DataError(
                f"{of} {directory}: cannot be locked ({error.strerror}); name a directory on a "
                "local disk, and copy it when it is finished"
            ) from error
        descriptor = None
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        if descriptor is not None:
            os.close(descriptor)
        if is_new:
            with suppress(OSError):  # it holds something
                directory.rmdir()


def _lock(file: Path) -> int:
    """An open descriptor; closing it ends the lock.

    Whoever had it before may have removed the file between our opening and our locking it. Then
    this lock is on a file that nobody else will find, so the file is opened anew.
    """
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
                return descriptor
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
