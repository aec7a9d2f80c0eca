"""`dialoom convert`: a model from one format into another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dialoom.errors import CheckpointError

if TYPE_CHECKING:
    from dialoom.checkpoint import LoadedModel

AUTO, ADAPTER = "auto", "adapter"


def convert_command(
    source: Annotated[
        str, typer.Argument(help="A model: directory, .pth, .safetensors, Hub id or adapter.")
    ],
    out: Annotated[Path, typer.Argument(help="The directory to make.")],
    to: Annotated[
        str,
        typer.Option(help="transformers or nari; adapter: the SOURCE's LoRA without its base."),
    ],
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
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", help="Of the data and the model, for its card."),
    ] = None,
) -> None:
    """Writes a model in another format; adapters are merged into their base, or go alone."""
    from dialoom.checkpoint import load_model
    from dialoom.checkpoint.adapter_export import export_adapter
    from dialoom.checkpoint.card_facts import facts_of
    from dialoom.checkpoint.convert import Format, export_model

    _refuse(to, dtype, out)
    facts = facts_of(source, licence=licence)
    if to == ADAPTER:
        if revision is not None:
            raise CheckpointError("--revision is the base's, an adapter has none: leave it out")
        export_adapter(source, out, dtype=dtype, facts=facts)
        typer.echo(f"{out}: {ADAPTER}")
        return
    if revision == AUTO:
        loaded = _probed(source, probe, probe_text, codec)
    else:
        loaded = load_model(source, revision=revision)
    _tell(f"{source} is read, {loaded.model.num_parameters / 1e6:.1f} M parameters")
    export_model(loaded, out, to=Format(to), dtype=dtype, facts=facts, on_stage=_tell)
    typer.echo(f"{out}: {to}, revision {loaded.model.config.revision}")


def _tell(stage: str) -> None:
    """On standard error, as all that says how far work is."""
    typer.echo(f"convert: {stage}", err=True)


def _refuse(to: str, dtype: str | None, out: Path) -> None:
    """Before anything is read or fetched."""
    from dialoom.checkpoint.convert import DTYPES, Format

    if to not in (*Format, ADAPTER):
        raise CheckpointError(f"--to {to}: take {', '.join(Format)} or {ADAPTER}")
    if dtype is not None and dtype not in DTYPES:
        raise CheckpointError(f"--dtype {dtype}: take {', '.join(DTYPES)}")
    if out.exists():
        raise CheckpointError(f"{out} exists already: give a new directory")


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
