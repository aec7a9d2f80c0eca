"""Options of `dialoom evaluate`; those of sampling are speak's."""

from pathlib import Path
from typing import Annotated

import typer

Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="Directories of models, or checkpoints.")
]
CorpusPath = Annotated[Path, typer.Argument(help="A corpus made by `dialoom prepare`.")]
Split = Annotated[str, typer.Option(help="valid, train or all.")]
MaxClips = Annotated[int, typer.Option(help="At most so many, of all lengths.")]
Seeds = Annotated[int, typer.Option(help="How often each text is spoken.")]
Base = Annotated[
    str | None,
    typer.Option(
        help="The model of the first row: by default what the models were trained on, where "
        "that is known and can be loaded; none leaves it out."
    ),
]
WithVoicePrompt = Annotated[
    bool, typer.Option("--voice-prompt", help="Speak also as another clip's continuation.")
]
Recordings = Annotated[
    Path | None, typer.Option(help="The folder that the corpus was prepared from.")
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", help="Write all figures there as they come; the same command goes on with it."
    ),
]
AsrModel = Annotated[
    str | None, typer.Option(help="A Whisper, directory or Hub id, for word errors.")
]
SpeakerModel = Annotated[
    str | None,
    typer.Option(help="A model for x-vectors, directory or Hub id, for speaker similarity."),
]
MosModel = Annotated[
    str | None,
    typer.Option(help="A TorchScript or .pt2 file that scores speech at 16 kHz, as UTMOS."),
]
CodecName = Annotated[str | None, typer.Option("--codec", help="In place of the models' own.")]
RevisionName = Annotated[
    str | None, typer.Option("--revision", help="0626 or 2025-04, where a model does not say it.")
]
