"""Descript Audio Codec, the codec of Dia, through transformers' DacModel."""

import math
from pathlib import Path

from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import DacModel

from dialoom.codec.base import CodecSpec, DecoderReach
from dialoom.codec.pretrained import PretrainedCodec, load_weights, local_directory


class DacCodec(PretrainedCodec):
    """44.1 kHz, hop 512, 9 codebooks of 1024 in `descript/dac_44khz`.

    The tail is padded as DiaFeatureExtractor pads a single clip, so the codes are those of
    DiaProcessor.
    """

    def __init__(self, model: DacModel, spec: CodecSpec, device: str) -> None:
        super().__init__(spec, device)
        self._model = model

    @classmethod
    def load(cls, source: str | Path, device: str = "cpu") -> "DacCodec":
        """Loads a directory or a Hub id.

        Raises:
            CodecError: the codec cannot be found or is damaged.
        """
        model, content_hash = load_weights(DacModel, local_directory(source), device)
        spec = CodecSpec(
            name=str(source),
            content_hash=content_hash,
            sample_rate_hz=model.config.sampling_rate,
            hop_length=model.config.hop_length,
            num_codebooks=model.config.n_codebooks,
            codebook_size=model.config.codebook_size,
        )
        return cls(model, spec, device)

    @property
    def reach(self) -> DecoderReach:
        frames = _reach(self._model.decoder)
        return DecoderReach(before=frames, after=frames)

    def _encode(self, audio_11N: Float[Tensor, "1 1 N"]) -> Int[Tensor, "C F"]:
        codes_CF: Tensor = self._model.encode(audio_11N).audio_codes[0]
        return codes_CF

    def _decode(self, codes_BCF: Int[Tensor, "B C F"]) -> Float[Tensor, "..."]:
        audio: Tensor = self._model.decode(audio_codes=codes_BCF).audio_values
        return audio


def _reach(decoder: nn.Module) -> int:
    """Frames on either side that a sample depends on: what each convolution sees, at its own rate.

    The decoder is a chain, and its modules are listed in the order of the chain.
    """
    frames, rate = 0.0, 1
    for layer in decoder.modules():
        if isinstance(layer, nn.ConvTranspose1d):
            kernel, stride = layer.kernel_size[0], layer.stride[0]
            frames += (kernel - 1) / stride / rate
            rate *= stride
        elif isinstance(layer, nn.Conv1d):
            frames += (layer.kernel_size[0] - 1) // 2 * layer.dilation[0] / rate
    return math.ceil(frames)
