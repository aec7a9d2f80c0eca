"""`dialoom evaluate`: models measured on a corpus, their loss and their speech."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import typer

from dialoom.cli import evaluate_options as opt
from dialoom.cli.speak_options import CfgScale, Device, Temperature, TopK, TopP, given_settings
from dialoom.errors import DataError
from dialoom.observe import counted_progress

if TYPE_CHECKING:
    from dialoom.evaluate.contest import Contestant
    from dialoom.evaluate.evaluation import Evaluation
    from dialoom.evaluate.material import EvaluateOptions
    from dialoom.model import Revision

NO_BASE = "none"


def evaluate_command(
    models: opt.Models,
    corpus: opt.CorpusPath,
    split: opt.Split = "valid",
    max_clips: opt.MaxClips = 64,
    seeds: opt.Seeds = 3,
    base: opt.Base = None,
    voice_prompt: opt.WithVoicePrompt = False,
    recordings: opt.Recordings = None,
    json_file: opt.JsonFile = None,
    asr_model: opt.AsrModel = None,
    speaker_model: opt.SpeakerModel = None,
    mos_model: opt.MosModel = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    top_k: TopK = None,
    cfg_scale: CfgScale = None,
    codec: opt.CodecName = None,
    device: Device = "cpu",
    revision: opt.RevisionName = None,
) -> None:
    """Measures models side by side: their loss on the clips, and the speech they make of the texts.

    The base stands above them, what the codec alone does to the recordings below. All speak with
    the same settings: those of the first MODEL, unless others are given.
    """
    from dialoom.data import Corpus
    from dialoom.evaluate.contest import admit, evaluate_models
    from dialoom.evaluate.judges import load_judges
    from dialoom.evaluate.material import EvaluateOptions
    from dialoom.model import Revision

    if json_file is not None and (json_file.is_dir() or not json_file.parent.is_dir()):
        raise DataError(f"--json {json_file}: name a file in a directory that is there")
    given = given_settings(temperature=temperature, top_p=top_p, top_k=top_k, cfg_scale=cfg_scale)
    options = EvaluateOptions(
        split, max_clips, seeds, recordings=recordings, voice_prompt=voice_prompt
    )
    found = Corpus.open(corpus)
    parsed = None if revision is None else Revision.parse(revision)
    judges = load_judges(asr_model, speaker_model, mos_model)
    contestants = _contestants(models, base, codec=codec, device=device, revision=parsed)
    entrants = admit(contestants, found, note=partial(typer.echo, err=True))
    suited = next(entrant.sampling for entrant in entrants if entrant.title == models[0])
    sampling = replace(suited, **given)  # type: ignore[arg-type]  # top_k: int
    options = replace(options, sampling=sampling)
    with counted_progress("evaluate") as progress:
        evaluations = evaluate_models(
            entrants,
            found,
            options,
            judges=judges,
            path=json_file,
            progress=lambda done, total: progress(done, total, 0),
        )
    for line in _describe(evaluations, options):
        typer.echo(line)
    if json_file is not None:
        typer.echo(f"all figures in {json_file}")


def _contestants(
    models: list[str],
    base: str | None,
    *,
    codec: str | None,
    device: str,
    revision: "Revision | None",
) -> "list[Contestant]":
    """The base, or what the models name as theirs, and the models."""
    from dialoom.checkpoint.card_facts import base_of
    from dialoom.evaluate.contest import Contestant
    from dialoom.generate import Synthesizer

    if base is None:
        named = [found for model in models if (found := base_of(model)) is not None]
        bases = list(dict.fromkeys(named))
    else:
        bases = [] if base == NO_BASE else [base]
    load = partial(Synthesizer.load, codec=codec, device=device, revision=revision)
    return [
        *(
            Contestant(
                found, partial(load, found), is_optional=base is None and found not in models
            )
            for found in bases
        ),
        *(Contestant(model, partial(load, model)) for model in models if model not in bases),
    ]


def _describe(evaluations: "dict[str, Evaluation]", options: "EvaluateOptions") -> Iterator[str]:
    from dialoom.evaluate.comparison import compare

    first, sampling = next(iter(evaluations.values())), options.sampling
    left_out = first.num_left_out
    yield (
        f"{first.loss.num_clips} clips of split {options.split}, each spoken with {options.seeds} "
        f"seeds, temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, top-k "
        f"{sampling.top_k}, guidance {sampling.cfg_scale:g}"
        + (f"; {left_out} clips are too long for the models and left out" if left_out else "")
    )
    prompted = {attempt.clip_id for attempt in first.attempts if attempt.prompt_id is not None}
    if options.voice_prompt:
        yield f"{len(prompted)} of them also as the continuation of another clip of their speaker"
    yield ""
    yield from compare(evaluations)
    if not first.recordings:
        yield "speech is compared with the clips as their codes sound; --recordings takes the sound"
    missing = [
        f"{what} (--{option})"
        for what, option, is_there in (
            ("word errors", "asr-model", any(a.words for a in first.attempts)),
            ("speaker similarity", "speaker-model", _has(first, "similarity")),
            ("predicted MOS", "mos-model", _has(first, "opinion")),
        )
        if not is_there
    ]
    if missing:
        yield f"not measured: {', '.join(missing)}"


def _has(evaluation: "Evaluation", name: str) -> bool:
    return any(getattr(attempt, name) == getattr(attempt, name) for attempt in evaluation.attempts)
