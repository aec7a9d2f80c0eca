"""`dialoom decode`: codes, as sound."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dialoom.cli import speak_options as opt
from dialoom.errors import CodecError

if TYPE_CHECKING:
    from dialoom.codec import Codec, CodecSpec, Codes


def decode_command(
    codes: Annotated[Path, typer.Argument(help="A .npy of --save-codes, or a voice's file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.wav", help="Audio file.")],
    codec: Annotated[
        str | None, typer.Option(help="Which made the codes: mini, dac …; a voice says it.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Whose codec made the codes.")] = None,
    device: opt.Device = "cpu",
    revision: opt.RevisionName = None,
) -> None:
    """Makes sound of codes."""
    from dialoom.audio import check_writable, write_audio

    if codec is not None and model is not None:
        raise CodecError("--codec and --model both say which codec: leave one out")
    frames, spec = _read(codes)
    decoder = _codec(codec, model, spec, device, revision)
    check_writable(out, decoder.spec.sample_rate_hz)
    waveform = decoder.decode(frames)
    write_audio(out, waveform)
    typer.echo(f"{out}: {waveform.duration_s:.2f} s")


def _read(path: Path) -> "tuple[Codes, CodecSpec | None]":
    """The codes, and the codec if the file says it."""
    from dialoom.codec.files import read_codes
    from dialoom.generate.voice import VOICE_SUFFIX, load_voice

    if path.suffix == VOICE_SUFFIX:
        voice = load_voice(str(path))
        return voice.codes, voice.codec
    return read_codes(path), None


def _codec(
    codec: str | None,
    model: str | None,
    spec: "CodecSpec | None",
    device: str,
    revision: str | None,
) -> "Codec":
    from dialoom.cli.speak import load_synthesizer
    from dialoom.codec import load_codec

    if model is not None:
        found = load_synthesizer(model, None, device, revision).codec
    elif codec is not None or spec is not None:
        found = load_codec(codec or (spec.name if spec else ""), device=device)
    else:
        raise CodecError(
            "a .npy does not say which codec made its codes: give --codec mini, --codec dac …, or "
            "--model MODEL for the one of a model"
        )
    if spec is not None and found.spec.content_hash != spec.content_hash:
        raise CodecError(
            f"codec '{found.spec.name}' has other weights than the '{spec.name}' that made the "
            "codes: they would be noise"
        )
    return found
