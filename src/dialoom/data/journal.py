"""What was heard in recordings, kept line by line: a run that is stopped does not listen twice."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dialoom.errors import DataError

Record = Mapping[str, object]


class Journal:
    """JSON lines that are only ever added; each has a `key` that says what it was made from.

    A line that a killed run did not finish is removed when the file is opened.

    Args:
        path: the file; it is made with the first record.

    Raises:
        DataError: a whole line is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        content = path.read_bytes() if path.is_file() else b""
        whole, _, torn = content.rpartition(b"\n")
        try:
            records = [json.loads(line) for line in whole.splitlines()]
            self._records = {record["key"]: record for record in records}
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: damaged ({type(error).__name__}); remove it and run the same command "
                "again: it listens anew"
            ) from error
        if torn:
            os.truncate(path, len(content) - len(torn))

    def get(self, key: str) -> Record | None:
        return self._records.get(key)

    def add(self, records: Sequence[Record]) -> None:
        """Appends those whose key is new, and syncs them to the disk."""
        fresh = {str(record["key"]): record for record in records}
        fresh = {key: record for key, record in fresh.items() if key not in self._records}
        lines = [f"{json.dumps(record, ensure_ascii=False)}\n" for record in fresh.values()]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())
        self._records |= fresh
