"""Synthesizer: a model, its codec and its tags, ready to speak."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dialoom.audio.waveform import Waveform
from dialoom.checkpoint import ModelInfo, load_model
from dialoom.codec import Codec, CodecSpec, Codes, load_codec
from dialoom.codec.load import check_device
from dialoom.errors import CodecError, GenerationError
from dialoom.generate.decode import Decoding, generate_codes
from dialoom.generate.precision import Precision, quantizer
from dialoom.generate.request import Generated, Request
from dialoom.generate.settings import SamplingSettings
from dialoom.generate.streaming import stream_codes, stream_waveforms, to_codes
from dialoom.generate.voice import Voice, VoicePrompt, check_voice, encode_prompt
from dialoom.model import DiaConfig, DiaModel, Revision
from dialoom.model.projection import Quantize
from dialoom.model.step_decoder import StepDecoder
from dialoom.text import TagTable, join_scripts, prepare_text

DEFAULT_CODEC = "descript/dac_44khz"
"""What a model that names no codec was trained with: Dia's own."""


@dataclass(frozen=True)
class Speech:
    """What was said.

    Attributes:
        text: the script.
        codes: (F, C) frames of the new speech, without the prompt.
        stopped: the model ended by itself; False where the limit ended it.
    """

    text: str
    codes: Codes
    stopped: bool


