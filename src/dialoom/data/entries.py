"""From a row of a source to its clip, or to the reason why it is none."""

import os
from pathlib import Path

from dialoom.data.audio_ref import AudioRef, Member
from dialoom.data.clip import Rejection, SourceClip
from dialoom.data.columns import Row
from dialoom.data.tables import is_file
from dialoom.text import prepare_text

Entry = SourceClip | Rejection

MISSING_TRANSCRIPT = "has no transcript"
NO_SUCH_FILE = "no such file"


def file_entry(root: Path, row: Row) -> Entry:
    """The clip of a row that names a file, or its rejection if the row lacks text or audio."""
    if not row.text.strip():
        return no_transcript(row.place)
    if row.audio is None:
        return Rejection(row.place, reason="names no audio file", remedy="name one")
    audio = root / row.audio
    if not is_file(audio):
        reason = f"{NO_SUCH_FILE}: {path_name(audio)}"
        return Rejection(row.place, reason=reason, remedy="correct the path")
    name = path_name(audio.relative_to(root) if audio.is_relative_to(root) else audio)
    ref = AudioRef(audio, segment=row.segment)
    return _clip(row, ref, name=name.removesuffix(audio.suffix), source=name)


def member_entry(container: Path, member: Member, row: Row, *, name: str) -> Entry:
    """The clip of a row whose recording lies in a container; `name` is its id if it has none."""
    if not row.text.strip():
        return no_transcript(row.place)
    ref = AudioRef(container, member, row.segment)
    return _clip(row, ref, name=name, source=row.place)


def _clip(row: Row, audio: AudioRef, *, name: str, source: str) -> SourceClip:
    """The segments of one recording are told apart by their times."""
    times = "" if row.segment is None else f"@{row.segment}"
    return SourceClip(
        id=row.id or f"{name}{times}",
        text=prepare_text(row.text),
        audio=audio,
        language=row.language,
        speaker=row.speaker,
        source=f"{source}{times}",
    )


def no_transcript(place: str, remedy: str = "write what is said, or remove the entry") -> Rejection:
    return Rejection(place, reason=MISSING_TRANSCRIPT, remedy=remedy)


def path_name(path: Path) -> str:
    """The path in UTF-8, for ids and lists: file names may hold other bytes; those are escaped."""
    return os.fsencode(path.as_posix()).decode("utf-8", errors="backslashreplace")
