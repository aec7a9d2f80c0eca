"""`dialoom speak`: a text, spoken by a model; or many texts from a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dialoom.cli import speak_options as opt
from dialoom.cli.speak_stream import STDOUT, refuse_stream, stream_to_stdout
from dialoom.errors import GenerationError
from dialoom.observe import counted_progress

if TYPE_CHECKING:
    from dialoom.generate import Synthesizer, Voice, VoicePrompt
    from dialoom.generate.batch import BatchDefaults, NumberedLines
    from dialoom.generate.narration import SpokenPart
    from dialoom.generate.spoken import Spoken


def speak_command(
    model: opt.Model,
    text: opt.Text = None,
    text_file: opt.TextFile = None,
    batch: opt.Batch = None,
    output: opt.Output = None,
    voice: opt.VoiceName = None,
    prompt: opt.Prompt = None,
    prompt_text: opt.PromptText = "",
    asr_model: opt.AsrModel = None,
    speaker: opt.Speaker = None,
    language: opt.Language = None,
    end_tag: opt.EndTag = False,
    seed: opt.Seed = None,
    temperature: opt.Temperature = None,
    top_p: opt.TopP = None,
    top_k: opt.TopK = None,
    cfg_scale: opt.CfgScale = None,
    max_seconds: opt.MaxSeconds = None,
    retries: opt.Retries = 0,
    part_seconds: opt.PartSeconds = (5.0, 16.0),
    context_seconds: opt.ContextSeconds = None,
    bytes_per_second: opt.BytesPerSecond = 15.0,
    subtitles: opt.Subtitles = None,
    save_codes: opt.SaveCodes = None,
    codec: opt.CodecName = None,
    device: opt.Device = "cpu",
    precision: opt.PrecisionName = None,
    revision: opt.RevisionName = None,
) -> None:
    """Speaks a text with a model; several texts are one script, a long one is spoken in parts."""
    from dialoom.generate.batch import BatchDefaults, read_lines
    from dialoom.generate.narration import NarrationOptions
    from dialoom.generate.parts import PartLimits

    target = _Target(output, subtitles, save_codes)
    script = _script(text, text_file, batch, target)
    limits = PartLimits(*part_seconds, bytes_per_second)
    options = NarrationOptions(limits, context_seconds, retries=retries, end_tag=end_tag)
    sampling = opt.given_settings(
        seed=seed,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        cfg_scale=cfg_scale,
        max_seconds=max_seconds,
    )
    lines: NumberedLines = [] if batch is None else read_lines(batch)
    if asr_model is not None:
        prompt_text = transcribed(prompt, prompt_text, asr_model, language)
    said_by = _prompt(voice, prompt, prompt_text)
    synthesizer = load_synthesizer(model, codec, device, revision, precision)
    if isinstance(said_by, Path):
        said_by = codes_as_voice(synthesizer, said_by, prompt_text)
    defaults = BatchDefaults(sampling, said_by, language, speaker, options)
    if batch is None:
        _speak_one(synthesizer, script, defaults, target)
    else:
        _speak_lines(synthesizer, batch, lines, defaults)


def load_synthesizer(
    model: str,
    codec: str | None,
    device: str,
    revision: str | None,
    precision: str | None = None,
) -> "Synthesizer":
    from dialoom.generate import Synthesizer
    from dialoom.model import Revision

    parsed = None if revision is None else Revision.parse(revision)
    return Synthesizer.load(model, codec=codec, device=device, revision=parsed, precision=precision)


def codes_as_voice(synthesizer: "Synthesizer", path: Path, text: str) -> "Voice":
    """The codes of a clip, which the model's codec must have made."""
    from dialoom.codec.files import read_codes
    from dialoom.generate import Voice

    return Voice(read_codes(path), text, synthesizer.codec_spec)


