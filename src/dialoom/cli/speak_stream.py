"""`dialoom speak -o -`: sound on standard output while it is made, for a player behind a pipe."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dialoom.errors import GenerationError

if TYPE_CHECKING:
    from dialoom.generate import Synthesizer
    from dialoom.generate.spoken import Script

STDOUT = Path("-")


def refuse_stream(*, other_files: bool) -> None:
    """Before a model is loaded.

    Raises:
        GenerationError: nobody could use what would be written.
    """
    if other_files:
        raise GenerationError(
            "-o - is heard while it is made: leave --subtitles and --save-codes out, or name a file"
        )
    if sys.stdout.isatty():
        raise GenerationError("-o - writes WAV to standard output: put a player behind it, | aplay")


def stream_to_stdout(synthesizer: "Synthesizer", script: "Script") -> None:
    """WAV of unknown length, each chunk as soon as it is there; how long it was on standard error.

    Raises:
        TextError, GenerationError, CodecError: it cannot be spoken, or nothing was said.
    """
    from dialoom.audio.encoding import open_encoder
    from dialoom.generate.spoken import stream_script

    out = sys.stdout.buffer
    rate_hz = synthesizer.codec_spec.sample_rate_hz
    encoder = open_encoder("wav", rate_hz, streamed=True)
    num_samples = 0
    try:
        for waveform in stream_script(synthesizer, script):
            out.write(encoder.push(waveform.samples))
            out.flush()
            num_samples += waveform.num_samples
    except BrokenPipeError:
        sys.stdout = None  # or Python reports at its end that it cannot be flushed
        raise GenerationError("-o -: the player behind the pipe ended before the speech") from None
    typer.echo(f"speak: {num_samples / rate_hz:.2f} s", err=True)
