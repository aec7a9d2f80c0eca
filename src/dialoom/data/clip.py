"""The nouns of the data path: a line of a source, a row of a corpus, and what was refused."""

from dataclasses import dataclass

from dialoom.codec.base import Codes
from dialoom.data.audio_ref import AudioRef


@dataclass(frozen=True)
class SourceClip:
    """One recording with its transcript, before encoding.

    Attributes:
        id: unique within its source, stable from run to run; decides the split. It may hold "/"
            (clips of a folder are named by their path within it) and any other character: whoever
            names a file by an id replaces them.
        text: the transcript: as `prepare_text` leaves it.
        audio: where its sound is.
        language: such as "en", if known.
        speaker: the voice's name, if known.
        source: where the clip comes from, for people: the audio's path within its source.
        confidence: mean probability of the transcript's tokens, 0…1, if a machine wrote it.
    """

    id: str
    text: str
    audio: AudioRef
    language: str | None
    speaker: str | None
    source: str
    confidence: float | None = None


@dataclass(frozen=True)
class Clip:
    """One row of a corpus: a transcript and the codes of its recording.

    Fields as in SourceClip; so an id may hold "/" and is no file name.
    """

    id: str
    text: str
    language: str | None
    speaker: str | None
    codes: Codes
    source: str = ""
    confidence: float | None = None


@dataclass(frozen=True)
class Rejection:
    """A clip that was left out; one line of rejected.jsonl.

    Attributes:
        source: which clip: the audio's path, or file:line.
        reason: the rule it breaks, with the value.
        remedy: what to do about it.
    """

    source: str
    reason: str
    remedy: str

    def __post_init__(self) -> None:
        """File names may hold bytes that are no UTF-8; a list of rejections is UTF-8."""
        for name in ("source", "reason", "remedy"):
            escaped = getattr(self, name).encode("utf-8", errors="backslashreplace").decode("utf-8")
            object.__setattr__(self, name, escaped)

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}; {self.remedy}"
