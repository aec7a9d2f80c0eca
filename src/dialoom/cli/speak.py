"""`dialoom speak`: a text, spoken by a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dialoom.errors import GenerationError
from dialoom.observe import counted_progress

if TYPE_CHECKING:
    from dialoom.generate import Speech, Synthesizer


def speak_command(
    model: Annotated[
        str, typer.Argument(help="A directory, .pth, .safetensors, Hub id or adapter.")
    ],
    text: Annotated[list[str], typer.Argument(metavar="TEXT…", help='"[S1] Hello. [S2] Hi!"')],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Audio file.")] = None,
    prompt: Annotated[Path | None, typer.Option(help="A clip whose voice to continue.")] = None,
    prompt_text: Annotated[str, typer.Option(help="What is said in the clip.")] = "",
    seed: Annotated[int, typer.Option(help="The same seed gives the same speech.")] = 0,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 1.3,
    top_p: Annotated[float, typer.Option(help="Nucleus; 1 is off.")] = 0.95,
    top_k: Annotated[int, typer.Option(help="Ids of a channel that stay; 0 is all.")] = 45,
    cfg_scale: Annotated[float, typer.Option(help="Guidance; 0 is off.")] = 3.0,
    max_seconds: Annotated[
        float | None, typer.Option(help="Ends speech that does not end by itself.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="Its tag goes in front of the text.")] = None,
    codec: Annotated[str | None, typer.Option(help="In place of the model's own.")] = None,
    save_codes: Annotated[
        Path | None, typer.Option(help="Write the codes as .npy, (frames, codebooks).")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    revision: Annotated[
        str | None, typer.Option(help="0626 or 2025-04, where the model does not say it.")
    ] = None,
) -> None:
    """Speaks a text with a model; several texts are spoken as one script."""
    if output is None and save_codes is None:
        raise GenerationError("nothing to write: give -o out.wav or --save-codes codes.npy")
    from dialoom.audio import check_writable, read_audio
    from dialoom.generate import SamplingSettings, Synthesizer, VoicePrompt
    from dialoom.model import Revision

    if save_codes is not None and (save_codes.is_dir() or not save_codes.parent.is_dir()):
        raise GenerationError(
            f"--save-codes {save_codes}: name a file in a directory that is there"
        )
    settings = SamplingSettings(temperature, top_p, top_k, cfg_scale, max_seconds, seed)
    voice = None if prompt is None else VoicePrompt(read_audio(prompt), prompt_text)
    synthesizer = Synthesizer.load(
        model,
        codec=codec,
        device=device,
        revision=None if revision is None else Revision.parse(revision),
    )
    if output is not None:
        check_writable(output, synthesizer.codec_spec.sample_rate_hz)
    with counted_progress("speak") as progress:
        speech = synthesizer.synthesize(
            [" ".join(text)],
            settings,
            prompt=voice,
            language=language,
            on_step=lambda step, most: progress(step, most, 0),
        )[0]
    _write(synthesizer, speech, output=output, save_codes=save_codes)


def _write(
    synthesizer: "Synthesizer", speech: "Speech", *, output: Path | None, save_codes: Path | None
) -> None:
    import numpy as np

    from dialoom.audio import write_audio

    if speech.codes.num_frames == 0:
        raise GenerationError("the model ended before it said anything: try another --seed")
    if save_codes is not None:
        with save_codes.open("wb") as file:  # np.save would append .npy to another name
            np.save(file, speech.codes.frames.astype(np.int64))
        typer.echo(f"{save_codes}: {speech.codes.num_frames} frames")
    if output is not None:
        waveform = synthesizer.codec.decode(speech.codes)
        write_audio(output, waveform)
        ending = "" if speech.stopped else ", ended by the limit and not by the model"
        typer.echo(f"{output}: {waveform.duration_s:.2f} s{ending}")
