"""Speech that cannot be right by its length alone: found, and on request drawn again."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from dialoom.errors import GenerationError
from dialoom.generate.settings import SamplingSettings
from dialoom.generate.synthesizer import Speech, Synthesizer
from dialoom.generate.voice import Voice, VoicePrompt
from dialoom.text import spoken_bytes

BYTES_PER_SECOND = 15.0
"""LJ Speech: 1,308,678 characters in 86,117 s, 15.2 a second (keithito.com/LJ-Speech-Dataset)."""

MIN_SPEECH_S = 0.1

FASTEST = 2.0
"""Times the expected rate; with the default it is 30 bytes a second, faster than auctioneers."""

LONGEST, LONGEST_PLUS_S = 3.0, 3.0
"""Times the expected length, and seconds besides: numbers and abbreviations are long when said."""

RUN_ON, RUN_ON_PLUS_S = 1.5, 1.0
"""As above, for speech that did not end by itself."""


class Fault(StrEnum):
    """What is wrong with a clip, the least first."""

    TOO_FAST = "too fast"
    ENDLESS = "endless"
    EMPTY = "empty"


@dataclass(frozen=True)
class Take:
    """Speech, and what was seen of its length.

    Attributes:
        speech: what was said.
        seed: it was drawn with.
        fault: None if nothing is wrong with it.
        num_draws: how often the text was spoken.
    """

    speech: Speech
    seed: int
    fault: Fault | None
    num_draws: int = 1


@dataclass(frozen=True)
class Guard:
    """What is watched for.

    Attributes:
        retries: how often a faulty clip is drawn again, at most.
        bytes_per_second: how fast the model speaks, in UTF-8 bytes without tags.
    """

    retries: int = 0
    bytes_per_second: float = BYTES_PER_SECOND

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise GenerationError(f"retries is {self.retries}: it must be 0 or more")
        if not 0 < self.bytes_per_second < float("inf"):
            raise GenerationError(
                f"bytes per second is {self.bytes_per_second}: it must be more than 0"
            )


def expected_s(text: str, bytes_per_second: float = BYTES_PER_SECOND) -> float:
    """How long a script lasts when it is spoken."""
    return spoken_bytes(text) / bytes_per_second


def longest_s(text: str, bytes_per_second: float = BYTES_PER_SECOND) -> float:
    """What lasts longer is endless."""
    return LONGEST * expected_s(text, bytes_per_second) + LONGEST_PLUS_S


def find_fault(
    speech: Speech, frames_per_second: float, bytes_per_second: float = BYTES_PER_SECOND
) -> Fault | None:
    """Judges speech by its length against that of its text."""
    duration_s = speech.codes.num_frames / frames_per_second
    wanted_s = expected_s(speech.text, bytes_per_second)
    if duration_s < MIN_SPEECH_S:
        return Fault.EMPTY
    if duration_s * FASTEST < wanted_s:
        return Fault.TOO_FAST
    ran_on = not speech.stopped and duration_s > RUN_ON * wanted_s + RUN_ON_PLUS_S
    if ran_on or duration_s > longest_s(speech.text, bytes_per_second):
        return Fault.ENDLESS
    return None


def speak_guarded(
    synthesizer: Synthesizer,
    text: str,
    settings: SamplingSettings,
    guard: Guard | None = None,
    *,
    prompt: Voice | VoicePrompt | None = None,
    language: str | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Take:
    """Speaks a text; what has a fault is drawn again with the next seed.

    With retries, and no limit in the settings, speech is ended where it is endless. Without a take
    free of faults, the one with the least comes back, the earliest of these.

    Raises:
        GenerationError: there are retries and the settings are greedy: every seed says the same.
    """
    guard = guard or Guard()
    if guard.retries and settings.temperature == 0:
        raise GenerationError(
            "at temperature 0 every seed says the same: leave --retries out, or the temperature"
        )
    if guard.retries and settings.max_seconds is None:
        settings = replace(settings, max_seconds=longest_s(text, guard.bytes_per_second))
    voice = synthesizer.voice(prompt)
    rate = synthesizer.codec_spec.frames_per_second
    takes: list[Take] = []
    for seed in range(settings.seed, settings.seed + guard.retries + 1):
        speech = synthesizer.synthesize(
            [text], replace(settings, seed=seed), prompt=voice, language=language, on_step=on_step
        )[0]
        takes.append(Take(speech, seed, find_fault(speech, rate, guard.bytes_per_second)))
        if takes[-1].fault is None:
            break
    order = [None, *Fault]
    best = min(takes, key=lambda take: order.index(take.fault))
    return replace(best, num_draws=len(takes))
