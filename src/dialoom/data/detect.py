"""Which format a source has, by what lies in it."""

from pathlib import Path

from dialoom.audio import AUDIO_SUFFIXES
from dialoom.data.tables import list_files, read_first_line
from dialoom.errors import DataError

TABLE_NAMES = ("metadata.csv", "metadata.tsv")
RECORD_NAMES = ("metadata.jsonl", "manifest.jsonl", "manifest.json")
COMMON_VOICE_NAMES = ("validated.tsv", "train.tsv")

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
FORMAT_OF_SUFFIX = {
    **dict.fromkeys(TABLE_SUFFIXES, "csv"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
}
FORMAT_OF_CONTENT = {".parquet": "hf", ".arrow": "hf", ".tar": "webdataset"}
"""Suffix of files anywhere in a directory → its format; the first that is found counts."""


def detect_format(path: Path) -> str:
    """The name of a reader.

    Raises:
        DataError: no format is known that looks so.
    """
    return _detect_file(path) if path.is_file() else _detect_directory(path)


def find_named(path: Path, names: tuple[str, ...]) -> Path | None:
    """The first of these files that the directory has."""
    return next((path / name for name in names if (path / name).is_file()), None)


def _detect_file(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".tsv" and _is_common_voice(path):
        return "commonvoice"
    known = {**FORMAT_OF_SUFFIX, **FORMAT_OF_CONTENT}
    if suffix not in known:
        raise DataError(f"source {path}: not a {', '.join(known)} file; name one or a directory")
    return known[suffix]


def _detect_directory(path: Path) -> str:
    if (path / "metadata.csv").is_file() and (path / "wavs").is_dir():
        return "ljspeech" if "|" in read_first_line(path / "metadata.csv") else "csv"
    if find_named(path, TABLE_NAMES) is not None:
        return "csv"
    if find_named(path, RECORD_NAMES) is not None:
        return "jsonl"
    table = find_named(path, COMMON_VOICE_NAMES)
    if table is not None and _is_common_voice(table):
        return "commonvoice"
    suffixes = {file.suffix.lower() for file in list_files(path)}
    found = next((suffix for suffix in FORMAT_OF_CONTENT if suffix in suffixes), None)
    if found is not None:
        return FORMAT_OF_CONTENT[found]
    if suffixes.intersection(AUDIO_SUFFIXES):
        return "folder"
    raise DataError(
        f"source {path}: found neither metadata.csv with wavs/ (LJSpeech), nor validated.tsv with "
        f"clips/ (Common Voice), nor {', '.join((*TABLE_NAMES, *RECORD_NAMES))}, nor "
        f"{', '.join((*FORMAT_OF_CONTENT, *AUDIO_SUFFIXES))} files; name another path"
    )


def _is_common_voice(table: Path) -> bool:
    """Its header has Mozilla's columns, and the recordings lie in clips/ beside it."""
    columns = read_first_line(table).split("\t")
    return {"client_id", "path", "sentence"} <= set(columns) and (table.parent / "clips").is_dir()
