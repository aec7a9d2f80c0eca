"""SentenceProbe: the trainer's ear. Speaks sentences with the model of the moment."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dialoom.audio import Waveform, write_audio
from dialoom.checkpoint import ModelInfo
from dialoom.codec import Codec, Codes, load_codec
from dialoom.data import Clips
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.model import DiaModel
from dialoom.observe import SampleRecord, SpeechRecord
from dialoom.recipe.listener import ValidationSpeech
from dialoom.recipe.settings import EvaluateSettings
from dialoom.train import Spoken


@dataclass(frozen=True)
class _Sentence:
    name: str
    text: str
    language: str | None = None
    reference: Codes | None = None


class SentenceProbe:
    """Writes `samples/step_…/NAME.wav` and hands the samples to the trainer; measures speech."""

    def __init__(
        self,
        sentences: list[_Sentence],
        validation: ValidationSpeech,
        settings: SamplingSettings,
        info: ModelInfo,
        run_dir: Path,
    ) -> None:
        self._sentences = sentences
        self._validation = validation
        self._settings = settings
        self._info = info
        self._run_dir = run_dir
        self._codec: Codec | None = None

    @classmethod
    def wire(
        cls,
        settings: EvaluateSettings,
        info: ModelInfo,
        datasets: tuple[Clips, Clips],
        run_dir: Path,
    ) -> Self:
        """The probe that a recipe asks for."""
        sentences = [
            _Sentence(f"sentence-{number}", text)
            for number, text in enumerate(settings.sentences, start=1)
        ]
        training, validation = datasets
        sentences += _sentences_of(validation, settings.num_valid_clips, "heldout")
        sentences += _sentences_of(training, settings.num_clips, "clip")
        sampling = SamplingSettings(
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            cfg_scale=settings.cfg_scale,
            max_seconds=settings.max_seconds,
        )
        measured = ValidationSpeech(validation, settings.speech_clips)
        return cls(sentences, measured, sampling, info, run_dir)

    def measure(self, model: DiaModel, step: int) -> SpeechRecord | None:
        """The validation texts, against their clips; None where there are no such clips."""
        if not self._validation:
            return None
        return self._validation.measure(self._synthesizer(model), self._settings, step)

    def __call__(self, model: DiaModel, step: int) -> Iterator[Spoken]:
        """Says all sentences."""
        if not self._sentences:
            return
        synthesizer = self._synthesizer(model)
        for sentence in self._sentences:
            speech = synthesizer.synthesize(
                [sentence.text], self._settings, language=sentence.language
            )[0]
            if speech.codes.num_frames:
                yield self._spoken(sentence, speech.codes, synthesizer.codec, step, speech.stopped)

    def _synthesizer(self, model: DiaModel) -> Synthesizer:
        """The model with its codec, which is loaded once."""
        assert self._info.codec is not None, "a run's corpus names its codec"
        if self._codec is None:
            device = str(model.logits_dense.weight.device)
            self._codec = load_codec(self._info.codec.name, device=device)
        return Synthesizer(model, self._info, self._codec)

    def _spoken(
        self, sentence: _Sentence, codes: Codes, codec: Codec, step: int, stopped: bool
    ) -> Spoken:
        waveform = codec.decode(codes)
        path = Path("samples") / f"step_{step:08d}" / f"{sentence.name}.wav"
        self._write(path, waveform)
        record = SampleRecord(
            step=step,
            name=sentence.name,
            text=sentence.text,
            audio_path=str(path),
            num_frames=codes.num_frames,
            stopped=stopped,
            reference_path=self._reference(sentence, codec),
        )
        return Spoken(record, waveform.samples, waveform.sample_rate_hz)

    def _reference(self, sentence: _Sentence, codec: Codec) -> str | None:
        """The recording as its codes sound: the best that the model could say."""
        if sentence.reference is None:
            return None
        path = Path("samples") / "reference" / f"{sentence.name}.wav"
        if not (self._run_dir / path).exists():
            self._write(path, codec.decode(sentence.reference))
        return str(path)

    def _write(self, path: Path, waveform: Waveform) -> None:
        (self._run_dir / path).parent.mkdir(parents=True, exist_ok=True)
        write_audio(self._run_dir / path, waveform)


def _sentences_of(dataset: Clips, count: int, kind: str) -> list[_Sentence]:
    """The shortest clips' texts, with their recordings."""
    shortest = sorted(range(len(dataset)), key=lambda index: dataset.lengths[index])
    clips = [dataset[index] for index in shortest[:count]]
    return [
        _Sentence(f"{kind}-{clip.id.replace('/', '-')}", clip.text, clip.language, clip.codes)
        for clip in clips
    ]
