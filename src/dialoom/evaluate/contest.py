"""Several models measured on the same clips, in one go that may be stopped and gone on with."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from dialoom.data import Corpus
from dialoom.data.corpus import refuse_other_codec
from dialoom.errors import DataError, UserError
from dialoom.evaluate.attempt import Attempt
from dialoom.evaluate.comparison import CEILING, RECORDINGS
from dialoom.evaluate.evaluation import Bench, Evaluation
from dialoom.evaluate.judges import Judges
from dialoom.evaluate.material import Capacity, EvaluateOptions, Material, choose_material
from dialoom.evaluate.record import Entry, Record
from dialoom.generate import SamplingSettings, Synthesizer

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Contestant:
    """A model that is to take part.

    Attributes:
        title: of its row; each has another.
        load: loads it, in evaluation mode; it is let go of when another one's turn comes.
        is_optional: where it cannot take part, the others do without it.
    """

    title: str
    load: Callable[[], Synthesizer]
    is_optional: bool = False


@dataclass(frozen=True)
class Entrant:
    """A model that was looked at and takes part.

    Attributes:
        title: as of the contestant.
        load: likewise.
        fingerprint: of its weights, configuration and tags.
        capacity: what it can hold.
        sampling: how it speaks where nobody says how.
    """

    title: str
    load: Callable[[], Synthesizer]
    fingerprint: str
    capacity: Capacity
    sampling: SamplingSettings


def admit(
    contestants: Sequence[Contestant],
    corpus: Corpus,
    *,
    note: Callable[[str], None] = lambda line: None,
) -> list[Entrant]:
    """Loads every model and looks at it, so that what is wrong is told before one speaks.

    Args:
        contestants: in the order of their rows.
        corpus: what they are to be measured on.
        note: hears why one that is optional is left out.

    Raises:
        DataError: one speaks other codes than the corpus holds, or two have one title.
        CheckpointError, CodecError: one cannot be loaded.
    """
    taken = {CEILING, RECORDINGS}
    entrants = []
    for contestant in contestants:
        if contestant.title in taken:
            raise DataError(f"model {contestant.title}: is named twice; name every model once")
        taken.add(contestant.title)
        try:
            entrants.append(_look_at(contestant, corpus))
        except UserError as error:
            if not contestant.is_optional:
                raise
            note(f"without the base {contestant.title}: {error}")
    return entrants


def _look_at(contestant: Contestant, corpus: Corpus) -> Entrant:
    synthesizer = contestant.load()
    refuse_other_codec(corpus.path, found=corpus.info.codec, expected=synthesizer.codec_spec)
    return Entrant(
        title=contestant.title,
        load=contestant.load,
        fingerprint=fingerprint(synthesizer),
        capacity=Capacity.of(synthesizer),
        sampling=synthesizer.settings_for(None),
    )


def fingerprint(synthesizer: Synthesizer) -> str:
    """sha256, hex: equal for models that say the same."""
    model = synthesizer.model
    about = [repr(model.config), dict(synthesizer.tags.bytes_of_tags)]
    digest = hashlib.sha256(json.dumps(about).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def evaluate_models(
    entrants: Sequence[Entrant],
    corpus: Corpus,
    options: EvaluateOptions,
    *,
    judges: Judges | None = None,
    path: Path | None = None,
    progress: OnProgress | None = None,
) -> dict[str, Evaluation]:
    """Measures models one after the other on clips that all of them can hold.

    Args:
        entrants: at least one; the first one is what the others are looked at beside.
        corpus: made with the codec of all of them.
        options: which clips, and how to speak.
        judges: who listens besides.
        path: of a JSON file, written after every group of utterances; one that holds a part of the
            same evaluation is gone on with.
        progress: hears (texts spoken, texts of all models).

    Returns:
        By the titles, in their order.

    Raises:
        DataError: no clip to measure, a recording is missing, or the file is of another evaluation.
        CheckpointError, CodecError, AudioError, MissingExtra: of models, recordings and judges.
    """
    material = choose_material(corpus, options, [entrant.capacity for entrant in entrants])
    judges = judges or Judges()
    record = Record(path, _identity(corpus, material, options, judges))
    record.refuse_others([entrant.title for entrant in entrants])
    entries = [record.take(entrant.title, entrant.fingerprint) for entrant in entrants]
    contest = _Contest(corpus, material, options, judges, record)
    return contest.run(entrants, entries, progress)


def _identity(
    corpus: Corpus, material: Material, options: EvaluateOptions, judges: Judges
) -> dict[str, Any]:
    return {
        "corpus_fingerprint": corpus.fingerprint,
        "options": {**asdict(options), **judges.names},
        "clips": [clip.id for clip in material.clips],
    }


class _Contest:
    """What is the same for all models; the bench is only built if one has something left to do."""

    def __init__(
        self,
        corpus: Corpus,
        material: Material,
        options: EvaluateOptions,
        judges: Judges,
        record: Record,
    ) -> None:
        self._corpus = corpus
        self._material = material
        self._options = options
        self._judges = judges
        self._record = record
        self._bench: Bench | None = None
        self._references: Mapping[str, Sequence[Attempt]] = record.references()

    def run(
        self,
        entrants: Sequence[Entrant],
        entries: Sequence[Entry],
        progress: OnProgress | None,
    ) -> dict[str, Evaluation]:
        """All of them, in order; the file is written after every group and every model."""
        results: dict[str, Evaluation] = {}
        total = self._num_attempts * len(entries)
        for number, (entrant, entry) in enumerate(zip(entrants, entries, strict=True)):
            for _ in self._measure(entrant, entry):
                self._save(entries, results)
                if progress is not None:
                    progress(number * self._num_attempts + len(entry.attempts), total)
            results[entry.title] = self._evaluation(entry)
            self._save(entries, results)
        return results

    @property
    def _num_attempts(self) -> int:
        """Of every model."""
        return (len(self._material.clips) + len(self._material.prompts)) * self._options.seeds

    def _measure(self, entrant: Entrant, entry: Entry) -> Iterator[None]:
        """Does what is left to do, and stops after every piece of it."""
        is_done = entry.loss is not None and len(entry.attempts) == self._num_attempts
        if is_done and self._references:
            return
        synthesizer = entrant.load()
        if self._bench is None:
            self._bench = Bench(self._material, self._options, synthesizer.codec, self._judges)
        if not self._references:
            measurer = self._bench.measurer
            found = {CEILING: measurer.ceiling(), RECORDINGS: measurer.recordings()}
            self._references = {title: attempts for title, attempts in found.items() if attempts}
        if entry.loss is None:
            entry.loss = self._bench.teacher_forced(synthesizer)
        yield
        del entry.attempts[self._bench.num_whole(entry.attempts) :]
        for group in self._bench.speak(synthesizer, skip=len(entry.attempts)):
            entry.attempts += group
            yield

    def _evaluation(self, entry: Entry) -> Evaluation:
        assert entry.loss is not None, "it was measured"
        return Evaluation(
            loss=entry.loss,
            attempts=tuple(entry.attempts),
            ceiling=tuple(self._references[CEILING]),
            recordings=tuple(self._references.get(RECORDINGS, ())),
            num_left_out=self._material.num_left_out,
        )

    def _save(self, entries: Sequence[Entry], results: Mapping[str, Evaluation]) -> None:
        """Also what an earlier run left of models whose turn has not come."""
        about = {
            "dialoom": version("dialoom"),
            "finished": len(results) == len(entries),
            "corpus": str(self._corpus.path),
            "num_left_out": self._material.num_left_out,
        }
        begun = [entry for entry in entries if entry.loss is not None]
        self._record.write(begun, self._references, results, about)
