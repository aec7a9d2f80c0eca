"""From a row of a source to its clip, or to the reason why it is none."""

import os
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

from dialoom.data.audio_ref import AudioRef, Member
from dialoom.data.clip import Rejection, SourceClip
from dialoom.data.columns import Row
from dialoom.data.tables import is_file
from dialoom.text import prepare_text

Entry = SourceClip | Rejection

MISSING_TRANSCRIPT = "has no transcript"
NO_SUCH_FILE = "no such file"

OR_TRANSCRIBE = "or let --asr-model transcribe it (extra asr)"


@dataclass(frozen=True)
class Untranscribed(Rejection):
    """A recording without a transcript: a rejection, unless somebody listens to it.

    Attributes:
        recording: as it would be with its transcript; its text is empty.
    """

    recording: SourceClip

    @property
    def plain(self) -> Rejection:
        return Rejection(self.source, self.reason, self.remedy)


def file_entry(root: Path, row: Row) -> Entry:
    """The clip of a row that names a file, or its rejection if the row lacks text or audio."""
    has_text = bool(row.text.strip())
    if row.audio is None and has_text:
        return Rejection(row.place, reason="names no audio file", remedy="name one")
    audio = row.audio and _as_on_disk(root / row.audio)
    if audio is None or (not has_text and not is_file(audio)):
        return no_transcript(row.place)
    if not is_file(audio):
        reason = f"{NO_SUCH_FILE}: {path_name(audio)}"
        return Rejection(row.place, reason=reason, remedy="correct the path")
    name = path_name(audio.relative_to(root) if audio.is_relative_to(root) else audio)
    ref = AudioRef(audio, segment=row.segment)
    return _clip(row, ref, name=name.removesuffix(audio.suffix), source=name)


def _as_on_disk(path: Path) -> Path:
    """The path, or its other spelling in Unicode where only that is there.

    A Mac writes file names with ä as a and two dots (NFD), tables are mostly written with one
    letter (NFC): a person sees no difference.
    """
    if is_file(path):
        return path
    spellings = (Path(unicodedata.normalize(form, str(path))) for form in ("NFC", "NFD"))
    return next((spelling for spelling in spellings if is_file(spelling)), path)


def member_entry(container: Path, member: Member, row: Row, *, name: str) -> Entry:
    """The clip of a row whose recording lies in a container; `name` is its id if it has none."""
    ref = AudioRef(container, member, row.segment)
    return _clip(row, ref, name=name, source=row.place)


def _clip(row: Row, audio: AudioRef, *, name: str, source: str) -> Entry:
    """The segments of one recording are told apart by their times."""
    times = "" if row.segment is None else f"@{row.segment}"
    clip = SourceClip(
        id=row.id or f"{name}{times}",
        text=prepare_text(row.text),
        audio=audio,
        language=row.language,
        speaker=row.speaker,
        source=f"{source}{times}",
    )
    if clip.text:
        return clip
    missing = no_transcript(row.place)
    return Untranscribed(missing.source, missing.reason, missing.remedy, recording=clip)


def no_transcript(place: str) -> Rejection:
    remedy = f"write what is said, remove the entry, {OR_TRANSCRIBE}"
    return Rejection(place, reason=MISSING_TRANSCRIPT, remedy=remedy)


def remedied(entry: Entry, remedy: str) -> Entry:
    """With what to do in this kind of source, where the transcript is missing."""
    return replace(entry, remedy=remedy) if isinstance(entry, Untranscribed) else entry


def path_name(path: Path) -> str:
    """The path in UTF-8, for ids and lists: file names may hold other bytes; those are escaped."""
    return os.fsencode(path.as_posix()).decode("utf-8", errors="backslashreplace")
