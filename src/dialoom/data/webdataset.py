"""WebDataset: tars whose members KEY.flac, KEY.json or KEY.txt make one clip, as Emilia's are.

The members are listed by their headers; a recording is read when it is wanted, by its place.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from dialoom.audio import AUDIO_SUFFIXES, AudioFileError
from dialoom.data.audio_ref import Member
from dialoom.data.clip import Rejection
from dialoom.data.columns import Columns, Row
from dialoom.data.entries import OR_TRANSCRIBE, Entry, member_entry, path_name, remedied
from dialoom.data.records import parse_sidecar
from dialoom.data.tables import list_files
from dialoom.errors import DataError

TEXT_SUFFIXES = (".json", ".txt")
MAX_TEXT_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class TarMember(Member):
    """A file in an uncompressed tar.

    Attributes:
        name: of the file.
        offset: of its first byte in the tar.
        num_bytes: its length.
    """

    name: str
    offset: int
    num_bytes: int

    @property
    def identity(self) -> tuple[str, int, int]:
        return (self.name, self.offset, self.num_bytes)

    def read(self, container: Path) -> bytes:
        try:
            with container.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.num_bytes)
        except OSError as error:
            raise AudioFileError(
                container, reason=f"cannot be read ({error.strerror})", remedy="make it readable"
            ) from error
        if len(data) < self.num_bytes:
            raise AudioFileError(
                container, reason=f"is cut short within {self.name}", remedy="download it again"
            )
        return data


@dataclass
class _Sample:
    """The members of one key."""

    key: str
    audio: list[TarMember] = field(default_factory=list)
    texts: dict[str, TarMember] = field(default_factory=dict)

    def add(self, member: TarMember) -> None:
        suffix = PurePosixPath(member.name).suffix.lower()
        if suffix in AUDIO_SUFFIXES:
            self.audio.append(member)
        elif suffix in TEXT_SUFFIXES:
            self.texts.setdefault(suffix, member)


def read_webdataset(path: Path, columns: Columns) -> Iterator[Entry]:
    """The clips of a tar, or of all tars at any depth, in the order of their names.

    Raises:
        DataError: the path is neither, or the only tar is compressed or damaged.
    """
    root, tars = path.parent, [path]
    if path.is_dir():
        root, tars = path, [file for file in list_files(path) if file.suffix == ".tar"]
    for tar in tars:
        name = path_name(tar.relative_to(root))
        try:
            for sample in _samples(tar):
                yield _entry(tar, name, sample, columns)
        except (tarfile.TarError, OSError) as error:
            reason = f"is no whole uncompressed tar ({str(error).splitlines()[0]})"
            if tar == path:
                raise DataError(f"source {path}: {reason}; unpack or download it again") from error
            yield Rejection(name, reason=reason, remedy="unpack or download it again")


def _samples(tar: Path) -> Iterator[_Sample]:
    """Members that follow each other with one key; a key ends at the first dot of the file name.

    A tar that breaks off raises after its whole samples.
    """
    sample = _Sample(key="")
    with tarfile.open(tar, "r:", errors="backslashreplace") as file:
        for info in file:
            file.members = []  # type: ignore[attr-defined]  # tarfile keeps them all
            if not info.isreg() or info.issparse():
                continue
            name = PurePosixPath(info.name)
            key = str(name.with_name(name.name.split(".", 1)[0] or name.name))
            if key != sample.key:
                if sample.audio or sample.texts:
                    yield sample
                sample = _Sample(key)
            sample.add(TarMember(info.name, info.offset_data, info.size))
    if sample.audio or sample.texts:
        yield sample


def _entry(tar: Path, tar_name: str, sample: _Sample, columns: Columns) -> Entry:
    place = f"{tar_name}/{sample.key}"
    if len(sample.audio) != 1:
        return Rejection(
            place,
            reason=f"has {len(sample.audio)} audio files",
            remedy=f"store one under each key ({', '.join(AUDIO_SUFFIXES)})",
        )
    (audio,) = sample.audio
    row = _row(tar, f"{tar_name}/{audio.name}", sample, columns)
    if isinstance(row, Rejection):
        return row
    entry = member_entry(tar, audio, row, name=f"{tar_name.removesuffix('.tar')}/{sample.key}")
    return remedied(entry, f"store KEY.json with a text, or KEY.txt, {OR_TRANSCRIBE}")


def _row(tar: Path, place: str, sample: _Sample, columns: Columns) -> Row | Rejection:
    """What the JSON says, with the text of the .txt where it has none."""
    row = Row(place=place, id="", text="", audio=None)
    if ".json" in sample.texts:
        content = _text(tar, place, sample.texts[".json"])
        if isinstance(content, Rejection):
            return content
        parsed = parse_sidecar(place, content, columns)
        if isinstance(parsed, Rejection):
            return parsed
        row = parsed
    if not row.text and ".txt" in sample.texts:
        content = _text(tar, place, sample.texts[".txt"])
        if isinstance(content, Rejection):
            return content
        row = replace(row, text=content)
    return row


def _text(tar: Path, place: str, member: TarMember) -> str | Rejection:
    if member.num_bytes > MAX_TEXT_FILE_BYTES:
        reason = f"{member.name} has {member.num_bytes} bytes"
        return Rejection(place, reason=reason, remedy="store the transcript and little else")
    try:
        return member.read(tar).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"{member.name} is not UTF-8 (byte {error.start})"
        return Rejection(place, reason=reason, remedy="save it as UTF-8")
    except AudioFileError as error:
        return Rejection(place, reason=error.reason, remedy=error.remedy)
