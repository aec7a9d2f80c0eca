"""The demo: the main job from end to end on bundled clips, offline, on a CPU.

It calls what a person would call with data of their own, in the same order: `prepare`, `train`,
`speak`, `report`.
"""

from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

from dialoom.audio import write_audio
from dialoom.data import PrepareOptions, prepare
from dialoom.errors import RecipeError
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.observe import counted_progress
from dialoom.recipe import load_recipe, run_recipe

SENTENCE = "[S1] Nine threads run side by side. [S2] Why nine?"
"""One of the training clips: the demo's model speaks what it has heard."""

_VALID_FRACTION = 0.12


def run_demo(
    out: Path, overrides: list[str] | None = None, *, max_seconds: float = 8.0
) -> Iterator[str]:
    """Runs the demo into a new directory and yields a line before and after each stage.

    Args:
        out: holds corpus, run and a spoken sentence afterwards.
        overrides: "section.key=value", in place of what the demo's recipe says.
        max_seconds: where the spoken sentence is ended if it does not end by itself.

    Raises:
        RecipeError: the directory holds something already.
    """
    if out.exists() and any(out.iterdir()):
        raise RecipeError(f"{out} is not empty: remove it, or name another directory")
    with as_file(files("dialoom") / "demo_data") as source:
        yield f"1/4  prepare: the bundled clips become a corpus of codes in {out / 'corpus'}"
        summary = _prepare(source, out / "corpus")
        yield f"     {summary}"
        yield f"2/4  train: a mini model learns them by heart in {out / 'run'}"
        recipe = load_recipe(
            source / "recipe.yaml", [f"data.corpus={out / 'corpus'}", *(overrides or [])]
        )
        result = run_recipe(recipe, out / "run")
    model = result.run_dir / "checkpoints" / "last"
    if not result.outcome.finished:
        yield f"stopped after step {result.outcome.step}; what is there is in {result.run_dir}"
        return
    yield f"3/4  speak: {SENTENCE}"
    yield f"     {_speak(model, out / 'hello.wav', max_seconds)}"
    yield f"4/4  report: open {result.run_dir / 'report.html'} in a browser"
    yield f'Speak on:  dialoom speak {model} "{SENTENCE}" -o out.wav --temperature 0 --cfg-scale 0'


def _prepare(source: Path, corpus: Path) -> str:
    options = PrepareOptions(format="csv", codec="mini", valid_fraction=_VALID_FRACTION)
    with counted_progress("prepare") as progress:
        info = prepare(source / "metadata.csv", corpus, options, progress=progress).info
    return f"{info.num_clips} clips, {info.hours * 3600:.0f} s of speech, codec {info.codec.name}"


def _speak(model: Path, output: Path, max_seconds: float) -> str:
    synthesizer = Synthesizer.load(model)
    settings = SamplingSettings(temperature=0, cfg_scale=0, max_seconds=max_seconds)
    waveform = synthesizer.speak(SENTENCE, settings)
    write_audio(output, waveform)
    return f"{output}: {waveform.duration_s:.2f} s"
