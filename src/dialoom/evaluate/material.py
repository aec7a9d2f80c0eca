"""What models are measured on: clips that all of them can hold, voice prompts, recordings."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from dialoom.audio import Waveform, read_audio
from dialoom.codec import Codec
from dialoom.data import Clip, Corpus, Split
from dialoom.data.script import text_ids
from dialoom.errors import DataError
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.text import TagTable, join_scripts

PROMPT_SECONDS = (3.0, 12.0)
"""Clips of these lengths are good prompts; others are used where a speaker has none."""

PROMPT_TARGET_S = 7.0
PROMPTS_PER_SPEAKER = 8
"""So that a figure does not hang on one prompt."""

PROMPT_ROOM = 1.25
"""Times its recording's length that there must be for the speech behind a prompt."""


@dataclass(frozen=True)
class EvaluateOptions:
    """What is measured.

    Attributes:
        split: "valid", "train" or "all".
        max_clips: at most so many, spread evenly over their lengths.
        seeds: each text is spoken so often, with the seeds 0, 1, …
        sampling: how; its seed and its limit are not used.
        recordings: the folder that the corpus was prepared from, for comparison with its audio.
        voice_prompt: each text is also spoken as the continuation of another clip.
    """

    split: str = "valid"
    max_clips: int = 64
    seeds: int = 3
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    recordings: Path | None = None
    voice_prompt: bool = False

    def __post_init__(self) -> None:
        if self.split not in ("train", "valid", "all"):
            raise DataError(f"split {self.split!r} is unknown; choose valid, train or all")
        for name in ("max_clips", "seeds"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} {getattr(self, name)}: must be at least 1")


@dataclass(frozen=True)
class Capacity:
    """What a model can hold.

    Attributes:
        max_frames: of a clip with its end, a voice prompt included.
        max_text_bytes: of a script.
        tags: that count one byte.
    """

    max_frames: int
    max_text_bytes: int
    tags: TagTable

    @classmethod
    def of(cls, synthesizer: Synthesizer) -> "Capacity":
        config = synthesizer.model.config
        return cls(
            max_frames=config.decoder.max_position_embeddings - config.layout.num_steps(0),
            max_text_bytes=config.encoder.max_position_embeddings,
            tags=synthesizer.tags,
        )

    def holds(self, text: str, language: str | None, num_frames: float) -> bool:
        if num_frames > self.max_frames:
            return False
        return len(text_ids(text, language, self.tags)) <= self.max_text_bytes


@dataclass(frozen=True)
class Material:
    """What every model is measured on.

    Attributes:
        clips: in the order of their lengths.
        prompts: by the index of a clip, the clip that its text continues; empty if none is asked
            for, and without the clips that have no other of their speaker.
        recordings: of the clips; None if they are not at hand.
        num_left_out: clips of the split that a model cannot hold.
    """

    clips: Sequence[Clip]
    prompts: Mapping[int, Clip]
    recordings: Sequence[Waveform] | None
    num_left_out: int

    def round_trips(self, codec: Codec) -> list[Waveform]:
        """The clips as their codes sound."""
        return codec.decode_many([clip.codes for clip in self.clips])


def choose_material(
    corpus: Corpus, options: EvaluateOptions, capacities: Sequence[Capacity]
) -> Material:
    """Clips, prompts and recordings; the same for the same corpus and options.

    Args:
        corpus: where they are from.
        options: which.
        capacities: of all models.

    Raises:
        DataError: no clip is left, or a recording is missing.
        AudioError: a recording cannot be read.
    """
    inside = _of_split(corpus, options.split)
    fitting = _fitting(corpus, inside, capacities)
    if not fitting:
        raise DataError(
            f"corpus {corpus.path}: of {len(inside)} clips of split {options.split!r} none fits "
            "the model; choose another --split, or prepare it with another --valid-fraction"
        )
    lengths = corpus.lengths
    fitting.sort(key=lambda index: lengths[index])
    count = min(options.max_clips, len(fitting))
    chosen = [fitting[number * len(fitting) // count] for number in range(count)]
    clips = [corpus[index] for index in chosen]
    return Material(
        clips=clips,
        prompts=_prompts(corpus, chosen, fitting, capacities) if options.voice_prompt else {},
        recordings=_read(clips, options.recordings),
        num_left_out=len(inside) - len(fitting),
    )


def _of_split(corpus: Corpus, split: str) -> list[int]:
    splits: tuple[Split, ...] = ("train", "valid")
    return [index for name in splits if split in (name, "all") for index in corpus.indices(name)]


def _fitting(corpus: Corpus, indices: Iterable[int], capacities: Sequence[Capacity]) -> list[int]:
    texts, lengths = corpus.texts, corpus.lengths
    return [
        index for index in indices if _all_hold(capacities, *texts[index], float(lengths[index]))
    ]


def _all_hold(
    capacities: Sequence[Capacity], text: str, language: str | None, num_frames: float
) -> bool:
    return all(model.holds(text, language, num_frames) for model in capacities)


def _read(clips: Sequence[Clip], folder: Path | None) -> list[Waveform] | None:
    return None if folder is None else [read_audio(folder / clip.source) for clip in clips]


def _prompts(
    corpus: Corpus, chosen: Sequence[int], fitting: Sequence[int], capacities: Sequence[Capacity]
) -> dict[int, Clip]:
    """For each chosen clip another one of its speaker; of the best eight, one by the clip's id.

    Clips that name no speaker are taken for one speaker's.
    """
    fps, lengths, texts = corpus.info.codec.frames_per_second, corpus.lengths, corpus.texts
    speakers = corpus.read_speakers()
    by_speaker: dict[str | None, list[int]] = {}
    for index in sorted(fitting, key=lambda i: _unfitness(float(lengths[i]) / fps)):
        by_speaker.setdefault(speakers[index], []).append(index)
    found = {}
    for number, index in enumerate(chosen):
        text, language = texts[index]
        suitable = (
            other
            for other in by_speaker[speakers[index]]
            if texts[other][0] != text
            and _all_hold(
                capacities,
                join_scripts(texts[other][0], text),
                language,
                float(lengths[other]) + PROMPT_ROOM * float(lengths[index]),
            )
        )
        others = list(islice(suitable, PROMPTS_PER_SPEAKER))
        if others:
            found[number] = corpus[others[zlib.crc32(corpus[index].id.encode()) % len(others)]]
    return found


def _unfitness(duration_s: float) -> tuple[bool, float]:
    """The less, the better as a prompt."""
    shortest, longest = PROMPT_SECONDS
    return not shortest <= duration_s <= longest, abs(duration_s - PROMPT_TARGET_S)
