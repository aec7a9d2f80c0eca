"""A model measured on the clips of a corpus: its loss, and the speech it makes of their texts.

The loss is the trainer's (train/step.py), over the same batches. The speech is measured against
the clips: as their codes sound, which is the best that a model of these codes can do, and, where
they are at hand, against the recordings themselves. Those also show the ceiling: what the codec's
round trip alone scores.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from dialoom.audio import Waveform, read_audio
from dialoom.codec import Codec, Codes
from dialoom.data import Clip, Corpus, DiaDataset, Split, collate
from dialoom.data.corpus import refuse_other_codec
from dialoom.data.script import text_ids
from dialoom.errors import DataError
from dialoom.evaluate.speech import (
    References,
    SpeechMeasures,
    SpeechSummary,
    Utterance,
    summarise,
)
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.generate.decode import Generated, Request, generate_codes
from dialoom.observe import ValidRecord
from dialoom.train.meter import valid_record
from dialoom.train.step import evaluate_loss

LOSS_BATCH_SIZE = 8
SPEECH_BATCH_SIZE = 16

LIMIT_FACTOR, LIMIT_EXTRA_S = 2.0, 1.0
"""Speech is ended at twice the longest recording of its batch and a second: it ran on."""


@dataclass(frozen=True)
class EvaluateOptions:
    """What is measured.

    Attributes:
        split: "valid", "train" or "all".
        max_clips: at most so many, spread evenly over their lengths.
        seeds: each text is spoken so often, with the seeds 0, 1, …
        sampling: how; its seed and its limit are not used.
        recordings: the folder that the corpus was prepared from, for comparison with its audio.
    """

    split: str = "valid"
    max_clips: int = 64
    seeds: int = 3
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    recordings: Path | None = None

    def __post_init__(self) -> None:
        if self.split not in ("train", "valid", "all"):
            raise DataError(f"split {self.split!r} is unknown; choose valid, train or all")
        for name in ("max_clips", "seeds"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} {getattr(self, name)}: must be at least 1")


@dataclass(frozen=True)
class Attempt:
    """One text, spoken once; measured against the recording, or its codes if that is not at hand.

    Attributes:
        clip_id: whose text.
        text: the script.
        seed: of the draws: `dialoom speak` says the same with it.
        measures: see SpeechMeasures.
    """

    clip_id: str
    text: str
    seed: int
    measures: SpeechMeasures


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        loss: teacher-forced, per channel.
        against_codec: speech against the clips as their codes sound.
        against_recordings: speech against the recordings; None if they are not at hand.
        ceiling: the codec's round trip against the recordings; None likewise.
        attempts: every utterance, by clip and seed.
        num_left_out: clips that the model cannot hold.
    """

    loss: ValidRecord
    against_codec: SpeechSummary
    against_recordings: SpeechSummary | None
    ceiling: SpeechSummary | None
    attempts: tuple[Attempt, ...]
    num_left_out: int

    @property
    def distortion_ratio(self) -> float | None:
        """Median distortion of the speech ÷ that of the codec's round trip."""
        if self.against_recordings is None or self.ceiling is None:
            return None
        return self.against_recordings.median_distortion_db / self.ceiling.median_distortion_db


