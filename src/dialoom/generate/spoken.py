"""One script, of any length, with everything that is said of how: what the command line speaks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from dialoom.audio.waveform import Waveform
from dialoom.codec import Codes
from dialoom.errors import GenerationError, TextError
from dialoom.generate.guard import Guard, Wish, speak_guarded
from dialoom.generate.narration import Narration, NarrationOptions, SpokenPart
from dialoom.generate.parts import split_script
from dialoom.generate.settings import SamplingSettings
from dialoom.generate.synthesizer import Synthesizer
from dialoom.generate.voice import Voice, VoicePrompt
from dialoom.text import SPEAKER_TAG, TagTable, add_ending_tag, prepare_text

SAID_NOTHING = "the model ended before it said anything: try another --seed"

OnProgress = Callable[[int, int], None]
"""Called with (done, all): steps of a short script, parts of a long one."""


@dataclass(frozen=True)
class Script:
    """What to say, and how.

    Attributes:
        text: of any length.
        settings: sampling; None for the voice's, else the defaults.
        prompt: a voice to continue.
        language: its tag goes in front; None for the voice's.
        options: of splitting, joining and drawing again.
    """

    text: str
    settings: SamplingSettings | None = None
    prompt: Voice | VoicePrompt | None = None
    language: str | None = None
    options: NarrationOptions = field(default_factory=NarrationOptions)

    @property
    def is_long(self) -> bool:
        """It is spoken in several parts."""
        return len(split_script(self.text, self.options.limits)) > 1


@dataclass(frozen=True)
class Spoken:
    """What came of a script.

    Attributes:
        codes: of all that was said.
        waveform: None where nobody wanted to hear it.
        parts: when what was said; one for a short script.
        stopped: the model ended by itself; of a long script, always.
    """

    codes: Codes
    waveform: Waveform | None
    parts: tuple[SpokenPart, ...]
    stopped: bool = True


def speak_script(
    synthesizer: Synthesizer,
    script: Script,
    *,
    decode: bool = True,
    on_progress: OnProgress | None = None,
) -> Spoken:
    """Speaks a script; one that is longer than a part in parts.

    Args:
        synthesizer: of the model.
        script: what to say.
        decode: make sound of the codes. Joining parts needs it anyway.
        on_progress: how far it is.

    Raises:
        TextError: the text is empty, or names speakers that the model has no tag for.
        GenerationError, CodecError: it cannot be spoken, or nothing was said.
    """
    if script.is_long:
        refuse_unknown_speakers(script.text, synthesizer.tags)
        return _speak_long(synthesizer, script, on_progress)
    [spoken] = speak_short(synthesizer, [script], decode=decode, on_progress=on_progress)
    if spoken is None:
        raise GenerationError(SAID_NOTHING)
    return spoken


def stream_script(synthesizer: Synthesizer, script: Script) -> Iterator[Waveform]:
    """The sound of `speak_script` while it is made; with retries a part is heard when it is whole.

    Raises:
        TextError, GenerationError, CodecError: as `speak_script`.
    """
    if script.is_long:
        refuse_unknown_speakers(script.text, synthesizer.tags)
        yield from _narration(synthesizer, script)
    elif script.options.retries:
        waveform = speak_script(synthesizer, script).waveform
        assert waveform is not None, "it was decoded"
        yield waveform
    else:
        wish = _wish(synthesizer, script)
        yield from synthesizer.stream(
            wish.text, wish.settings, prompt=wish.prompt, language=wish.language
        )


def speak_short(
    synthesizer: Synthesizer,
    scripts: Sequence[Script],
    *,
    decode: bool = True,
    on_progress: OnProgress | None = None,
) -> list[Spoken | None]:
    """Speaks scripts that are no longer than a part in one batch; None where nothing was said.

    Each sounds as it does alone.

    Raises:
        TextError, GenerationError, CodecError: one of them cannot be spoken.
    """
    wishes = [_wish(synthesizer, script) for script in scripts]
    takes = speak_guarded(synthesizer, wishes, on_step=on_progress)
    rate = synthesizer.codec_spec.frames_per_second
    heard = [take.speech.codes for take in takes if take.speech.codes.num_frames]
    waveforms = iter(synthesizer.codec.decode_many(heard) if decode else [None] * len(heard))
    spoken: list[Spoken | None] = []
    for script, take in zip(scripts, takes, strict=True):
        codes = take.speech.codes
        if codes.num_frames == 0:
            spoken.append(None)
            continue
        end_s = codes.num_frames / rate
        part = SpokenPart(script.text, 0.0, end_s, take.seed, take.fault, take.num_draws)
        spoken.append(Spoken(codes, next(waveforms), (part,), take.speech.stopped))
    return spoken


def refuse_unknown_speakers(text: str, tags: TagTable) -> None:
    """A tag that the model has no byte for would be read letter by letter, by a random voice."""
    known = [tag for tag in tags.bytes_of_tags if SPEAKER_TAG.fullmatch(tag)]
    for tag in SPEAKER_TAG.findall(text):
        if tag not in known:
            raise TextError(
                f"the model has no speaker {tag}, it has {', '.join(known) or 'none'}: name one of "
                "these"
            )


def _wish(synthesizer: Synthesizer, script: Script) -> Wish:
    refuse_unknown_speakers(script.text, synthesizer.tags)
    voice = synthesizer.voice(script.prompt)
    text = script.text
    if script.options.end_tag:
        text = add_ending_tag(
            prepare_text(text) if voice is None else prepare_text(text, voice.speaker)
        )
    settings = script.settings or synthesizer.settings_for(voice)
    guard = Guard(script.options.retries, script.options.limits.bytes_per_second)
    return Wish(text, settings, guard, voice, script.language)


def _narration(synthesizer: Synthesizer, script: Script) -> Narration:
    return Narration(
        synthesizer,
        script.text,
        script.settings,
        script.options,
        prompt=script.prompt,
        language=script.language,
    )


def _speak_long(synthesizer: Synthesizer, script: Script, on_progress: OnProgress | None) -> Spoken:
    narration = _narration(synthesizer, script)
    samples = []
    for waveform in narration:
        samples.append(waveform.samples)
        if on_progress is not None:
            on_progress(len(narration.parts), narration.num_parts)
    joined = Waveform(np.concatenate(samples), synthesizer.codec_spec.sample_rate_hz)
    return Spoken(narration.codes, joined, tuple(narration.parts))
