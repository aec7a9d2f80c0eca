"""One text, spoken once, and all that is measured of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from dialoom.audio import Waveform
from dialoom.codec import Codec
from dialoom.evaluate.doctor_text import spoken
from dialoom.evaluate.f0 import NO_OFFSET, NO_PITCH, Pitch, PitchOffset, measure_pitch, pitch_offset
from dialoom.evaluate.judges import Judges, SpeakerModel, cosine_similarity
from dialoom.evaluate.material import Material
from dialoom.evaluate.speech import References, SpeechMeasures, Utterance
from dialoom.evaluate.words import WordErrors, count_errors, transcribe_all


@dataclass(frozen=True)
class Attempt:
    """One text, spoken once; measured against the recording, or its codes if that is not at hand.

    Figures that cannot be are NaN: of empty speech, of a judge that is not there.

    Attributes:
        clip_id: whose text.
        text: the script.
        seed: of the draws: `dialoom speak` says the same with it.
        measures: see SpeechMeasures.
        frames_late: how much later than in the data the end comes, in codec frames; less than 0 is
            early.
        characters_per_second: of what is said, tags and sounds in brackets left out.
        pitch: see Pitch.
        pitch_offset: against the reference's.
        words: what a recogniser heard; None without one.
        similarity: cosine between the embeddings of this voice and the reference's, or the voice
            prompt's where there is one.
        opinion: predicted mean opinion score.
        prompt_id: of the clip that it continues; None for none.
        is_reference: this is the reference: what is measured against it says nothing.
    """

    clip_id: str
    text: str
    seed: int
    measures: SpeechMeasures
    frames_late: float
    characters_per_second: float
    pitch: Pitch = NO_PITCH
    pitch_offset: PitchOffset = NO_OFFSET
    words: WordErrors | None = None
    similarity: float = math.nan
    opinion: float = math.nan
    prompt_id: str | None = None
    is_reference: bool = False


@dataclass(frozen=True)
class Spoken:
    """What was said.

    Attributes:
        index: of the clip in the material.
        seed: of the draws.
        utterance: the sound.
        num_frames: its length in codec frames.
        has_prompt: whether it continues the clip's prompt.
    """

    index: int
    seed: int
    utterance: Utterance
    num_frames: int
    has_prompt: bool = False


class Measurer:
    """The references, ready; measures what is said against them."""

    def __init__(self, material: Material, codec: Codec, judges: Judges) -> None:
        """Reads nothing; decodes the clips, which takes a moment."""
        self._material = material
        self._codec = codec
        self._judges = judges
        self._round_trips = material.round_trips(codec)
        self._sounds = material.recordings or self._round_trips
        self._references = References(self._sounds)
        self._pitches = [measure_pitch(sound) for sound in self._sounds]
        self._embeddings: dict[tuple[int, bool], Float32[np.ndarray, " D"]] = {}

    def measure(self, said: Sequence[Spoken]) -> list[Attempt]:
        """All that there is to measure, in the order given.

        Raises:
            AudioError: a judge cannot judge.
        """
        heard = self._hear(said)
        return [self._measure(one, words) for one, words in zip(said, heard, strict=True)]

    def ceiling(self) -> list[Attempt]:
        """The codec's round trip of every clip: what a model of these codes can reach."""
        return self._measure_sounds(self._round_trips)

    def recordings(self) -> list[Attempt]:
        """The recordings themselves; none if they are not at hand."""
        return self._measure_sounds(self._material.recordings or [])

    def _measure_sounds(self, sounds: Sequence[Waveform]) -> list[Attempt]:
        """Each once for itself and once more for the figures with a prompt, if it has one."""
        clips, is_reference = self._material.clips, sounds is self._sounds
        said = [
            Spoken(index, 0, Utterance(sound), clips[index].codes.num_frames)
            for index, sound in enumerate(sounds)
        ]
        alone = [replace(attempt, is_reference=is_reference) for attempt in self.measure(said)]
        continued = [
            replace(
                alone[index],
                prompt_id=prompt.id,
                similarity=self._similarity(replace(said[index], has_prompt=True)),
            )
            for index, prompt in self._material.prompts.items()
            if index < len(alone)
        ]
        return alone + continued

    def _measure(self, one: Spoken, words: WordErrors | None) -> Attempt:
        clip = self._material.clips[one.index]
        attempt = Attempt(
            clip_id=clip.id,
            text=clip.text,
            seed=one.seed,
            measures=self._references.measure(one.index, one.utterance),
            frames_late=float(one.num_frames - clip.codes.num_frames),
            characters_per_second=math.nan,
            words=words,
            prompt_id=self._material.prompts[one.index].id if one.has_prompt else None,
        )
        sound = one.utterance.sound
        if not sound.num_samples:
            return attempt
        pitch = measure_pitch(sound)
        letters = len(spoken(clip.text))
        opinion = self._judges.opinion
        return replace(
            attempt,
            characters_per_second=letters / sound.duration_s if letters else math.nan,
            pitch=pitch,
            pitch_offset=pitch_offset(pitch, self._pitches[one.index]),
            similarity=self._similarity(one),
            opinion=math.nan if opinion is None else opinion.score(sound),
        )

    def _hear(self, said: Sequence[Spoken]) -> list[WordErrors | None]:
        """Silence is not given to the recogniser, which would make something up."""
        transcriber = self._judges.transcriber
        if transcriber is None:
            return [None] * len(said)
        clips = [self._material.clips[one.index] for one in said]
        sounds = [one.utterance.sound for one in said]
        texts = transcribe_all(transcriber, sounds, [clip.language for clip in clips])
        return [count_errors(clip.text, text) for clip, text in zip(clips, texts, strict=True)]

    def _similarity(self, one: Spoken) -> float:
        speaker, sound = self._judges.speaker, one.utterance.sound
        if speaker is None or not sound.num_samples:
            return math.nan
        if sound is self._sounds[one.index] and not one.has_prompt:
            return math.nan  # with itself
        return cosine_similarity(speaker.embed(sound), self._reference_voice(speaker, one))

    def _reference_voice(self, speaker: SpeakerModel, one: Spoken) -> Float32[np.ndarray, " D"]:
        key = (one.index, one.has_prompt)
        if key not in self._embeddings:
            sound = self._sounds[one.index]
            if one.has_prompt:
                sound = self._codec.decode(self._material.prompts[one.index].codes)
            self._embeddings[key] = speaker.embed(sound)
        return self._embeddings[key]