@dataclass(frozen=True)
class _Target:
    """Where to write what; refuses what cannot be written."""

    output: Path | None
    subtitles: Path | None
    save_codes: Path | None

    @property
    def is_stream(self) -> bool:
        return self.output == STDOUT

    def __post_init__(self) -> None:
        if self.subtitles is not None:
            from dialoom.generate.subtitles import check_subtitles

            check_subtitles(self.subtitles)
        codes = self.save_codes
        if codes is not None and (codes.is_dir() or not codes.parent.is_dir()):
            raise GenerationError(f"--save-codes {codes}: name a file in a directory that is there")


def _script(
    text: Sequence[str] | None, text_file: Path | None, batch: Path | None, target: _Target
) -> str:
    """The one script; empty with a batch, which has its own.

    Raises:
        GenerationError: options that exclude each other, or none where one must be.
    """
    if (bool(text), text_file is not None, batch is not None).count(True) != 1:
        raise GenerationError("give TEXT, or --text-file, or --batch, and only one of these")
    if batch is not None:
        if target != _Target(None, None, None):
            raise GenerationError(
                '--batch: its lines say where to write, with "out" and "save_codes": leave -o, '
                "--save-codes and --subtitles out"
            )
        return ""
    if target.is_stream:
        refuse_stream(other_files=target != _Target(STDOUT, None, None))
    if target == _Target(None, None, None):
        raise GenerationError("nothing to write: give -o out.wav or --save-codes codes.npy")
    if text_file is None:
        return " ".join(text or ())
    try:
        return text_file.read_text(encoding="utf-8-sig")  # the mark would be read as letters
    except UnicodeDecodeError as error:
        raise GenerationError(
            f"--text-file {text_file}: not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from None
    except OSError as error:
        raise GenerationError(
            f"--text-file {text_file}: cannot be read ({error.strerror}); correct the path"
        ) from None


def _prompt(
    voice: str | None, prompt: Path | None, text: str
) -> "Voice | VoicePrompt | Path | None":
    """The voice to continue; of codes their path, for the model says whose they are."""
    from dialoom.audio import read_audio
    from dialoom.codec.files import CODES_SUFFIX
    from dialoom.generate import VoicePrompt, load_voice

    if voice is not None and prompt is not None:
        raise GenerationError("--voice and --prompt are both a voice: leave one out")
    if voice is not None:
        return load_voice(voice)
    if prompt is None or prompt.suffix == CODES_SUFFIX:
        return prompt
    return VoicePrompt(read_audio(prompt), text)


def transcribed(
    clip: Path | None,
    text: str,
    asr_model: str,
    language: str | None,
    *,
    text_option: str = "--prompt-text",
) -> str:
    """What a recogniser hears in the clip; told, for a wrong word would spoil the speech.

    Args:
        clip: the sound of a voice.
        text: what a person says of it: nothing.
        asr_model: Hub id or directory of a Whisper.
        language: spoken in it; None for what the recogniser finds.
        text_option: where a person can say it better.

    Raises:
        GenerationError: there is no clip, it has its transcript, is too long, or without words.
        AudioError, MissingExtra: it cannot be transcribed.
    """
    from dialoom.audio import read_audio
    from dialoom.audio.resample import resample
    from dialoom.audio.speech import SPEECH_RATE_HZ
    from dialoom.audio.transcribe import WINDOW_S, WhisperTranscriber
    from dialoom.codec.files import CODES_SUFFIX

    if clip is None or clip.suffix == CODES_SUFFIX or text:
        raise GenerationError(
            f"--asr-model transcribes the sound of a clip: give one, without {text_option}"
        )
    sound = read_audio(clip)
    if sound.duration_s > WINDOW_S:
        raise GenerationError(
            f"{clip}: lasts {sound.duration_s:.1f} s, --asr-model hears {WINDOW_S:.0f} s: "
            "use a shorter clip, 5 to 10 s are good"
        )
    sound = resample(sound, SPEECH_RATE_HZ)
    heard = WhisperTranscriber(asr_model).transcribe([sound], language)[0]
    if not heard.text:
        raise GenerationError(
            f"{clip}: {asr_model} hears no words in it: say them with {text_option}"
        )
    typer.echo(f"{clip}: {heard.text!r}; if this is wrong, give {text_option}", err=True)
    return heard.text


def _speak_one(
    synthesizer: "Synthesizer", text: str, defaults: "BatchDefaults", target: _Target
) -> None:
    from dialoom.audio import check_writable
    from dialoom.generate.batch import script_of
    from dialoom.generate.spoken import speak_script
    from dialoom.text import SPEAKER_TAG

    script = script_of(synthesizer, text, defaults)
    others = SPEAKER_TAG.sub("", script.text)  # an unknown speaker is refused
    if unknown := synthesizer.tags.unknown(others):
        known = ", ".join(synthesizer.tags.bytes_of_tags)
        typer.echo(
            f"speak: the model has no tag {', '.join(dict.fromkeys(unknown))} and reads its "
            f"letters; it has {known}",
            err=True,
        )
    if target.is_stream:
        stream_to_stdout(synthesizer, script)
        return
    if target.output is not None:
        check_writable(target.output, synthesizer.codec_spec.sample_rate_hz)
    with counted_progress("speak", at_most=True) as progress:
        spoken = speak_script(
            synthesizer,
            script,
            decode=target.output is not None,
            on_progress=lambda done, most: progress(done, most, 0),
        )
    for warning in _warnings(spoken.parts):
        typer.echo(f"speak: {warning}", err=True)
    _write(spoken, target)


def _write(spoken: "Spoken", target: _Target) -> None:
    from dialoom.audio import write_audio
    from dialoom.codec.files import write_codes
    from dialoom.generate.subtitles import write_subtitles

    if target.save_codes is not None:
        write_codes(target.save_codes, spoken.codes)
        typer.echo(f"{target.save_codes}: {spoken.codes.num_frames} frames")
    if target.subtitles is not None:
        write_subtitles(target.subtitles, spoken.parts)
        typer.echo(f"{target.subtitles}: {len(spoken.parts)} parts")
    if target.output is not None and spoken.waveform is not None:
        write_audio(target.output, spoken.waveform)
        typer.echo(f"{target.output}: {_described(spoken)}")


def _described(spoken: "Spoken") -> str:
    assert spoken.waveform is not None
    ending = "" if spoken.stopped else ", ended by the limit and not by the model"
    parts = f", {len(spoken.parts)} parts" if len(spoken.parts) > 1 else ""
    return f"{spoken.waveform.duration_s:.2f} s{parts}{ending}"


def _speak_lines(
    synthesizer: "Synthesizer", path: Path, lines: "NumberedLines", defaults: "BatchDefaults"
) -> None:
    """Raises GenerationError at the end if lines were refused, after the others were spoken."""
    from dialoom.generate.batch import speak_batch

    num_refused = 0
    with counted_progress("speak") as progress:
        results = speak_batch(
            synthesizer, lines, defaults, lambda done, most: progress(done, most, num_refused)
        )
        for result in results:
            if result.spoken is None:
                num_refused += 1
                typer.echo(f"{path} line {result.number}: {result.error}", err=True)
                continue
            for warning in _warnings(result.spoken.parts):
                typer.echo(f"{path} line {result.number}: {warning}", err=True)
            typer.echo(f"{result.out}: {_described(result.spoken)}")
    if num_refused:
        raise GenerationError(
            f"{num_refused} of {len(lines)} lines of {path} were not spoken: mend them as said "
            "above and give these again"
        )


def _warnings(parts: "Sequence[SpokenPart]") -> list[str]:
    """A line for each part whose length cannot be right."""
    return [
        f"{part.text[:40]!r} is {part.fault} (seed {part.seed}"
        + (f", the best of {part.num_draws})" if part.num_draws > 1 else "; --retries draws again)")
        for part in parts
        if part.fault is not None
    ]
