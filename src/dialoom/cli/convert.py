"""`dialoom convert`: a model from one format into another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dialoom.errors import CheckpointError

if TYPE_CHECKING:
    from dialoom.checkpoint import LoadedModel

AUTO = "auto"


def convert_command(
    source: Annotated[
        str, typer.Argument(help="A model: directory, .pth, .safetensors, Hub id or adapter.")
    ],
    out: Annotated[Path, typer.Argument(help="The directory to make.")],
    to: Annotated[str, typer.Option(help="transformers or nari.")],
    revision: Annotated[
        str | None,
        typer.Option(help="0626 or 2025-04, where the source does not say it; auto asks a clip."),
    ] = None,
    probe: Annotated[Path | None, typer.Option(help="With auto: a clip of speech.")] = None,
    probe_text: Annotated[str, typer.Option(help="With auto: what is said in the clip.")] = "",
    codec: Annotated[
        str | None, typer.Option(help="With auto: in place of the model's, else dac.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16; else as in the source.")
    ] = None,
) -> None:
    """Writes a model in another format; adapters are merged into their base."""
    from dialoom.checkpoint import load_model
    from dialoom.checkpoint.card import facts_of
    from dialoom.checkpoint.convert import DTYPES, Format, export_model

    if to not in set(Format):
        raise CheckpointError(f"--to {to}: take {' or '.join(Format)}")
    if dtype is not None and dtype not in DTYPES:
        raise CheckpointError(f"--dtype {dtype}: take {', '.join(DTYPES)}")
    if out.exists():
        raise CheckpointError(f"{out} exists already: give a new directory")
    if revision == AUTO:
        loaded = _probed(source, probe, probe_text, codec)
    else:
        loaded = load_model(source, revision=revision)
    export_model(loaded, out, to=Format(to), dtype=dtype, facts=facts_of(source))
    typer.echo(f"{out}: {to}, revision {loaded.model.config.revision}")


def _probed(source: str, probe: Path | None, text: str, codec: str | None) -> "LoadedModel":
    """The model as it says itself, else as the clip finds it."""
    from dialoom.audio import read_audio
    from dialoom.checkpoint import load_model
    from dialoom.checkpoint.revision_probe import probe_revision
    from dialoom.codec import load_codec
    from dialoom.errors import RevisionMissing

    try:
        return load_model(source)
    except RevisionMissing:
        if probe is None or not text.strip():
            raise CheckpointError(
                "--revision auto needs a clip of speech and what is said in it: give --probe and "
                "--probe-text"
            ) from None
    codes = load_codec(codec or "dac").encode(read_audio(probe))
    loaded, verdict = probe_revision(source, codes, text)
    typer.echo(f"{source}: {verdict}")
    return loaded
