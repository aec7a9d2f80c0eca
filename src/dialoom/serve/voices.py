"""The voices on offer: files of one directory, and clips that clients sent, kept in memory."""

import io
import re
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import soundfile

from dialoom.audio import read_audio_bytes
from dialoom.errors import AudioError
from dialoom.generate import Voice, VoicePrompt, load_voice
from dialoom.generate.voice import VOICE_SUFFIX
from dialoom.serve.errors import ApiError

DEFAULT_VOICE = "default"
"""No voice at all: the model makes one up, by the seed."""

MAX_CHANNELS = 2
READ_FORMATS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3", "MPEG")
"""libsndfile's names. It reads many more, which nobody records in."""

_LABEL = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,64}")


@dataclass(frozen=True)
class OfferedVoice:
    """A voice as a list shows it.

    Attributes:
        id: what a request for speech says.
        name: what a person reads.
        is_uploaded: a client sent it, and may remove it.
    """

    id: str
    name: str
    is_uploaded: bool


class Voices:
    """Voices by id. Ids are looked up, never made into paths."""

    def __init__(self, directory: Path | None, *, max_uploads: int) -> None:
        self._directory, self._max_uploads = directory, max_uploads
        self._uploads: OrderedDict[str, tuple[str, Voice]] = OrderedDict()
        self._lock = threading.Lock()

    def offered(self) -> list[OfferedVoice]:
        with self._lock:
            uploads = [(id, label) for id, (label, _) in self._uploads.items()]
        return [
            OfferedVoice(DEFAULT_VOICE, DEFAULT_VOICE, is_uploaded=False),
            *(OfferedVoice(name, name, is_uploaded=False) for name in sorted(self._files())),
            *(OfferedVoice(id, label, is_uploaded=True) for id, label in uploads),
        ]

    def find(self, id: str) -> Voice | None:
        """A voice; None for the default.

        Raises:
            ApiError: 404, there is none of that id.
            GenerationError: its file is damaged.
        """
        with self._lock:
            if id in self._uploads:
                self._uploads.move_to_end(id)
                return self._uploads[id][1]
        files = self._files()
        if id in files:
            return load_voice(str(files[id]))
        if id == DEFAULT_VOICE:
            return None
        known = ", ".join(voice.id for voice in self.offered())
        raise ApiError(
            HTTPStatus.NOT_FOUND, f"there is no voice {id!r}: choose one of {known}", "voice"
        )

    def keep(self, label: str, voice: Voice) -> OfferedVoice:
        """Takes a clip's voice under a new id; the one unused for longest may have to leave."""
        id = f"voice_{secrets.token_hex(8)}"
        with self._lock:
            self._uploads[id] = (label, voice)
            if len(self._uploads) > self._max_uploads:
                self._uploads.popitem(last=False)
        return OfferedVoice(id, label, is_uploaded=True)

    def remove(self, id: str) -> None:
        """Forgets a voice that a client sent.

        Raises:
            ApiError: 404, no client sent one of that id.
        """
        with self._lock:
            if self._uploads.pop(id, None) is None:
                raise ApiError(HTTPStatus.NOT_FOUND, f"there is no uploaded voice {id!r}", "voice")

    def _files(self) -> dict[str, Path]:
        if self._directory is None:
            return {}
        return {path.stem: path for path in self._directory.glob(f"*{VOICE_SUFFIX}")}


def check_label(label: str) -> str:
    """A name for people.

    Raises:
        ApiError: 422, it is empty, too long or holds control characters.
    """
    if not _LABEL.fullmatch(label.strip()):
        raise ApiError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "name: 1 to 64 characters, none of them a control character",
            "name",
        )
    return label.strip()


def read_clip(data: bytes, text: str, *, max_seconds: float) -> VoicePrompt:
    """A clip that came over the network. No more than `max_seconds` of it is ever decoded.

    Raises:
        AudioError: it is no audio of a usual format, is too long, silent, damaged, or has more
            than two channels.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            format, num_channels = file.format, file.channels
    except (soundfile.LibsndfileError, ValueError):
        format, num_channels = "none", 0
    if format not in READ_FORMATS or num_channels > MAX_CHANNELS:
        raise AudioError(
            f"the clip has format {format} and {num_channels} channels: send wav, flac, ogg, opus "
            f"or mp3 with one or two channels"
        )
    return VoicePrompt(read_audio_bytes(data, name=Path("the clip"), max_seconds=max_seconds), text)
