"""One process at a time writes into a corpus directory.

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
def sole_writer(directory: Path) -> Iterator[None]:
    """Makes the directory and keeps other processes from writing to it.

    A directory that was made here and stays empty is removed again, and so is the lock's file.

    Raises:
        DataError: another process is at work there, it is a file, or its disk knows no locks.
    """
    if directory.exists() and not directory.is_dir():
        raise DataError(f"corpus {directory}: is a file; name a directory")
    is_new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / LOCK_FILE
    descriptor = _lock(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
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
        except OSError as error:
            os.close(descriptor)
            raise _refusal(file.parent, error) from error
        os.close(descriptor)


def _refusal(directory: Path, error: OSError) -> DataError:
    if isinstance(error, BlockingIOError):
        return DataError(
            f"corpus {directory}: another process is preparing it; wait until that ends, or name "
            "another directory"
        )
    return DataError(
        f"corpus {directory}: cannot be locked ({error.strerror}); name a directory on a local "
        "disk, and copy it when it is finished"
    )
