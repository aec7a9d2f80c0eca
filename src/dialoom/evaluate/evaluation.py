"""A model measured on the clips of a corpus: its loss, and the speech it makes of their texts.

The loss is the trainer's (train/step.py), over the same batches. The speech is measured against the
recordings, or where these are not at hand against the clips as their codes sound, which is the best
that a model of these codes can do. What the codec's round trip alone scores is the ceiling.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from dialoom.codec import Codec
from dialoom.data import Corpus, collate
from dialoom.data.corpus import refuse_other_codec
from dialoom.data.script import text_ids
from dialoom.evaluate.attempt import Attempt, Measurer, Spoken
from dialoom.evaluate.judges import Judges
from dialoom.evaluate.material import Capacity, EvaluateOptions, Material, choose_material
from dialoom.evaluate.speech import Utterance, summarise
from dialoom.generate import Synthesizer
from dialoom.generate.request import Request
from dialoom.generate.streaming import to_codes
from dialoom.observe import ValidRecord
from dialoom.text import TagTable, join_scripts
from dialoom.train.meter import valid_record
from dialoom.train.step import evaluate_loss

LOSS_BATCH_SIZE = 8
SPEECH_BATCH_SIZE = 16

LIMIT_FACTOR, LIMIT_EXTRA_S = 2.0, 1.0
"""Speech is ended at twice the longest recording of its batch and a second: it ran on."""


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        loss: teacher-forced, per channel.
        attempts: every utterance by clip and seed, those with a voice prompt behind the others.
        ceiling: the codec's round trip of every clip.
        recordings: the recordings themselves; empty if they are not at hand.
        num_left_out: clips that the model cannot hold.
    """

    loss: ValidRecord
    attempts: tuple[Attempt, ...]
    ceiling: tuple[Attempt, ...]
    recordings: tuple[Attempt, ...]
    num_left_out: int

    @property
    def distortion_ratio(self) -> float | None:
        """Median distortion of the speech ÷ that of the codec's round trip, both without prompt."""
        if not self.recordings:
            return None
        speech, ceiling = (
            summarise([attempt.measures for attempt in attempts if attempt.prompt_id is None])
            for attempts in (self.attempts, self.ceiling)
        )
        return speech.median_distortion_db / ceiling.median_distortion_db


def evaluate_model(
    synthesizer: Synthesizer,
    corpus: Corpus,
    options: EvaluateOptions,
    *,
    judges: Judges | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measures a model on clips of a corpus.

    Args:
        synthesizer: the model, in evaluation mode, with its codec.
        corpus: made with that codec.
        options: which clips, and how to speak.
        judges: who listens besides.
        progress: hears (texts spoken, texts in all).

    Raises:
        DataError: other codes than the model's, no clip to measure, or a recording is missing.
        AudioError: a recording cannot be read, or a judge cannot judge.
        MissingExtra: jiwer is not installed, and there is a recogniser.
    """
    refuse_other_codec(corpus.path, found=corpus.info.codec, expected=synthesizer.codec_spec)
    material = choose_material(corpus, options, [Capacity.of(synthesizer)])
    bench = Bench(material, options, synthesizer.codec, judges or Judges())
    loss = bench.teacher_forced(synthesizer)
    attempts: list[Attempt] = []
    for group in bench.speak(synthesizer):
        attempts += group
        if progress is not None:
            progress(len(attempts), bench.num_attempts)
    return Evaluation(
        loss=loss,
        attempts=tuple(attempts),
        ceiling=tuple(bench.measurer.ceiling()),
        recordings=tuple(bench.measurer.recordings()),
        num_left_out=material.num_left_out,
    )


@dataclass(frozen=True)
class Job:
    """One text to be spoken once.

    Attributes:
        index: of the clip in the material.
        seed: of the draws.
        has_prompt: as the continuation of the clip's prompt.
    """

    index: int
    seed: int
    has_prompt: bool = False


class Bench:
    """What every model has to do, and what it is measured with."""

    def __init__(
        self, material: Material, options: EvaluateOptions, codec: Codec, judges: Judges
    ) -> None:
        self.material = material
        self.measurer = Measurer(material, codec, judges)
        self._sampling = options.sampling
        self._groups = list_jobs(material, options.seeds)

    @property
    def num_attempts(self) -> int:
        """Of every model."""
        return sum(map(len, self._groups))

    def teacher_forced(self, synthesizer: Synthesizer) -> ValidRecord:
        """The trainer's validation, in fp32 so that the figures are the same on every machine."""
        model, clips = synthesizer.model, self.material.clips
        to_batch = partial(
            collate,
            layout=model.config.layout,
            tags=synthesizer.tags,
            frames_per_second=synthesizer.codec_spec.frames_per_second,
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

    def speak(self, synthesizer: Synthesizer, *, skip: int = 0) -> Iterator[list[Attempt]]:
        """Says everything, group by group, and measures it.

        Args:
            synthesizer: who says it.
            skip: so many attempts are there already, in whole groups.
        """
        place = 0
        for group in self._groups:
            place += len(group)
            if place > skip:
                yield self.measurer.measure(self._speak(synthesizer, group))

    def num_whole(self, attempts: Sequence[Attempt]) -> int:
        """How many attempts, from the first, make whole groups of what is to be said."""
        keys = [(found.clip_id, found.seed, found.prompt_id) for found in attempts]
        place = 0
        for group in self._groups:
            if keys[place : place + len(group)] != list(map(self._key, group)):
                break
            place += len(group)
        return place

    def _key(self, job: Job) -> tuple[str, int, str | None]:
        prompt_id = self.material.prompts[job.index].id if job.has_prompt else None
        return self.material.clips[job.index].id, job.seed, prompt_id

    def _speak(self, synthesizer: Synthesizer, group: Sequence[Job]) -> list[Spoken]:
        longest = max(self.material.clips[job.index].codes.num_frames for job in group)
        extra_frames = LIMIT_EXTRA_S * synthesizer.codec_spec.frames_per_second
        results = synthesizer.generate(
            [self._request(job, synthesizer.tags) for job in group],
            self._sampling,
            max_frames=round(LIMIT_FACTOR * longest + extra_frames),
        )
        codes = [to_codes(result) for result in results]
        sounds = iter(synthesizer.codec.decode_many([one for one in codes if one.num_frames]))
        return [
            Spoken(
                job.index,
                job.seed,
                Utterance(next(sounds) if said.num_frames else None, result.stopped),
                said.num_frames,
                job.has_prompt,
            )
            for job, said, result in zip(group, codes, results, strict=True)
        ]

    def _request(self, job: Job, tags: TagTable) -> Request:
        clip = self.material.clips[job.index]
        if not job.has_prompt:
            return Request(text_ids(clip.text, clip.language, tags), seed=job.seed)
        prompt = self.material.prompts[job.index]
        ids = text_ids(join_scripts(prompt.text, clip.text), clip.language, tags)
        codes = torch.from_numpy(prompt.codes.frames.astype(np.int64))
        return Request(ids, codes, seed=job.seed)


def list_jobs(material: Material, seeds: int) -> list[Sequence[Job]]:
    """Every text with every seed, then all once more with a prompt, in groups of about one length.

    The groups are what is spoken together.
    """
    plain = [Job(index, seed) for index in range(len(material.clips)) for seed in range(seeds)]
    prompted = [Job(index, seed, True) for index in material.prompts for seed in range(seeds)]
    return [*_groups(plain, SPEECH_BATCH_SIZE), *_groups(prompted, SPEECH_BATCH_SIZE)]


_Item = TypeVar("_Item")


def _groups(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
