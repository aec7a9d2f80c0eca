"""Voices: a clip and what is said in it, which the speech continues; kept in files, used by name.

A voice file is a .safetensors: the tensor `codes`, (F, C) uint16, and as metadata the transcript,
the codec that made the codes, the language and the settings that suit the voice.
"""

import json
import os
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from dialoom.audio.waveform import Waveform
from dialoom.codec import Codec, CodecSpec, Codes
from dialoom.errors import CodecError, GenerationError
from dialoom.generate.settings import SamplingSettings
from dialoom.text import prepare_text, split_turns

VOICE_FORMAT = "dialoom-voice-1"
VOICE_SUFFIX = ".safetensors"
VOICES_VARIABLE = "DIALOOM_VOICES"
"""Names the directory of voices that are used by name."""

_NAME = re.compile(r"[\w-][\w.-]*")


@dataclass(frozen=True)
class VoicePrompt:
    """A clip whose voice the speech continues.

    Attributes:
        waveform: the clip; 5 to 10 s are good.
        text: exactly what is said in it, with its speaker tags.
    """

    waveform: Waveform
    text: str


@dataclass(frozen=True)
class Voice:
    """A voice prompt in the form that the model reads.

    Attributes:
        codes: of the clip.
        text: exactly what is said in it, with its speaker tags.
        codec: what made the codes.
        language: of the texts that are spoken with it; None for none.
        settings: that suit it; None for the defaults. Its seed counts for nothing.
    """

    codes: Codes
    text: str
    codec: CodecSpec
    language: str | None = None
    settings: SamplingSettings | None = None

    def __post_init__(self) -> None:
        _refuse_no_transcript(self.text)
        if self.codes.num_frames == 0:
            raise GenerationError("the voice prompt has no frames: give a clip of 5 to 10 s")

    @property
    def speaker(self) -> str:
        """The tag of who speaks first in it, and texts that name no speaker."""
        return split_turns(self.text)[0].speaker


def encode_prompt(prompt: VoicePrompt, codec: Codec) -> Voice:
    """A clip as a voice.

    Raises:
        GenerationError: there is no transcript.
        AudioError: the clip is empty.
    """
    _refuse_no_transcript(prompt.text)  # before the work
    return Voice(codec.encode(prompt.waveform), prepare_text(prompt.text), codec.spec)


def _refuse_no_transcript(text: str) -> None:
    if not split_turns(text):
        raise GenerationError(
            "a voice prompt needs its transcript: say what is spoken in the clip with "
            "--prompt-text (voice save: --text), or let --asr-model write it down "
            "(pip install 'dialoom[asr]')"
        )


def check_voice(voice: Voice, spec: CodecSpec) -> None:
    """Refuses a voice whose codes another codec made than the model's.

    Raises:
        CodecError: says which.
    """
    if voice.codec.content_hash != spec.content_hash:
        raise CodecError(
            f"the voice was made with codec '{voice.codec.name}' "
            f"({voice.codec.content_hash[:12]}), the model speaks codes of '{spec.name}' "
            f"({spec.content_hash[:12]}): make the voice again from its clip"
        )


def voices_directory() -> Path:
    """Where voices are found by name: $DIALOOM_VOICES, else in the user's data directory (XDG)."""
    named = os.environ.get(VOICES_VARIABLE)
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "dialoom" / "voices"


def voice_path(name: str) -> Path:
    """The file of a voice: a path if it looks like one, else by its name in `voices_directory`.

    Raises:
        GenerationError: the name holds what no voice's name may.
    """
    if name.endswith(VOICE_SUFFIX):
        return Path(name)
    if not _NAME.fullmatch(name):
        raise GenerationError(
            f"voice {name!r}: a name is of letters, digits, '_', '-' and '.'; a file ends in "
            f"{VOICE_SUFFIX}"
        )
    return voices_directory() / f"{name}{VOICE_SUFFIX}"


def voice_names() -> list[str]:
    """The voices that can be used by name."""
    return sorted(path.stem for path in voices_directory().glob(f"*{VOICE_SUFFIX}"))


def save_voice(voice: Voice, name: str) -> Path:
    """Writes a voice under a name or to a file; inverse of `load_voice`.

    Raises:
        GenerationError: the name cannot be one, or there is a voice of that name.
    """
    from safetensors.numpy import save

    path = voice_path(name)
    if path.exists():
        raise GenerationError(f"{path} exists already: take another name, or remove it")
    metadata = {
        "format": VOICE_FORMAT,
        "text": voice.text,
        "codec": json.dumps(asdict(voice.codec)),
        "language": json.dumps(voice.language),
        "settings": json.dumps(None if voice.settings is None else asdict(voice.settings)),
    }
    content = save({"codes": np.ascontiguousarray(voice.codes.frames)}, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_voice(name: str) -> Voice:
    """Reads a voice by its name or its file; inverse of `save_voice`.

    Raises:
        GenerationError: there is none, or the file is no voice or is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = voice_path(name)
    if not path.is_file():
        known = ", ".join(voice_names()) or "none"
        raise GenerationError(
            f"there is no voice {path}: make it with `dialoom voice save` (by name there are: "
            f"{known})"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            return _voice(file.metadata() or {}, file.get_tensor("codes"))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, GenerationError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GenerationError(
            f"{path} is no voice, or damaged ({reason}): make it again with `dialoom voice save`"
        ) from None


def _voice(metadata: dict[str, str], frames: Any) -> Voice:
    """From what the file says; ValueError, TypeError or KeyError for what does not fit."""
    if metadata.get("format") != VOICE_FORMAT:
        raise ValueError(f"format {metadata.get('format')!r}, this dialoom reads {VOICE_FORMAT!r}")
    codec = CodecSpec(**json.loads(metadata["codec"]))
    for known in fields(CodecSpec):
        if type(getattr(codec, known.name)) is not known.type:
            raise ValueError(f"codec.{known.name} is {getattr(codec, known.name)!r}")
    settings = json.loads(metadata["settings"])
    language = json.loads(metadata["language"])
    if frames.dtype != np.uint16 or frames.ndim != 2 or frames.shape[1] != codec.num_codebooks:
        raise ValueError(f"codes are {frames.shape} of {frames.dtype}")
    if int(frames.max(initial=0)) >= codec.codebook_size:
        raise ValueError(f"codes hold id {int(frames.max())}, the codec's end before it")
    if not isinstance(language, str | None):
        raise ValueError(f"language is {language!r}")
    sampling = None if settings is None else SamplingSettings(**settings)
    return Voice(Codes(frames), metadata["text"], codec, language, sampling)
