"""The demo: the main job from end to end on bundled clips, offline, on a CPU.

It calls what a person would call with data of their own, in the same order: `prepare`, `evaluate`
of the base, `train`, `evaluate` of what came out, `speak`, `report`.
"""

from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

from dialoom.audio import write_audio
from dialoom.data import Corpus, PrepareOptions, prepare
from dialoom.errors import RecipeError
from dialoom.evaluate.comparison import compare
from dialoom.evaluate.evaluation import Evaluation, evaluate_model
from dialoom.evaluate.material import EvaluateOptions
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.observe import counted_progress
from dialoom.recipe import Recipe, load_recipe, run_recipe

SENTENCE = "[S1] Does the captain sing an old song tonight? [S2] Yes, of course he sings."
"""In neither the base's clips nor the demo's."""

VALID_FRACTION = 0.22
"""22 of the clips are held out; the split is a hash of their names."""


def run_demo(
    out: Path, overrides: list[str] | None = None, *, max_clips: int = 64
) -> Iterator[str]:
    """Runs the demo into a new directory and yields a line before and after each stage.

    Args:
        out: holds corpus, run and a spoken sentence afterwards.
        overrides: "section.key=value", in place of what the demo's recipe says.
        max_clips: at most so many held-out sentences are spoken before and after the training.

    Raises:
        RecipeError: the directory holds something already.
    """
    if out.exists() and any(out.iterdir()):
        raise RecipeError(f"{out} is not empty: remove it, or name another directory")
    with as_file(files("dialoom") / "demo_data") as source:
        recipe = load_recipe(
            source / "recipe.yaml", [f"data.corpus={out / 'corpus'}", *(overrides or [])]
        )
        yield f"1/6  prepare: two voices become a corpus of codes in {out / 'corpus'}"
        corpus = _prepare(source, out / "corpus")
        yield f"     {corpus.info.num_clips} clips, {corpus.info.hours * 60:.1f} minutes"
        options = EvaluateOptions(
            max_clips=max_clips, seeds=1, sampling=_sampling(recipe), recordings=source
        )
        base = recipe.model.base or recipe.model.preset
        yield f"2/6  evaluate: the base '{base}' says sentences that are held out"
        before = _evaluate(base, corpus, options)
        yield f"3/6  train: it learns the voices in {out / 'run'}"
        result = run_recipe(recipe, out / "run")
        model = result.run_dir / "checkpoints" / "last"
        if not result.outcome.finished:
            yield f"stopped after step {result.outcome.step}; what is there is in {result.run_dir}"
            return
        yield "4/6  evaluate: the same sentences again"
        after = _evaluate(model, corpus, options)
    yield f"5/6  speak: {SENTENCE}"
    yield f"     {_speak(model, out / 'hello.wav', _sampling(recipe))}"
    yield f"6/6  report: open {result.run_dir / 'report.html'} in a browser"
    yield ""
    yield from compare({"base": before, "fine-tuned": after})
    yield ""
    yield f'Speak on:  dialoom speak {model} "{SENTENCE}" -o out.wav'


def _prepare(source: Path, path: Path) -> Corpus:
    options = PrepareOptions(format="csv", codec="mini", valid_fraction=VALID_FRACTION)
    with counted_progress("prepare") as progress:
        prepare(source / "metadata.csv", path, options, progress=progress)
    return Corpus.open(path)


def _evaluate(model: str | Path, corpus: Corpus, options: EvaluateOptions) -> Evaluation:
    with counted_progress("evaluate") as progress:
        return evaluate_model(
            Synthesizer.load(model),
            corpus,
            options,
            progress=lambda done, total: progress(done, total, 0),
        )


def _sampling(recipe: Recipe) -> SamplingSettings:
    settings = recipe.evaluate
    return SamplingSettings(
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        cfg_scale=settings.cfg_scale,
        max_seconds=settings.max_seconds,
    )


def _speak(model: Path, output: Path, settings: SamplingSettings) -> str:
    waveform = Synthesizer.load(model).speak(SENTENCE, settings)
    write_audio(output, waveform)
    return f"{output}: {waveform.duration_s:.2f} s"
