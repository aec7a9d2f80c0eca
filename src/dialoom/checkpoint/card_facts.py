"""What is known of a model besides the model: where it comes from, what it heard and said."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from dialoom.checkpoint.adapter import ADAPTER_CONFIG
from dialoom.checkpoint.locate import within_run
from dialoom.checkpoint.run_store import corpus_fingerprint
from dialoom.checkpoint.store import read_json
from dialoom.data import Mixture
from dialoom.errors import DataError
from dialoom.observe import METRICS_FILE, RunMetrics, SampleRecord, ValidRecord, read_metrics

MAX_SAMPLES = 3
_STEP_NAME = re.compile(r"step_(\d{8})")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class CardFacts:
    """What a card says besides what the model says of itself; nothing has to be known.

    Attributes:
        base: the model it was trained from, or was converted from.
        hours: of speech that it was trained on.
        languages: of that speech.
        licence: of that speech, as a person states it.
        training: the settings of its training.
        losses: of the first and the last validation pass, per channel.
        run_dir: where its samples are.
        samples: what it said last; what its base said before the first step is not its own.
    """

    base: str | None = None
    hours: float | None = None
    languages: tuple[str, ...] = ()
    licence: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    losses: tuple[ValidRecord, ...] = ()
    run_dir: Path | None = None
    samples: tuple[SampleRecord, ...] = ()


def facts_of(source: str, *, licence: str | None = None) -> CardFacts:
    """What can be found out about a MODEL: from the run that a checkpoint stands in, if it does.

    Args:
        source: as for `load_model`.
        licence: of the data; no file says it.
    """
    checkpoint, run_dir, step, recipe = _run_of(source)
    if step is None or not recipe:
        return CardFacts(base=_base(source), licence=licence)
    corpus = _corpus(recipe, run_dir, corpus_fingerprint(checkpoint))
    metrics = _metrics(run_dir)
    passes = [record for record in metrics.valid if record.step <= int(step[1])]
    spoken = [record for record in metrics.samples if 0 < record.step <= int(step[1])]
    last = [r for r in spoken if r.step == spoken[-1].step and (run_dir / r.audio_path).is_file()]
    return CardFacts(
        base=_section(recipe, "model").get("base"),
        hours=None if corpus is None else corpus.hours,
        languages=() if corpus is None else corpus.languages,
        licence=licence,
        training=_section(recipe, "train"),
        losses=tuple(dict.fromkeys((passes[0], passes[-1]))) if passes else (),
        run_dir=run_dir,
        samples=tuple(last[:MAX_SAMPLES]),
    )


def base_of(source: str) -> str | None:
    """The model that a MODEL was trained on, as its run's recipe or its adapter names it.

    A recipe may name it from the directory that the training was started in: it is looked for there
    too. Whether it is still the same model nobody knows.
    """
    _, run_dir, step, recipe = _run_of(source)
    named = _section(recipe, "model").get("base") if step is not None else None
    if named is None:
        base = _base(source)
        return None if base == source else base
    starts = (start / str(named) for start in (Path(), *run_dir.parents[:3]))
    return str(next((path for path in starts if path.exists()), named))


def _run_of(source: str) -> tuple[Path, Path, re.Match[str] | None, Mapping[str, Any]]:
    """A MODEL's checkpoint, the directory of its run, its step, and the recipe of that run."""
    checkpoint = within_run(Path(source).expanduser()).resolve()
    run_dir = checkpoint.parent.parent
    step = _STEP_NAME.fullmatch(checkpoint.name)
    return checkpoint, run_dir, step, _recipe(run_dir) if step is not None else _NOTHING


def _base(source: str) -> str | None:
    """Of a model that no run made here: the Hub id it came by, or what its adapter names."""
    path = Path(source).expanduser()
    if not path.exists():
        return source
    if (path / ADAPTER_CONFIG).is_file():
        return read_json(path / ADAPTER_CONFIG).get("base_model_name_or_path")
    return None


def _recipe(run_dir: Path) -> Mapping[str, Any]:
    try:
        recipe = yaml.safe_load((run_dir / "recipe.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):  # the card knows less, the model is whole
        return _NOTHING
    return recipe if isinstance(recipe, dict) else _NOTHING


def _section(recipe: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = recipe.get(name)
    return section if isinstance(section, dict) else _NOTHING


def _metrics(run_dir: Path) -> RunMetrics:
    try:
        return read_metrics(run_dir / METRICS_FILE)
    except DataError:  # a run without its record is still a run with a recipe
        return RunMetrics()


def _corpus(recipe: Mapping[str, Any], run_dir: Path, fingerprint: str | None) -> Mixture | None:
    """A recipe names its corpora from the directory that the training was started in.

    That is not known here, so another corpus may stand under the name: only that of the checkpoint
    is believed.
    """
    named = _section(recipe, "data").get("corpus")
    if not named or fingerprint is None:
        return None
    shares = named if isinstance(named, list) else [{"path": named}]
    for start in (Path(), *run_dir.parents):
        try:
            corpus = Mixture.open([(start / str(s["path"]), s.get("weight")) for s in shares])
        except (DataError, OSError, KeyError, TypeError):
            continue
        if corpus.fingerprint == fingerprint:
            return corpus
    return None
