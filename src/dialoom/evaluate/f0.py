"""Waveform → fundamental frequency, frame by frame: how high a voice is, and how it moves.

YIN: A. de Cheveigné and H. Kawahara, "YIN, a fundamental frequency estimator for speech and music",
JASA 111(4), 2002; steps 1 to 5. A frame is compared with itself some samples later; the delay at
which it differs least is the period, and how little it differs there says whether there is one.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float64, Int64

from dialoom.audio import SILENCE_PEAK, Waveform, resample

SAMPLE_RATE_HZ = 16_000
HOP_LENGTH = 160
WINDOW_LENGTH = 640
FFT_LENGTH = 1024

LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
"""Of speech; singing and crying go higher."""

LOW_PASS_HZ = 1_000.0
"""Above it, breath and the noise of a codec hide the period; the paper filters there too."""

THRESHOLD = 0.25
"""Of the normalised difference: a frame that is never below it has no period. Of speech and of its
round trip through the codec mini it calls about as much voiced as Praat does; with the paper's 0.1
to 0.15 half of that is lost."""

NEARLY_LOWEST = 0.1
"""Dips that are so much less deep than the deepest are of half a period, or of a formant."""

FLOOR_DB = -40.0
"""Frames that are so far under the clip's loudest one are silence."""

_SHORTEST = math.floor(SAMPLE_RATE_HZ / HIGHEST_HZ)
_LONGEST = math.ceil(SAMPLE_RATE_HZ / LOWEST_HZ)


@dataclass(frozen=True)
class Pitch:
    """The fundamental frequency of a clip.

    Attributes:
        median_hz: of the voiced frames; NaN if there are none.
        deviation_semitones: standard deviation of the voiced frames in semitones, 12 · lg₂ of Hz;
            a monotonous voice has little. NaN if there are none.
        voiced: share of the frames, 0…1; NaN for a clip without samples.
    """

    median_hz: float
    deviation_semitones: float
    voiced: float


NO_PITCH = Pitch(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class PitchOffset:
    """One clip's pitch against another's; NaN where either has none.

    Attributes:
        semitones: how much higher the median is.
        deviation_semitones: how much larger the deviation is.
        voiced: how much larger the voiced share is.
    """

    semitones: float
    deviation_semitones: float
    voiced: float


NO_OFFSET = PitchOffset(math.nan, math.nan, math.nan)


def pitch_offset(pitch: Pitch, reference: Pitch) -> PitchOffset:
    """`pitch` against `reference`."""
    return PitchOffset(
        semitones=12 * math.log2(pitch.median_hz / reference.median_hz),
        deviation_semitones=pitch.deviation_semitones - reference.deviation_semitones,
        voiced=pitch.voiced - reference.voiced,
    )


def measure_pitch(waveform: Waveform) -> Pitch:
    """Median, spread and share of the voiced frames."""
    track = track_f0(waveform)
    if not track.size:
        return NO_PITCH
    voiced = track[~np.isnan(track)]
    if not voiced.size:
        return Pitch(math.nan, math.nan, 0.0)
    semitones = 12 * np.log2(voiced)
    return Pitch(float(np.median(voiced)), float(semitones.std()), voiced.size / track.size)


def track_f0(waveform: Waveform) -> Float64[np.ndarray, " frames"]:
    """Hz in each 10 ms, NaN where there is no period between 1/500 and 1/60 s.

    The level does not matter as long as it is not silence. A clip that is shorter than a window and
    a period, 57 ms, has no frames.
    """
    if not waveform.num_samples:
        return np.zeros(0)
    samples = resample(waveform, SAMPLE_RATE_HZ).samples
    if samples.size < WINDOW_LENGTH + _LONGEST:
        return np.zeros(0)
    filtered = np.convolve(samples, _low_pass(), mode="same")
    frames = np.lib.stride_tricks.sliding_window_view(filtered, WINDOW_LENGTH + _LONGEST)
    frames = frames[::HOP_LENGTH]
    frames = frames - frames.mean(axis=1, keepdims=True)
    periods = _periods(_differences(frames))
    return SAMPLE_RATE_HZ / np.where(_is_loud(frames), periods, math.nan)


@cache
def _low_pass() -> Float64[np.ndarray, " taps"]:
    """A sinc of 8 ms under a Hann window."""
    taps = np.arange(-64, 65)
    kernel: Float64[np.ndarray, " taps"] = np.sinc(2 * LOW_PASS_HZ / SAMPLE_RATE_HZ * taps)
    kernel *= np.hanning(taps.size)
    kernel /= kernel.sum()
    return kernel


def _differences(
    frames: Float64[np.ndarray, "frames samples"],
) -> Float64[np.ndarray, "frames delays"]:
    """d(τ) = Σ (x(j) − x(j + τ))² over the window, τ = 0 … the longest period: equation 6.

    The three sums of the square: two energies by a running sum, the product by Fourier transform.
    """
    energies = np.pad(np.cumsum(frames**2, axis=1), ((0, 0), (1, 0)))
    moved = energies[:, WINDOW_LENGTH:] - energies[:, :-WINDOW_LENGTH]
    window = np.fft.rfft(frames[:, :WINDOW_LENGTH], FFT_LENGTH)
    whole = np.fft.rfft(frames, FFT_LENGTH)
    products = np.fft.irfft(window.conj() * whole, FFT_LENGTH)[:, : _LONGEST + 1]
    differences: Float64[np.ndarray, "frames delays"] = moved[:, :1] + moved - 2 * products
    np.maximum(differences, 0, out=differences)  # rounding may leave less
    return differences


def _periods(
    differences: Float64[np.ndarray, "frames delays"],
) -> Float64[np.ndarray, " frames"]:
    """Periods in samples; NaN where there is none.

    Of the dips that are nearly the deepest the first is taken: the later ones are its multiples.
    """
    delays = np.arange(1, differences.shape[1])
    sums = np.cumsum(differences[:, 1:], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        normalised = np.where(sums > 0, differences[:, 1:] * delays / sums, 1.0)  # equation 8
    normalised = np.pad(normalised, ((0, 0), (1, 0)), constant_values=1.0)
    inner = normalised[:, 1:-1]
    is_dip = (inner <= normalised[:, :-2]) & (inner < normalised[:, 2:]) & (inner < THRESHOLD)
    is_dip[:, : _SHORTEST - 1] = False
    lowest = np.where(is_dip, inner, np.inf).min(axis=1, keepdims=True)
    is_dip &= inner <= lowest + NEARLY_LOWEST
    periods = _refined(differences, is_dip.argmax(axis=1) + 1)
    return np.where(is_dip.any(axis=1), periods, math.nan)


def _refined(
    differences: Float64[np.ndarray, "frames delays"], places: Int64[np.ndarray, " frames"]
) -> Float64[np.ndarray, " frames"]:
    """The bottom of the parabola through a dip and its neighbours, in samples: step 5."""
    rows = np.arange(len(places))
    before, here, after = (differences[rows, places + step] for step in (-1, 0, 1))
    bend = before - 2 * here + after
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.where(bend > 0, (before - after) / (2 * bend), 0.0)
    refined: Float64[np.ndarray, " frames"] = places + np.clip(shift, -1, 1)
    return refined


def _is_loud(frames: Float64[np.ndarray, "frames samples"]) -> Bool[np.ndarray, " frames"]:
    levels = np.sqrt((frames**2).mean(axis=1))
    floor: float = max(float(levels.max()) * 10 ** (FLOOR_DB / 20), SILENCE_PEAK)
    loud: Bool[np.ndarray, " frames"] = levels > floor
    return loud
