"""The JSON of an evaluation: written after every group of utterances, so that a killed one goes on.

It holds every utterance with its figures, and of every model that is done the summary. What is in
it is believed only for the same corpus, clips and options and a model with the same weights; a file
of anything else is refused, never overwritten.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from dialoom.data.atomic import atomic_path
from dialoom.errors import DataError
from dialoom.evaluate.attempt import Attempt
from dialoom.evaluate.comparison import Comparison, compare_speech
from dialoom.evaluate.evaluation import Evaluation
from dialoom.evaluate.figures import FIGURES, Figures
from dialoom.observe import ValidRecord

FORMAT = 2


@dataclass
class Entry:
    """What is known of one model.

    Attributes:
        title: what the person calls it.
        fingerprint: of its weights and configuration.
        loss: None until it is measured.
        attempts: as many as were made.
    """

    title: str
    fingerprint: str
    loss: ValidRecord | None = None
    attempts: list[Attempt] = field(default_factory=list)


class Record:
    """The file, or nothing where no file is wanted."""

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        """Reads what an earlier run left.

        Args:
            path: of the file; None keeps nothing.
            identity: what must be equal for figures to be: of the corpus, the clips, the options.

        Raises:
            DataError: the file is of another evaluation, or is none.
        """
        self._path = path
        self._identity = plain(identity)
        self._comparison: Comparison | None = None
        self._known: dict[str, Entry] = {}
        self._references: dict[str, list[Attempt]] = {}
        if path is not None and path.exists():
            self._read(path)

    def take(self, title: str, fingerprint: str) -> Entry:
        """What is known of a model; an empty entry if nothing is.

        Raises:
            DataError: the file knows the title with other weights.
        """
        entry = self._known.setdefault(title, Entry(title, fingerprint))
        if entry.fingerprint != fingerprint:
            raise self._refusal(f"{title} had other weights then")
        return entry

    def refuse_others(self, titles: Sequence[str]) -> None:
        """Raises DataError where the file holds models that are not asked for."""
        others = [title for title in self._known if title not in titles]
        if others:
            raise self._refusal(f"it holds {others[0]}, which is not asked for now")

    def references(self) -> dict[str, list[Attempt]]:
        """The attempts of the codec and the recordings; empty where they were not measured."""
        return self._references

    def write(
        self,
        entries: Sequence[Entry],
        references: Mapping[str, Sequence[Attempt]],
        results: Mapping[str, Evaluation],
        extra: Mapping[str, Any],
    ) -> None:
        """Puts all that is known into the file, whole or not at all.

        Args:
            entries: of all models that were begun.
            references: of the codec and the recordings.
            results: of the models that are done, by title; from call to call only more.
            extra: what else is to be said.
        """
        if self._path is None:
            return
        comparison = self._compare(results)
        content = {
            "format": FORMAT,
            **extra,
            **self._identity,
            "models": [_model(entry, results, comparison) for entry in entries],
            "references": {
                title: {
                    **_speech(comparison, title),
                    "attempts": [plain(asdict(attempt)) for attempt in attempts],
                }
                for title, attempts in references.items()
            },
            "differences": [] if comparison is None else _differences(comparison),
        }
        text = json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False)
        with atomic_path(self._path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def _compare(self, results: Mapping[str, Evaluation]) -> Comparison | None:
        """Anew only where another model is done: with many utterances it takes a while."""
        compared = 0 if self._comparison is None else self._comparison.num_models
        if len(results) > compared:
            self._comparison = compare_speech(results)
        return self._comparison

    def _read(self, path: Path) -> None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}")
            found = {name: content[name] for name in self._identity}
            for model in content["models"]:
                entry = restore(Entry, model)
                self._known[entry.title] = entry
            for title, reference in content["references"].items():
                self._references[title] = [restore(Attempt, a) for a in reference["attempts"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"--json {path}: is there, and is no evaluation that this dialoom wrote "
                f"({type(error).__name__}: {error}); name another file, or remove it"
            ) from None
        if found != self._identity:
            raise self._refusal(_first_difference(found, self._identity))

    def _refusal(self, reason: str) -> DataError:
        return DataError(
            f"--json {self._path}: holds another evaluation ({reason}); name another file, or "
            "remove it"
        )


def _model(
    entry: Entry, results: Mapping[str, Evaluation], comparison: Comparison | None
) -> dict[str, Any]:
    result = results.get(entry.title)
    summary: dict[str, Any] = {"finished": result is not None}
    if entry.loss is not None:
        losses = (entry.loss.loss, *entry.loss.loss_channels)
        perplexities = [math.exp(loss) for loss in losses]
        summary |= {"perplexity": perplexities[0], "perplexity_channels": perplexities[1:]}
    if result is not None:
        summary |= {"distortion_ratio": result.distortion_ratio}
        summary |= _speech(comparison, entry.title)
    everything = asdict(entry)
    return {**summary, **everything}  # the long list comes last


def _speech(comparison: Comparison | None, title: str) -> dict[str, Any]:
    if comparison is None:
        return {}
    row = comparison.titles.index(title)
    sets = {"speech": comparison.plain, "speech_with_prompt": comparison.prompted}
    return {name: _figures(figures, row) for name, figures in sets.items() if figures is not None}


def _figures(figures: Figures, row: int) -> dict[str, Any]:
    return {
        figure.key: asdict(figures.estimates[figure.key][row])
        for figure in FIGURES
        if figures.has(figure)
    }


def _differences(comparison: Comparison) -> list[dict[str, Any]]:
    sets = {"speech": comparison.plain, "speech_with_prompt": comparison.prompted}
    return [
        {
            "of": comparison.titles[found.row],
            "against": comparison.titles[found.other],
            "in": name,
            "figure": found.figure,
            **asdict(found.estimate),
            "certain": found.is_certain,
        }
        for name, figures in sets.items()
        if figures is not None
        for found in figures.differences
        if not math.isnan(found.estimate.value)
    ]


def plain(value: Any) -> Any:
    """What JSON can hold: no path, and null for a figure that there is none of."""
    match value:
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case Path():
            return str(value)
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


_Kind = TypeVar("_Kind")


def restore(kind: type[_Kind], data: Mapping[str, Any]) -> _Kind:
    """Inverse of `plain(asdict(…))` for a dataclass; what it does not have is passed over.

    Raises:
        KeyError, TypeError, ValueError: something is missing or of another kind.
    """
    hints = get_type_hints(kind)
    values = {one.name: _restore(hints[one.name], data[one.name]) for one in fields(kind)}  # type: ignore[arg-type]
    return kind(**values)


def _restore(hint: Any, value: Any) -> Any:
    if isinstance(hint, UnionType):
        if value is None:
            return None
        hint = next(choice for choice in get_args(hint) if choice is not type(None))
    if is_dataclass(hint):
        return restore(hint, value)  # type: ignore[arg-type]
    if items := get_args(hint):
        return hint.__origin__(_restore(items[0], item) for item in value)
    if hint is float:
        return math.nan if value is None else float(value)
    if type(value) is not hint:
        raise TypeError(f"{value!r} is no {hint.__name__}")
    return value


def _first_difference(found: Any, expected: Any, name: str = "") -> str:
    """The first value that is another one, by its name."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in expected:
            if found.get(key) != expected[key]:
                return _first_difference(found.get(key), expected[key], f"{name}.{key}".lstrip("."))
    if isinstance(expected, list) or len(str(expected)) > 60:
        return f"{name} is another"
    return f"{name} is {expected!r} now, {found!r} there"
