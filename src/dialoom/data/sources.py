"""Sources: recordings and their transcripts, as people have them, listed as clips.

Every reader yields, in a stable order, a SourceClip or a Rejection for each entry that it finds;
only a source of which nothing can be understood raises.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from dialoom.audio import AUDIO_SUFFIXES
from dialoom.data.clip import Rejection, SourceClip
from dialoom.data.columns import Columns, Row
from dialoom.data.detect import (
    COMMON_VOICE_NAMES,
    RECORD_NAMES,
    TABLE_NAMES,
    detect_format,
    find_named,
)
from dialoom.data.entries import MISSING_TRANSCRIPT as MISSING_TRANSCRIPT
from dialoom.data.entries import NO_SUCH_FILE as NO_SUCH_FILE
from dialoom.data.entries import (
    OR_TRANSCRIBE,
    Entry,
    Untranscribed,
    file_entry,
    path_name,
    remedied,
)
from dialoom.data.hugging_face import HUB_ID, download, read_hugging_face
from dialoom.data.records import parse_sidecar, read_records
from dialoom.data.tables import find_file, list_files, read_table, read_text
from dialoom.data.webdataset import read_webdataset
from dialoom.errors import DataError

TRANSCRIPT_SUFFIXES = (".txt", ".lab", ".json")


def open_source(
    path: str | Path, *, format: str = "auto", columns: Columns | None = None
) -> list[Entry]:
    """Everything a source lists, in a stable order, each id once; no audio is read yet.

    Args and errors as of `list_source`.
    """
    return list(settle(list_source(path, format=format, columns=columns)))


def list_source(
    path: str | Path, *, format: str = "auto", columns: Columns | None = None
) -> list[Entry]:
    """As `open_source`, before `settle`: a recording without a transcript is an `Untranscribed`.

    Args:
        path: a directory, a table or a container; with the format "hf" also the Hub id of a
            dataset, which is downloaded.
        format: a name of `READERS`, or "auto" to find out.
        columns: what the source calls its columns, where that is not guessed.

    Raises:
        DataError: no such path, an unknown format, nothing of that format there, or a table that
            cannot be read.
    """
    path, columns = Path(path), columns or Columns()
    if format == "hf" and not path.exists() and HUB_ID.fullmatch(str(path)):
        path = download(str(path))
    if not path.exists():
        raise DataError(f"source {path}: no such file or directory; correct the path")
    if format == "auto":
        format = detect_format(path)
    if format not in READERS:
        raise DataError(f"source format {format!r} is unknown; choose auto, {', '.join(READERS)}")
    entries = list(READERS[format](path, columns))
    if not entries:
        raise DataError(f"source {path}: no entries in format {format!r}; is it the right path?")
    return entries


def settle(entries: Iterable[Entry], source_of_id: dict[str, str] | None = None) -> Iterator[Entry]:
    """What nobody transcribed is a rejection, and so is every clip whose id another has before it.

    An id decides a clip's split, so it must be one clip's.

    Args:
        entries: in the order of the source.
        source_of_id: of the clips before these; takes these.
    """
    source_of_id = {} if source_of_id is None else source_of_id
    for entry in entries:
        if isinstance(entry, Untranscribed):
            yield entry.plain
        elif not isinstance(entry, SourceClip):
            yield entry
        elif entry.id in source_of_id:
            yield Rejection(
                entry.source,
                reason=f"has the id {entry.id!r}, as {source_of_id[entry.id]} has",
                remedy="give each clip its own id",
            )
        else:
            source_of_id[entry.id] = entry.source
            yield entry


def _read_ljspeech(path: Path, _: Columns) -> Iterator[Entry]:
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
        audio = _find_audio(path / "wavs", fields[0])
        if audio.is_relative_to(path):  # it is not where an id is an absolute path
            audio = audio.relative_to(path)
        yield file_entry(path, Row(place=place, id=fields[0], text=text, audio=audio))


def _read_csv(path: Path, columns: Columns) -> Iterator[Entry]:
    """A table with a header that names an audio and a text column, or lines of `wav|text`."""
    table = find_named(path, TABLE_NAMES) if path.is_dir() else path
    if table is None:
        raise DataError(f"source {path}: no {' or '.join(TABLE_NAMES)} in it; name the table")
    yield from _file_entries(table.parent, read_table(table, columns))


def _read_jsonl(path: Path, columns: Columns) -> Iterator[Entry]:
    """One JSON object a line: JSONL, or a manifest of NeMo."""
    table = find_named(path, RECORD_NAMES) if path.is_dir() else path
    if table is None:
        raise DataError(f"source {path}: no {' or '.join(RECORD_NAMES)} in it; name the file")
    yield from _file_entries(table.parent, read_records(table, columns))


def _read_common_voice(path: Path, columns: Columns) -> Iterator[Entry]:
    """Mozilla's release of one language: a TSV whose paths are those within `clips/` beside it."""
    table = find_named(path, COMMON_VOICE_NAMES) if path.is_dir() else path
    if table is None or not (table.parent / "clips").is_dir():
        raise DataError(
            f"source {path}: Common Voice needs {' or '.join(COMMON_VOICE_NAMES)} and the folder "
            "clips/ beside it; name such a directory or a table in it"
        )
    yield from _file_entries(table.parent, read_table(table, columns), folder="clips")


def _file_entries(
    root: Path, rows: Iterator[Row | Rejection], *, folder: str = ""
) -> Iterator[Entry]:
    for row in rows:
        if isinstance(row, Row):
            audio = row.audio and Path(folder) / row.audio
            yield file_entry(root, replace(row, audio=audio))
        else:
            yield row


def _read_folder(path: Path, columns: Columns) -> Iterator[Entry]:
    """Recordings at any depth, each beside a transcript of the same name: .txt, .lab or .json."""
    if not path.is_dir():
        raise DataError(f"source {path}: format 'folder' needs a directory, this is a file")
    row: Row | Rejection
    for audio in list_files(path):
        if audio.suffix.lower() not in AUDIO_SUFFIXES:
            continue
        name = path_name(audio.relative_to(path))
        candidates = (Path(audio.with_suffix(suffix).name) for suffix in TRANSCRIPT_SUFFIXES)
        found = (find_file(audio.parent, candidate) for candidate in candidates)
        transcript = next(filter(None, found), None)
        if transcript is None:
            row = Row(place=name, id="", text="", audio=audio.relative_to(path))
            stem = audio.stem
            remedy = f"put {stem}.txt, {stem}.lab or {stem}.json beside it, {OR_TRANSCRIBE}"
            yield remedied(file_entry(path, row), remedy)
            continue
        try:
            text = read_text(transcript)
        except DataError as error:
            yield Rejection(name, reason=str(error), remedy="save it as readable UTF-8")
            continue
        row = Row(place=name, id="", text=text, audio=None)
        if transcript.suffix == ".json":
            row = parse_sidecar(name, text, columns)
        if isinstance(row, Row):
            yield file_entry(path, replace(row, audio=audio.relative_to(path)))
        else:
            yield row


READERS: dict[str, Callable[[Path, Columns], Iterator[Entry]]] = {
    "ljspeech": _read_ljspeech,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
    "folder": _read_folder,
    "commonvoice": _read_common_voice,
    "hf": read_hugging_face,
    "webdataset": read_webdataset,
}


def _find_audio(folder: Path, name: str) -> Path:
    """The file of this name with any audio ending; the first ending if there is none."""
    candidates = [Path(f"{name}{suffix}") for suffix in AUDIO_SUFFIXES]
    found = (find_file(folder, candidate) for candidate in candidates)
    return next(filter(None, found), folder / candidates[0])
