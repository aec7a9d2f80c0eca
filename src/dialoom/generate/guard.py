"""Speech that cannot be right by its length alone: found, and on request drawn again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dialoom.errors import GenerationError
from dialoom.generate.settings import SamplingSettings
from dialoom.generate.streaming import to_codes
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


@dataclass(frozen=True)
class Wish:
    """A text to be spoken under a guard.

    Attributes:
        text: the script.
        settings: sampling; its seed is that of the first draw.
        guard: what is watched for.
        prompt: a voice to continue.
        language: its tag goes in front; None for the voice's.

    Raises:
        GenerationError: there are retries and the settings are greedy: every seed says the same.
    """

    text: str
    settings: SamplingSettings
    guard: Guard = field(default_factory=Guard)
    prompt: Voice | VoicePrompt | None = None
    language: str | None = None

    def __post_init__(self) -> None:
        if self.guard.retries and self.settings.temperature == 0:
            raise GenerationError(
                "at temperature 0 every seed says the same: leave --retries out, or the temperature"
            )

    def settings_of_draw(self, number: int) -> SamplingSettings:
        """The next seed for each; with retries speech is ended where it would be endless."""
        limit_s = self.settings.max_seconds
        if self.guard.retries and limit_s is None:
            limit_s = longest_s(self.text, self.guard.bytes_per_second)
        return replace(self.settings, seed=self.settings.seed + number, max_seconds=limit_s)


def speak_guarded(
    synthesizer: Synthesizer,
    wishes: Sequence[Wish],
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Take]:
    """Speaks the texts in one batch; those with a fault are drawn again with their next seed.

    Without a take free of faults, the one with the least comes back, the earliest of these.

    Raises:
        TextError, GenerationError, CodecError: one of them cannot be spoken.
    """
    rate = synthesizer.codec_spec.frames_per_second
    voices = [synthesizer.voice(wish.prompt) for wish in wishes]
    takes: list[list[Take]] = [[] for _ in wishes]
    going = list(range(len(wishes)))
    while going:
        asked = [wishes[i].settings_of_draw(len(takes[i])) for i in going]
        requests = [
            synthesizer.request(wishes[i].text, settings, voices[i], wishes[i].language)
            for i, settings in zip(going, asked, strict=True)
        ]
        spoken = synthesizer.generate(requests, on_step=on_step)
        for i, settings, result in zip(going, asked, spoken, strict=True):
            speech = Speech(wishes[i].text, to_codes(result), result.stopped)
            fault = find_fault(speech, rate, wishes[i].guard.bytes_per_second)
            takes[i].append(Take(speech, settings.seed, fault))
        going = [
            i for i in going if takes[i][-1].fault and len(takes[i]) <= wishes[i].guard.retries
        ]
    return [_best(of_wish) for of_wish in takes]


def _best(takes: Sequence[Take]) -> Take:
    order = [None, *Fault]
    best = min(takes, key=lambda take: order.index(take.fault))
    return replace(best, num_draws=len(takes))
