"""`dialoom voice`: voices kept in files, used by name with `dialoom speak --voice`."""

from pathlib import Path
from typing import Annotated

import typer

from dialoom.cli import speak_options as opt
from dialoom.cli.speak import codes_as_voice, load_synthesizer, transcribed

voice_app = typer.Typer(help="Voices kept in files, used by name.", no_args_is_help=True)


@voice_app.command("save")
def save_command(
    model: opt.Model,
    name: Annotated[str, typer.Argument(help="A name, or a file that ends in .safetensors.")],
    clip: Annotated[Path, typer.Argument(help="5 to 10 s of the voice, or its codes (.npy).")],
    text: Annotated[str, typer.Option(help='What is said in it: "[S1] …".')] = "",
    asr_model: opt.AsrModel = None,
    language: opt.Language = None,
    temperature: opt.Temperature = None,
    top_p: opt.TopP = None,
    top_k: opt.TopK = None,
    cfg_scale: opt.CfgScale = None,
    codec: opt.CodecName = None,
    device: opt.Device = "cpu",
    revision: opt.RevisionName = None,
) -> None:
    """Keeps a voice, with the settings that suit it if any are given."""
    from dataclasses import replace

    from dialoom.audio import read_audio
    from dialoom.codec.files import CODES_SUFFIX
    from dialoom.generate import VoicePrompt, save_voice
    from dialoom.generate.request import room_behind
    from dialoom.generate.voice import encode_prompt

    given = opt.given_settings(
        temperature=temperature, top_p=top_p, top_k=top_k, cfg_scale=cfg_scale
    )
    if asr_model is not None:
        text = transcribed(clip, text, asr_model, language, text_option="--text")
    prompt = None if clip.suffix == CODES_SUFFIX else VoicePrompt(read_audio(clip), text)
    synthesizer = load_synthesizer(model, codec, device, revision)
    if prompt is None:
        voice = codes_as_voice(synthesizer, clip, text)
    else:
        voice = encode_prompt(prompt, synthesizer.codec)
    suited = synthesizer.settings_for(None)
    settings = replace(suited, **given) if given else None  # type: ignore[arg-type]  # top_k: int
    room_behind(voice.codes.num_frames, synthesizer.model.config)
    path = save_voice(replace(voice, language=language, settings=settings), name)
    typer.echo(f"{path}: {voice.codes.num_frames / voice.codec.frames_per_second:.2f} s")


@voice_app.command("list")
def list_command() -> None:
    """Names the voices that there are."""
    from dialoom.generate.voice import load_voice, voice_names, voices_directory

    names = voice_names()
    if not names:
        typer.echo(f"no voices in {voices_directory()}: make one with `dialoom voice save`")
    for name in names:
        voice = load_voice(name)
        duration_s = voice.codes.num_frames / voice.codec.frames_per_second
        typer.echo(f"{name}  {duration_s:.1f} s  {voice.codec.name}  {voice.text[:60]}")
