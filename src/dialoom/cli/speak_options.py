"""Options of the commands that speak, decode and keep voices."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(help="A directory, .pth, .safetensors, Hub id or adapter.")]
Text = Annotated[list[str] | None, typer.Argument(metavar="TEXT…", help='"[S1] Hello. [S2] Hi!"')]
TextFile = Annotated[Path | None, typer.Option(help="A file in place of TEXT.")]
Batch = Annotated[
    Path | None,
    typer.Option(help='A file of lines such as {"text": "[S1] Hi.", "out": "a.wav", "seed": 1}.'),
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Audio file; - is a stream of WAV, | aplay."),
]

VoiceName = Annotated[
    str | None, typer.Option("--voice", help="A voice by name or file; see `dialoom voice`.")
]
Prompt = Annotated[
    Path | None, typer.Option(help="A clip whose voice to continue, or its codes (.npy).")
]
PromptText = Annotated[str, typer.Option(help="What is said in the clip.")]
AsrModel = Annotated[
    str | None, typer.Option(help="The Whisper that writes down what is said in the clip (asr).")
]
Speaker = Annotated[str | None, typer.Option(help="Who says a text that names nobody: S1, S2 …")]
Language = Annotated[str | None, typer.Option(help="Its tag goes in front of the text.")]
EndTag = Annotated[bool, typer.Option("--end-tag", help="End on the last speaker but one's tag.")]

Seed = Annotated[int | None, typer.Option(help="The same seed gives the same speech. (0)")]
Temperature = Annotated[float | None, typer.Option(help="0 is greedy. (the model's, or 1.3)")]
TopP = Annotated[float | None, typer.Option(help="Nucleus; 1 is off. (the model's, or 0.95)")]
TopK = Annotated[
    int | None, typer.Option(help="Ids of a channel that stay; 0: all. (the model's, or 45)")
]
CfgScale = Annotated[float | None, typer.Option(help="Guidance; 0 is off. (the model's, or 3.0)")]
MaxSeconds = Annotated[
    float | None,
    typer.Option(help="Ends speech that does not end by itself; of a long text, each part."),
]

Retries = Annotated[
    int, typer.Option(help="Draw empty, endless and hurried clips again, so often at most.")
]
PartSeconds = Annotated[
    tuple[float, float], typer.Option(help="Parts of a long text: least and most.")
]
ContextSeconds = Annotated[
    float | None, typer.Option(help="A part and what it continues, together, at most.")
]
BytesPerSecond = Annotated[float, typer.Option(help="How fast the model speaks.")]
Subtitles = Annotated[Path | None, typer.Option(help="Write a .srt or .vtt.")]
SaveCodes = Annotated[
    Path | None, typer.Option(help="Write the codes as .npy, (frames, codebooks).")
]

CodecName = Annotated[str | None, typer.Option("--codec", help="In place of the model's own.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
PrecisionName = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="float32, bfloat16, float16, int8 or int4; as the weights are if not given.",
    ),
]
RevisionName = Annotated[
    str | None,
    typer.Option("--revision", help="0626 or 2025-04, where the model does not say it."),
]


def given_settings(**settings: float | None) -> dict[str, float]:
    """Those of SamplingSettings that were given, by their names.

    Raises:
        GenerationError: one of them cannot be; before a model is loaded.
    """
    from dialoom.generate import SamplingSettings

    given = {name: value for name, value in settings.items() if value is not None}
    SamplingSettings(**given)  # type: ignore[arg-type]  # top_k: int
    return given
