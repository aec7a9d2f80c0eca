"""ValidationSpeech: validation texts, spoken by the model of the moment and measured."""

import numpy as np
from jaxtyping import Int

from dialoom.audio import Waveform
from dialoom.codec import Codec, Codes
from dialoom.data import Clip, Clips, choose_evenly
from dialoom.data.script import text_ids
from dialoom.evaluate.evaluation import LIMIT_EXTRA_S, LIMIT_FACTOR, SPEECH_BATCH_SIZE
from dialoom.evaluate.speech import References, Utterance, summarise
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.generate.request import Request
from dialoom.observe import SpeechRecord

SEED = 0
"""Of every utterance at every step: what changes between steps is the model alone."""


class ValidationSpeech:
    """Speaks the texts of some clips and compares with the clips as their codes sound."""

    def __init__(self, validation: Clips, count: int) -> None:
        """Takes at most so many clips, of all lengths."""
        chosen = sorted(choose_evenly(validation, count), key=lambda i: validation.lengths[i])
        self._clips: list[Clip] = [validation[index] for index in chosen]
        self._references: References | None = None

    def __bool__(self) -> bool:
        return bool(self._clips)

    def measure(
        self, synthesizer: Synthesizer, sampling: SamplingSettings, step: int
    ) -> SpeechRecord:
        """Every text once; speech is ended at twice the longest recording of its batch and 1 s."""
        if self._references is None:
            codec = synthesizer.codec
            self._references = References([codec.decode(clip.codes) for clip in self._clips])
        said = [
            utterance
            for start in range(0, len(self._clips), SPEECH_BATCH_SIZE)
            for utterance in _speak(
                synthesizer, self._clips[start : start + SPEECH_BATCH_SIZE], sampling
            )
        ]
        measures = [self._references.measure(number, one) for number, one in enumerate(said)]
        summary = summarise(measures)
        return SpeechRecord(
            step=step,
            num_utterances=summary.num_utterances,
            retrieval=summary.retrieval_top1,
            stopped=summary.stopped,
            length=summary.length_within,
            distortion_db=summary.median_distortion_db,
        )


def _speak(
    synthesizer: Synthesizer, clips: list[Clip], sampling: SamplingSettings
) -> list[Utterance]:
    requests = [
        Request(text_ids(clip.text, clip.language, synthesizer.tags), seed=SEED) for clip in clips
    ]
    longest = max(clip.codes.num_frames for clip in clips)
    extra = LIMIT_EXTRA_S * synthesizer.codec_spec.frames_per_second
    results = synthesizer.generate(
        requests, sampling, max_frames=round(LIMIT_FACTOR * longest + extra)
    )
    return [
        Utterance(_decode(synthesizer.codec, found.codes.numpy()), found.stopped)
        for found in results
    ]


def _decode(codec: Codec, frames: Int[np.ndarray, "F C"]) -> Waveform | None:
    """Nothing where nothing was said."""
    return codec.decode(Codes(frames.astype(np.uint16))) if len(frames) else None