class Synthesizer:
    """Script → Speech → Waveform."""

    def __init__(
        self,
        model: DiaModel,
        info: ModelInfo,
        codec: Codec | None = None,
        *,
        quantize: Quantize | None = None,
    ) -> None:
        """Wraps a loaded model, which speaks with the weights it has at the first text.

        Args:
            model: in evaluation mode, on the device to compute on.
            info: what the model says of itself: tags and codec.
            codec: in place of the one that the model names; that is loaded when first needed.
            quantize: makes the decoder's matrices smaller.

        Raises:
            CodecError: the codec's geometry or weights are not those the model was trained with.
            GenerationError: the model's own settings of speaking are out of range.
        """
        self.model = model
        self.info = info
        self._codec = codec
        self._quantize = quantize
        self._decoder: StepDecoder | None = None
        self._defaults = SamplingSettings(**info.sampling)  # type: ignore[arg-type]  # top_k: int
        if codec is not None:
            check_codec(codec.spec, model.config, info)

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        codec: str | None = None,
        device: str = "cpu",
        revision: Revision | None = None,
        precision: str | None = None,
    ) -> "Synthesizer":
        """Loads a model, and its codec unless that is only needed later.

        Args:
            source: as `load_model` takes it.
            codec: in place of the one that the model names.
            device: to compute on.
            revision: where the model does not say it.
            precision: a `Precision`; None for the type of the weights, but float32 for float16,
                which a large model may overflow.

        Raises:
            CheckpointError: the model cannot be used, or does not say its revision.
            CodecError: the codec cannot be loaded or is another one, or there is no such device.
            GenerationError: the precision is unknown, or cannot be computed in here.
        """
        check_device(device)
        chosen = None if precision is None else Precision.parse(precision)
        quantize = None if chosen is None else quantizer(chosen, torch.device(device))
        loaded = load_model(source, revision=revision)
        model = loaded.model
        if chosen is not None:
            model.to(chosen.dtype)
        elif model.logits_dense.weight.dtype is torch.float16:
            model.float()
        given = None if codec is None else load_codec(codec, device=device)
        return cls(model.to(device), loaded.info, given, quantize=quantize)

    @property
    def codec(self) -> Codec:
        """The model's codec, loaded on first use."""
        if self._codec is None:
            name = DEFAULT_CODEC if self.info.codec is None else self.info.codec.name
            codec = load_codec(name, device=str(self.model.logits_dense.weight.device))
            check_codec(codec.spec, self.model.config, self.info)
            self._codec = codec
        return self._codec

    @property
    def codec_spec(self) -> CodecSpec:
        """What is known of the codec; loads it only where the model does not say."""
        return self.info.codec or self.codec.spec

    def settings_for(self, voice: Voice | None) -> SamplingSettings:
        """Where nobody says how to speak: the voice's settings, else the model's."""
        if voice is not None and voice.settings is not None:
            return voice.settings
        return self._defaults

    @property
    def tags(self) -> TagTable:
        return self.info.tags

    def speak(
        self,
        text: str,
        settings: SamplingSettings | None = None,
        *,
        prompt: Voice | VoicePrompt | None = None,
        language: str | None = None,
    ) -> Waveform:
        """Speaks a script.

        Args:
            text: with `[S1]` and `[S2]`; without any, the first speaker says it.
            settings: sampling; None for the voice's, else the defaults.
            prompt: a voice to continue.
            language: puts the language's tag in front; None for the voice's.

        Raises:
            TextError: the text is empty or holds control bytes.
            GenerationError: the text or the prompt does not fit the model, or nothing was said.
        """
        speech = self.synthesize([text], settings, prompt=prompt, language=language)[0]
        if speech.codes.num_frames == 0:
            raise GenerationError("the model ended before it said anything: try another --seed")
        return self.codec.decode(speech.codes)

    def synthesize(
        self,
        texts: list[str],
        settings: SamplingSettings | None = None,
        *,
        prompt: Voice | VoicePrompt | None = None,
        language: str | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> list[Speech]:
        """`speak` for several texts at once, as codes; row i draws with seed + i."""
        voice = self.voice(prompt)
        settings = settings or self.settings_for(voice)
        requests = [
            self.request(text, replace(settings, seed=settings.seed + row), voice, language)
            for row, text in enumerate(texts)
        ]
        results = self.generate(requests, on_step=on_step)
        return [
            Speech(text, to_codes(result), result.stopped)
            for text, result in zip(texts, results, strict=True)
        ]

    def request(
        self,
        text: str,
        settings: SamplingSettings | None = None,
        prompt: Voice | VoicePrompt | None = None,
        language: str | None = None,
    ) -> Request:
        """What `speak` asks of the model: a row of `generate`, with settings of its own.

        Raises:
            TextError: the text is empty or holds control bytes.
            GenerationError: the prompt has no transcript.
            CodecError: another codec than the model's made the voice.
        """
        voice = self.voice(prompt)
        settings = settings or self.settings_for(voice)
        frames = None
        if voice is None:
            ids = self.tags.encode(prepare_text(text), language=language)
        else:
            ids = self.tags.encode(_script(text, voice), language=language or voice.language)
            frames = torch.from_numpy(voice.codes.frames.astype(np.int64))
        return Request(ids, frames, settings.seed, settings, self._max_frames(settings))

    def generate(
        self,
        requests: Sequence[Request],
        settings: SamplingSettings | None = None,
        *,
        max_frames: int | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> list[Generated]:
        """`generate_codes` with weights that are arranged once for all calls."""
        return generate_codes(
            self.model,
            requests,
            settings or SamplingSettings(),
            max_frames=max_frames,
            on_step=on_step,
            decoder=self.decoder,
        )

    def stream(
        self,
        text: str,
        settings: SamplingSettings | None = None,
        *,
        prompt: Voice | VoicePrompt | None = None,
        language: str | None = None,
    ) -> Iterator[Waveform]:
        """`speak`, in pieces as they are ready: together they are its waveform, to -60 dB.

        The first piece is short, so that it is there soon; later ones are longer. Nothing is
        decoded ahead of what is asked for.

        Raises:
            TextError, GenerationError: as `speak`, before the first piece.
        """
        pieces = self.stream_codes(text, settings, prompt=prompt, language=language)
        return stream_waveforms(pieces, self.codec)

    def stream_codes(
        self,
        text: str,
        settings: SamplingSettings | None = None,
        *,
        prompt: Voice | VoicePrompt | None = None,
        language: str | None = None,
    ) -> Iterator[Generated]:
        """`stream` as codes, frame by frame; the last piece, without frames, says if it stopped."""
        request = self.request(text, settings, prompt, language)
        return stream_codes(Decoding(self.decoder, [request], SamplingSettings()))

    def voice(self, prompt: Voice | VoicePrompt | None) -> Voice | None:
        """A prompt in the form that the model reads.

        Raises:
            GenerationError: it has no transcript.
            CodecError: another codec than the model's made it.
        """
        if isinstance(prompt, VoicePrompt):
            return encode_prompt(prompt, self.codec)
        if prompt is not None:
            check_voice(prompt, self.codec_spec)
        return prompt

    @property
    def decoder(self) -> StepDecoder:
        """The model's weights arranged for speaking; made at first use, not made again."""
        if self._decoder is None:
            self._decoder = StepDecoder(self.model, self._quantize)
        return self._decoder

    def _max_frames(self, settings: SamplingSettings) -> int | None:
        if settings.max_seconds is None:
            return None
        return max(1, round(settings.max_seconds * self.codec_spec.frames_per_second))


def check_codec(spec: CodecSpec, config: DiaConfig, info: ModelInfo) -> None:
    """Refuses a codec that cannot be the model's.

    Raises:
        CodecError: other geometry, or other weights than those that the model names.
    """
    layout = config.layout
    if (spec.num_codebooks, spec.codebook_size) != (layout.num_channels, layout.codebook_size):
        raise CodecError(
            f"codec '{spec.name}' has {spec.num_codebooks} codebooks of {spec.codebook_size}, the "
            f"model {layout.num_channels} of {layout.codebook_size}: use the codec of its training"
        )
    if info.codec is not None and info.codec.content_hash != spec.content_hash:
        raise CodecError(
            f"codec '{spec.name}' has other weights than the '{info.codec.name}' that the model "
            "was trained with: its codes would be noise"
        )


def _script(text: str, voice: Voice) -> str:
    """The voice's transcript and the text; a text that names no speaker is its first speaker's."""
    if not text.strip():
        return text  # which the tag table refuses
    return join_scripts(prepare_text(voice.text), prepare_text(text, voice.speaker))
