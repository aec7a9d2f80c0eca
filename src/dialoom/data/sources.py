"""Sources: LJSpeech folders, CSV and TSV tables, and folders of recordings with text files.

Every reader yields, in a stable order, a SourceClip or a Rejection for each entry that it finds;
only a source of which nothing can be understood raises.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from dialoom.audio import AUDIO_SUFFIXES
from dialoom.data.clip import Rejection, SourceClip
from dialoom.data.tables import Row, is_file, read_table, read_text
from dialoom.errors import DataError
from dialoom.text import prepare_text

Entry = SourceClip | Rejection

AUDIO_COLUMNS = ("audio", "file_name", "path", "wav", "file")
TEXT_COLUMNS = ("text", "transcript", "transcription", "sentence")
TRANSCRIPT_SUFFIXES = (".txt", ".lab")

MISSING_TRANSCRIPT = "has no transcript"
NO_SUCH_FILE = "no such file"


def open_source(path: str | Path, *, format: str = "auto") -> list[Entry]:
    """Everything a source lists, in a stable order; no audio is read yet.

    Args:
        path: a directory or a table.
        format: "ljspeech", "csv", "folder", or "auto" to find out.

    Raises:
        DataError: no such path, an unknown format, nothing of that format there, or a table that
            cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"source {path}: no such file or directory; correct the path")
    if format == "auto":
        format = _detect(path)
    if format not in READERS:
        raise DataError(f"source format {format!r} is unknown; choose auto, {', '.join(READERS)}")
    entries = _refuse_duplicates(READERS[format](path))
    if not entries:
        raise DataError(f"source {path}: no entries in format {format!r}; is it the right path?")
    return entries


def _read_ljspeech(path: Path) -> Iterator[Entry]:
    """`metadata.csv` of `id|text|normalised text`, the last optional; audio in `wavs/`."""
    table = path / "metadata.csv"
    if not table.is_file() or not (path / "wavs").is_dir():
        raise DataError(f"source {path}: LJSpeech needs metadata.csv and the folder wavs/ in it")
    for number, line in enumerate(read_text(table).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{table.name}:{number}"
        fields = [field.strip() for field in line.split("|")]
        if len(fields) not in (2, 3):
            yield Rejection(
                place,
                reason=f"has {len(fields)} fields divided by '|'",
                remedy="write id|text or id|text|normalised text",
            )
            continue
        text = fields[-1] or fields[1]
        audio = _find_audio(path / "wavs", fields[0]).relative_to(path)
        yield _entry(path, Row(place=place, id=fields[0], text=text, audio=audio))


def _read_csv(path: Path) -> Iterator[Entry]:
    """A table with a header that names an audio and a text column, or lines of `wav|text`."""
    table = _find_table(path) if path.is_dir() else path
    if table is None:
        raise DataError(f"source {path}: no metadata.csv or metadata.tsv in it; name the table")
    for row in read_table(table, audio_columns=AUDIO_COLUMNS, text_columns=TEXT_COLUMNS):
        yield row if isinstance(row, Rejection) else _entry(table.parent, row)


def _read_folder(path: Path) -> Iterator[Entry]:
    """Recordings at any depth, each beside a transcript of the same name: .txt or .lab."""
    if not path.is_dir():
        raise DataError(f"source {path}: format 'folder' needs a directory, this is a file")
    for audio in sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES):
        name = path_name(audio.relative_to(path))
        candidates = (audio.with_suffix(suffix) for suffix in TRANSCRIPT_SUFFIXES)
        transcript = next((p for p in candidates if is_file(p)), None)
        if transcript is None:
            yield _no_transcript(name, f"put {audio.stem}.txt or {audio.stem}.lab beside it")
            continue
        try:
            text = read_text(transcript)
        except DataError as error:
            yield Rejection(name, reason=str(error), remedy="save it as readable UTF-8")
            continue
        yield _entry(path, Row(place=name, id="", text=text, audio=audio.relative_to(path)))


READERS: dict[str, Callable[[Path], Iterator[Entry]]] = {
    "ljspeech": _read_ljspeech,
    "csv": _read_csv,
    "folder": _read_folder,
}


def _detect(path: Path) -> str:
    if path.is_file():
        if path.suffix.lower() in (".csv", ".tsv", ".txt"):
            return "csv"
        raise DataError(f"source {path}: not a .csv, .tsv or .txt table; name one or a directory")
    if (path / "metadata.csv").is_file() and (path / "wavs").is_dir():
        return "ljspeech" if "|" in _first_line(path / "metadata.csv") else "csv"
    if _find_table(path) is not None:
        return "csv"
    if any(p.suffix.lower() in AUDIO_SUFFIXES for p in path.rglob("*")):
        return "folder"
    raise DataError(
        f"source {path}: found neither metadata.csv with wavs/ (LJSpeech), nor metadata.csv or "
        f"metadata.tsv (table), nor audio files ({', '.join(AUDIO_SUFFIXES)}); name another path"
    )


def _find_table(path: Path) -> Path | None:
    tables = (path / name for name in ("metadata.csv", "metadata.tsv"))
    return next((table for table in tables if table.is_file()), None)


def _first_line(path: Path) -> str:
    return read_text(path).split("\n", 1)[0]


def _find_audio(folder: Path, name: str) -> Path:
    """The file of this name with any audio ending; the first ending if there is none."""
    candidates = [folder / f"{name}{suffix}" for suffix in AUDIO_SUFFIXES]
    return next((path for path in candidates if is_file(path)), candidates[0])


def _entry(root: Path, row: Row) -> Entry:
    """The clip of a row, or its rejection if the row lacks text or audio."""
    if not row.text.strip():
        return _no_transcript(row.place, "write what is said, or remove the entry")
    if row.audio is None:
        return Rejection(row.place, reason="names no audio file", remedy="name one")
    audio = root / row.audio
    if not is_file(audio):
        reason = f"{NO_SUCH_FILE}: {path_name(audio)}"
        return Rejection(row.place, reason=reason, remedy="correct the path")
    name = path_name(audio.relative_to(root) if audio.is_relative_to(root) else audio)
    return SourceClip(
        id=row.id or name.removesuffix(audio.suffix),
        text=prepare_text(row.text),
        audio=audio,
        language=row.language,
        speaker=row.speaker,
        source=name,
    )


def path_name(path: Path) -> str:
    """The path in UTF-8, for ids and lists: file names may hold other bytes; those are escaped."""
    return os.fsencode(path.as_posix()).decode("utf-8", errors="backslashreplace")


def _no_transcript(place: str, remedy: str) -> Rejection:
    return Rejection(place, reason=MISSING_TRANSCRIPT, remedy=remedy)


def _refuse_duplicates(entries: Iterator[Entry]) -> list[Entry]:
    """The first clip of an id stays; an id decides a clip's split, so it must be one clip's."""
    checked: list[Entry] = []
    source_of_id: dict[str, str] = {}
    for entry in entries:
        if not isinstance(entry, SourceClip):
            checked.append(entry)
        elif entry.id in source_of_id:
            checked.append(
                Rejection(
                    entry.source,
                    reason=f"has the id {entry.id!r}, as {source_of_id[entry.id]} has",
                    remedy="give each clip its own id",
                )
            )
        else:
            source_of_id[entry.id] = entry.source
            checked.append(entry)
    return checked
