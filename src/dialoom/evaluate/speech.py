"""Speech measured against recordings of the same sentences: no recogniser, hence any language.

Four questions to each utterance: how far is it from its recording; is it nearer to its own
recording than to those of the other sentences; does it last as long; did it end by itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from dialoom.audio import SILENCE_PEAK, Waveform
from dialoom.evaluate.alignment import warped_distances
from dialoom.evaluate.cepstra import DB_PER_UNIT, mel_cepstra

MIN_SPEECH_S = 0.1
"""Whatever is shorter, or silent, counts as empty."""

DISTORTION_HOP_S = 0.005
"""As is usual for the distortion: with 20 ms, two recordings of which one begins 7 ms later are
1.7 dB apart by their frames alone, with 5 ms 0.5 dB."""

RETRIEVAL_HOP_S = 0.02
"""Fine enough to tell sentences apart, and sixteen times as fast."""

LENGTH_RATIOS = (0.8, 1.25)
"""Speech within these is about as fast as its recording."""


@dataclass(frozen=True)
class Utterance:
    """One attempt at a sentence.

    Attributes:
        waveform: what was said; None where nothing was.
        stopped: it ended by itself and did not run on to the limit.
    """

    waveform: Waveform | None
    stopped: bool = True

    @property
    def sound(self) -> Waveform:
        """The waveform, without samples where nothing was said or what was said is empty."""
        if self.waveform is None or _is_empty(self.waveform):
            return _NOTHING
        return self.waveform


@dataclass(frozen=True)
class SpeechMeasures:
    """One utterance against the recordings.

    Attributes:
        distortion_db: DTW mel-cepstral distortion against its own recording; NaN if it is empty.
        is_nearest: no other recording is as near (False where two are).
        length_ratio: its duration ÷ its recording's.
        stopped: it ended by itself.
        empty: it is silent or shorter than MIN_SPEECH_S.
    """

    distortion_db: float
    is_nearest: bool
    length_ratio: float
    stopped: bool
    empty: bool


@dataclass(frozen=True)
class SpeechSummary:
    """Many utterances; shares are of all of them.

    Attributes:
        num_utterances: how many.
        retrieval_top1: share nearest to its own recording; chance is 1 ÷ recordings.
        stopped: share that ended by itself; the rest ran on to the limit.
        empty: share without speech.
        length_within: share whose length ratio is within LENGTH_RATIOS.
        median_length_ratio: NaN if there are no utterances.
        median_distortion_db: over those that are not empty; NaN if all are.
    """

    num_utterances: int
    retrieval_top1: float
    stopped: float
    empty: float
    length_within: float
    median_length_ratio: float
    median_distortion_db: float


_NOTHING = Waveform(np.zeros(0, np.float32), 16_000)


class References:
    """The recordings of all sentences, ready to be compared with.

    Retrieval needs recordings that differ: two of one sentence are as near to it as each other.
    """

    def __init__(self, recordings: Sequence[Waveform]) -> None:
        self._durations_s = [recording.duration_s for recording in recordings]
        self._fine = [mel_cepstra(clip, hop_s=DISTORTION_HOP_S) for clip in recordings]
        self._coarse = [mel_cepstra(clip, hop_s=RETRIEVAL_HOP_S) for clip in recordings]

    def measure(self, index: int, utterance: Utterance) -> SpeechMeasures:
        """An attempt at the sentence of recording `index`.

        The distortion is that of R. Kubichek ("Mel-cepstral distance measure for objective speech
        quality assessment", Proc. IEEE PACRIM 1993), averaged over the frames that dynamic time
        warping aligns. Seen with voices of espeak-ng: 0 dB for the recording itself, 1.3 for a
        round trip through the codec mini, 4.6 for another voice, 5.8 for another sentence.
        """
        waveform = utterance.sound
        if not waveform.num_samples:
            return SpeechMeasures(math.nan, False, 0.0, utterance.stopped, empty=True)
        fine = mel_cepstra(waveform, hop_s=DISTORTION_HOP_S)
        coarse = mel_cepstra(waveform, hop_s=RETRIEVAL_HOP_S)
        distances = warped_distances(coarse, self._coarse)
        return SpeechMeasures(
            distortion_db=DB_PER_UNIT * float(warped_distances(fine, [self._fine[index]])[0]),
            is_nearest=bool((distances[index] < np.delete(distances, index)).all()),
            length_ratio=waveform.duration_s / self._durations_s[index],
            stopped=utterance.stopped,
            empty=False,
        )


def summarise(measures: Sequence[SpeechMeasures]) -> SpeechSummary:
    """Shares and medians over all utterances."""
    shortest, longest = LENGTH_RATIOS
    ratios = [measure.length_ratio for measure in measures]
    distortions = [measure.distortion_db for measure in measures if not measure.empty]
    return SpeechSummary(
        num_utterances=len(measures),
        retrieval_top1=_share([measure.is_nearest for measure in measures]),
        stopped=_share([measure.stopped for measure in measures]),
        empty=_share([measure.empty for measure in measures]),
        length_within=_share([shortest <= ratio <= longest for ratio in ratios]),
        median_length_ratio=median(ratios) if ratios else math.nan,
        median_distortion_db=median(distortions) if distortions else math.nan,
    )


def _is_empty(waveform: Waveform) -> bool:
    if waveform.duration_s < MIN_SPEECH_S:
        return True
    return float(np.abs(waveform.samples).max()) < SILENCE_PEAK


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else math.nan
