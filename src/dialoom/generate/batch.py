"""Many scripts from a file of JSON lines; a bad line is reported, and the rest goes on."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from dialoom.audio import check_writable, write_audio
from dialoom.codec.files import write_codes
from dialoom.errors import GenerationError, UserError
from dialoom.generate.narration import NarrationOptions
from dialoom.generate.spoken import (
    OnProgress,
    Script,
    Spoken,
    refuse_unknown_speakers,
    speak_script,
    speak_short,
)
from dialoom.generate.synthesizer import Synthesizer
from dialoom.generate.voice import Voice, VoicePrompt, load_voice
from dialoom.text import prepare_text

SAMPLING_KEYS = ("seed", "temperature", "top_p", "top_k", "cfg_scale", "max_seconds")


class BatchLine(BaseModel):
    """What a line may say; what it does not say is as on the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    text: str
    out: str
    """Audio file."""
    voice: str | None = None
    """By name or file."""
    language: str | None = None
    speaker: str | None = None
    save_codes: str | None = None
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    cfg_scale: float | None = None
    max_seconds: float | None = None
    retries: int | None = None

    @property
    def sampling(self) -> dict[str, float]:
        """The settings of it that are given."""
        given = {key: getattr(self, key) for key in SAMPLING_KEYS}
        return {key: value for key, value in given.items() if value is not None}


ROWS = 8
"""Lines that are spoken at once."""

NumberedLines = list[tuple[int, BatchLine | str]]
"""Lines with their numbers from 1; for a bad one what is wrong with it."""


@dataclass(frozen=True)
class BatchDefaults:
    """What lines do not say.

    Attributes:
        sampling: settings by their names; the voice's, or the model's, stand behind them.
        prompt: a voice.
        language: of the texts.
        speaker: of texts that name none; None for the voice's first, else "S1".
        options: of long texts and of drawing again.
    """

    sampling: dict[str, float] = field(default_factory=dict)
    prompt: Voice | VoicePrompt | None = None
    language: str | None = None
    speaker: str | None = None
    options: NarrationOptions = field(default_factory=NarrationOptions)


@dataclass(frozen=True)
class LineResult:
    """What came of a line.

    Attributes:
        number: of the line, from 1.
        out: the audio file; None if there is none.
        spoken: None if the line was refused.
        error: why; None if it was not.
    """

    number: int
    out: Path | None
    spoken: Spoken | None = None
    error: str | None = None


def read_lines(path: Path) -> NumberedLines:
    """All lines that are not empty.

    Raises:
        GenerationError: there is no such file, it is no text, or nothing is in it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GenerationError(f"--batch {path}: cannot be read ({error})") from None
    numbered = [(number, _parse(line)) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise GenerationError(f"--batch {path}: is empty; give a JSON object a line")
    return numbered


def script_of(
    synthesizer: Synthesizer, text: str, defaults: BatchDefaults, line: BatchLine | None = None
) -> Script:
    """What is to be said with all that holds for it.

    Raises:
        GenerationError: a voice or a setting cannot be used.
    """
    prompt = defaults.prompt
    if line is not None and line.voice is not None:
        prompt = load_voice(line.voice)
    sampling = {**defaults.sampling, **({} if line is None else line.sampling)}
    base = synthesizer.settings_for(prompt if isinstance(prompt, Voice) else None)
    options = defaults.options
    if line is not None and line.retries is not None:
        options = replace(options, retries=line.retries)
    speaker = (line and line.speaker) or defaults.speaker
    if speaker is not None:
        text = prepare_text(text, f"[{speaker.strip('[]')}]")
    return Script(
        text,
        replace(base, **sampling),  # type: ignore[arg-type]  # whole numbers where they must be
        prompt,
        (line and line.language) or defaults.language,
        options,
    )


def speak_batch(
    synthesizer: Synthesizer,
    lines: NumberedLines,
    defaults: BatchDefaults,
    on_progress: OnProgress | None = None,
) -> Iterator[LineResult]:
    """Speaks ROWS lines at a time and writes their files; a line's fault costs its line alone.

    Raises:
        GenerationError, CodecError: the voice of all lines cannot be used.
    """
    defaults = replace(defaults, prompt=synthesizer.voice(defaults.prompt))  # encoded once for all
    for start in range(0, len(lines), ROWS):
        if on_progress is not None:
            on_progress(start, len(lines))
        yield from _speak_lines(synthesizer, lines[start : start + ROWS], defaults)
    if on_progress is not None:
        on_progress(len(lines), len(lines))


def _speak_lines(
    synthesizer: Synthesizer, lines: NumberedLines, defaults: BatchDefaults
) -> Iterator[LineResult]:
    """Those of one batch, in their order."""
    scripts: dict[int, Script] = {}
    refused: dict[int, str] = {}
    for number, line in lines:
        try:
            scripts[number] = _script_of_line(synthesizer, line, defaults)
        except (UserError, OSError) as error:
            refused[number] = _one_line(error)
    together = _speak_together(synthesizer, scripts)
    for number, line in lines:
        out = None if isinstance(line, str) else Path(line.out)
        if number in refused:
            yield LineResult(number, out, error=refused[number])
            continue
        assert isinstance(line, BatchLine)
        try:
            spoken = together.get(number) or speak_script(synthesizer, scripts[number])
            _write(line, spoken)
            yield LineResult(number, out, spoken)
        except (UserError, OSError) as error:
            yield LineResult(number, out, error=_one_line(error))


def _speak_together(
    synthesizer: Synthesizer, scripts: Mapping[int, Script]
) -> dict[int, Spoken | None]:
    """The short ones; nothing if one of them cannot be spoken, for each alone tells which."""
    try:
        short = {number: script for number, script in scripts.items() if not script.is_long}
        spoken = speak_short(synthesizer, list(short.values()))
    except UserError:
        return {}
    return dict(zip(short, spoken, strict=True))


def _script_of_line(
    synthesizer: Synthesizer, line: BatchLine | str, defaults: BatchDefaults
) -> Script:
    """What is wrong with a line by itself is found here, before others are spoken with it."""
    if isinstance(line, str):
        raise GenerationError(line)
    check_writable(Path(line.out), synthesizer.codec_spec.sample_rate_hz)
    script = script_of(synthesizer, line.text, defaults, line)
    refuse_unknown_speakers(script.text, synthesizer.tags)
    synthesizer.request(script.text, script.settings, script.prompt, script.language)
    return script


def _write(line: BatchLine, spoken: Spoken) -> None:
    assert spoken.waveform is not None
    write_audio(Path(line.out), spoken.waveform)
    if line.save_codes is not None:
        write_codes(Path(line.save_codes), spoken.codes)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _parse(line: str) -> BatchLine | str:
    try:
        return BatchLine.model_validate(json.loads(line))
    except json.JSONDecodeError as error:
        return f"no valid JSON ({error.msg} at column {error.colno})"
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(place) for place in first["loc"]) or "the line"
        if first["type"] == "extra_forbidden":
            return f"{where} is unknown: take {', '.join(BatchLine.model_fields)}"
        return f"{where}: {first['msg']}"
