"""AudioRef: where the sound of a clip is: a file, a part of a container, or a segment of either."""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dialoom.audio import Segment, Waveform, read_audio, read_audio_bytes


class Member(ABC):
    """One recording inside a container: a tar, a Parquet file, a stream."""

    is_on_disk: ClassVar[bool] = True
    """Whether the container is a file of this machine."""

    @property
    @abstractmethod
    def identity(self) -> tuple[Hashable, ...]:
        """Strings and numbers that tell it from the container's other members."""

    @abstractmethod
    def read(self, container: Path) -> bytes:
        """The bytes of the audio file; nothing else of the container is kept in memory.

        Raises:
            AudioFileError: the container does not give them.
        """


@dataclass(frozen=True)
class AudioRef:
    """Where the sound of a clip is.

    Attributes:
        path: the file; of a member, its container.
        member: the part of the container; None if the file is the recording.
        segment: the part of the recording; None for all of it.
    """

    path: Path
    member: Member | None = None
    segment: Segment | None = None

    @property
    def is_on_disk(self) -> bool:
        """Whether `path` is a file of this machine."""
        return self.member is None or self.member.is_on_disk

    @property
    def identity(self) -> list[Hashable]:
        """What a fingerprint holds beside the state of `path`; empty for a whole file."""
        segment = self.segment and (self.segment.start_s, self.segment.end_s)
        return [*(self.member.identity if self.member else ()), *(segment or ())]

    def load(self, *, max_seconds: float | None = None) -> Waveform:
        """The sound, at its own rate.

        Raises:
            AudioError: as `read_audio`.
        """
        if self.member is None:
            return read_audio(self.path, segment=self.segment, max_seconds=max_seconds)
        data = self.member.read(self.path)
        return read_audio_bytes(data, name=self.path, segment=self.segment, max_seconds=max_seconds)