def evaluate_model(
    synthesizer: Synthesizer,
    corpus: Corpus,
    options: EvaluateOptions,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measures a model on clips of a corpus.

    Args:
        synthesizer: the model, in evaluation mode, with its codec.
        corpus: made with that codec.
        options: which clips, and how to speak.
        progress: hears (texts spoken, texts in all).

    Raises:
        DataError: other codes than the model's, no clip to measure, or a recording is missing.
        AudioError: a recording cannot be read.
    """
    refuse_other_codec(corpus.path, found=corpus.info.codec, expected=synthesizer.codec_spec)
    clips, num_left_out = _choose_clips(synthesizer, corpus, options)
    recordings = _read_recordings(clips, options.recordings)
    round_trips = [synthesizer.codec.decode(clip.codes) for clip in clips]
    loss = _teacher_forced(synthesizer, clips)
    spoken = list(_speak(synthesizer, clips, options, progress))
    against_codec = _measure_all(round_trips, spoken)
    against_recordings = ceiling = None
    if recordings is not None:
        against_recordings = _measure_all(recordings, spoken)
        repeated = [(index, 0, Utterance(wave)) for index, wave in enumerate(round_trips)]
        ceiling = summarise(_measure_all(recordings, repeated))
    attempts = [
        Attempt(clips[index].id, clips[index].text, seed, measures)
        for (index, seed, _), measures in zip(
            spoken, against_recordings or against_codec, strict=True
        )
    ]
    return Evaluation(
        loss=loss,
        against_codec=summarise(against_codec),
        against_recordings=None if against_recordings is None else summarise(against_recordings),
        ceiling=ceiling,
        attempts=tuple(attempts),
        num_left_out=num_left_out,
    )


_Spoken = tuple[int, int, Utterance]
"""Which clip, with which seed, and what was said."""


def _choose_clips(
    synthesizer: Synthesizer, corpus: Corpus, options: EvaluateOptions
) -> tuple[list[Clip], int]:
    """The clips in the order of their lengths, and how many the model cannot hold."""
    config = synthesizer.model.config
    model_frames = config.decoder.max_position_embeddings - config.layout.num_steps(0)
    splits: tuple[Split, ...] = ("train", "valid")
    names = [name for name in splits if options.split in (name, "all")]
    datasets = [
        DiaDataset(
            corpus,
            split=name,
            max_seconds=model_frames / corpus.info.codec.frames_per_second,
            max_text_bytes=config.encoder.max_position_embeddings,
            tags=synthesizer.tags,
        )
        for name in names
        if len(names) == 1 or corpus.indices(name)
    ]
    places = [(dataset, i) for dataset in datasets for i in range(len(dataset))]
    places.sort(key=lambda place: place[0].lengths[place[1]])
    count = min(options.max_clips, len(places))
    chosen = [places[number * len(places) // count] for number in range(count)]
    return [dataset[i] for dataset, i in chosen], sum(d.num_left_out for d in datasets)


def _read_recordings(clips: Sequence[Clip], folder: Path | None) -> list[Waveform] | None:
    return None if folder is None else [read_audio(folder / clip.source) for clip in clips]


def _teacher_forced(synthesizer: Synthesizer, clips: Sequence[Clip]) -> ValidRecord:
    """The trainer's validation, in fp32 so that the figures are the same on every machine."""
    model, spec = synthesizer.model, synthesizer.codec_spec
    to_batch = partial(
        collate,
        layout=model.config.layout,
        tags=synthesizer.tags,
        frames_per_second=spec.frames_per_second,
        max_text_bytes=model.config.encoder.max_position_embeddings,
        max_steps=model.config.decoder.max_position_embeddings,
    )
    batches = [to_batch(group) for group in _groups(clips, LOSS_BATCH_SIZE)]
    saved_type = model.logits_dense.weight.dtype
    try:
        sums = evaluate_loss(model.float(), batches, nullcontext())
    finally:
        model.to(saved_type)
    return valid_record(0, sums, len(clips))


def _speak(
    synthesizer: Synthesizer,
    clips: Sequence[Clip],
    options: EvaluateOptions,
    progress: Callable[[int, int], None] | None,
) -> Iterator[_Spoken]:
    """Says every text with every seed, in batches of clips of about one length."""
    spec = synthesizer.codec_spec
    jobs = [(index, seed) for index in range(len(clips)) for seed in range(options.seeds)]
    for done, group in enumerate(_groups(jobs, SPEECH_BATCH_SIZE)):
        requests = [
            Request(text_ids(clips[i].text, clips[i].language, synthesizer.tags), seed=seed)
            for i, seed in group
        ]
        longest = max(clips[i].codes.num_frames for i, _ in group)
        results = generate_codes(
            synthesizer.model,
            requests,
            options.sampling,
            max_frames=round(LIMIT_FACTOR * longest + LIMIT_EXTRA_S * spec.frames_per_second),
        )
        for (index, seed), result in zip(group, results, strict=True):
            yield index, seed, _utterance(result, synthesizer.codec)
        if progress is not None:
            progress(done * SPEECH_BATCH_SIZE + len(group), len(jobs))


def _utterance(result: Generated, codec: Codec) -> Utterance:
    codes = Codes(result.codes.numpy().astype(np.uint16))
    return Utterance(codec.decode(codes) if codes.num_frames else None, result.stopped)


def _measure_all(recordings: Sequence[Waveform], spoken: Sequence[_Spoken]) -> list[SpeechMeasures]:
    references = References(recordings)
    return [references.measure(index, utterance) for index, _, utterance in spoken]


_Item = TypeVar("_Item")


def _groups(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
